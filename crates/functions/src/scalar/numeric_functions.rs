//! Roots, logarithms and powers, of doubles or of numerics, and functions that only numerics have.
//!
//! As in PostgreSQL a numeric argument (and none that is a float) makes the result a numeric; of integers it is a double.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Float64Type, Int32Type};

use super::cast::{CastTarget, cast_column};
use super::columns::{double, fits, primitives};
use super::function::{Call, Function};
use crate::numeric::Numeric;
use crate::{ExactColumn, NUMERIC, NumericBuilder, PgError};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "sqrt", aliases: &[], arguments: real, result: real_result, evaluate: sqrt },
    Function { name: "exp", aliases: &[], arguments: real, result: real_result, evaluate: exp },
    Function { name: "ln", aliases: &[], arguments: real, result: real_result, evaluate: ln },
    Function { name: "log10", aliases: &[], arguments: real, result: real_result, evaluate: log },
    Function {
        name: "log",
        aliases: &[],
        arguments: |t| if t.len() == 2 { fits(t, "xx") } else { real(t) },
        result: |t| if t.len() == 2 { NUMERIC } else { real_result(t) },
        evaluate: log,
    },
    Function {
        name: "power",
        aliases: &["pow"],
        arguments: |t| if t.len() == 2 { reals(t) } else { None },
        result: real_result,
        evaluate: power,
    },
    Function {
        name: "div",
        aliases: &[],
        arguments: |t| fits(t, "xx"),
        result: |_| NUMERIC,
        evaluate: |c, _| numerics(c, |v| v[0].div_trunc(&v[1])),
    },
    Function {
        name: "factorial",
        aliases: &[],
        arguments: |t| fits(t, "i"),
        result: |_| NUMERIC,
        evaluate: |c, _| numerics(c, |v| Numeric::factorial(v[0].to_i128_rounded().unwrap_or(0) as i64)),
    },
    Function {
        name: "gcd",
        aliases: &[],
        arguments: divisors,
        result: divisor,
        evaluate: |c, call| whole(c, call, |v| v[0].gcd(&v[1])),
    },
    Function {
        name: "lcm",
        aliases: &[],
        arguments: divisors,
        result: divisor,
        evaluate: |c, call| whole(c, call, |v| v[0].lcm(&v[1])),
    },
    Function {
        name: "width_bucket",
        aliases: &[],
        arguments: |t| fits(t, "xxxi"),
        result: |_| DataType::Int32,
        evaluate: width_bucket,
    },
    Function {
        name: "scale",
        aliases: &[],
        arguments: |t| fits(t, "x"),
        result: |_| DataType::Int32,
        evaluate: |c, call| scales(c, call, Numeric::scale),
    },
    Function {
        name: "min_scale",
        aliases: &[],
        arguments: |t| fits(t, "x"),
        result: |_| DataType::Int32,
        evaluate: |c, call| scales(c, call, Numeric::min_scale),
    },
    Function {
        name: "trim_scale",
        aliases: &[],
        arguments: |t| fits(t, "x"),
        result: |_| NUMERIC,
        evaluate: |c, _| numerics(c, |v| Ok(v[0].trim_scale())),
    },
];

fn real_result(types: &[DataType]) -> DataType {
    if types.iter().all(|t| *t == DataType::Float64) { DataType::Float64 } else { NUMERIC }
}

fn divisor(types: &[DataType]) -> DataType {
    if types.iter().all(DataType::is_integer) { types[0].clone() } else { NUMERIC }
}

fn real(types: &[DataType]) -> Option<Vec<DataType>> {
    if types.len() == 1 { reals(types) } else { None }
}

/// Exact numbers if there is a numeric among them and no float, else all as double precision.
fn reals(types: &[DataType]) -> Option<Vec<DataType>> {
    let is_numeric = |t: &DataType| matches!(t, DataType::Decimal128(..) | DataType::LargeBinary);
    if types.iter().any(is_numeric) && !types.iter().any(DataType::is_floating) {
        return fits(types, "x+");
    }
    fits(types, "d+")
}

/// Two numbers of one type: integers, or numerics.
fn divisors(types: &[DataType]) -> Option<Vec<DataType>> {
    use DataType::{Int16, Int32, Int64, Null, Utf8};
    match types {
        [Int16 | Int32, Int16 | Int32 | Utf8 | Null] | [Utf8 | Null, Int16 | Int32] => Some(vec![Int32; 2]),
        [Int16 | Int32 | Int64, Int64] | [Int64, Int16 | Int32 | Utf8 | Null] | [Utf8 | Null, Int64] => {
            Some(vec![Int64; 2])
        }
        _ => fits(types, "xx"),
    }
}

