//! What the values of an ordered aggregate look like as keys, whose order is the order of the values.
//!
//! - One argument of at most 64 bits is a word; for DESC all its bits are turned.
//! - Else a key is bytes. In the order of the arguments themselves: their row bytes (a NULL in the first one above all
//!   values). In another order: a byte for NULL or not and the ordered bytes of each sort key (turned for DESC), the
//!   arguments' row bytes, and the length of the first part (u32, big-endian).
//!
//! Ordered bytes are row bytes, but of intervals their length, since PostgreSQL compares 1 month with 30 days as equal,
//! and of lists a form in which a NULL element is above all others. The forms are stored, so they never change.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, new_null_array};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type,
};
use changelog::{RowBytes, RowCodec, canonical_key};

use super::min_max::OrderedWord;

/// A sort key of an aggregate's ORDER BY.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderArgument {
    /// Its type.
    pub data_type: DataType,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

impl OrderArgument {
    fn text(&self) -> String {
        let direction = if self.descending { "desc" } else { "asc" };
        let nulls = if self.nulls_first { "first" } else { "last" };
        format!("{direction} nulls {nulls}")
    }
}

/// The directions of an ORDER BY as a text; it is part of the stored format.
pub(super) fn order_text(order: &[OrderArgument]) -> String {
    order.iter().map(OrderArgument::text).collect::<Vec<_>>().join(", ")
}

/// A key that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyRef<'a> {
    Word(u64),
    Bytes(&'a [u8]),
}

/// How rows become keys and come back from them.
#[derive(Clone, Debug)]
pub(super) enum Elements {
    /// One argument as a word.
    Word { form: WordForm, data_type: DataType, descending: bool },
    /// The arguments in their own order.
    Natural { codec: RowCodec },
    /// The arguments in the order of sort keys, each with the column that it is: arguments, then further columns.
    Sorted { codec: RowCodec, order: Vec<OrderArgument>, columns: Vec<usize> },
}

/// The keys of a batch's rows.
pub(super) enum Keys {
    Words(Vec<u64>),
    /// All keys' bytes one after another, and where each ends.
    Bytes(Vec<u8>, Vec<usize>),
}

impl Elements {
    /// For one argument that is ordered by itself and never NULL.
    pub(super) fn of_value(data_type: &DataType, descending: bool) -> Elements {
        let data_type = data_type.clone();
        match word_form(&data_type) {
            Some(form) => Elements::Word { form, data_type, descending },
            None => {
                let order = OrderArgument { data_type: data_type.clone(), descending, nulls_first: false };
                Elements::of_rows_by(vec![data_type], vec![order], vec![0])
            }
        }
    }

    /// For rows of arguments in the order of sort keys, whose columns follow those of the arguments. Without sort keys
    /// they are in the order of the arguments.
    pub(super) fn of_rows(types: Vec<DataType>, order: Vec<OrderArgument>) -> Elements {
        let (count, key_count) = (types.len(), order.len());
        if !order.is_empty() {
            return Elements::of_rows_by(types, order, (count..count + key_count).collect());
        }
        if types.iter().all(|t| !has_own_order(t)) {
            return Elements::Natural { codec: RowCodec::new(types) };
        }
        let key = |t: &DataType| OrderArgument { data_type: t.clone(), descending: false, nulls_first: false };
        let order = types.iter().map(key).collect();
        Elements::of_rows_by(types, order, (0..count).collect())
    }

    /// For rows of arguments in the order of sort keys that are these columns.
    pub(super) fn of_rows_by(types: Vec<DataType>, order: Vec<OrderArgument>, columns: Vec<usize>) -> Elements {
        debug_assert_eq!(order.len(), columns.len(), "a column for each sort key");
        Elements::Sorted { codec: RowCodec::new(types), order, columns }
    }

