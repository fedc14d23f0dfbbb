//! Frames of the planner as those of the operator. An offset of a RANGE frame becomes a column: the sort key plus or minus it.

use arrow::datatypes::DataType;
use dataflow::operators::window::{Bound, Exclude, Frame, Units};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, ExprSchemable, WindowFrame, WindowFrameBound, WindowFrameUnits};

use super::prepare::Prepared;
use crate::SqlError;
use crate::bind::{registry, sql_error};

/// The sort key of a RANGE frame with an offset, with the type that its sums with the offset have.
///
/// # Errors
/// If the offset cannot be added.
pub fn sort_key_of(frame: &WindowFrame, order: &[Sort], schema: &DFSchema) -> Result<Option<Sort>, SqlError> {
    let bounds = [&frame.start_bound, &frame.end_bound];
    let offset = bounds.into_iter().find_map(|bound| match bound {
        WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset) if !offset.is_null() => Some(offset),
        _ => None,
    });
    let Some(offset) = offset.filter(|_| frame.units == WindowFrameUnits::Range) else { return Ok(None) };
    let [key] = order else {
        let message = "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column";
        return Err(SqlError::new(b"42P20", message));
    };
    let sum = moved(key, offset, true)?;
    let (own, wanted) = (type_of(&key.expr, schema)?, type_of(&sum, schema)?);
    let expr = if own == wanted {
        key.expr.clone()
    } else {
        key.expr.clone().cast_to(&wanted, schema).map_err(|e| sql_error(&e))?
    };
    Ok(Some(Sort { expr, ..key.clone() }))
}

fn type_of(expr: &Expr, schema: &DFSchema) -> Result<DataType, SqlError> {
    expr.get_type(schema).map_err(|e| sql_error(&e))
}

/// The value that is so far from the key, in the order's direction or against it.
fn moved(key: &Sort, offset: &ScalarValue, forward: bool) -> Result<Expr, SqlError> {
    let function = if forward == key.asc { "pg_add" } else { "pg_subtract" };
    match registry().scalar(function) {
        Some(function) => Ok(function.call(vec![key.expr.clone(), Expr::Literal(offset.clone(), None)])),
        None => Err(SqlError::internal(format!("there is no {function}"))),
    }
}

/// The frame of a call whose window has these sort keys.
pub fn frame_of(
    frame: &WindowFrame,
    exclude: Exclude,
    keys: &[Sort],
    prepared: &mut Prepared,
    schema: &DFSchema,
) -> Result<Frame, SqlError> {
    let units = match frame.units {
        WindowFrameUnits::Rows => Units::Rows,
        WindowFrameUnits::Range => Units::Range,
        WindowFrameUnits::Groups => Units::Groups,
    };
    if units == Units::Groups && keys.is_empty() {
        return Err(SqlError::new(b"42P20", "GROUPS mode requires an ORDER BY clause"));
    }
    let mut bound = |bound: &WindowFrameBound| -> Result<Bound, SqlError> {
        let (offset, forward) = match bound {
            WindowFrameBound::CurrentRow => return Ok(Bound::CurrentRow),
            WindowFrameBound::Preceding(offset) => (offset, false),
            WindowFrameBound::Following(offset) => (offset, true),
        };
        if offset.is_null() {
            return Ok(Bound::Unbounded);
        }
        if units == Units::Range {
            let [key] = keys else { return Err(SqlError::internal("a RANGE frame without a key")) };
            let wanted = type_of(&key.expr, schema)?;
            let value = moved(key, offset, forward)?;
            let value = if type_of(&value, schema)? == wanted {
                value
            } else {
                value.cast_to(&wanted, schema).map_err(|e| sql_error(&e))?
            };
            return Ok(Bound::Value(prepared.place(&value)));
        }
        match offset.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(offset))) => Ok(Bound::Offset(if forward { offset } else { -offset })),
            _ => Err(SqlError::new(b"0A000", "a frame offset of this size is not supported")),
        }
    };
    Ok(Frame { units, start: bound(&frame.start_bound)?, end: bound(&frame.end_bound)?, exclude })
}