/// A numeric for each row without a NULL, of the exact numbers in its columns.
pub(super) fn numerics(
    columns: &[ArrayRef],
    value: impl Fn(&[Numeric]) -> Result<Numeric, PgError>,
) -> Result<ArrayRef, PgError> {
    let row_count = columns.first().map_or(0, |column| column.len());
    let exact: Option<Vec<ExactColumn<'_>>> = columns.iter().map(ExactColumn::new).collect();
    let exact = exact.ok_or_else(|| PgError::new(b"XX000", "a function of numerics got something else"))?;
    let mut values = NumericBuilder::with_capacity(row_count);
    let mut arguments = Vec::with_capacity(columns.len());
    for row in 0..row_count {
        if columns.iter().any(|column| column.is_null(row)) {
            values.append_null();
            continue;
        }
        arguments.clear();
        arguments.extend(exact.iter().map(|column| column.value(row)));
        values.append(&value(&arguments)?);
    }
    Ok(values.finish())
}

/// As `numerics`, with results in the type of the arguments.
fn whole(
    columns: &[ArrayRef],
    call: &Call,
    value: fn(&[Numeric]) -> Result<Numeric, PgError>,
) -> Result<ArrayRef, PgError> {
    cast_column(&numerics(columns, value)?, &CastTarget::new(call.result.clone()), &call.clock)
}

fn width_bucket(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let exact: Option<Vec<ExactColumn<'_>>> = c.iter().map(ExactColumn::new).collect();
    let exact = exact.ok_or_else(|| PgError::new(b"XX000", "a function of numerics got something else"))?;
    primitives::<Int32Type>(c, call, |row| {
        let value = |place: usize| exact[place].value(row);
        let count = value(3).to_integer(i32::MIN.into(), i32::MAX.into(), "integer")?;
        value(0).width_bucket(&value(1), &value(2), count as i32).map(Some)
    })
}

fn scales(columns: &[ArrayRef], call: &Call, value: fn(&Numeric) -> Option<u16>) -> Result<ArrayRef, PgError> {
    let exact = ExactColumn::new(&columns[0]);
    primitives::<Int32Type>(columns, call, |row| {
        Ok(exact.as_ref().and_then(|column| value(&column.value(row))).map(i32::from))
    })
}

fn sqrt(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    if call.result == NUMERIC {
        return numerics(c, |v| v[0].sqrt());
    }
    doubles(c, call, |v| {
        if v < 0.0 { Err(PgError::new(b"2201F", "cannot take square root of a negative number")) } else { Ok(v.sqrt()) }
    })
}

fn exp(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    if call.result == NUMERIC {
        return numerics(c, |v| v[0].exp());
    }
    doubles(c, call, |v| {
        let value = v.exp();
        if value.is_infinite() && v.is_finite() {
            return Err(PgError::new(b"22003", "value out of range: overflow"));
        }
        if value == 0.0 && v.is_finite() {
            return Err(PgError::new(b"22003", "value out of range: underflow"));
        }
        Ok(value)
    })
}

fn ln(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    if call.result == NUMERIC {
        return numerics(c, |v| v[0].ln());
    }
    doubles(c, call, |v| positive(v).map(f64::ln))
}

/// To base 10, or of the second argument to the base of the first.
fn log(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    if call.result == NUMERIC {
        return numerics(c, |v| match v {
            [base, value] => base.log(value),
            _ => v[0].log10(),
        });
    }
    doubles(c, call, |v| positive(v).map(f64::log10))
}

fn doubles(c: &[ArrayRef], call: &Call, value: fn(f64) -> Result<f64, PgError>) -> Result<ArrayRef, PgError> {
    primitives::<Float64Type>(c, call, |i| value(double(&c[0], i)).map(Some))
}

fn positive(value: f64) -> Result<f64, PgError> {
    if value == 0.0 {
        Err(PgError::new(b"2201E", "cannot take logarithm of zero"))
    } else if value < 0.0 {
        Err(PgError::new(b"2201E", "cannot take logarithm of a negative number"))
    } else {
        Ok(value)
    }
}

fn power(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    if call.result == NUMERIC {
        return numerics(c, |v| v[0].power(&v[1]));
    }
    let undefined = |message: &str| Err(PgError::new(b"2201F", message));
    primitives::<Float64Type>(c, call, |i| {
        let (base, exponent) = (double(&c[0], i), double(&c[1], i));
        if base == 0.0 && exponent < 0.0 {
            return undefined("zero raised to a negative power is undefined");
        }
        if base < 0.0 && exponent.is_finite() && exponent.fract() != 0.0 {
            return undefined("a negative number raised to a non-integer power yields a complex result");
        }
        let value = base.powf(exponent);
        let finite = base.is_finite() && exponent.is_finite();
        if value.is_infinite() && finite {
            return Err(PgError::new(b"22003", "value out of range: overflow"));
        }
        if value == 0.0 && base != 0.0 && finite {
            return Err(PgError::new(b"22003", "value out of range: underflow"));
        }
        Ok(Some(value))
    })
}