    /// The keys of n rows: the arguments' columns, then those of the sort keys that are no arguments.
    pub(super) fn keys(&self, columns: &[ArrayRef]) -> Keys {
        match self {
            Elements::Word { form, descending, .. } => {
                let mut words = (form.words)(&columns[0]);
                if *descending {
                    words.iter_mut().for_each(|word| *word = !*word);
                }
                Keys::Words(words)
            }
            Elements::Natural { codec } => {
                let rows = codec.encode(&columns[..codec.types().len()]);
                let mut bytes = Vec::new();
                let mut ends = Vec::with_capacity(rows.row_count());
                for row in rows.iter() {
                    let start = bytes.len();
                    bytes.extend_from_slice(row);
                    if bytes.get(start) == Some(&0) {
                        bytes[start] = NULL_ABOVE;
                    }
                    ends.push(bytes.len());
                }
                Keys::Bytes(bytes, ends)
            }
            Elements::Sorted { codec, order, columns: sorts } => {
                let sorts: Vec<&ArrayRef> = sorts.iter().map(|column| &columns[*column]).collect();
                sorted_keys(codec, order, &columns[..codec.types().len()], &sorts)
            }
        }
    }

    /// The arguments' columns of these keys. Keys that are none of ours (checked when loaded) give NULLs.
    pub(super) fn columns<'a>(&self, keys: impl ExactSizeIterator<Item = KeyRef<'a>>) -> Vec<ArrayRef> {
        let count = keys.len();
        let codec = match self {
            Elements::Word { form, data_type, descending } => {
                let words = keys.map(|key| match key {
                    KeyRef::Word(word) if *descending => !word,
                    KeyRef::Word(word) => word,
                    KeyRef::Bytes(_) => 0,
                });
                return vec![(form.column)(words.collect(), data_type)];
            }
            Elements::Natural { codec } | Elements::Sorted { codec, .. } => codec,
        };
        let nulls = || codec.types().iter().map(|data_type| new_null_array(data_type, count)).collect();
        let mut copies: Vec<Vec<u8>> = Vec::new();
        let rows: Vec<Option<&[u8]>> = keys.map(|key| self.row_bytes(key)).collect();
        for row in rows.iter().flatten().filter(|row| row.first() == Some(&NULL_ABOVE)) {
            copies.push([&[0], &row[1..]].concat());
        }
        let mut copies = copies.iter();
        let plain = rows.iter().map(|row| match row {
            Some([NULL_ABOVE, ..]) => copies.next().map_or(&[][..], Vec::as_slice),
            Some(row) => row,
            None => &[],
        });
        codec.decode(plain).unwrap_or_else(|_| nulls())
    }

    /// Whether equal values have equal keys. Those of 1 month and of 30 days differ behind the part that orders them.
    pub(super) fn has_key_per_value(&self) -> bool {
        match self {
            Elements::Sorted { order, .. } => order.iter().all(|key| !has_own_order(&key.data_type)),
            _ => true,
        }
    }

    /// Whether two keys are equal by what orders them.
    pub(super) fn are_equal(&self, a: KeyRef<'_>, b: KeyRef<'_>) -> bool {
        match (self, a, b) {
            (Elements::Sorted { .. }, KeyRef::Bytes(a), KeyRef::Bytes(b)) => ordered_part(a) == ordered_part(b),
            _ => a == b,
        }
    }

    /// The row bytes within a key.
    fn row_bytes<'a>(&self, key: KeyRef<'a>) -> Option<&'a [u8]> {
        let KeyRef::Bytes(bytes) = key else { return None };
        match self {
            Elements::Sorted { .. } => {
                let length = ordered_part(bytes)?.len();
                bytes.get(length..bytes.len() - 4)
            }
            _ => Some(bytes),
        }
    }

    /// A text that says what is wrong with a stored key.
    pub(super) fn check(&self, key: KeyRef<'_>) -> Result<(), String> {
        match self {
            Elements::Word { .. } => Ok(()),
            Elements::Natural { codec } | Elements::Sorted { codec, .. } => {
                let row = self.row_bytes(key).ok_or("a stored value is too short")?;
                let row: Vec<u8> = match row {
                    [NULL_ABOVE, rest @ ..] => [&[0], rest].concat(),
                    row => row.to_vec(),
                };
                codec.decode([row.as_slice()]).map(drop).map_err(|error| error.to_string())
            }
        }
    }
}

