//! What a binary operator, EXTRACT, an array literal and their like are made of.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, Operator};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::coerce::{Coercion, type_of};
use super::literals::{is_unknown, no_operator};
use super::rewrite::{IS_DISTINCT, IS_NOT_DISTINCT};
use super::{failure, registry};
use crate::{SqlError, SqlType};

/// Plans operators with PostgreSQL's meaning.
#[derive(Debug)]
pub struct Operators {
    pub coercion: Coercion,
}

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let left = self.coercion.operand(expr.left, schema)?;
        let right = self.coercion.operand(expr.right, schema)?;
        self.binary(&expr.op, left, right, schema).map(PlannerResult::Planned)
    }

    fn plan_array_literal(&self, items: Vec<Expr>, schema: &DFSchema) -> Result<PlannerResult<Vec<Expr>>> {
        let items = items.into_iter().map(|e| self.coercion.resolve(e, schema)).collect::<Result<Vec<_>>>()?;
        let items = self.coercion.unify(items, "ARRAY", schema)?;
        call("make_array", items).map(PlannerResult::Planned)
    }

    fn plan_position(&self, arguments: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        call("strpos", arguments).map(PlannerResult::Planned)
    }

    fn plan_extract(&self, arguments: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let name = if registry().scalar("extract").is_some() { "extract" } else { "date_part" };
        let arguments = arguments.into_iter().map(|argument| match argument {
            Expr::Literal(ScalarValue::Utf8(Some(field)), m) => {
                Expr::Literal(ScalarValue::Utf8(Some(field.to_lowercase())), m)
            }
            other => other,
        });
        call(name, arguments.collect()).map(PlannerResult::Planned)
    }

    fn plan_substring(&self, arguments: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        call("substr", arguments).map(PlannerResult::Planned)
    }

    fn plan_overlay(&self, arguments: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        call("overlay", arguments).map(PlannerResult::Planned)
    }

    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let base = self.coercion.resolve(access.expr, schema)?;
        match access.field_access {
            GetFieldAccess::ListIndex { key } => {
                let key = self.coercion.resolve(*key, schema)?;
                call("array_element", vec![base, key]).map(PlannerResult::Planned)
            }
            GetFieldAccess::ListRange { start, stop, stride } => {
                let stop = self.coercion.resolve(*stop, schema)?;
                let start = self.coercion.resolve(*start, schema)?;
                call("array_slice", vec![base, start, stop, *stride]).map(PlannerResult::Planned)
            }
            GetFieldAccess::NamedStructField { .. } => {
                Err(failure(SqlError::unsupported("access to a field of a composite value")))
            }
        }
    }
}

fn call(name: &str, arguments: Vec<Expr>) -> Result<Expr> {
    match registry().scalar(name) {
        Some(function) => Ok(function.call(arguments)),
        None => Err(failure(SqlError::new(b"42883", format!("function {name} does not exist")))),
    }
}

fn binary(left: Expr, operator: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
}

