//! Mathematical functions with PostgreSQL's types and errors.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type};

use datafusion::common::ScalarValue;

use super::columns::{double, fits, integer, primitives};
use super::float_math::cube_root;
use super::function::{Call, Function};
use super::numeric_functions::numerics;
use super::numeric_math::{Scales, modulo, overflow, rescale};
use crate::numeric::Numeric;
use crate::text_format::type_name;
use crate::{NUMERIC, PgError};

fn float8(_: &[DataType]) -> DataType {
    DataType::Float64
}

fn first(types: &[DataType]) -> DataType {
    types[0].clone()
}

/// Numerics stay numerics; everything else is double precision.
fn number(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [DataType::Decimal128(_, _) | DataType::LargeBinary] => fits(types, "n"),
        _ => fits(types, "d"),
    }
}

/// Rounding to whole numbers keeps the type, but for a numeric without decimal places.
fn whole(types: &[DataType]) -> DataType {
    match types {
        [DataType::Decimal128(_, _)] => DataType::Decimal128(38, 0),
        // How many places there are is in the row.
        [DataType::LargeBinary, ..] | [DataType::Decimal128(_, _), _] => NUMERIC,
        _ => DataType::Float64,
    }
}

/// Rounding a decimal to a constant number of places gives that many, if the digits fit.
pub(super) fn result_by_places(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Option<DataType> {
    match (types, constants) {
        ([DataType::Decimal128(precision, scale), _], [_, Some(places)]) => {
            let places = match places {
                ScalarValue::Int16(places) => i64::from((*places)?),
                ScalarValue::Int32(places) => i64::from((*places)?),
                ScalarValue::Int64(places) => (*places)?,
                _ => return None,
            };
            let places = places.max(0);
            let fits = places <= i64::from(*scale) || i64::from(*precision) - i64::from(*scale) + places <= 38;
            fits.then_some(DataType::Decimal128(38, places as i8))
        }
        _ => None,
    }
}

fn rounding_arguments(types: &[DataType]) -> Option<Vec<DataType>> {
    if types.len() == 2 { fits(types, "ni") } else { number(types) }
}

macro_rules! float_function {
    ($name:literal, $aliases:expr, $value:expr) => {
        Function {
            name: $name,
            aliases: $aliases,
            arguments: |t| fits(t, "d"),
            result: float8,
            evaluate: |c, call| {
                let value: fn(f64) -> Result<f64, PgError> = $value;
                primitives::<Float64Type>(c, call, |i| value(double(&c[0], i)).map(Some))
            },
        }
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "round", aliases: &[], arguments: rounding_arguments, result: whole, evaluate: round },
    Function { name: "trunc", aliases: &[], arguments: rounding_arguments, result: whole, evaluate: trunc },
    Function { name: "ceil", aliases: &["ceiling"], arguments: number, result: whole, evaluate: ceil },
    Function { name: "floor", aliases: &[], arguments: number, result: whole, evaluate: floor },
    Function { name: "mod", aliases: &[], arguments: mod_arguments, result: mod_result, evaluate: remainder },
    Function { name: "abs", aliases: &[], arguments: abs_arguments, result: first, evaluate: abs },
    Function { name: "sign", aliases: &["signum"], arguments: number, result: whole, evaluate: sign },
    float_function!("cbrt", &[], |v| Ok(cube_root(v))),
    float_function!("degrees", &[], |v| match v / RADIANS_PER_DEGREE {
        degrees if degrees.is_infinite() && v.is_finite() => {
            Err(PgError::new(b"22003", "value out of range: overflow"))
        }
        degrees => Ok(degrees),
    }),
    float_function!("radians", &[], |v| Ok(v * RADIANS_PER_DEGREE)),
    float_function!("asin", &[], |v| within_one(v).map(f64::asin)),
    float_function!("acos", &[], |v| within_one(v).map(f64::acos)),
];

const RADIANS_PER_DEGREE: f64 = 0.017_453_292_519_943_295;

/// The argument of an inverse sine or cosine.
fn within_one(value: f64) -> Result<f64, PgError> {
    if value.abs() > 1.0 { Err(PgError::new(b"22003", "input is out of range")) } else { Ok(value) }
}

/// Applies one function to doubles, or another to numerics (value and scale).
fn either(
    c: &[ArrayRef],
    call: &Call,
    float: fn(f64) -> f64,
    numeric: impl Fn(i128, i8) -> Option<i128>,
) -> Result<ArrayRef, PgError> {
    match c[0].data_type() {
        DataType::Decimal128(_, scale) => {
            let (values, scale) = (c[0].as_primitive::<Decimal128Type>(), *scale);
            primitives::<Decimal128Type>(c, call, |i| numeric(values.value(i), scale).ok_or_else(overflow).map(Some))
        }
        _ => primitives::<Float64Type>(c, call, |i| Ok(Some(float(double(&c[0], i))))),
    }
}

/// Rounds numerics to n places (half away from zero) and keeps the scale.
fn to_places(c: &[ArrayRef], call: &Call, drop: fn(i128, i128) -> i128) -> Result<ArrayRef, PgError> {
    let values = c[0].as_primitive::<Decimal128Type>();
    let scale = i64::from(values.scale());
    let DataType::Decimal128(_, result) = call.result else { return Err(overflow()) };
    primitives::<Decimal128Type>(c, call, |i| {
        let surplus = scale.saturating_sub(integer(&c[1], i));
        let value = values.value(i);
        if surplus <= 0 {
            return rescale(value, values.scale(), result).ok_or_else(overflow).map(Some);
        }
        let unit = u32::try_from(surplus).ok().and_then(|surplus| 10i128.checked_pow(surplus));
        let Some(unit) = unit else { return Ok(Some(0)) };
        let rounded = drop(value, unit).checked_mul(unit);
        let rounded = rounded.and_then(|value| rescale(value, values.scale(), result));
        rounded.filter(|value| value.unsigned_abs() < 10u128.pow(38)).ok_or_else(overflow).map(Some)
    })
}

/// To how many places is rounded.
fn places(arguments: &[Numeric]) -> i32 {
    let places = arguments.get(1).map_or(0, |places| places.to_i128_rounded().unwrap_or(0));
    places.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

fn round(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    if call.result == NUMERIC {
        return numerics(c, |v| v[0].round(places(v)));
    }
    if c.len() == 2 {
        return to_places(c, call, |value, unit| {
            let (quotient, rest) = (value / unit, value % unit);
            if rest.abs() >= unit - rest.abs() { quotient + value.signum() } else { quotient }
        });
    }
    either(c, call, f64::round_ties_even, |value, scale| rescale(value, scale, 0))
}

fn trunc(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    if call.result == NUMERIC {
        return numerics(c, |v| v[0].trunc(places(v)));
    }
    if c.len() == 2 {
        return to_places(c, call, |value, unit| value / unit);
    }
    either(c, call, f64::trunc, |value, scale| Some(value / unit(scale)))
}

fn unit(scale: i8) -> i128 {
    10i128.pow(scale.max(0).unsigned_abs().into())
}

fn ceil(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    if call.result == NUMERIC {
        return numerics(c, |v| v[0].ceil());
    }
    either(c, call, f64::ceil, |value, scale| Some(-(-value).div_euclid(unit(scale))))
}

fn floor(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    if call.result == NUMERIC {
        return numerics(c, |v| v[0].floor());
    }
    either(c, call, f64::floor, |value, scale| Some(value.div_euclid(unit(scale))))
}

fn sign(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let float = |v: f64| {
        if v > 0.0 {
            1.0
        } else if v < 0.0 {
            -1.0
        } else {
            0.0
        }
    };
    if call.result == NUMERIC {
        return numerics(c, |v| Ok(v[0].sign()));
    }
    either(c, call, float, |value, _| Some(value.signum()))
}

fn abs_arguments(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32] => Some(types.to_vec()),
        [DataType::Decimal128(_, _) | DataType::LargeBinary] => Some(types.to_vec()),
        _ => fits(types, "d"),
    }
}

