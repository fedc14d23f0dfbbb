//! A call of an aggregate function: which columns it takes, in which order, and what is constant.

use dataflow::{AggregateCall, OrderKey};
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, ExprSchemable};
use functions::aggregate::{ignores_distinct, is_constant_argument, keeps_distinct, takes_order};
use functions::{Argument, OrderArgument, ordered_aggregate};

use super::{Below, Construct, Lowering};
use crate::SqlError;
use crate::bind::from_plan_error;

impl Lowering<'_> {
    /// Lowers a call; the expressions that it needs of each row go to `below`.
    pub(super) fn call(
        &self,
        expr: &Expr,
        schema: &DFSchema,
        global: bool,
        below: &mut Below,
    ) -> Result<AggregateCall, SqlError> {
        let text = self.names.text(expr);
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr.clone().unalias() else {
            return Err(self.refuse(&Construct::Other(text)));
        };
        let name = func.name().to_owned();
        if params.null_treatment.is_some() {
            return Err(self.refuse(&Construct::AggregateOrder(name)));
        }
        // count(*) is planned as count(1): what is counted are rows.
        let counts_rows = name == "count"
            && !params.distinct
            && matches!(params.args.as_slice(), [Expr::Literal(value, _)] if !value.is_null());
        let exprs = if counts_rows { Vec::new() } else { params.args };
        let mut arguments = Vec::with_capacity(exprs.len());
        let mut types = Vec::with_capacity(exprs.len());
        for (place, expr) in exprs.iter().enumerate() {
            let data_type = expr.get_type(schema).map_err(|e| from_plan_error(&e, self.query))?;
            // The global group may be asked for without a row, and a filter may let none through: then the result is
            // NULL whatever comes in.
            let nullable = global || params.filter.is_some() || expr.nullable(schema).unwrap_or(true);
            let constant = match expr {
                Expr::Literal(value, _) if is_constant_argument(&name, place) => Some(value.clone()),
                _ => None,
            };
            if constant.is_none() {
                arguments.push(below.place(expr));
            }
            types.push(Argument { data_type, nullable, constant });
        }
        let mut order = Vec::new();
        let mut directions = Vec::new();
        for sort in &params.order_by {
            let data_type = sort.expr.get_type(schema).map_err(|e| from_plan_error(&e, self.query))?;
            let (descending, nulls_first) = (!sort.asc, sort.nulls_first);
            directions.push(OrderArgument { data_type, descending, nulls_first });
            if takes_order(&name) {
                order.push(OrderKey { column: below.place(&sort.expr), descending, nulls_first });
            }
        }
        let distinct = params.distinct && !ignores_distinct(&name);
        // Its values may be NULL, and are counted by place.
        let is_lost = distinct && name == "nth_value";
        let function = ordered_aggregate(&name, &types, &directions, distinct && keeps_distinct(&name));
        let Some(function) = function.filter(|_| !is_lost) else {
            return Err(self.refuse(&Construct::Aggregate(name)));
        };
        let distinct = distinct && !keeps_distinct(&name);
        let filter = params.filter.map(|f| below.place(&f));
        Ok(AggregateCall { function, arguments, order, distinct, filter, text })
    }
}
