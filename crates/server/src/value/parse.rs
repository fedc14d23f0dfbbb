//! Text to values of a column's type, by PostgreSQL's rules.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanBuilder, PrimitiveBuilder, StringArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, UInt32Type,
};

use super::TextSettings;

/// A text that is no value of the type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    pub sqlstate: String,
    pub message: String,
    /// Which of the texts.
    pub row: usize,
}

/// The values that the texts stand for.
///
/// # Errors
/// The first text that stands for none: 22P02 if it has not the form, 22003 or 22008 if it is out of range.
pub fn parse_values(texts: &StringArray, field: &Field, settings: &TextSettings) -> Result<ArrayRef, ValueError> {
    match field.data_type() {
        DataType::Utf8 => Ok(Arc::new(texts.clone())),
        DataType::Int16 => parse_integers::<Int16Type>(texts, "smallint"),
        DataType::Int32 => parse_integers::<Int32Type>(texts, "integer"),
        DataType::Int64 => parse_integers::<Int64Type>(texts, "bigint"),
        DataType::UInt32 => parse_integers::<UInt32Type>(texts, "oid"),
        DataType::Boolean => parse_booleans(texts),
        DataType::Float32 => parse_floats::<Float32Type>(texts, "real"),
        DataType::Float64 => parse_floats::<Float64Type>(texts, "double precision"),
        data_type => parse_others(texts, data_type, settings),
    }
}

fn invalid(type_name: &str, text: &str, row: usize) -> ValueError {
    let message = format!("invalid input syntax for type {type_name}: \"{text}\"");
    ValueError { sqlstate: "22P02".to_owned(), message, row }
}

fn out_of_range(type_name: &str, text: &str, row: usize) -> ValueError {
    let message = format!("value \"{text}\" is out of range for type {type_name}");
    ValueError { sqlstate: "22003".to_owned(), message, row }
}

fn parse_integers<T: ArrowPrimitiveType>(texts: &StringArray, type_name: &str) -> Result<ArrayRef, ValueError>
where
    T::Native: TryFrom<i64>,
{
    let mut builder = PrimitiveBuilder::<T>::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text else {
            builder.append_null();
            continue;
        };
        let trimmed = text.trim_ascii();
        let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid(type_name, text, row));
        }
        let number = trimmed.parse::<i64>().ok().and_then(|number| T::Native::try_from(number).ok());
        builder.append_value(number.ok_or_else(|| out_of_range(type_name, text, row))?);
    }
    Ok(Arc::new(builder.finish()))
}

fn parse_floats<T: ArrowPrimitiveType>(texts: &StringArray, type_name: &str) -> Result<ArrayRef, ValueError>
where
    T::Native: std::str::FromStr + Into<f64>,
{
    let mut builder = PrimitiveBuilder::<T>::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text else {
            builder.append_null();
            continue;
        };
        let trimmed = text.trim_ascii();
        let number: T::Native = trimmed.parse().map_err(|_| invalid(type_name, text, row))?;
        let float: f64 = number.into();
        let has_digit = |range: std::ops::RangeInclusive<u8>| {
            trimmed.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|byte| range.contains(&byte))
        };
        // A number that is too large or too small to be kept is an error, not an infinity or zero.
        if (float.is_infinite() && has_digit(b'0'..=b'9')) || (float == 0.0 && has_digit(b'1'..=b'9')) {
            let message = format!("\"{trimmed}\" is out of range for type {type_name}");
            return Err(ValueError { sqlstate: "22003".to_owned(), message, row });
        }
        builder.append_value(number);
    }
    Ok(Arc::new(builder.finish()))
}

fn parse_booleans(texts: &StringArray) -> Result<ArrayRef, ValueError> {
    let mut builder = BooleanBuilder::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text else {
            builder.append_null();
            continue;
        };
        let lower = text.trim_ascii().to_ascii_lowercase();
        let is_start = |word: &str, shortest: usize| lower.len() >= shortest && word.starts_with(lower.as_str());
        let value = match lower.as_str() {
            "1" => true,
            "0" => false,
            _ if is_start("true", 1) || is_start("yes", 1) || is_start("on", 2) => true,
            _ if is_start("false", 1) || is_start("no", 1) || is_start("off", 2) => false,
            _ => return Err(invalid("boolean", text, row)),
        };
        builder.append_value(value);
    }
    Ok(Arc::new(builder.finish()))
}

fn parse_others(texts: &StringArray, data_type: &DataType, _settings: &TextSettings) -> Result<ArrayRef, ValueError> {
    let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
    arrow::compute::cast_with_options(texts, data_type, &options).map_err(|error| ValueError {
        sqlstate: "22P02".to_owned(),
        message: error.to_string(),
        row: 0,
    })
}
