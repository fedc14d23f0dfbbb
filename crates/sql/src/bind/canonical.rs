//! The Arrow types that stand for SQL types, for those that DataFusion's functions give instead.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// The type among ours that holds the same values; none if it is one of ours.
pub fn canonical_type(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match data_type {
        T::Utf8View => T::Utf8,
        T::BinaryView => T::Binary,
        T::Int8 | T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt64 => T::Int64,
        T::Float16 => T::Float32,
        T::Timestamp(TimeUnit::Microsecond, None) => return None,
        T::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => return None,
        T::Timestamp(_, zone) => T::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into())),
        T::Time32(_) | T::Time64(TimeUnit::Nanosecond) => T::Time64(TimeUnit::Microsecond),
        T::Date64 => T::Timestamp(TimeUnit::Microsecond, None),
        T::Duration(_) | T::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime) => {
            T::Interval(IntervalUnit::MonthDayNano)
        }
        T::Dictionary(_, value) => canonical_type(value).unwrap_or_else(|| value.as_ref().clone()),
        T::LargeList(item) | T::FixedSizeList(item, _) => {
            let of = canonical_type(item.data_type()).unwrap_or_else(|| item.data_type().clone());
            T::List(Arc::new(Field::new_list_field(of, true)))
        }
        T::List(item) => T::List(Arc::new(Field::new_list_field(canonical_type(item.data_type())?, true))),
        _ => return None,
    })
}
