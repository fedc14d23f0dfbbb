//! Parameters of a prepared statement: text or binary to arrays of one value.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Int16Array, Int32Array, Int64Array,
    LargeBinaryArray, ListArray, PrimitiveArray, StringArray, UInt32Array, new_empty_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};

use functions::numeric::Numeric;

use super::binary::{DIMENSION_COUNT_MAX, JSONB_VERSION};
use super::numeric::{NumericError, read_numeric};
use super::{POSTGRES_EPOCH_DAYS, POSTGRES_EPOCH_MICROS, TextSettings, parse_values};
use crate::wire::{Fields, MalformedMessage, ValueFormat};

/// Bytes that are no value of the parameter's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterError {
    pub sqlstate: String,
    pub message: String,
}

impl ParameterError {
    fn new(sqlstate: &str, message: impl Into<String>) -> Self {
        Self { sqlstate: sqlstate.to_owned(), message: message.into() }
    }

    fn malformed() -> Self {
        Self::new("22P03", "incorrect binary data format in bind parameter")
    }
}

impl From<MalformedMessage> for ParameterError {
    fn from(_: MalformedMessage) -> Self {
        Self::malformed()
    }
}

/// The value as an array of length 1; no bytes stand for NULL.
pub fn read_parameter(
    field: &Field,
    format: ValueFormat,
    bytes: Option<&[u8]>,
    settings: &TextSettings,
) -> Result<ArrayRef, ParameterError> {
    let Some(bytes) = bytes else { return Ok(new_null_array(field.data_type(), 1)) };
    match format {
        ValueFormat::Binary => read_binary(field.data_type(), bytes, settings),
        ValueFormat::Text => {
            let text = read_text(bytes)?;
            if let Some(array) = read_plain(field.data_type(), text) {
                return Ok(array);
            }
            let texts = StringArray::from(vec![text]);
            parse_values(&texts, field, settings).map_err(|error| ParameterError::new(&error.sqlstate, error.message))
        }
    }
}

/// Plain integers and text, by far the most frequent; `None` leaves the rest, errors too, to the input functions.
fn read_plain(data_type: &DataType, text: &str) -> Option<ArrayRef> {
    Some(match data_type {
        DataType::Int16 => Arc::new(Int16Array::from(vec![text.parse::<i16>().ok()?])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![text.parse::<i32>().ok()?])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![text.parse::<i64>().ok()?])),
        DataType::Utf8 => Arc::new(StringArray::from(vec![text])),
        _ => return None,
    })
}

fn read_text(bytes: &[u8]) -> Result<&str, ParameterError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) => Err(ParameterError::new("22021", "invalid byte sequence for encoding \"UTF8\": 0x00")),
        Err(error) => {
            let bad = bytes[error.valid_up_to()];
            Err(ParameterError::new("22021", format!("invalid byte sequence for encoding \"UTF8\": 0x{bad:02x}")))
        }
    }
}

fn read_binary(data_type: &DataType, bytes: &[u8], settings: &TextSettings) -> Result<ArrayRef, ParameterError> {
    Ok(match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from(vec![fixed::<1>(bytes)?[0] != 0])),
        DataType::Int16 => Arc::new(Int16Array::from(vec![i16::from_be_bytes(fixed(bytes)?)])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![i32::from_be_bytes(fixed(bytes)?)])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![i64::from_be_bytes(fixed(bytes)?)])),
        DataType::UInt32 => Arc::new(UInt32Array::from(vec![u32::from_be_bytes(fixed(bytes)?)])),
        DataType::Float32 => {
            let value = f32::from_be_bytes(fixed(bytes)?);
            // There is one NaN, whatever bits a client has for it.
            Arc::new(PrimitiveArray::<Float32Type>::from(vec![if value.is_nan() { f32::NAN } else { value }]))
        }
        DataType::Float64 => {
            let value = f64::from_be_bytes(fixed(bytes)?);
            Arc::new(PrimitiveArray::<Float64Type>::from(vec![if value.is_nan() { f64::NAN } else { value }]))
        }
        DataType::Decimal128(precision, scale) => read_decimal(bytes, *precision, *scale)?,
        DataType::LargeBinary => {
            let value = Numeric::from_wire(bytes).map_err(|_| ParameterError::malformed())?;
            Arc::new(LargeBinaryArray::from_vec(vec![&value.to_bytes()]))
        }
        DataType::Utf8 => Arc::new(StringArray::from(vec![read_text(bytes)?])),
        DataType::LargeUtf8 => read_json(bytes, settings)?,
        DataType::Binary => Arc::new(BinaryArray::from(vec![bytes])),
        DataType::Date32 => Arc::new(PrimitiveArray::<Date32Type>::from(vec![read_date(bytes)?])),
        DataType::Time64(_) => {
            let micros = i64::from_be_bytes(fixed(bytes)?);
            if !(0..=86_400_000_000).contains(&micros) {
                return Err(ParameterError::new("22008", "time out of range"));
            }
            Arc::new(PrimitiveArray::<Time64MicrosecondType>::from(vec![micros]))
        }
        DataType::Timestamp(_, zone) => Arc::new(
            PrimitiveArray::<TimestampMicrosecondType>::from(vec![read_timestamp(bytes)?])
                .with_timezone_opt(zone.clone()),
        ),
        DataType::Interval(_) => {
            Arc::new(PrimitiveArray::<IntervalMonthDayNanoType>::from(vec![read_interval(bytes)?]))
        }
        DataType::FixedSizeBinary(16) => {
            let uuid: [u8; 16] = fixed(bytes)?;
            let array = FixedSizeBinaryArray::try_from_iter(std::iter::once(uuid));
            Arc::new(array.map_err(|_| ParameterError::malformed())?)
        }
        DataType::List(item) => read_list(data_type, item, bytes, settings)?,
        other => {
            return Err(ParameterError::new("0A000", format!("parameters of type {other} cannot be read")));
        }
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], ParameterError> {
    bytes.try_into().map_err(|_| ParameterError::malformed())
}

