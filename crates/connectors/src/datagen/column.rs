//! What a generated column holds.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, FixedSizeBinaryBuilder, PrimitiveArray, StringArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, UInt32Type,
};

use functions::NumericBuilder;
use functions::numeric::Numeric;

use crate::ConnectorError;
use crate::formats::fields::Fields;
use crate::formats::values::{self, Threads};
use crate::options::{Options, invalid};
use crate::random::Random;

/// A text generated where nothing else is said is so long.
const DEFAULT_LENGTH: u64 = 10;
const LENGTH_MAX: u64 = 1 << 20;
/// 2020-01-01, where generated dates and times begin.
const FIRST_DAY: i64 = 18_262;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// One generated column.
pub struct Column {
    data_type: DataType,
    kind: Kind,
}

enum Kind {
    /// `sequence`: start + row × step; begins anew behind `end`.
    Sequence { start: i64, step: i64, end: Option<i64> },
    /// `random` whole numbers from `min` to `max`, both included. Dates are days and times of day or
    /// timestamps are microseconds behind their beginning.
    Integer { min: i64, max: i64 },
    /// `random` numbers with a fraction, from `min` to `max`.
    Float { min: f64, max: f64 },
    /// `random` true and false.
    Boolean,
    /// `random` version 4 UUIDs.
    Uuid,
    /// `choice`: one of `values`, a list with commas.
    Choice { values: ArrayRef },
    /// `text`: so many letters.
    Text { length: usize },
}

impl Column {
    /// Takes the column's options: `fields.<column>.kind` and those that belong to the kind.
    pub fn new(field: &Field, options: &mut Options) -> Result<Self, ConnectorError> {
        let prefix = format!("fields.{}.", field.name().to_ascii_lowercase());
        let kind_option = format!("{prefix}kind");
        let kind = options.take(&kind_option);
        let kind = kind.unwrap_or_else(|| default_kind(field.data_type()).to_owned()).to_ascii_lowercase();
        let kind = match kind.as_str() {
            "sequence" => sequence(field, &prefix, options)?,
            "random" => random(field, &prefix, options)?,
            "choice" => choice(field, &prefix, options)?,
            "text" if is_text(field.data_type()) => {
                let length = options.number(&format!("{prefix}length"), 0, LENGTH_MAX)?.unwrap_or(DEFAULT_LENGTH);
                Kind::Text { length: length as usize }
            }
            _ => {
                return Err(invalid(
                    &kind_option,
                    &kind,
                    &format!(
                        "a column of type {} cannot have it; expected sequence, random, choice or text",
                        field.data_type()
                    ),
                ));
            }
        };
        Ok(Self { data_type: field.data_type().clone(), kind })
    }

    /// The values of the given rows.
    pub fn generate(&self, seed: u64, index: u64, rows: Range<u64>) -> ArrayRef {
        let mut randoms = rows.clone().map(|row| Random::of(seed, index, row));
        match &self.kind {
            Kind::Sequence { start, step, end } => {
                let numbers = rows.map(|row| sequence_value(*start, *step, *end, row));
                integers(&self.data_type, numbers)
            }
            Kind::Integer { min, max } => {
                let width = (i128::from(*max) - i128::from(*min) + 1) as u128;
                let numbers = randoms.map(|mut random| {
                    let offset = (u128::from(random.next()) * width) >> 64;
                    (i128::from(*min) + offset as i128) as i64
                });
                integers(&self.data_type, numbers)
            }
            Kind::Float { min, max } => {
                let numbers = randoms.map(|mut random| min + random.unit() * (max - min));
                floats(&self.data_type, numbers)
            }
            Kind::Boolean => Arc::new(BooleanArray::from_iter(randoms.map(|mut random| Some(random.below(2) == 1)))),
            Kind::Uuid => uuids(&mut randoms),
            Kind::Choice { values } => {
                let picks = randoms.map(|mut random| random.below(values.len() as u64) as u32);
                let picks = UInt32Array::from_iter_values(picks);
                take(values, &picks, None).expect("every pick lies within the choices")
            }
            Kind::Text { length } => texts(*length, &mut randoms),
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8)
}

fn default_kind(data_type: &DataType) -> &'static str {
    if is_text(data_type) { "text" } else { "random" }
}

