//! BETWEEN and LIKE: operands of one type; and which operators compare.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Between, Like};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator};

use super::coerce::Coercion;
use super::failure;
use super::literals::no_operator;
use super::order::value_order;
use crate::{SqlError, SqlType};

impl Coercion {
    /// BETWEEN over values of one type.
    ///
    /// # Errors
    /// 42804 if there is none.
    pub(super) fn between(&self, between: Between, schema: &DFSchema) -> Result<Expr> {
        let all = vec![*between.expr, *between.low, *between.high];
        let all: Vec<Expr> =
            self.unify_values(all, "BETWEEN", schema)?.into_iter().map(|e| value_order(e, schema)).collect();
        let [expr, low, high] = <[Expr; 3]>::try_from(all).map_err(|_| failure(SqlError::internal("BETWEEN")))?;
        Ok(Expr::Between(Between::new(Box::new(expr), between.negated, Box::new(low), Box::new(high))))
    }

    /// LIKE over texts.
    ///
    /// # Errors
    /// 42883 for other types.
    pub(super) fn like(&self, like: Like, schema: &DFSchema) -> Result<Like> {
        let text = SqlType::new(DataType::Utf8);
        let expr = self.cast_unknown(*like.expr, &text, schema)?;
        let pattern = self.cast_unknown(*like.pattern, &text, schema)?;
        for operand in [&expr, &pattern] {
            let found = SqlType::from_field(&operand.to_field(schema)?.1);
            if *found.data_type() != DataType::Utf8 {
                let operator = if like.case_insensitive { "~~*" } else { "~~" };
                return Err(no_operator(&expr, operator, &pattern, schema));
            }
        }
        Ok(Like::new(like.negated, Box::new(expr), Box::new(pattern), like.escape_char, like.case_insensitive))
    }
}

/// Whether the operator compares two values of one type.
pub(super) fn is_comparison(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}
