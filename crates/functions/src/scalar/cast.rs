//! Casts with PostgreSQL's rules, one function for each target type.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, LargeStringArray, ListArray, PrimitiveArray,
    PrimitiveBuilder, StringArray, new_null_array,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::function::{Call, clock_of, evaluate, plain};
use super::numeric_math::{double_from_numeric, rescale, round_to_integer};
use crate::numeric::Numeric;
use crate::text_format::calendar::DAY;
use crate::text_format::datetime::{DATE_INFINITY, TIMESTAMP_INFINITY};
use crate::text_format::json::Json;
use crate::text_format::number::{numeric_field_overflow, parse_numeric};
use crate::text_format::{Clock, from_text, to_text, type_name};
use crate::{ExactColumn, NUMERIC, NumericBuilder, PgError, read_numeric};

/// What a cast makes of its argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CastTarget {
    /// The SQL name, as messages and EXPLAIN show it: `integer`, `character varying`, `numeric` ….
    pub type_name: String,
    /// The Arrow type.
    pub data_type: DataType,
    /// n of varchar(n): longer text is cut, as an explicit cast does.
    pub length_max: Option<usize>,
    /// p and s of a numeric(p,s) that is no decimal of Arrow.
    pub digits: Option<(u16, i16)>,
}

impl CastTarget {
    /// The target of this type, without a length.
    #[must_use]
    pub fn new(data_type: DataType) -> CastTarget {
        CastTarget { type_name: type_name(&data_type).to_owned(), data_type, length_max: None, digits: None }
    }
}

/// The function `pg_cast_<type name>(x)`, which casts one argument of any type to the target.
#[must_use]
pub fn cast_udf(target: &CastTarget) -> Arc<ScalarUDF> {
    let name = format!("pg_cast_{}", target.type_name.replace(' ', "_"));
    let cast = Cast { target: target.clone(), name, signature: Signature::any(1, Volatility::Immutable) };
    Arc::new(ScalarUDF::new_from_impl(cast))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Cast {
    target: CastTarget,
    name: String,
    signature: Signature,
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.target.data_type.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let clock = clock_of(&args.config_options);
        let call = Call { clock, row_count: args.number_rows, result: self.target.data_type.clone() };
        evaluate(args.args, call, |columns, call| cast_column(&columns[0], &self.target, &call.clock))
    }
}

/// Casts a column of any SQL type.
///
/// # Errors
/// 42846 if there is no such cast; 22003, 22P02 … as PostgreSQL has it for the first value that does not fit.
pub fn cast_column(column: &ArrayRef, target: &CastTarget, clock: &Clock) -> Result<ArrayRef, PgError> {
    let column = plain(Arc::clone(column));
    let cast = to_type(&column, &target.data_type, clock)?;
    if let Some((precision, scale)) = target.digits {
        return in_digits(&cast, precision, scale);
    }
    let Some(length_max) = target.length_max else { return Ok(cast) };
    let Some(texts) = cast.as_string_opt::<i32>() else { return Ok(cast) };
    let cut = |text: &str| text.chars().take(length_max).collect::<String>();
    Ok(Arc::new(texts.iter().map(|text| text.map(cut)).collect::<StringArray>()))
}

/// Numerics, or lists of them, rounded to `scale` places.
fn in_digits(column: &ArrayRef, precision: u16, scale: i16) -> Result<ArrayRef, PgError> {
    if let DataType::List(item) = column.data_type() {
        let list = column.as_list::<i32>();
        let items = in_digits(list.values(), precision, scale)?;
        return Ok(Arc::new(ListArray::new(Arc::clone(item), list.offsets().clone(), items, list.nulls().cloned())));
    }
    let mut values = NumericBuilder::with_capacity(column.len());
    for numeric in column.as_binary::<i64>() {
        let rounded = numeric.map(|bytes| read_numeric(bytes).round_to(precision, scale)).transpose()?;
        values.append_option(rounded.as_ref());
    }
    Ok(values.finish())
}

