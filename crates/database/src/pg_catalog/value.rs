//! One value of a catalog's row, and how columns of them become Arrow arrays and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, ListArray,
    StringArray, TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt32Type,
};

use crate::DatabaseError;

/// A value. Which type it has is the column's to say: an OID is an `Int`, a name a `Text`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number, an OID, or microseconds since 1970.
    Int(i64),
    /// A float.
    Float(f64),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Value>),
}

impl Value {
    /// The value that stands for "nothing" in a column without NULLs: false, 0, empty.
    pub fn zero(data_type: &DataType) -> Value {
        match data_type {
            DataType::Boolean => Value::Bool(false),
            DataType::Float32 | DataType::Float64 => Value::Float(0.0),
            DataType::Utf8 => Value::Text(String::new()),
            DataType::List(_) => Value::List(Vec::new()),
            _ => Value::Int(0),
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The OID, if it is a number that can be one.
    pub fn oid(&self) -> Option<u32> {
        self.int().and_then(|number| u32::try_from(number).ok())
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i16> for Value {
    fn from(value: i16) -> Value {
        Value::Int(value.into())
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Value {
        Value::Int(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Value {
        Value::Int(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Value {
        Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Float(value)
    }
}

impl From<char> for Value {
    fn from(value: char) -> Value {
        Value::Text(value.to_string())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(value)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Value {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// A column of values as an array of this type.
///
/// # Errors
/// If a value is of another sort than the type, which is a bug.
pub fn to_array(data_type: &DataType, values: &[Value]) -> Result<ArrayRef, DatabaseError> {
    if values.iter().all(Value::is_null) {
        return Ok(new_null_array(data_type, values.len()));
    }
    let wrong = |value: &Value| DatabaseError::internal(format!("{value:?} in a column of {data_type}"));
    macro_rules! numbers {
        ($array:ty) => {{
            let numbers = values.iter().map(|value| match value {
                Value::Null => Ok(None),
                Value::Int(number) => (*number).try_into().map(Some).map_err(|_| wrong(value)),
                _ => Err(wrong(value)),
            });
            Arc::new(numbers.collect::<Result<$array, _>>()?) as ArrayRef
        }};
    }
    let floats = || {
        values.iter().map(|value| match value {
            Value::Null => Ok(None),
            Value::Float(float) => Ok(Some(*float)),
            _ => Err(wrong(value)),
        })
    };
    Ok(match data_type {
        DataType::Int16 => numbers!(Int16Array),
        DataType::Int32 => numbers!(Int32Array),
        DataType::Int64 => numbers!(Int64Array),
        DataType::UInt32 => numbers!(UInt32Array),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let numbers = values.iter().map(|value| match value {
                Value::Null => Ok(None),
                Value::Int(number) => Ok(Some(*number)),
                _ => Err(wrong(value)),
            });
            let times = numbers.collect::<Result<TimestampMicrosecondArray, _>>()?;
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        DataType::Float32 => {
            Arc::new(floats().map(|f| f.map(|f| f.map(|f| f as f32))).collect::<Result<Float32Array, _>>()?)
        }
        DataType::Float64 => Arc::new(floats().collect::<Result<Float64Array, _>>()?),
        DataType::Boolean => {
            let truths = values.iter().map(|value| match value {
                Value::Null => Ok(None),
                Value::Bool(truth) => Ok(Some(*truth)),
                _ => Err(wrong(value)),
            });
            Arc::new(truths.collect::<Result<BooleanArray, _>>()?)
        }
        DataType::Utf8 => {
            let texts = values.iter().map(|value| match value {
                Value::Null => Ok(None),
                Value::Text(text) => Ok(Some(text.as_str())),
                _ => Err(wrong(value)),
            });
            Arc::new(texts.collect::<Result<StringArray, _>>()?)
        }
        DataType::List(item) => {
            let mut items = Vec::new();
            let mut lengths = Vec::with_capacity(values.len());
            for value in values {
                match value {
                    Value::Null => lengths.push(0),
                    Value::List(list) => {
                        lengths.push(list.len());
                        items.extend(list.iter().cloned());
                    }
                    _ => return Err(wrong(value)),
                }
            }
            let nulls = NullBuffer::from_iter(values.iter().map(|value| !value.is_null()));
            let items = to_array(item.data_type(), &items)?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, Some(nulls))?)
        }
        other => return Err(DatabaseError::internal(format!("no catalog has columns of {other}"))),
    })
}

/// The value of a row. Types that no function of the catalog takes are NULL.
pub fn value_at(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(row)).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().value(row).into()
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::List((0..items.len()).map(|item| value_at(&items, item)).collect())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_arrays() {
        let check = |name: &str, values: Vec<Value>| {
            let data_type = sql::SqlType::from_name(name).expect("exists").data_type().clone();
            let array = to_array(&data_type, &values).expect("fits");
            let back: Vec<Value> = (0..array.len()).map(|row| value_at(&array, row)).collect();
            assert_eq!(back, values, "{name}");
        };
        check("oid", vec![1_u32.into(), Value::Null, u32::MAX.into()]);
        check("int2vector", vec![Value::from(vec![1_i16, 2]), Value::from(Vec::<i16>::new()), Value::Null]);
        check("_text", vec![Value::Null, Value::List(vec!["a".into(), Value::Null])]);
        check("timestamptz", vec![5_i64.into()]);
        check("float4", vec![0.5.into(), Value::Null]);
        assert!(to_array(&DataType::UInt32, &[Value::Int(-1)]).is_err());
        assert!(to_array(&DataType::Utf8, &[Value::Int(1)]).is_err());
    }
}
