//! Which casts there are when both types are known.

use arrow::datatypes::DataType;

use crate::SqlType;

/// Whether PostgreSQL has a cast from one type to the other, by its own functions or by way of text.
pub fn can_cast(source: &SqlType, target: &SqlType) -> bool {
    let (from, to) = (source.data_type(), target.data_type());
    if let (DataType::List(from), DataType::List(to)) = (from, to) {
        return can_cast(&SqlType::from_field(from), &SqlType::from_field(to));
    }
    let object = |t: &SqlType| t.base().name.starts_with("reg") || t.base().name == "xid";
    let by_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::Null);
    if from == to || by_text(from) || by_text(to) || object(source) || object(target) {
        return true;
    }
    let exact = |t: &DataType| {
        matches!(
            t,
            DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..) | DataType::LargeBinary
        ) || t.is_floating()
    };
    match (from, to) {
        (from, to) if exact(from) && exact(to) => true,
        (DataType::Int16 | DataType::Int32 | DataType::Int64, DataType::UInt32) => true,
        (DataType::UInt32, DataType::Int32 | DataType::Int64) => true,
        (DataType::Boolean, DataType::Int32) | (DataType::Int32, DataType::Boolean) => true,
        (DataType::Date32, DataType::Timestamp(..)) => true,
        (DataType::Timestamp(..), DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..)) => true,
        (DataType::Time64(_), DataType::Interval(_)) | (DataType::Interval(_), DataType::Time64(_)) => true,
        (DataType::LargeUtf8, DataType::LargeUtf8 | DataType::Boolean) => true,
        (DataType::LargeUtf8, to) => exact(to),
        // Types that only functions of DataFusion's have are told apart by themselves.
        (from, _) => super::canonical::canonical_type(from).is_some(),
    }
}
