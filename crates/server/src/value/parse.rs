//! Text to values of a column's type, by the input functions of the types.

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::Field;
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
    Ok(reader.finish())
}