fn abs(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    macro_rules! checked {
        ($arrow:ty) => {{
            let values = c[0].as_primitive::<$arrow>();
            let out_of_range = || PgError::out_of_range(type_name(&call.result));
            primitives::<$arrow>(c, call, |i| values.value(i).checked_abs().ok_or_else(out_of_range).map(Some))
        }};
    }
    match c[0].data_type() {
        DataType::Int16 => checked!(Int16Type),
        DataType::Int32 => checked!(Int32Type),
        DataType::Int64 => checked!(Int64Type),
        DataType::Float32 => {
            let values = c[0].as_primitive::<arrow::datatypes::Float32Type>();
            primitives::<arrow::datatypes::Float32Type>(c, call, |i| Ok(Some(values.value(i).abs())))
        }
        DataType::LargeBinary => numerics(c, |v| Ok(v[0].abs())),
        _ => either(c, call, f64::abs, |value, _| value.checked_abs()),
    }
}

fn mod_arguments(types: &[DataType]) -> Option<Vec<DataType>> {
    use DataType::{Int16, Int32, Int64};
    match types {
        [Int64, Int16 | Int32 | Int64] | [Int16 | Int32, Int64] => Some(vec![Int64, Int64]),
        [Int32, Int16 | Int32] | [Int16, Int32] => Some(vec![Int32, Int32]),
        [Int16, Int16] => Some(vec![Int16, Int16]),
        _ => fits(types, "nn"),
    }
}

fn mod_result(types: &[DataType]) -> DataType {
    match types {
        [DataType::Decimal128(_, l), DataType::Decimal128(_, r)] => DataType::Decimal128(38, *l.max(r)),
        [l, r] if *l == NUMERIC || *r == NUMERIC => NUMERIC,
        _ => first(types),
    }
}

fn remainder(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    macro_rules! integers {
        ($arrow:ty) => {{
            let (left, right) = (c[0].as_primitive::<$arrow>(), c[1].as_primitive::<$arrow>());
            primitives::<$arrow>(c, call, |i| match right.value(i) {
                0 => Err(PgError::division_by_zero()),
                divisor => Ok(Some(left.value(i).wrapping_rem(divisor))),
            })
        }};
    }
    match c[0].data_type() {
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        _ if call.result == NUMERIC => numerics(c, |v| v[0].remainder(&v[1])),
        _ => {
            let (left, right) = (c[0].as_primitive::<Decimal128Type>(), c[1].as_primitive::<Decimal128Type>());
            let result = left.scale().max(right.scale());
            let scales = Scales { left: left.scale(), right: right.scale(), result };
            primitives::<Decimal128Type>(c, call, |i| modulo(left.value(i), right.value(i), scales).map(Some))
        }
    }
}
