//! Values in the text format of the wire: the common types straight into the buffer, the others by their output
//! function.

use arrow::array::{Array, ArrayRef, ListArray};
use bytes::{BufMut, BytesMut};
use sql::text_format::{self, Clock, TimeZone};

use super::UnsupportedType;
use super::column::Column;
use super::wire_type::WireType;

/// What of a session decides how its values are written and read.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextSettings {
    pub clock: Clock,
}

impl TextSettings {
    /// The settings of a session; `setting` gives what `SHOW` would.
    pub fn of(setting: impl Fn(&str) -> Option<String>) -> Self {
        let time_zone = setting("TimeZone").and_then(|zone| TimeZone::parse(&zone).ok());
        Self { clock: Clock { time_zone: time_zone.unwrap_or_default(), now: None } }
    }
}

/// A column whose values are wanted as text.
pub struct TextColumn<'a> {
    array: &'a ArrayRef,
    column: Column<'a>,
    is_vector: bool,
}

impl<'a> TextColumn<'a> {
    pub fn new(array: &'a ArrayRef, wire_type: &WireType) -> Result<Self, UnsupportedType> {
        Ok(Self { array, column: Column::new(array)?, is_vector: wire_type.is_vector() })
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.column.is_null(row)
    }

    /// Appends the value at `row`, which is not NULL. `scratch` is memory that can be used again.
    pub fn write(&self, out: &mut BytesMut, row: usize, settings: &TextSettings, scratch: &mut String) {
        match &self.column {
            Column::Boolean(array) => out.put_u8(if array.value(row) { b't' } else { b'f' }),
            Column::Int16(array) => write_integer(out, array.value(row).into()),
            Column::Int32(array) => write_integer(out, array.value(row).into()),
            Column::Int64(array) => write_integer(out, array.value(row)),
            Column::Oid(array) => write_integer(out, array.value(row).into()),
            Column::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Column::Json(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Column::List(array) if self.is_vector => write_vector(out, array, row, settings),
            _ => {
                scratch.clear();
                text_format::write_value(self.array.as_ref(), row, &settings.clock, scratch);
                out.extend_from_slice(scratch.as_bytes());
            }
        }
    }
}

fn write_integer(out: &mut BytesMut, value: i64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    let mut magnitude = value.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (magnitude % 10) as u8;
        magnitude /= 10;
        if magnitude == 0 {
            break;
        }
    }
    if value < 0 {
        out.put_u8(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

/// An `int2vector` or `oidvector`: its elements with blanks between them, without braces.
fn write_vector(out: &mut BytesMut, array: &ListArray, row: usize, settings: &TextSettings) {
    let values = array.value(row);
    let mut element = String::new();
    for index in 0..values.len() {
        if index > 0 {
            out.put_u8(b' ');
        }
        element.clear();
        text_format::write_value(values.as_ref(), index, &settings.clock, &mut element);
        out.extend_from_slice(element.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, ListBuilder, UInt32Builder};
    use arrow::datatypes::DataType;
    use sql::SqlType;

    use super::*;
    use crate::value::wire_type;

    fn text(array: ArrayRef, sql_type: &SqlType) -> String {
        let mut out = BytesMut::new();
        let wire_type = wire_type(&sql_type.field("x", true));
        let column = TextColumn::new(&array, &wire_type).expect("a type we have");
        column.write(&mut out, 0, &TextSettings::default(), &mut String::new());
        String::from_utf8(out.to_vec()).expect("text")
    }

    #[test]
    fn integers() {
        for value in [0, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(
                text(Arc::new(Int64Array::from(vec![value])), &SqlType::new(DataType::Int64)),
                value.to_string()
            );
        }
    }

    #[test]
    fn vectors_have_no_braces() {
        let mut builder = ListBuilder::new(UInt32Builder::new());
        builder.append_value([Some(1), Some(23)]);
        let array: ArrayRef = Arc::new(builder.finish());
        assert_eq!(text(array.clone(), &SqlType::from_name("oidvector").expect("a type")), "1 23");
        assert_eq!(text(array, &SqlType::from_name("_oid").expect("a type")), "{1,23}");
    }
}
