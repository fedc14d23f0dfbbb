//! Text to values of a column's type, by the input functions of the types.

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::Field;
use functions::scalar::cast_column;
use functions::{CastTarget, NUMERIC};
use sql::SqlType;
use sql::text_format::TextReader;

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
/// The first text that stands for none.
pub fn parse_values(texts: &StringArray, field: &Field, settings: &TextSettings) -> Result<ArrayRef, ValueError> {
    let mut reader = TextReader::new(field.data_type(), settings.clock).map_err(|error| ValueError {
        sqlstate: error.sqlstate.to_string(),
        message: error.message,
        row: 0,
    })?;
    for (row, text) in texts.iter().enumerate() {
        match text {
            None => reader.append_null(),
            Some(text) => reader.append(text).map_err(|error| ValueError {
                sqlstate: error.sqlstate.to_string(),
                message: error.message,
                row,
            })?,
        }
    }
    debug_assert_eq!(reader.len(), texts.len(), "one value for each text");
    in_digits(reader.finish(), field, settings)
}

/// The values of a numeric(p,s) that is no decimal, rounded to its places.
fn in_digits(values: ArrayRef, field: &Field, settings: &TextSettings) -> Result<ArrayRef, ValueError> {
    let digits = SqlType::from_field(field).numeric_digits();
    if digits.is_none() || *field.data_type() != NUMERIC {
        return Ok(values);
    }
    let target = CastTarget { digits, ..CastTarget::new(NUMERIC) };
    let cast = |values: &ArrayRef| cast_column(values, &target, &settings.clock);
    cast(&values).map_err(|error| ValueError {
        sqlstate: error.sqlstate.to_string(),
        message: error.message,
        row: (0..values.len()).find(|row| cast(&values.slice(*row, 1)).is_err()).unwrap_or(0),
    })
}
