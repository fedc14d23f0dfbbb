//! Values in the binary format of the wire, as PostgreSQL's `…send` functions write them.

use arrow::array::{Array, ListArray};
use bytes::{BufMut, BytesMut};
use functions::read_numeric;

use super::column::Column;
use super::numeric::write_numeric;
use super::{POSTGRES_EPOCH_DAYS, POSTGRES_EPOCH_MICROS, UnsupportedType, with_length};

/// The version byte before a jsonb value.
pub const JSONB_VERSION: u8 = 1;
/// `json` shares its Arrow type with jsonb but has no version byte.
const JSON_OID: u32 = 114;
/// Lists nested deeper than this are refused, as in PostgreSQL.
pub const DIMENSION_COUNT_MAX: usize = 6;

/// Appends the value of `column` at `row`, which is not NULL. `leaf_oid` is its type, or that of an array's elements.
pub fn write_value(out: &mut BytesMut, column: &Column<'_>, row: usize, leaf_oid: u32) -> Result<(), UnsupportedType> {
    match column {
        Column::Null => {}
        Column::Boolean(array) => out.put_u8(u8::from(array.value(row))),
        Column::Int16(array) => out.put_i16(array.value(row)),
        Column::Int32(array) => out.put_i32(array.value(row)),
        Column::Int64(array) => out.put_i64(array.value(row)),
        Column::Oid(array) => out.put_u32(array.value(row)),
        Column::Float32(array) => out.put_f32(array.value(row)),
        Column::Float64(array) => out.put_f64(array.value(row)),
        Column::Decimal(array, scale) => write_numeric(out, array.value(row), *scale),
        Column::Numeric(array) => {
            let mut bytes = Vec::new();
            read_numeric(array.value(row)).to_wire(&mut bytes);
            out.extend_from_slice(&bytes);
        }
        Column::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
        Column::Json(array) => {
            if leaf_oid != JSON_OID {
                out.put_u8(JSONB_VERSION);
            }
            out.extend_from_slice(array.value(row).as_bytes());
        }
        Column::Bytes(array) => out.extend_from_slice(array.value(row)),
        Column::Date(array) => out.put_i32(match array.value(row) {
            infinity @ (i32::MIN | i32::MAX) => infinity,
            days => days.saturating_sub(POSTGRES_EPOCH_DAYS),
        }),
        Column::Time(array) => out.put_i64(array.value(row)),
        Column::Timestamp(array) | Column::TimestampTz(array) => {
            out.put_i64(match array.value(row) {
                infinity @ (i64::MIN | i64::MAX) => infinity,
                micros => micros.saturating_sub(POSTGRES_EPOCH_MICROS),
            });
        }
        Column::Interval(array) => {
            let value = array.value(row);
            out.put_i64(value.nanoseconds / 1000);
            out.put_i32(value.days);
            out.put_i32(value.months);
        }
        Column::Uuid(array) => out.extend_from_slice(array.value(row)),
        Column::List(array) => write_list(out, array, row, leaf_oid)?,
    }
    Ok(())
}

/// Dimensions, whether there are NULLs, the elements' type; then length and lower bound of each dimension; then the elements.
fn write_list(out: &mut BytesMut, array: &ListArray, row: usize, leaf_oid: u32) -> Result<(), UnsupportedType> {
    let mut values = array.value(row);
    let mut lengths = vec![values.len()];
    while let Some(inner) = values.as_any().downcast_ref::<ListArray>() {
        let inner_length = if inner.is_empty() { 0 } else { inner.value_length(0) };
        let even = (0..inner.len()).all(|i| inner.is_valid(i) && inner.value_length(i) == inner_length);
        if !even || lengths.len() == DIMENSION_COUNT_MAX {
            return Err(UnsupportedType(array.data_type().clone()));
        }
        lengths.push(inner_length as usize);
        let (first, last) = (inner.value_offsets()[0] as usize, inner.value_offsets()[inner.len()] as usize);
        values = inner.values().slice(first, last - first);
    }
    if values.is_empty() {
        lengths.clear();
    }
    out.put_i32(lengths.len() as i32);
    out.put_i32(i32::from(values.null_count() > 0));
    out.put_u32(leaf_oid);
    for length in &lengths {
        out.put_i32(*length as i32);
        out.put_i32(1);
    }
    let column = Column::new(&values)?;
    for element in 0..values.len() {
        if values.is_null(element) {
            out.put_i32(-1);
        } else {
            with_length(out, |out| write_value(out, &column, element, leaf_oid))?;
        }
    }
    Ok(())
}