/// The least and greatest number that the type and its beginning allow.
fn integer_range(data_type: &DataType) -> Option<(i64, i64)> {
    Some(match data_type {
        DataType::Int16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::Int32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        DataType::Int64 => (i64::MIN, i64::MAX),
        DataType::UInt32 => (0, i64::from(u32::MAX)),
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            let digits = u32::from(*precision) - *scale as u32;
            let limit = 10i64.checked_pow(digits).map_or(i64::MAX, |limit| limit - 1);
            (-limit, limit)
        }
        DataType::LargeBinary => (i64::MIN, i64::MAX),
        DataType::Date32 => (-700_000, 2_900_000),
        DataType::Time64(TimeUnit::Microsecond) => (0, MICROS_PER_DAY - 1),
        DataType::Timestamp(TimeUnit::Microsecond, _) => (-60_000_000_000_000_000, 250_000_000_000_000_000),
        DataType::Utf8 => (i64::MIN, i64::MAX),
        _ => return None,
    })
}

fn sequence(field: &Field, prefix: &str, options: &mut Options) -> Result<Kind, ConnectorError> {
    let Some((least, greatest)) = integer_range(field.data_type()) else {
        return Err(invalid(&format!("{prefix}kind"), "sequence", "the column's type has no sequence"));
    };
    let start = options.number(&format!("{prefix}start"), least, greatest)?;
    let start = start.unwrap_or_else(|| if counts_from_zero(field.data_type()) { 0 } else { 1 });
    let step = options.number(&format!("{prefix}step"), i64::MIN, i64::MAX)?;
    let step = step.unwrap_or(if matches!(field.data_type(), DataType::Timestamp(..)) { 1_000_000 } else { 1 });
    let end_option = format!("{prefix}end");
    let end = options.number(&end_option, least, greatest)?;
    if let Some(end) = end
        && (step == 0 || (end < start) != (step < 0))
        && end != start
    {
        return Err(invalid(&end_option, &end.to_string(), "the sequence does not lead there"));
    }
    // Without a stated end a sequence begins anew where its type ends.
    let end = end.or(if step > 0 {
        Some(greatest)
    } else if step < 0 {
        Some(least)
    } else {
        None
    });
    Ok(Kind::Sequence { start, step, end })
}

fn sequence_value(start: i64, step: i64, end: Option<i64>, row: u64) -> i64 {
    let Some(end) = end.filter(|_| step != 0) else { return start };
    let (start, step) = (i128::from(start), i128::from(step));
    let length = (i128::from(end) - start) / step + 1;
    // Between start and end, both of which are i64.
    (start + i128::from(row) % length * step) as i64
}

fn random(field: &Field, prefix: &str, options: &mut Options) -> Result<Kind, ConnectorError> {
    let (min_option, max_option) = (format!("{prefix}min"), format!("{prefix}max"));
    match field.data_type() {
        DataType::Boolean => return Ok(Kind::Boolean),
        DataType::FixedSizeBinary(16) => return Ok(Kind::Uuid),
        DataType::Float32 | DataType::Float64 => {
            let min = options.number(&min_option, -1e30f64, 1e30)?.unwrap_or(0.0);
            let max = options.number(&max_option, min, 1e30)?.unwrap_or(min.max(1.0));
            return Ok(Kind::Float { min, max });
        }
        _ => {}
    }
    let Some((least, greatest)) = integer_range(field.data_type()) else {
        let kind = format!("{prefix}kind");
        return Err(invalid(&kind, "random", &format!("no generator makes values of type {}", field.data_type())));
    };
    let width = match field.data_type() {
        DataType::Timestamp(..) => 366 * MICROS_PER_DAY - 1,
        DataType::Date32 => 365,
        DataType::Time64(_) => MICROS_PER_DAY - 1,
        _ => 999,
    };
    let min = options.number(&min_option, least, greatest)?.unwrap_or(0);
    let max = options.number(&max_option, min, greatest)?.unwrap_or(min.saturating_add(width).min(greatest));
    Ok(Kind::Integer { min, max })
}