/// What orders a key in the order of sort keys.
fn ordered_part(key: &[u8]) -> Option<&[u8]> {
    let (rest, length) = key.split_last_chunk::<4>()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

/// The tag of a NULL that is above all values.
const NULL_ABOVE: u8 = 2;

fn sorted_keys(codec: &RowCodec, order: &[OrderArgument], arguments: &[ArrayRef], sorts: &[&ArrayRef]) -> Keys {
    let rows = codec.encode(arguments);
    let ordered: Vec<Ordered> = sorts.iter().map(|column| Ordered::of(column)).collect();
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(rows.row_count());
    for (i, row) in rows.iter().enumerate() {
        let start = bytes.len();
        for ((key, column), ordered) in order.iter().zip(sorts).zip(&ordered) {
            if column.is_null(i) {
                bytes.push(if key.nulls_first { 0 } else { 2 });
                continue;
            }
            bytes.push(1);
            let from = bytes.len();
            bytes.extend_from_slice(ordered.at(i));
            if key.descending {
                bytes[from..].iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
        let length = (bytes.len() - start) as u32;
        bytes.extend_from_slice(row);
        bytes.extend_from_slice(&length.to_be_bytes());
        ends.push(bytes.len());
    }
    Keys::Bytes(bytes, ends)
}

/// Whether the row bytes of a type are not in the order of its values.
fn has_own_order(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::List(_) | DataType::LargeBinary)
}

/// A column as bytes in the order of the values; each value's end can be told from its bytes. NULL has any.
enum Ordered {
    Rows(RowBytes),
    Each(Vec<Vec<u8>>),
}

impl Ordered {
    fn of(column: &ArrayRef) -> Ordered {
        match column.data_type() {
            DataType::List(_) => Ordered::Each(ordered_lists(column)),
            DataType::Interval(_) => {
                let intervals = column.as_primitive::<IntervalMonthDayNanoType>();
                Ordered::Each(intervals.values().iter().map(|interval| ordered_length(*interval).to_vec()).collect())
            }
            data_type => Ordered::Rows(RowCodec::new(vec![data_type.clone()]).encode(&[canonical_key(column)])),
        }
    }

    fn at(&self, row: usize) -> &[u8] {
        match self {
            Ordered::Rows(rows) => rows.row(row),
            Ordered::Each(each) => &each[row],
        }
    }
}

fn ordered_lists(column: &ArrayRef) -> Vec<Vec<u8>> {
    let list = column.as_list::<i32>();
    let elements = Ordered::of(list.values());
    let bytes = |range: &[i32]| {
        let mut bytes = Vec::new();
        for at in range[0] as usize..range[1] as usize {
            bytes.push(1);
            let is_null = list.values().is_null(at);
            bytes.push(if is_null { 2 } else { 1 });
            if !is_null {
                bytes.extend_from_slice(elements.at(at));
            }
        }
        bytes.push(0);
        bytes
    };
    list.value_offsets().windows(2).map(bytes).collect()
}

fn ordered_length(interval: IntervalMonthDayNano) -> [u8; 16] {
    ((interval_length(interval) as u128) ^ (1 << 127)).to_be_bytes()
}

/// Nanoseconds, a month counting 30 days, as PostgreSQL compares intervals.
pub(crate) fn interval_length(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * 86_400_000_000_000 + i128::from(interval.nanoseconds)
}

/// How the values of a type of at most 64 bits become words in their order, and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct WordForm {
    words: fn(&ArrayRef) -> Vec<u64>,
    column: fn(Vec<u64>, &DataType) -> ArrayRef,
}

fn words_of<T: OrderedWord>(column: &ArrayRef) -> Vec<u64> {
    column.as_primitive::<T>().values().iter().map(|value| T::to_word(*value)).collect()
}

fn column_of<T: OrderedWord>(words: Vec<u64>, data_type: &DataType) -> ArrayRef {
    let values = words.into_iter().map(T::from_word).collect::<Vec<_>>();
    Arc::new(PrimitiveArray::<T>::new(values.into(), None).with_data_type(data_type.clone()))
}

fn word_form(data_type: &DataType) -> Option<WordForm> {
    fn form<T: OrderedWord>() -> Option<WordForm> {
        Some(WordForm { words: words_of::<T>, column: column_of::<T> })
    }
    match data_type {
        DataType::Int16 => form::<Int16Type>(),
        DataType::Int32 => form::<Int32Type>(),
        DataType::Int64 => form::<Int64Type>(),
        DataType::UInt32 => form::<UInt32Type>(),
        DataType::Float32 => form::<Float32Type>(),
        DataType::Float64 => form::<Float64Type>(),
        DataType::Date32 => form::<Date32Type>(),
        DataType::Time64(TimeUnit::Microsecond) => form::<Time64MicrosecondType>(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => form::<TimestampMicrosecondType>(),
        _ => None,
    }
}
