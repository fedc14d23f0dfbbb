//! `min` and `max`.
//!
//! Over an append-only input, types of at most 64 bits keep the extreme itself in the words: each value
//! is mapped to a word whose unsigned order is the order of the values (turned round for `min`, so that
//! the greatest word always wins). Words: [word + 1], where 0 is the empty group, for
//! types that leave a word free; [1 if there is a value, word] for those that use all 64 bits.
//!
//! Otherwise (retractions, or wide types) all values are kept in order (`pick.rs`); of wide types over an append-only
//! input only the extreme. Floats are compared as PostgreSQL does: NaN is
//! above everything and −0 is 0.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveBuilder};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalUnit,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type,
};
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};

use super::Argument;
use super::fold::for_each_value;
use super::pick;
use crate::NUMERIC;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extreme {
    Min,
    Max,
}

pub(super) fn function(extreme: Extreme, argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    let data_type = argument.data_type.clone();
    has_order(&data_type).then(|| Arc::new(MinMax { extreme, data_type }) as Arc<dyn AggregateFunction>)
}

#[derive(Debug)]
struct MinMax {
    extreme: Extreme,
    data_type: DataType,
}

impl AggregateFunction for MinMax {
    fn name(&self) -> &str {
        match self.extreme {
            Extreme::Min => "min",
            Extreme::Max => "max",
        }
    }

    fn result_type(&self) -> DataType {
        self.data_type.clone()
    }

    fn accumulator(&self, mode: ChangelogMode) -> Box<dyn Accumulator> {
        let make = word_type(&self.data_type).filter(|_| mode == ChangelogMode::AppendOnly);
        match make {
            Some(make) => make(self.extreme, self.data_type.clone()),
            None => pick::extreme(self.extreme, &self.data_type).accumulator(mode),
        }
    }

    fn partial_types(&self, mode: ChangelogMode) -> Option<Vec<DataType>> {
        let is_word = mode == ChangelogMode::AppendOnly && word_type(&self.data_type).is_some();
        Some(vec![if is_word { self.data_type.clone() } else { DataType::Binary }])
    }
}

/// Whether PostgreSQL has min and max of a type.
fn has_order(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(IntervalUnit::MonthDayNano) | DataType::Utf8 | DataType::Decimal128(_, _) => true,
        numeric if *numeric == NUMERIC => true,
        DataType::List(item) => has_order(item.data_type()),
        other => word_type(other).is_some(),
    }
}

type Make = fn(Extreme, DataType) -> Box<dyn Accumulator>;

/// How to make the accumulator that keeps one word, for types of at most 64 bits.
fn word_type(data_type: &DataType) -> Option<Make> {
    fn make<T: OrderedWord>(extreme: Extreme, data_type: DataType) -> Box<dyn Accumulator> {
        match extreme {
            Extreme::Min => Box::new(WordExtreme::<T, true> { data_type, input: PhantomData }),
            Extreme::Max => Box::new(WordExtreme::<T, false> { data_type, input: PhantomData }),
        }
    }
    Some(match data_type {
        DataType::Int16 => make::<Int16Type>,
        DataType::Int32 => make::<Int32Type>,
        DataType::Int64 => make::<Int64Type>,
        DataType::UInt32 => make::<UInt32Type>,
        DataType::Float32 => make::<Float32Type>,
        DataType::Float64 => make::<Float64Type>,
        DataType::Date32 => make::<Date32Type>,
        DataType::Time64(TimeUnit::Microsecond) => make::<Time64MicrosecondType>,
        DataType::Timestamp(TimeUnit::Microsecond, _) => make::<TimestampMicrosecondType>,
        _ => return None,
    })
}

/// Values that map to words in their order.
pub(super) trait OrderedWord: ArrowPrimitiveType + Debug + Send + Sync {
    /// Whether all 64 bits are used, so that presence needs a word of its own.
    const FULL: bool;

    fn to_word(value: Self::Native) -> u64;

    fn from_word(word: u64) -> Self::Native;
}

macro_rules! ordered_integer {
    ($($arrow:ty: $native:ty, $full:expr;)*) => {$(
        impl OrderedWord for $arrow {
            const FULL: bool = $full;

            #[inline]
            fn to_word(value: $native) -> u64 {
                // Turn the sign bit, within the type's own width so that a narrow type leaves words free.
                (i128::from(value) - i128::from(<$native>::MIN)) as u64
            }

            #[inline]
            fn from_word(word: u64) -> $native {
                (i128::from(word) + i128::from(<$native>::MIN)) as $native
            }
        }
    )*};
}

ordered_integer! {
    Int16Type: i16, false;
    Int32Type: i32, false;
    UInt32Type: u32, false;
    Date32Type: i32, false;
    Int64Type: i64, true;
    Time64MicrosecondType: i64, true;
    TimestampMicrosecondType: i64, true;
}

impl OrderedWord for Float64Type {
    // NaN is one value, so the topmost words are free.
    const FULL: bool = false;

    #[inline]
    fn to_word(value: f64) -> u64 {
        // −0 + 0 is 0.
        let bits = if value.is_nan() { f64::NAN.to_bits() & !(1 << 63) } else { (value + 0.0).to_bits() };
        if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
    }

    #[inline]
    fn from_word(word: u64) -> f64 {
        f64::from_bits(if word >> 63 == 1 { word & !(1 << 63) } else { !word })
    }
}

impl OrderedWord for Float32Type {
    const FULL: bool = false;

    #[inline]
    fn to_word(value: f32) -> u64 {
        Float64Type::to_word(f64::from(value))
    }

    #[inline]
    fn from_word(word: u64) -> f32 {
        Float64Type::from_word(word) as f32
    }
}

#[derive(Debug)]
struct WordExtreme<T, const MIN: bool> {
    data_type: DataType,
    input: PhantomData<T>,
}

impl<T: OrderedWord, const MIN: bool> WordExtreme<T, MIN> {
    /// The word that is greatest for the value wanted. Of types that leave words free it is never 0.
    #[inline]
    fn word(value: T::Native) -> u64 {
        let word = T::to_word(value);
        match (T::FULL, MIN) {
            (_, true) => !word,
            (false, false) => word + 1,
            (true, false) => word,
        }
    }

    #[inline]
    fn value(word: u64) -> T::Native {
        T::from_word(match (T::FULL, MIN) {
            (_, true) => !word,
            (false, false) => word - 1,
            (true, false) => word,
        })
    }

    #[inline]
    fn raise(words: &mut [u64], word: u64) {
        if T::FULL {
            if words[0] == 0 || words[1] < word {
                words[0] = 1;
                words[1] = word;
            }
        } else {
            words[0] = words[0].max(word);
        }
    }
}

impl<T: OrderedWord, const MIN: bool> Accumulator for WordExtreme<T, MIN> {
    fn word_count(&self) -> usize {
        1 + usize::from(T::FULL)
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        debug_assert!(weights.is_none_or(|w| w.iter().all(|w| *w > 0)), "an append-only input retracts nothing");
        for_each_value(slots, arguments[0].as_primitive::<T>(), None, |slot, value, _| {
            Self::raise(groups.at(slot), Self::word(value));
        });
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let mut values = PrimitiveBuilder::<T>::with_capacity(records.len()).with_data_type(self.data_type.clone());
        for words in records.iter() {
            values.append_option((words[0] != 0).then(|| Self::value(words[usize::from(T::FULL)])));
        }
        Finished::from(Arc::new(values.finish()) as ArrayRef)
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        Some(vec![self.finish(records).values])
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        self.fold(groups, slots, partials, None);
    }
}