fn to_type(column: &ArrayRef, target: &DataType, clock: &Clock) -> Result<ArrayRef, PgError> {
    let source = column.data_type();
    if source == target {
        return Ok(Arc::clone(column));
    }
    match (source, target) {
        (DataType::Null, _) => Ok(new_null_array(target, column.len())),
        (DataType::Utf8, _) => from_text(column.as_string::<i32>(), target, clock),
        (DataType::Boolean, DataType::Utf8) => {
            let word = |value| if value { "true" } else { "false" };
            Ok(Arc::new(column.as_boolean().iter().map(|value| value.map(word)).collect::<StringArray>()))
        }
        (_, DataType::Utf8) => Ok(Arc::new(to_text(column, clock))),
        (DataType::LargeUtf8, _) => from_jsonb(column.as_string::<i64>(), target, clock),
        (DataType::List(_), DataType::List(item)) => {
            let list = column.as_list::<i32>();
            let values = to_type(&plain(Arc::clone(list.values())), item.data_type(), clock)?;
            Ok(Arc::new(ListArray::new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())))
        }
        (_, DataType::Int16) => to_integer::<Int16Type>(column, target),
        (_, DataType::Int32) => to_integer::<Int32Type>(column, target),
        (_, DataType::Int64) => to_integer::<Int64Type>(column, target),
        (_, DataType::UInt32) => to_integer::<UInt32Type>(column, target),
        (_, DataType::Float32) => to_real(column),
        (_, DataType::Float64) => to_double(column),
        (_, DataType::Decimal128(precision, scale)) => to_decimal(column, *precision, *scale),
        (_, DataType::LargeBinary) => to_numeric(column),
        (DataType::Int32, DataType::Boolean) => {
            let integers = column.as_primitive::<Int32Type>();
            Ok(Arc::new(integers.iter().map(|value| value.map(|v| v != 0)).collect::<BooleanArray>()))
        }
        _ => to_date_or_time(column, target, clock),
    }
}

/// 42846.
fn no_cast(source: &DataType, target: &DataType) -> PgError {
    PgError::new(b"42846", format!("cannot cast type {} to {}", type_name(source), type_name(target)))
}

/// Maps the values that are not NULL.
pub(super) fn map<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
    column: &ArrayRef,
    target: &DataType,
    value: impl Fn(A::Native) -> Result<B::Native, PgError>,
) -> Result<ArrayRef, PgError> {
    let source = column.as_primitive::<A>();
    let mut values = Vec::with_capacity(source.len());
    for (i, native) in source.values().iter().enumerate() {
        values.push(if source.is_valid(i) { value(*native)? } else { B::Native::default() });
    }
    let values = PrimitiveArray::<B>::new(values.into(), source.nulls().cloned());
    Ok(Arc::new(values.with_data_type(target.clone())))
}

fn to_integer<T>(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, PgError>
where
    T: ArrowPrimitiveType<Native: TryFrom<i128>>,
{
    let name = if *target == DataType::UInt32 { "OID" } else { type_name(target) };
    let fit = |value: i128| T::Native::try_from(value).map_err(|_| PgError::out_of_range(name));
    let whole = |value: f64| {
        // Rounds half to even; NaN and the infinities fit nothing.
        let rounded = value.round_ties_even();
        if rounded.abs() < 1e30 { fit(rounded as i128) } else { Err(PgError::out_of_range(name)) }
    };
    match column.data_type() {
        DataType::Boolean if *target == DataType::Int32 => {
            let values = column.as_boolean();
            let integers: arrow::array::Int32Array = values.iter().map(|v| v.map(i32::from)).collect();
            Ok(Arc::new(integers))
        }
        DataType::Int16 => map::<Int16Type, T>(column, target, |v| fit(v.into())),
        DataType::Int32 => map::<Int32Type, T>(column, target, |v| fit(v.into())),
        DataType::Int64 => map::<Int64Type, T>(column, target, |v| fit(v.into())),
        DataType::UInt32 => map::<UInt32Type, T>(column, target, |v| fit(v.into())),
        DataType::Float32 => map::<Float32Type, T>(column, target, |v| whole(v.into())),
        DataType::Float64 => map::<Float64Type, T>(column, target, whole),
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            map::<Decimal128Type, T>(column, target, |v| fit(round_to_integer(v, scale)))
        }
        DataType::LargeBinary => {
            from_numerics::<T>(column, target, |v| fit(v.to_integer(i64::MIN, i64::MAX, name)?.into()))
        }
        source => Err(no_cast(source, target)),
    }
}