fn read_decimal(bytes: &[u8], precision: u8, scale: i8) -> Result<ArrayRef, ParameterError> {
    let out_of_range = || ParameterError::new("22003", "numeric field overflow");
    let value = read_numeric(bytes, scale).map_err(|error| match error {
        NumericError::Malformed => ParameterError::malformed(),
        NumericError::Overflow => out_of_range(),
        NumericError::NotFinite => ParameterError::new("0A000", "NaN and infinite numerics are not supported"),
    })?;
    if value.unsigned_abs() >= 10u128.pow(precision.into()) {
        return Err(out_of_range());
    }
    let array = PrimitiveArray::<Decimal128Type>::from(vec![value]);
    Ok(Arc::new(array.with_precision_and_scale(precision, scale).map_err(|_| out_of_range())?))
}

fn read_json(bytes: &[u8], settings: &TextSettings) -> Result<ArrayRef, ParameterError> {
    // jsonb has a version byte before the text, json has not.
    let text = read_text(bytes.strip_prefix(&[JSONB_VERSION]).unwrap_or(bytes))?;
    let field = Field::new("json", DataType::LargeUtf8, true);
    let texts = StringArray::from(vec![text]);
    parse_values(&texts, &field, settings).map_err(|error| ParameterError::new(&error.sqlstate, error.message))
}

fn read_date(bytes: &[u8]) -> Result<i32, ParameterError> {
    match i32::from_be_bytes(fixed(bytes)?) {
        days @ (i32::MIN | i32::MAX) => Ok(days),
        days => days.checked_add(POSTGRES_EPOCH_DAYS).ok_or_else(|| ParameterError::new("22008", "date out of range")),
    }
}

fn read_timestamp(bytes: &[u8]) -> Result<i64, ParameterError> {
    match i64::from_be_bytes(fixed(bytes)?) {
        micros @ (i64::MIN | i64::MAX) => Ok(micros),
        micros => micros
            .checked_add(POSTGRES_EPOCH_MICROS)
            .ok_or_else(|| ParameterError::new("22008", "timestamp out of range")),
    }
}

fn read_interval(bytes: &[u8]) -> Result<IntervalMonthDayNano, ParameterError> {
    let bytes: [u8; 16] = fixed(bytes)?;
    let mut fields = Fields::new(&bytes);
    let (micros, days, months) = (i64::from_be_bytes(fixed(fields.bytes(8)?)?), fields.i32()?, fields.i32()?);
    let nanos = micros.checked_mul(1000).ok_or_else(|| ParameterError::new("22008", "interval out of range"))?;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

fn read_list(
    data_type: &DataType,
    item: &Arc<Field>,
    bytes: &[u8],
    settings: &TextSettings,
) -> Result<ArrayRef, ParameterError> {
    let mut fields = Fields::new(bytes);
    let dimension_count = fields.i32()?;
    let (_has_null, _element_oid) = (fields.i32()?, fields.i32()?);
    let dimension_count = usize::try_from(dimension_count).map_err(|_| ParameterError::malformed())?;
    if dimension_count > DIMENSION_COUNT_MAX {
        return Err(ParameterError::new("54000", "number of array dimensions exceeds the maximum allowed (6)"));
    }
    let mut element_count = usize::from(dimension_count > 0);
    for _ in 0..dimension_count {
        let (length, _lower_bound) = (fields.i32()?, fields.i32()?);
        let length = usize::try_from(length).map_err(|_| ParameterError::malformed())?;
        element_count = element_count.checked_mul(length).ok_or_else(ParameterError::malformed)?;
    }
    if dimension_count > 1 {
        return Err(ParameterError::new("0A000", "parameters that are arrays of arrays are not supported"));
    }
    let mut elements = Vec::new();
    for _ in 0..element_count {
        elements.push(match fields.value()? {
            Some(value) => read_binary(item.data_type(), value, settings)?,
            None => new_null_array(item.data_type(), 1),
        });
    }
    fields.end()?;
    let parts: Vec<&dyn Array> = elements.iter().map(AsRef::as_ref).collect();
    let values = match parts.is_empty() {
        true => new_empty_array(item.data_type()),
        false => arrow::compute::concat(&parts).map_err(|_| ParameterError::malformed())?,
    };
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    let list = ListArray::try_new(item.clone(), offsets, values, None);
    let list = list.map_err(|error| ParameterError::new("XX000", format!("{data_type}: {error}")))?;
    Ok(Arc::new(list))
}
