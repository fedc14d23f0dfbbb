//! Numerics as arguments and beside values of other types: the casts that DataFusion, which knows them as bytes, would
//! not make.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, Subquery};
use functions::NUMERIC;
use functions::aggregate::wanted_types;

use super::choice::added_as_decimals;
use super::coerce::{Coercion, type_of};
use super::common_type::common_value_type;
use super::literals::{is_unknown, no_operator};
use super::order::ordered;
use super::unifying_function::{has_numerics, is_exact, unifying, with_numerics};
use crate::SqlType;

impl Coercion {
    /// The call with its arguments cast to the types that the function wants, where one of both is a numeric.
    ///
    /// # Errors
    /// If a constant cannot be cast.
    pub(super) fn with_numeric_arguments(&self, mut call: ScalarFunction, schema: &DFSchema) -> Result<ScalarFunction> {
        if let Some(inner) = unifying(&call.func) {
            let types = call.args.iter().map(|a| a.get_type(schema)).collect::<Result<Vec<_>>>()?;
            if types.iter().any(is_exact) {
                let wanted: Vec<DataType> = types.iter().map(with_numerics).collect();
                call.args = self.numerics_as(std::mem::take(&mut call.args), &wanted, schema)?;
                if inner.name().starts_with("array_position") {
                    call.args = call.args.into_iter().zip(&wanted).map(|(a, t)| ordered(a, t)).collect();
                }
            }
            return Ok(call);
        }
        let Ok(types) = call.args.iter().map(|a| a.get_type(schema)).collect::<Result<Vec<_>>>() else {
            return Ok(call);
        };
        if let Ok(wanted) = call.func.coerce_types(&types) {
            let arguments = std::mem::take(&mut call.args);
            call.args = self.numerics_as(arguments, &wanted, schema)?;
            return Ok(call);
        }
        Ok(call)
    }

    /// The arguments of an aggregate, as `with_numeric_arguments`.
    ///
    /// # Errors
    /// If a constant cannot be cast.
    pub(super) fn aggregate_arguments(
        &self,
        function: &AggregateUDF,
        mut arguments: Vec<Expr>,
        schema: &DFSchema,
    ) -> Result<Vec<Expr>> {
        if let ("sum" | "avg", [_]) = (function.name(), arguments.as_slice()) {
            arguments = vec![added_as_decimals(self, arguments.swap_remove(0), schema)?];
        }
        let types = arguments.iter().map(|a| a.get_type(schema)).collect::<Result<Vec<_>>>()?;
        self.numerics_as(arguments, &wanted_types(function.name(), &types), schema)
    }

    /// Gives the value of `lag` or `lead` and what stands for it beyond the partition one type, if one is a numeric.
    ///
    /// # Errors
    /// 42804 if there is no such type.
    pub(super) fn default_value(&self, arguments: &mut [Expr], schema: &DFSchema) -> Result<()> {
        let [value, _, default] = arguments else { return Ok(()) };
        let (own, other) = (value.get_type(schema)?, default.get_type(schema)?);
        if own != other && (own == NUMERIC || other == NUMERIC) {
            let both = vec![std::mem::take(value), std::mem::take(default)];
            let [first, second] = <[Expr; 2]>::try_from(self.unify(both, "lag", schema)?).unwrap_or_default();
            (*value, *default) = (first, second);
        }
        Ok(())
    }

    /// Both operands, a numeric beside an interval as double precision.
    ///
    /// # Errors
    /// If a constant cannot be cast.
    pub(super) fn interval_factor(&self, left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
        let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
        let double = SqlType::new(DataType::Float64);
        match (l, r) {
            (l, DataType::Interval(_)) if l == NUMERIC => Ok((self.cast(left, &double, schema)?, right)),
            (DataType::Interval(_), r) if r == NUMERIC => Ok((left, self.cast(right, &double, schema)?)),
            _ => Ok((left, right)),
        }
    }

    fn numerics_as(&self, arguments: Vec<Expr>, wanted: &[DataType], schema: &DFSchema) -> Result<Vec<Expr>> {
        let cast = |(argument, wanted): (Expr, &DataType)| {
            let found = argument.get_type(schema)?;
            let casts = found != *wanted && (has_numerics(&found) || has_numerics(wanted));
            if casts { self.cast(argument, &SqlType::new(wanted.clone()), schema) } else { Ok(argument) }
        };
        if arguments.len() != wanted.len() {
            return Ok(arguments);
        }
        arguments.into_iter().zip(wanted).map(cast).collect()
    }

    /// Both sides of `expr IN (subquery)` with types that can be compared.
    ///
    /// # Errors
    /// 42883 if there are none.
    pub(super) fn in_subquery(&self, expr: Expr, subquery: Subquery, schema: &DFSchema) -> Result<(Expr, Subquery)> {
        let [field] = subquery.subquery.schema().fields().as_ref() else { return Ok((expr, subquery)) };
        let found = SqlType::from_field(field);
        if is_unknown(&expr) {
            return Ok((self.cast(expr, &found, schema)?, subquery));
        }
        let own = type_of(&expr, schema)?;
        if own.data_type() == found.data_type() {
            return Ok((expr, subquery));
        }
        let Some(common) = common_value_type(&own, &found) else {
            let column = Expr::Column(subquery.subquery.schema().columns().swap_remove(0));
            let both = schema.join(subquery.subquery.schema()).unwrap_or_else(|_| schema.clone());
            return Err(no_operator(&expr, "=", &column, &both));
        };
        let expr = self.cast(expr, &common, schema)?;
        let plan = self.cast_columns(std::sync::Arc::clone(&subquery.subquery), &[common])?;
        Ok((expr, Subquery { subquery: plan, ..subquery }))
    }
}