fn to_double(column: &ArrayRef) -> Result<ArrayRef, PgError> {
    let target = &DataType::Float64;
    match column.data_type() {
        DataType::Int16 => map::<Int16Type, Float64Type>(column, target, |v| Ok(v.into())),
        DataType::Int32 => map::<Int32Type, Float64Type>(column, target, |v| Ok(v.into())),
        DataType::Int64 => map::<Int64Type, Float64Type>(column, target, |v| Ok(v as f64)),
        DataType::UInt32 => map::<UInt32Type, Float64Type>(column, target, |v| Ok(v.into())),
        DataType::Float32 => map::<Float32Type, Float64Type>(column, target, |v| Ok(v.into())),
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            map::<Decimal128Type, Float64Type>(column, target, |v| Ok(double_from_numeric(v, scale)))
        }
        DataType::LargeBinary => from_numerics::<Float64Type>(column, target, |v| v.to_f64()),
        source => Err(no_cast(source, target)),
    }
}

fn to_real(column: &ArrayRef) -> Result<ArrayRef, PgError> {
    let target = &DataType::Float32;
    let narrow = |value: f64| {
        let real = value as f32;
        match (real.is_infinite() && value.is_finite(), real == 0.0 && value != 0.0) {
            (true, _) => Err(PgError::new(b"22003", "value out of range: overflow")),
            (_, true) => Err(PgError::new(b"22003", "value out of range: underflow")),
            _ => Ok(real),
        }
    };
    match column.data_type() {
        DataType::Int16 => map::<Int16Type, Float32Type>(column, target, |v| Ok(v.into())),
        DataType::Int32 => map::<Int32Type, Float32Type>(column, target, |v| Ok(v as f32)),
        DataType::Int64 => map::<Int64Type, Float32Type>(column, target, |v| Ok(v as f32)),
        DataType::Float64 => map::<Float64Type, Float32Type>(column, target, narrow),
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            map::<Decimal128Type, Float32Type>(column, target, |v| narrow(double_from_numeric(v, scale)))
        }
        DataType::LargeBinary => from_numerics::<Float32Type>(column, target, |v| v.to_f32()),
        source => Err(no_cast(source, target)),
    }
}

/// Maps the numerics that are not NULL.
fn from_numerics<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    target: &DataType,
    value: impl Fn(&Numeric) -> Result<T::Native, PgError>,
) -> Result<ArrayRef, PgError> {
    let numerics = column.as_binary::<i64>();
    let mut values = PrimitiveBuilder::<T>::with_capacity(numerics.len()).with_data_type(target.clone());
    for numeric in numerics {
        values.append_option(numeric.map(|bytes| value(&read_numeric(bytes))).transpose()?);
    }
    Ok(Arc::new(values.finish()))
}

fn to_numeric(column: &ArrayRef) -> Result<ArrayRef, PgError> {
    let mut values = NumericBuilder::with_capacity(column.len());
    let mut append = |row: usize, value: &dyn Fn(usize) -> Numeric| match column.is_valid(row) {
        true => values.append(&value(row)),
        false => values.append_null(),
    };
    let rows = 0..column.len();
    if let Some(exact) = ExactColumn::new(column) {
        rows.for_each(|row| append(row, &|row| exact.value(row)));
        return Ok(values.finish());
    }
    match column.data_type() {
        DataType::Float32 => {
            let floats = column.as_primitive::<Float32Type>();
            rows.for_each(|row| append(row, &|row| Numeric::from_f32(floats.value(row))));
        }
        DataType::Float64 => {
            let floats = column.as_primitive::<Float64Type>();
            rows.for_each(|row| append(row, &|row| Numeric::from_f64(floats.value(row))));
        }
        source => return Err(no_cast(source, &NUMERIC)),
    }
    Ok(values.finish())
}