impl Operators {
    fn binary(&self, operator: &BinaryOperator, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
        use BinaryOperator as Op;
        let compare = |op: Operator, left, right| {
            let (left, right) = self.coercion.comparable(left, &operator.to_string(), right, schema)?;
            Ok(binary(left, op, right))
        };
        let distinct = |op: Operator, left, right| {
            let (left, right) = self.coercion.comparable(left, "=", right, schema)?;
            Ok(binary(left, op, right))
        };
        match operator {
            Op::Plus => self.arithmetic("pg_add", Operator::Plus, left, right, schema),
            Op::Minus if is_json(&left, schema) => {
                let text = SqlType::new(DataType::Utf8);
                let right = self.coercion.cast_unknown(right, &text, schema)?;
                self.json("jsonb_delete", operator, left, right, schema)
            }
            Op::Minus => self.arithmetic("pg_subtract", Operator::Minus, left, right, schema),
            Op::Multiply => self.arithmetic("pg_multiply", Operator::Multiply, left, right, schema),
            Op::Divide => self.arithmetic("pg_divide", Operator::Divide, left, right, schema),
            Op::Modulo => self.arithmetic("pg_modulo", Operator::Modulo, left, right, schema),
            Op::PGExp => call("power", vec![left, right]),
            Op::Custom(name) if name == IS_DISTINCT => distinct(Operator::IsDistinctFrom, left, right),
            Op::Custom(name) if name == IS_NOT_DISTINCT => distinct(Operator::IsNotDistinctFrom, left, right),
            Op::Eq => compare(Operator::Eq, left, right),
            Op::NotEq => compare(Operator::NotEq, left, right),
            Op::Lt => compare(Operator::Lt, left, right),
            Op::LtEq => compare(Operator::LtEq, left, right),
            Op::Gt => compare(Operator::Gt, left, right),
            Op::GtEq => compare(Operator::GtEq, left, right),
            Op::And => self.logical(Operator::And, left, right, schema),
            Op::Or => self.logical(Operator::Or, left, right, schema),
            Op::StringConcat => self.concat(left, right, schema),
            Op::PGRegexMatch => self.textual(Operator::RegexMatch, operator, left, right, schema),
            Op::PGRegexIMatch => self.textual(Operator::RegexIMatch, operator, left, right, schema),
            Op::PGRegexNotMatch => self.textual(Operator::RegexNotMatch, operator, left, right, schema),
            Op::PGRegexNotIMatch => self.textual(Operator::RegexNotIMatch, operator, left, right, schema),
            Op::PGLikeMatch => self.textual(Operator::LikeMatch, operator, left, right, schema),
            Op::PGILikeMatch => self.textual(Operator::ILikeMatch, operator, left, right, schema),
            Op::PGNotLikeMatch => self.textual(Operator::NotLikeMatch, operator, left, right, schema),
            Op::PGNotILikeMatch => self.textual(Operator::NotILikeMatch, operator, left, right, schema),
            Op::BitwiseAnd => self.bits(Operator::BitwiseAnd, operator, left, right, schema),
            Op::BitwiseOr => self.bits(Operator::BitwiseOr, operator, left, right, schema),
            Op::PGBitwiseXor => self.bits(Operator::BitwiseXor, operator, left, right, schema),
            Op::PGBitwiseShiftLeft => self.bits(Operator::BitwiseShiftLeft, operator, left, right, schema),
            Op::PGBitwiseShiftRight => self.bits(Operator::BitwiseShiftRight, operator, left, right, schema),
            Op::AtArrow if is_list(&left, schema) => {
                let (left, right) = self.coercion.comparable(left, "@>", right, schema)?;
                call("array_has_all", vec![left, right])
            }
            Op::ArrowAt if is_list(&left, schema) => {
                let (left, right) = self.coercion.comparable(left, "<@", right, schema)?;
                call("array_has_all", vec![right, left])
            }
            Op::PGOverlap if is_list(&left, schema) => {
                let (left, right) = self.coercion.comparable(left, "&&", right, schema)?;
                call("array_has_any", vec![left, right])
            }
            Op::Arrow => self.json("jsonb_get", operator, left, right, schema),
            Op::LongArrow => self.json("jsonb_get_text", operator, left, right, schema),
            Op::HashArrow => self.json("jsonb_get_path", operator, left, right, schema),
            Op::HashLongArrow => self.json("jsonb_get_path_text", operator, left, right, schema),
            Op::AtArrow => self.json("jsonb_contains", operator, left, right, schema),
            Op::ArrowAt => self.json("jsonb_contained", operator, left, right, schema),
            Op::Question => self.json("jsonb_exists", operator, left, right, schema),
            Op::QuestionPipe => self.json("jsonb_exists_any", operator, left, right, schema),
            Op::QuestionAnd => self.json("jsonb_exists_all", operator, left, right, schema),
            other => Err(no_operator(&left, &other.to_string(), &right, schema)),
        }
    }

    fn arithmetic(
        &self,
        function: &str,
        operator: Operator,
        left: Expr,
        right: Expr,
        schema: &DFSchema,
    ) -> Result<Expr> {
        // A literal or parameter of unknown type is of the other side's type; beside a date or time, an interval
        // when it reads like one and a number of days else.
        let (left, right) = match (is_unknown(&left), is_unknown(&right)) {
            (true, false) => {
                let wanted = type_of(&right, schema)?.without_modifier();
                (self.coercion.cast(left, &wanted, schema)?, right)
            }
            (false, true) => {
                let wanted = type_of(&left, schema)?.without_modifier();
                (left, self.coercion.cast(right, &wanted, schema)?)
            }
            _ => (left, right),
        };
        let (left, right) = self.coercion.interval_factor(left, right, schema)?;
        for side in [&left, &right] {
            let found = type_of(side, schema)?;
            let computes = !matches!(
                found.data_type(),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Boolean | DataType::Binary | DataType::List(_)
            );
            if !computes {
                return Err(no_operator(&left, &operator.to_string(), &right, schema));
            }
        }
        let Some(function) = registry().scalar(function) else { return Ok(binary(left, operator, right)) };
        let call = function.call(vec![left.clone(), right.clone()]);
        match call.get_type(schema) {
            Ok(_) => Ok(call),
            Err(_) => Err(no_operator(&left, &operator.to_string(), &right, schema)),
        }
    }

