//! The operators `+ - * / %` and unary minus, as PostgreSQL computes them: checked, with its result types.
//!
//! 1. `operand_types` says which types two operands are cast to; text stands for an untyped literal.
//! 2. `result_type` says what those give.
//! 3. `compute` runs over the columns; an operand that is a constant is one value long.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::arithmetic_types::{negated_type, operand_types, result_type};
use super::float_math::{check_float, float};
use super::function::{clock_of, no_function, plain, plain_type};
use super::interval_math::{
    add, add_interval, add_interval_in_zone, add_to_time, difference, divide, multiply, negate,
};
use super::numeric_math::{self, Scales};
use crate::numeric::Numeric;
use crate::text_format::calendar::DAY;
use crate::text_format::datetime::DATE_INFINITY;
use crate::text_format::{TimeZone, type_name};
use crate::{ExactColumn, NUMERIC, NumericBuilder, PgError};

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Negate,
}

use Operator::{Add, Divide, Modulo, Multiply, Negate, Subtract};

/// The operators as functions `pg_add`, `pg_subtract`, `pg_multiply`, `pg_divide`, `pg_modulo`, `pg_negate`.
pub(super) fn udfs() -> Vec<Arc<ScalarUDF>> {
    let udf = |operator| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Arithmetic { operator, signature }))
    };
    [Add, Subtract, Multiply, Divide, Modulo, Negate].into_iter().map(udf).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    operator: Operator,
    signature: Signature,
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        match self.operator {
            Add => "pg_add",
            Subtract => "pg_subtract",
            Multiply => "pg_multiply",
            Divide => "pg_divide",
            Modulo => "pg_modulo",
            Negate => "pg_negate",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let types: Vec<DataType> = types.iter().map(plain_type).collect();
        let coerced = match types.as_slice() {
            [operand] if self.operator == Negate => negated_type(operand).map(|t| vec![t]),
            [left, right] if self.operator != Negate => {
                operand_types(self.operator, left, right).map(|(left, right)| vec![left, right])
            }
            _ => None,
        };
        Ok(coerced.ok_or_else(|| self.no_operator(&types))?)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let result = match types {
            [operand] => Some(operand.clone()),
            [left, right] => result_type(self.operator, left, right),
            _ => None,
        };
        Ok(result.ok_or_else(|| self.no_operator(types))?)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = clock_of(&args.config_options).time_zone;
        let mut row_count = 1;
        let mut constant = true;
        let mut operands = Vec::with_capacity(2);
        for arg in &args.args {
            operands.push(match arg {
                ColumnarValue::Array(column) => {
                    constant = false;
                    row_count = args.number_rows;
                    Operand { column: plain(Arc::clone(column)), mask: usize::MAX }
                }
                ColumnarValue::Scalar(value) => Operand { column: plain(value.to_array()?), mask: 0 },
            });
        }
        let call = Invocation { operator: self.operator, row_count, zone, result: args.return_field.data_type() };
        let values = match operands.as_slice() {
            [operand] => call.unary(operand)?,
            [left, right] => call.binary(left, right)?,
            _ => return Err(self.no_operator(&[]).into()),
        };
        if constant {
            return ScalarValue::try_from_array(&values, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(values))
    }
}

impl Arithmetic {
    fn no_operator(&self, types: &[DataType]) -> PgError {
        let sign = match self.operator {
            Add => "+",
            Subtract | Negate => "-",
            Multiply => "*",
            Divide => "/",
            Modulo => "%",
        };
        match types {
            [operand] => PgError::new(b"42883", format!("operator does not exist: {sign} {}", type_name(operand))),
            [left, right] => PgError::new(
                b"42883",
                format!("operator does not exist: {} {sign} {}", type_name(left), type_name(right)),
            ),
            _ => no_function(self.name(), types),
        }
    }
}

/// A column, or a constant: then the mask makes every index 0.
struct Operand {
    column: ArrayRef,
    mask: usize,
}

impl Operand {
    fn nulls(&self, row_count: usize) -> Option<NullBuffer> {
        if self.mask == 0 {
            return (self.column.null_count() > 0).then(|| NullBuffer::new_null(row_count));
        }
        self.column.nulls().cloned()
    }
}

struct Invocation<'a> {
    operator: Operator,
    row_count: usize,
    zone: TimeZone,
    result: &'a DataType,
}