fn to_decimal(column: &ArrayRef, precision: u8, scale: i8) -> Result<ArrayRef, PgError> {
    let target = &DataType::Decimal128(precision, scale);
    let limit = 10u128.pow(u32::from(precision));
    let fit =
        |value: Option<i128>| value.filter(|value| value.unsigned_abs() < limit).ok_or_else(numeric_field_overflow);
    // As many digits as the float's type is sure of.
    let from_text = |text: String| parse_numeric(&text, precision, scale);
    match column.data_type() {
        DataType::Int16 => map::<Int16Type, Decimal128Type>(column, target, |v| fit(rescale(v.into(), 0, scale))),
        DataType::Int32 => map::<Int32Type, Decimal128Type>(column, target, |v| fit(rescale(v.into(), 0, scale))),
        DataType::Int64 => map::<Int64Type, Decimal128Type>(column, target, |v| fit(rescale(v.into(), 0, scale))),
        DataType::UInt32 => map::<UInt32Type, Decimal128Type>(column, target, |v| fit(rescale(v.into(), 0, scale))),
        DataType::Decimal128(_, from) => {
            let from = *from;
            map::<Decimal128Type, Decimal128Type>(column, target, |v| fit(rescale(v, from, scale)))
        }
        DataType::Float32 => map::<Float32Type, Decimal128Type>(column, target, |v| from_text(format!("{v:.5e}"))),
        DataType::Float64 => map::<Float64Type, Decimal128Type>(column, target, |v| from_text(format!("{v:.14e}"))),
        DataType::LargeBinary => from_numerics::<Decimal128Type>(column, target, |v| v.to_decimal(precision, scale)),
        source => Err(no_cast(source, target)),
    }
}

/// A jsonb that is a plain number or boolean, as that.
fn from_jsonb(column: &LargeStringArray, target: &DataType, clock: &Clock) -> Result<ArrayRef, PgError> {
    let number =
        matches!(target, DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64)
            || matches!(target, DataType::Decimal128(_, _) | DataType::LargeBinary);
    if !number && *target != DataType::Boolean {
        return Err(no_cast(&DataType::LargeUtf8, target));
    }
    let mut texts = Vec::with_capacity(column.len());
    for text in column {
        texts.push(match text.map(Json::parse).transpose()? {
            None => None,
            Some(Json::Number(text)) if number => Some(text),
            Some(Json::Bool(value)) if !number => Some(value.to_string()),
            Some(other) => {
                let message = format!("cannot cast jsonb {} to type {}", other.kind(), type_name(target));
                return Err(PgError::invalid_parameter(message));
            }
        });
    }
    let texts = StringArray::from(texts);
    if matches!(target, DataType::Int16 | DataType::Int32 | DataType::Int64) {
        // By way of numeric, so that 1.5 rounds.
        let numeric = from_text(&texts, &NUMERIC, clock)?;
        return to_type(&numeric, target, clock);
    }
    from_text(&texts, target, clock)
}

fn timestamp_out_of_range() -> PgError {
    PgError::new(b"22008", "timestamp out of range")
}

/// Midnight of a date, in microseconds; infinity stays infinity.
fn midnight(days: i32) -> Result<i64, PgError> {
    match days {
        DATE_INFINITY => Ok(TIMESTAMP_INFINITY),
        i32::MIN => Ok(i64::MIN),
        days => {
            i64::from(days).checked_mul(DAY).ok_or_else(|| PgError::new(b"22008", "date out of range for timestamp"))
        }
    }
}

fn is_infinite(micros: i64) -> bool {
    micros == i64::MAX || micros == i64::MIN
}

fn date_of(micros: i64) -> i32 {
    match micros {
        i64::MAX => DATE_INFINITY,
        i64::MIN => i32::MIN,
        micros => micros.div_euclid(DAY) as i32,
    }
}