    fn logical(&self, operator: Operator, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
        let boolean = SqlType::new(DataType::Boolean);
        let left = self.coercion.cast_unknown(left, &boolean, schema)?;
        let right = self.coercion.cast_unknown(right, &boolean, schema)?;
        for side in [&left, &right] {
            let found = type_of(side, schema)?;
            if *found.data_type() != DataType::Boolean {
                let message = format!("argument of {operator} must be type boolean, not type {}", found.name());
                let operand = match side {
                    Expr::Column(column) => Some(column.name.clone()),
                    Expr::Literal(value, _) => Some(value.to_string()),
                    _ => None,
                };
                return Err(failure(SqlError::new(b"42804", message).about_operand(operand)));
            }
        }
        Ok(binary(left, operator, right))
    }

    fn concat(&self, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
        match (is_list(&left, schema), is_list(&right, schema)) {
            (true, true) => return call("array_concat", vec![left, right]),
            (true, false) => {
                let wanted = type_of(&left, schema)?;
                let right = match wanted.element() {
                    Some(element) if is_unknown(&right) => self.coercion.cast(right, &element, schema)?,
                    _ => right,
                };
                return call("array_append", vec![left, right]);
            }
            (false, true) => return call("array_prepend", vec![left, right]),
            (false, false) => {}
        }
        // A literal of unknown type is of the other side's type.
        for wanted in [DataType::LargeUtf8, DataType::Binary] {
            let is = |e: &Expr| type_of(e, schema).is_ok_and(|t| *t.data_type() == wanted);
            if (is(&left) && is_unknown(&right)) || (is_unknown(&left) && is(&right)) || (is(&left) && is(&right)) {
                let wanted = SqlType::new(wanted);
                let left = self.coercion.cast_unknown(left, &wanted, schema)?;
                let right = self.coercion.cast_unknown(right, &wanted, schema)?;
                let function = if *wanted.data_type() == DataType::Binary { "pg_concat_bytes" } else { "jsonb_concat" };
                return call(function, vec![left, right]);
            }
        }
        let text = SqlType::new(DataType::Utf8);
        let is_text = |e: &Expr| type_of(e, schema).is_ok_and(|t| *t.data_type() == DataType::Utf8 || is_unknown(e));
        if !is_text(&left) && !is_text(&right) {
            return Err(no_operator(&left, "||", &right, schema));
        }
        let left = self.coercion.cast(left, &text, schema)?;
        let right = self.coercion.cast(right, &text, schema)?;
        Ok(binary(left, Operator::StringConcat, right))
    }

    fn textual(
        &self,
        operator: Operator,
        shown: &BinaryOperator,
        left: Expr,
        right: Expr,
        schema: &DFSchema,
    ) -> Result<Expr> {
        let text = SqlType::new(DataType::Utf8);
        let left = self.coercion.cast_unknown(left, &text, schema)?;
        let right = self.coercion.cast_unknown(right, &text, schema)?;
        for side in [&left, &right] {
            if *type_of(side, schema)?.data_type() != DataType::Utf8 {
                return Err(no_operator(&left, &shown.to_string(), &right, schema));
            }
        }
        Ok(binary(left, operator, right))
    }

    fn bits(
        &self,
        operator: Operator,
        shown: &BinaryOperator,
        left: Expr,
        right: Expr,
        schema: &DFSchema,
    ) -> Result<Expr> {
        let (left, right) = self.coercion.comparable(left, &shown.to_string(), right, schema)?;
        for side in [&left, &right] {
            if !type_of(side, schema)?.data_type().is_integer() {
                return Err(no_operator(&left, &shown.to_string(), &right, schema));
            }
        }
        Ok(binary(left, operator, right))
    }

    fn json(&self, function: &str, shown: &BinaryOperator, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
        let jsonb = SqlType::new(DataType::LargeUtf8);
        let strings = SqlType::new(DataType::Utf8).array();
        let left = if matches!(shown, BinaryOperator::ArrowAt) {
            self.coercion.cast_unknown(left, &jsonb, schema)?
        } else {
            left
        };
        let right = match shown {
            BinaryOperator::AtArrow | BinaryOperator::ArrowAt => self.coercion.cast_unknown(right, &jsonb, schema)?,
            BinaryOperator::HashArrow
            | BinaryOperator::HashLongArrow
            | BinaryOperator::QuestionPipe
            | BinaryOperator::QuestionAnd => self.coercion.cast_unknown(right, &strings, schema)?,
            _ => right,
        };
        let is_json = *type_of(&left, schema)?.data_type() == DataType::LargeUtf8;
        let Some(function) = registry().scalar(function).filter(|_| is_json) else {
            return Err(no_operator(&left, &shown.to_string(), &right, schema));
        };
        let call = function.call(vec![left.clone(), right.clone()]);
        match call.get_type(schema) {
            Ok(_) => Ok(call),
            Err(_) => Err(no_operator(&left, &shown.to_string(), &right, schema)),
        }
    }
}

fn is_json(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::LargeUtf8))
}

fn is_list(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::List(_) | DataType::LargeList(_)))
}
