//! Values on the wire: Arrow arrays to PostgreSQL's text and binary formats, and parameters back to arrays.

mod binary;
mod column;
mod numeric;
mod parameter;
mod parse;
mod row;
mod text;
mod wire_type;

#[cfg(test)]
mod tests;

pub use parameter::{ParameterError, read_parameter};
pub use parse::{ValueError, parse_values};
pub use row::{RowEncoder, WireColumn};
pub use text::{TextColumn, TextSettings};
pub use wire_type::{WireType, parameter_field, wire_type};

use arrow::datatypes::DataType;
use bytes::{BufMut, BytesMut};
use thiserror::Error;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL's dates begin.
const POSTGRES_EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const POSTGRES_EPOCH_MICROS: i64 = POSTGRES_EPOCH_DAYS as i64 * 86_400_000_000;

/// A type that is not in the type table, or an array that PostgreSQL cannot have.
#[derive(Debug, Error)]
#[error("values of type {0} cannot be sent")]
pub struct UnsupportedType(pub DataType);

/// Appends what `write` appends, preceded by its length in four bytes.
fn with_length<E>(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut) -> Result<(), E>) -> Result<(), E> {
    let start = out.len();
    out.put_i32(0);
    write(out)?;
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