fn to_date_or_time(column: &ArrayRef, target: &DataType, clock: &Clock) -> Result<ArrayRef, PgError> {
    type Stamp = TimestampMicrosecondType;
    let zone = clock.time_zone;
    let to_instant = |local: i64| match is_infinite(local) {
        true => Ok(local),
        false => zone.instant(local).ok_or_else(timestamp_out_of_range),
    };
    let to_local = |instant: i64| match is_infinite(instant) {
        true => Ok(instant),
        false => zone.local(instant).ok_or_else(timestamp_out_of_range),
    };
    match (column.data_type(), target) {
        (DataType::Date32, DataType::Timestamp(_, None)) => map::<Date32Type, Stamp>(column, target, midnight),
        (DataType::Date32, DataType::Timestamp(_, Some(_))) => {
            map::<Date32Type, Stamp>(column, target, |days| to_instant(midnight(days)?))
        }
        (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(_))) => {
            map::<Stamp, Stamp>(column, target, to_instant)
        }
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, None)) => {
            map::<Stamp, Stamp>(column, target, to_local)
        }
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, Some(_))) => map::<Stamp, Stamp>(column, target, Ok),
        (DataType::Timestamp(_, None), DataType::Date32) => {
            map::<Stamp, Date32Type>(column, target, |t| Ok(date_of(t)))
        }
        (DataType::Timestamp(_, Some(_)), DataType::Date32) => {
            map::<Stamp, Date32Type>(column, target, |t| to_local(t).map(date_of))
        }
        (DataType::Timestamp(_, None), DataType::Time64(_)) => {
            map::<Stamp, Time64MicrosecondType>(column, target, |t| Ok(t.rem_euclid(DAY)))
        }
        (DataType::Timestamp(_, Some(_)), DataType::Time64(_)) => {
            map::<Stamp, Time64MicrosecondType>(column, target, |t| Ok(to_local(t)?.rem_euclid(DAY)))
        }
        (DataType::Interval(_), DataType::Time64(_)) => {
            let time = |interval: IntervalMonthDayNano| Ok((interval.nanoseconds / 1000).rem_euclid(DAY));
            map::<IntervalMonthDayNanoType, Time64MicrosecondType>(column, target, time)
        }
        (DataType::Time64(_), DataType::Interval(_)) => {
            let interval = |t: i64| Ok(IntervalMonthDayNano { months: 0, days: 0, nanoseconds: t * 1000 });
            map::<Time64MicrosecondType, IntervalMonthDayNanoType>(column, target, interval)
        }
        (source, target) => Err(no_cast(source, target)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array};

    fn texts(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn shown(column: &ArrayRef, target: DataType) -> Result<String, String> {
        let cast = cast_column(column, &CastTarget::new(target), &Clock::default());
        let cast = cast.map_err(|e| format!("{} {e}", e.sqlstate))?;
        Ok(to_text(&cast, &Clock::default())
            .iter()
            .map(|t| t.unwrap_or("NULL").to_owned())
            .collect::<Vec<_>>()
            .join("|"))
    }

    #[test]
    fn texts_are_read_with_postgresqls_errors() {
        assert_eq!(shown(&texts(&[" 12 ", "-7"]), DataType::Int32).as_deref(), Ok("12|-7"));
        let error = shown(&texts(&["abc"]), DataType::Int32);
        assert_eq!(error, Err("22P02 invalid input syntax for type integer: \"abc\"".to_owned()));
        let error = shown(&texts(&["3000000000"]), DataType::Int32);
        assert_eq!(error, Err("22003 value \"3000000000\" is out of range for type integer".to_owned()));
    }

    #[test]
    fn numbers_round_as_postgresql_does() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5, -0.5, -1.5]));
        assert_eq!(shown(&floats, DataType::Int32).as_deref(), Ok("0|2|2|0|-2"));
        let numerics: ArrayRef = cast_column(
            &texts(&["0.5", "1.5", "2.5", "-0.5", "-1.5"]),
            &CastTarget::new(DataType::Decimal128(10, 2)),
            &Clock::default(),
        )
        .expect("numerics");
        assert_eq!(shown(&numerics, DataType::Int32).as_deref(), Ok("1|2|3|-1|-2"));
        assert_eq!(shown(&numerics, DataType::Decimal128(5, 0)).as_deref(), Ok("1|2|3|-1|-2"));
        let large: ArrayRef = Arc::new(Int64Array::from(vec![40_000]));
        assert_eq!(shown(&large, DataType::Int16), Err("22003 smallint out of range".to_owned()));
        let odd: ArrayRef = Arc::new(Float64Array::from(vec![0.1 + 0.2, 1e15 / 3.0]));
        assert_eq!(shown(&odd, DataType::Decimal128(38, 4)).as_deref(), Ok("0.3000|333333333333333.0000"));
    }

    #[test]
    fn what_cannot_be_cast_says_so() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert_eq!(shown(&numbers, DataType::Date32), Err("42846 cannot cast type bigint to date".to_owned()));
        assert_eq!(shown(&numbers, DataType::Boolean), Err("42846 cannot cast type bigint to boolean".to_owned()));
    }
}