fn choice(field: &Field, prefix: &str, options: &mut Options) -> Result<Kind, ConnectorError> {
    let option = format!("{prefix}values");
    let list = options.require(&option)?;
    if !values::is_supported(field.data_type()) {
        return Err(invalid(&option, &list, "the column's type has no choices"));
    }
    let texts: Vec<Option<Vec<u8>>> = list.split(',').map(|text| Some(text.trim().as_bytes().to_vec())).collect();
    let one = Arc::new(arrow::datatypes::Schema::new(vec![field.clone()]));
    let (batch, bad) = values::batch(&one, &Fields::of_texts(texts), &[], Threads::One)?;
    match bad.into_values().next() {
        Some(error) => Err(invalid(&option, &list, &error)),
        None => Ok(Kind::Choice { values: batch.column(0).clone() }),
    }
}

/// Dates and times count from their beginning.
fn counts_from_zero(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..))
}

/// Numbers that lie within the type's range as a column.
fn integers(data_type: &DataType, numbers: impl Iterator<Item = i64>) -> ArrayRef {
    match data_type {
        DataType::Int16 => primitive::<Int16Type>(numbers.map(|number| number as i16)),
        DataType::Int32 => primitive::<Int32Type>(numbers.map(|number| number as i32)),
        DataType::UInt32 => primitive::<UInt32Type>(numbers.map(|number| number as u32)),
        DataType::LargeBinary => {
            let mut column = NumericBuilder::default();
            numbers.for_each(|number| column.append(&Numeric::from_i64(number)));
            column.finish()
        }
        DataType::Decimal128(precision, scale) => {
            let factor = 10i128.pow(*scale as u32);
            let column = PrimitiveArray::<Decimal128Type>::from_iter_values(numbers.map(|n| i128::from(n) * factor));
            Arc::new(column.with_data_type(DataType::Decimal128(*precision, *scale)))
        }
        DataType::Date32 => primitive::<Date32Type>(numbers.map(|days| (FIRST_DAY + days) as i32)),
        DataType::Timestamp(_, zone) => {
            let micros = numbers.map(|micros| FIRST_DAY * MICROS_PER_DAY + micros);
            let column = PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(micros);
            Arc::new(column.with_timezone_opt(zone.clone()))
        }
        DataType::Utf8 => Arc::new(StringArray::from_iter_values(numbers.map(|number| number.to_string()))),
        _ => {
            let column = primitive::<Int64Type>(numbers);
            cast(&column, data_type).expect("a 64-bit integer casts to the types that integer_range lists")
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(values: impl Iterator<Item = T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(values))
}

fn floats(data_type: &DataType, numbers: impl Iterator<Item = f64>) -> ArrayRef {
    match data_type {
        DataType::Float32 => primitive::<Float32Type>(numbers.map(|number| number as f32)),
        _ => primitive::<Float64Type>(numbers),
    }
}

fn uuids(randoms: &mut dyn Iterator<Item = Random>) -> ArrayRef {
    let mut column = FixedSizeBinaryBuilder::new(16);
    for mut random in randoms {
        let bits = u128::from(random.next()) << 64 | u128::from(random.next());
        let value = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        column.append_value(value.as_bytes()).expect("a UUID has 16 bytes");
    }
    Arc::new(column.finish())
}

fn texts(length: usize, randoms: &mut dyn Iterator<Item = Random>) -> ArrayRef {
    let texts = randoms.map(|mut random| {
        let mut text = String::with_capacity(length);
        random.letters(length, &mut text);
        text
    });
    Arc::new(StringArray::from_iter_values(texts))
}