impl Invocation<'_> {
    /// Applies `value` to every pair of values of which neither is NULL.
    fn pairs<L, R, O>(
        &self,
        left: &Operand,
        right: &Operand,
        value: impl Fn(L::Native, R::Native) -> Result<O::Native, PgError>,
    ) -> Result<ArrayRef, PgError>
    where
        L: ArrowPrimitiveType,
        R: ArrowPrimitiveType,
        O: ArrowPrimitiveType,
    {
        let nulls = NullBuffer::union(left.nulls(self.row_count).as_ref(), right.nulls(self.row_count).as_ref());
        let (l, r) = (left.column.as_primitive::<L>().values(), right.column.as_primitive::<R>().values());
        let mut values = Vec::with_capacity(self.row_count);
        match &nulls {
            None => {
                for i in 0..self.row_count {
                    values.push(value(l[i & left.mask], r[i & right.mask])?);
                }
            }
            Some(nulls) => {
                for i in 0..self.row_count {
                    values.push(match nulls.is_valid(i) {
                        true => value(l[i & left.mask], r[i & right.mask])?,
                        false => O::Native::default(),
                    });
                }
            }
        }
        let values = PrimitiveArray::<O>::new(values.into(), nulls);
        Ok(Arc::new(values.with_data_type(self.result.clone())))
    }

    fn unary(&self, operand: &Operand) -> Result<ArrayRef, PgError> {
        // The same loop over pairs of a value with itself.
        macro_rules! negated {
            ($arrow:ty, $value:expr) => {
                self.pairs::<$arrow, $arrow, $arrow>(operand, operand, |v, _| $value(v))
            };
        }
        macro_rules! checked {
            ($arrow:ty) => {
                negated!($arrow, |v: <$arrow as ArrowPrimitiveType>::Native| v
                    .checked_neg()
                    .ok_or_else(|| PgError::out_of_range(type_name(self.result))))
            };
        }
        match operand.column.data_type() {
            DataType::Int16 => checked!(Int16Type),
            DataType::Int32 => checked!(Int32Type),
            DataType::Int64 => checked!(Int64Type),
            DataType::Float32 => negated!(Float32Type, |v: f32| Ok(if v.is_nan() { v } else { -v })),
            DataType::Float64 => negated!(Float64Type, |v: f64| Ok(if v.is_nan() { v } else { -v })),
            DataType::Decimal128(_, _) => negated!(Decimal128Type, |v: i128| Ok(-v)),
            DataType::Interval(_) => negated!(IntervalMonthDayNanoType, negate),
            DataType::LargeBinary => self.numerics(operand, operand, |v, _| Ok(v.negate())),
            other => Err(PgError::new(b"42883", format!("operator does not exist: - {}", type_name(other)))),
        }
    }

    fn binary(&self, left: &Operand, right: &Operand) -> Result<ArrayRef, PgError> {
        macro_rules! integers {
            ($arrow:ty) => {{
                let overflow = || PgError::out_of_range(type_name(self.result));
                type Native = <$arrow as ArrowPrimitiveType>::Native;
                let run = |value: fn(Native, Native) -> Option<Native>| {
                    self.pairs::<$arrow, $arrow, $arrow>(left, right, |l, r| value(l, r).ok_or_else(overflow))
                };
                let nonzero = |value: fn(Native, Native) -> Option<Native>| {
                    self.pairs::<$arrow, $arrow, $arrow>(left, right, |l, r| match r {
                        0 => Err(PgError::division_by_zero()),
                        r => value(l, r).ok_or_else(overflow),
                    })
                };
                match self.operator {
                    Add => {
                        self.pairs::<$arrow, $arrow, $arrow>(left, right, |l, r| l.checked_add(r).ok_or_else(overflow))
                    }
                    Subtract => run(Native::checked_sub),
                    Divide => nonzero(Native::checked_div),
                    Modulo => nonzero(|l, r| Some(l.wrapping_rem(r))),
                    _ => run(Native::checked_mul),
                }
            }};
        }
        match (left.column.data_type(), right.column.data_type()) {
            _ if *self.result == NUMERIC => self.numerics(
                left,
                right,
                match self.operator {
                    Add => Numeric::add,
                    Subtract => Numeric::subtract,
                    Divide => Numeric::divide,
                    Modulo => Numeric::remainder,
                    _ => Numeric::multiply,
                },
            ),
            (DataType::Int16, DataType::Int16) => integers!(Int16Type),
            (DataType::Int32, DataType::Int32) => integers!(Int32Type),
            (DataType::Int64, DataType::Int64) => integers!(Int64Type),
            (DataType::Float32, DataType::Float32) => {
                let operator = self.operator;
                let narrow = |l: f32, r: f32| {
                    let value = float(operator, l.into(), r.into())? as f32;
                    check_float(value.into(), operator, l.into(), r.into()).map(|_| value)
                };
                self.pairs::<Float32Type, Float32Type, Float32Type>(left, right, narrow)
            }
            (DataType::Float64, DataType::Float64) => {
                let operator = self.operator;
                self.pairs::<Float64Type, Float64Type, Float64Type>(left, right, |l, r| float(operator, l, r))
            }
            (DataType::Decimal128(_, l), DataType::Decimal128(_, r)) => {
                let result =
                    if let DataType::Decimal128(_, scale) = self.result { *scale } else { l.max(r).to_owned() };
                let scales = Scales { left: *l, right: *r, result };
                let value = match self.operator {
                    Add => numeric_math::add,
                    Subtract => numeric_math::subtract,
                    Modulo => numeric_math::modulo,
                    _ => numeric_math::multiply,
                };
                self.pairs::<Decimal128Type, Decimal128Type, Decimal128Type>(left, right, |l, r| value(l, r, scales))
            }
            _ => self.dates(left, right),
        }
    }

    /// As `pairs`, of exact numbers of any types, giving numerics.
    fn numerics(
        &self,
        left: &Operand,
        right: &Operand,
        value: impl Fn(&Numeric, &Numeric) -> Result<Numeric, PgError>,
    ) -> Result<ArrayRef, PgError> {
        let (Some(l), Some(r)) = (ExactColumn::new(&left.column), ExactColumn::new(&right.column)) else {
            return self.dates(left, right);
        };
        let nulls = NullBuffer::union(left.nulls(self.row_count).as_ref(), right.nulls(self.row_count).as_ref());
        let mut values = NumericBuilder::with_capacity(self.row_count);
        for row in 0..self.row_count {
            match nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                true => values.append(&value(&l.value(row & left.mask), &r.value(row & right.mask))?),
                false => values.append_null(),
            }
        }
        Ok(values.finish())
    }

    fn dates(&self, left: &Operand, right: &Operand) -> Result<ArrayRef, PgError> {
        type Interval = IntervalMonthDayNanoType;
        type Stamp = TimestampMicrosecondType;
        type Time = Time64MicrosecondType;
        let date_out_of_range = || PgError::new(b"22008", "date out of range");
        let subtract = self.operator == Subtract;
        let time_on = |days: i32, time: i64| match days {
            DATE_INFINITY => Ok(i64::MAX),
            i32::MIN => Ok(i64::MIN),
            days => {
                let midnight = i64::from(days).checked_mul(DAY).and_then(|midnight| midnight.checked_add(time));
                midnight.ok_or_else(|| PgError::new(b"22008", "date out of range for timestamp"))
            }
        };
        let is_infinite = |days: i32| matches!(days, DATE_INFINITY | i32::MIN);
        match (left.column.data_type(), right.column.data_type()) {
            (DataType::Date32, DataType::Int32) => {
                self.pairs::<Date32Type, Int32Type, Date32Type>(left, right, |l, r| {
                    if is_infinite(l) {
                        return Ok(l);
                    }
                    if subtract { l.checked_sub(r) } else { l.checked_add(r) }.ok_or_else(date_out_of_range)
                })
            }
            (DataType::Int32, DataType::Date32) => self.dates(right, left),
            (DataType::Date32, DataType::Date32) => {
                self.pairs::<Date32Type, Date32Type, Int32Type>(left, right, |l, r| {
                    if is_infinite(l) || is_infinite(r) {
                        return Err(PgError::new(b"22008", "cannot subtract infinite dates"));
                    }
                    l.checked_sub(r).ok_or_else(date_out_of_range)
                })
            }
            (DataType::Date32, DataType::Time64(_)) => self.pairs::<Date32Type, Time, Stamp>(left, right, time_on),
            (DataType::Time64(_), DataType::Date32) => {
                self.pairs::<Time, Date32Type, Stamp>(left, right, |l, r| time_on(r, l))
            }
            (DataType::Timestamp(_, _), DataType::Timestamp(_, _)) => {
                self.pairs::<Stamp, Stamp, Interval>(left, right, difference)
            }
            (DataType::Timestamp(_, zone), DataType::Interval(_)) => {
                let zoned = zone.is_some();
                self.pairs::<Stamp, Interval, Stamp>(left, right, |l, r| {
                    let r = if subtract { negate(r)? } else { r };
                    if zoned { add_interval_in_zone(l, r, &self.zone) } else { add_interval(l, r) }
                })
            }
            (DataType::Interval(_), DataType::Timestamp(_, _) | DataType::Time64(_)) => self.dates(right, left),
            (DataType::Time64(_), DataType::Time64(_)) => {
                self.pairs::<Time, Time, Interval>(left, right, |l, r| super::interval_math::interval(0, 0, l - r))
            }
            (DataType::Time64(_), DataType::Interval(_)) => self.pairs::<Time, Interval, Time>(left, right, |l, r| {
                Ok(add_to_time(l, if subtract { negate(r)? } else { r }))
            }),
            (DataType::Interval(_), DataType::Interval(_)) => {
                self.pairs::<Interval, Interval, Interval>(left, right, |l, r| {
                    add(l, if subtract { negate(r)? } else { r })
                })
            }
            (DataType::Interval(_), DataType::Float64) => {
                let value = if self.operator == Divide { divide } else { multiply };
                self.pairs::<Interval, Float64Type, Interval>(left, right, value)
            }
            (DataType::Float64, DataType::Interval(_)) => self.dates(right, left),
            (l, r) => {
                let message = format!("operator does not exist for {} and {}", type_name(l), type_name(r));
                Err(PgError::new(b"42883", message))
            }
        }
    }
}
