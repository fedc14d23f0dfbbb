//! PostgreSQL's rules for types: casts, literals and parameters whose type is still unknown, and values of different
//! types that meet in a comparison, a CASE or a list.
//!
//! DataFusion's own coercion runs after this and only ever widens numbers and function arguments.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::expr::{BinaryExpr, Case, Cast, InList, InSubquery, ScalarFunction, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF, Values, WindowFunctionDefinition, when};
use functions::{CastTarget, NUMERIC, cast_udf, is_number};

use super::aggregate::{check_aggregate, check_filter, check_order, takes_own_type};
use super::canonical::canonical_type;
use super::cast_mark::{is_cast_mark, without_cast_mark};
use super::casts::can_cast;
use super::common_type::{common_type, common_value_type};
use super::conditions::is_comparison;
use super::literals::{decimal_literal, is_unknown, known_literal, no_operator, with_dimensions};
use super::order::{has_own_order, ordered};
use super::parameters::Parameters;
use super::results;
use super::retype::{is_retype, keeps_arrow_type, retype};
use super::type_name::{self, TYPE_NAME_FUNCTION};
use super::undefined::undefined_call;
use super::unifying_function::has_numerics;
use super::{Options, evaluate_constant, failure, registry};
use crate::{SqlError, SqlType};

/// Functions whose arguments all have one type.
const UNIFYING: &[&str] = &["coalesce", "greatest", "least", "nvl", "ifnull"];

/// Resolves types within one statement.
#[derive(Clone, Debug)]
pub struct Coercion {
    pub parameters: Arc<Parameters>,
    /// The catalog's functions: `regclass_in`, `regclass_out` and their like make the casts of these types.
    pub functions: Arc<HashMap<String, Arc<ScalarUDF>>>,
    /// What functions are told about the session.
    pub options: Options,
}

impl Coercion {
    /// Resolves all expressions of a plan, those of subqueries too.
    pub fn resolve_plan(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if let LogicalPlan::RecursiveQuery(query) = plan {
            return self.recursive_query(query);
        }
        let inner = |plan: LogicalPlan| self.resolve_plan(plan).map(Transformed::yes);
        let plan = plan.map_subqueries(inner)?.data.map_children(inner)?.data;
        self.resolve_node(plan).map(|t| t.data)
    }

    fn resolve_node(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let mut schema = merge_schema(&node.inputs());
        if let LogicalPlan::TableScan(scan) = &node {
            let source = scan.source.schema();
            schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &source)?);
        }
        if let LogicalPlan::Union(union) = node {
            return self.union(self.with_typed_literals(union)?).map(Transformed::yes);
        }
        if let LogicalPlan::Values(values) = node {
            return self.values(values).map(Transformed::yes);
        }
        let counts = matches!(node, LogicalPlan::Limit(_));
        let preserver = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            let mut resolved = self.resolve(expr, &schema)?;
            if counts {
                resolved = self.cast_unknown(resolved, &SqlType::new(DataType::Int64), &schema)?;
            }
            Ok(Transformed::yes(name.restore(resolved)))
        })?;
        let node = node.map_data(LogicalPlan::recompute_schema)?.data;
        Ok(Transformed::yes(node))
    }

    /// Resolves VALUES: each column has one type.
    fn values(&self, values: Values) -> Result<LogicalPlan> {
        let schema = DFSchema::empty();
        let mut columns: Vec<Vec<Expr>> = vec![Vec::with_capacity(values.values.len()); values.schema.fields().len()];
        for row in values.values {
            for (expr, column) in row.into_iter().zip(&mut columns) {
                column.push(self.resolve(expr, &schema)?);
            }
        }
        let mut fields = Vec::with_capacity(columns.len());
        for (column, (qualifier, field)) in columns.iter_mut().zip(values.schema.iter()) {
            *column = self.unify(std::mem::take(column), "VALUES", &schema)?;
            let found = match column.first() {
                Some(first) => type_of(first, &schema)?,
                None => SqlType::from_field(field),
            };
            fields.push((qualifier.cloned(), Arc::new(found.field(field.name().clone(), true))));
        }
        let schema = Arc::new(DFSchema::new_with_metadata(fields, HashMap::new())?);
        let mut rows: Vec<Vec<Expr>> = Vec::new();
        for column in columns {
            rows.resize_with(column.len(), Vec::new);
            for (row, expr) in rows.iter_mut().zip(column) {
                row.push(expr);
            }
        }
        Ok(LogicalPlan::Values(Values { schema, values: rows }))
    }

    /// Resolves an expression over columns of `schema`.
    pub fn resolve(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        expr.transform_up(|e| self.step(e, schema)).map(|t| t.data)
    }

    /// Resolves the operand of an operator, whose own operands have been resolved before.
    pub fn operand(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        match expr {
            Expr::Literal(..) | Expr::Column(_) | Expr::BinaryExpr(_) => Ok(expr),
            // Their own place in a plan takes them as they are; within an expression they can be cast.
            Expr::WindowFunction(_) | Expr::AggregateFunction(_) => {
                let expr = self.resolve(expr, schema)?;
                Ok(match canonical_type(type_of(&expr, schema)?.data_type()) {
                    Some(canonical) => Expr::Cast(Cast::new(Box::new(expr), canonical)),
                    None => expr,
                })
            }
            other => self.resolve(other, schema),
        }
    }

    fn step(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let resolved = match expr {
            Expr::Cast(cast) => self.cast_explicitly(*cast.expr, &SqlType::from_field(&cast.field), schema)?,
            Expr::Negative(operand) => match registry().scalar("pg_negate") {
                Some(negate) => negate.call(vec![*operand]),
                None => Expr::Negative(operand),
            },
            Expr::Placeholder(placeholder) if placeholder.field.is_none() => {
                match self.parameters.known(&placeholder.id)? {
                    Some(known) => self.parameters.resolve(&placeholder.id, &known)?,
                    None => return Ok(Transformed::no(Expr::Placeholder(placeholder))),
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
                let (left, right) = self.comparable(*left, &op.to_string(), *right, schema)?;
                Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
            }
            Expr::Between(between) => self.between(between, schema)?,
            Expr::InList(list) => {
                let mut all = vec![*list.expr];
                all.extend(list.list);
                let mut all = self.unify_ordered(all, "IN", schema)?.into_iter();
                let Some(first) = all.next() else { return Err(failure(SqlError::internal("an empty IN list"))) };
                Expr::InList(InList::new(Box::new(first), all.collect(), list.negated))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let (expr, subquery) = self.in_subquery(*expr, subquery, schema)?;
                Expr::InSubquery(InSubquery::new(Box::new(expr), subquery, negated))
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let (expr, subquery) = self.in_subquery(*expr, subquery, schema)?;
                Expr::SetComparison(SetComparison::new(Box::new(expr), subquery, op, quantifier))
            }
            Expr::Case(_) => self.choice(expr, schema)?,
            Expr::Like(like) => Expr::Like(self.like(like, schema)?),
            Expr::ScalarFunction(ref call) if UNIFYING.contains(&call.func.name()) => self.choice(expr, schema)?,
            Expr::ScalarFunction(call) if call.func.name() == "nullif" && call.args.len() == 2 => {
                self.nullif(call.args, schema)?
            }
            Expr::ScalarFunction(call) if is_cast_mark(&call) => without_cast_mark(call),
            // Made before the column's own type was known.
            Expr::ScalarFunction(mut call) if is_retype(&call.func) && !keeps_arrow_type(&call, schema) => {
                call.args.swap_remove(0)
            }
            Expr::ScalarFunction(call) if call.func.name() == TYPE_NAME_FUNCTION => {
                let found = match call.args.first() {
                    Some(argument) if is_unknown(argument) => "unknown".to_owned(),
                    Some(window @ Expr::WindowFunction(_)) => {
                        let found = type_of(window, schema)?;
                        let canonical = canonical_type(found.data_type()).map(SqlType::new);
                        type_name::answer(&canonical.unwrap_or(found))
                    }
                    Some(argument) => type_name::answer(&type_of(argument, schema)?),
                    None => return Ok(Transformed::no(Expr::ScalarFunction(call))),
                };
                Expr::Literal(ScalarValue::Utf8(Some(found)), None)
            }
            Expr::ScalarFunction(call) => {
                if let Some(error) = undefined_call(&call, schema) {
                    return Err(error);
                }
                let call = self.checked_call(call, schema)?;
                let call = self.with_numeric_arguments(call, schema)?;
                let wanted = results::result_type(call.func.name());
                let expr = Expr::ScalarFunction(call);
                if let Some(wanted) = wanted {
                    return self.cast(expr, &wanted, schema).map(Transformed::yes);
                }
                // A call that has no type is refused later, with the function's own words.
                match expr.get_type(schema).ok().and_then(|t| canonical_type(&t)) {
                    Some(canonical) => Expr::Cast(Cast::new(Box::new(expr), canonical)),
                    None => return Ok(Transformed::no(expr)),
                }
            }
            Expr::AggregateFunction(mut call) => {
                if takes_own_type(call.func.name())
                    && let [first, second] = call.params.args.as_mut_slice()
                    && is_unknown(second)
                {
                    let wanted = type_of(first, schema)?;
                    *second = self.cast_unknown(std::mem::take(second), &wanted, schema)?;
                }
                check_aggregate(call.func.name(), &call.params.args, schema)?;
                check_order(&call)?;
                check_filter(&call, schema)?;
                let arguments = std::mem::take(&mut call.params.args);
                call.params.args = self.aggregate_arguments(&call.func, arguments, schema)?;
                return Ok(Transformed::yes(Expr::AggregateFunction(call)));
            }
            Expr::WindowFunction(mut call) => {
                if let ("lag" | "lead", [_, _, _]) = (call.fun.name(), call.params.args.as_slice()) {
                    self.default_value(&mut call.params.args, schema)?;
                }
                if let WindowFunctionDefinition::AggregateUDF(function) = &call.fun {
                    check_aggregate(function.name(), &call.params.args, schema)?;
                    let arguments = std::mem::take(&mut call.params.args);
                    call.params.args = self.aggregate_arguments(function, arguments, schema)?;
                    // Ours doesn't know the window's order, in which the values are to be.
                    if function.name() == "array_agg" {
                        call.fun = WindowFunctionDefinition::AggregateUDF(array_agg_udaf());
                    }
                }
                return Ok(Transformed::yes(Expr::WindowFunction(call)));
            }
            other => return Ok(Transformed::no(other)),
        };
        Ok(Transformed::yes(resolved))
    }

    /// CASE, or a function that gives one of its arguments.
    fn choice(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        Ok(match expr {
            Expr::Case(case) => Expr::Case(self.case(case, schema)?),
            Expr::ScalarFunction(call) => {
                let name = call.func.name().to_uppercase();
                let arguments = self.unify(call.args, &name, schema)?;
                Expr::ScalarFunction(ScalarFunction::new_udf(call.func, arguments))
            }
            other => other,
        })
    }

    /// `nullif(a, b)`: a, unless the two are equal.
    fn nullif(&self, arguments: Vec<Expr>, schema: &DFSchema) -> Result<Expr> {
        let [first, second] = <[Expr; 2]>::try_from(arguments).map_err(|_| failure(SqlError::internal("nullif")))?;
        let own = (!is_unknown(&first)).then(|| first.clone());
        let (left, right) = self.comparable(first, "=", second, schema)?;
        let kept = own.unwrap_or_else(|| left.clone());
        let null = Expr::Literal(ScalarValue::try_from(type_of(&kept, schema)?.data_type())?, None);
        when(left.eq(right), null).otherwise(kept)
    }

    fn case(&self, case: Case, schema: &DFSchema) -> Result<Case> {
        let (mut whens, mut thens): (Vec<Expr>, Vec<Expr>) =
            case.when_then_expr.into_iter().map(|(when, then)| (*when, *then)).unzip();
        let mut operand = None;
        if case.expr.is_none() {
            let boolean = SqlType::new(DataType::Boolean);
            for when in &mut whens {
                *when = self.cast_unknown(std::mem::take(when), &boolean, schema)?;
                let found = type_of(when, schema)?;
                if !matches!(found.data_type(), DataType::Boolean | DataType::Null) {
                    let message = format!("argument of CASE/WHEN must be type boolean, not type {}", found.name());
                    return Err(failure(SqlError::new(b"42804", message)));
                }
            }
        }
        if let Some(expr) = case.expr {
            whens.insert(0, *expr);
            whens = self.unify_ordered(whens, "CASE/WHEN", schema)?;
            operand = Some(Box::new(whens.remove(0)));
        }
        let has_else = case.else_expr.is_some();
        thens.extend(case.else_expr.map(|e| *e));
        let mut thens = self.unify(thens, "CASE", schema)?;
        let else_expr = if has_else { thens.pop().map(Box::new) } else { None };
        let branches = whens.into_iter().zip(thens).map(|(when, then)| (Box::new(when), Box::new(then)));
        Ok(Case::new(operand, branches.collect(), else_expr))
    }

    /// Both sides of a comparison with types that can be compared.
    pub fn comparable(&self, left: Expr, operator: &str, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
        let left_type = type_of(&left, schema)?;
        let right_type = type_of(&right, schema)?;
        match (is_unknown(&left), is_unknown(&right)) {
            (true, false) => return Ok((self.cast(left, &right_type.without_modifier(), schema)?, right)),
            (false, true) => return Ok((left, self.cast(right, &left_type.without_modifier(), schema)?)),
            (true, true) => {
                let text = SqlType::new(DataType::Utf8);
                return Ok((self.cast(left, &text, schema)?, self.cast(right, &text, schema)?));
            }
            (false, false) => {}
        }
        let (l, r) = (left_type.data_type(), right_type.data_type());
        if l == r && has_own_order(l) {
            return Ok((ordered(left, l), ordered(right, r)));
        }
        if l == r || l.is_null() || r.is_null() {
            return Ok((left, right));
        }
        let double = SqlType::new(DataType::Float64);
        if is_number(l) && is_number(r) {
            // A float makes the comparison one of floats, as PostgreSQL prefers double precision.
            if l.is_floating() || r.is_floating() {
                return Ok((self.cast(left, &double, schema)?, self.cast(right, &double, schema)?));
            }
            let left = decimal_literal(&left).filter(|_| *r != NUMERIC).unwrap_or(left);
            let right = decimal_literal(&right).filter(|_| *l != NUMERIC).unwrap_or(right);
            let common = common_value_type(&type_of(&left, schema)?, &type_of(&right, schema)?);
            let Some(numeric) = common.filter(|common| *common.data_type() == NUMERIC) else {
                return Ok((left, right));
            };
            let (left, right) = (self.cast(left, &numeric, schema)?, self.cast(right, &numeric, schema)?);
            return Ok((ordered(left, &NUMERIC), ordered(right, &NUMERIC)));
        }
        match common_type(&left_type, &right_type) {
            Some(common) => {
                let (left, right) = (self.cast(left, &common, schema)?, self.cast(right, &common, schema)?);
                let numerics = has_numerics(common.data_type());
                let order = |side: Expr| if numerics { ordered(side, common.data_type()) } else { side };
                Ok((order(left), order(right)))
            }
            None => Err(no_operator(&left, operator, &right, schema)),
        }
    }

    /// All expressions with one type.
    pub fn unify(&self, all: Vec<Expr>, construct: &str, schema: &DFSchema) -> Result<Vec<Expr>> {
        self.unify_by(common_type, all, construct, schema)
    }

    /// All expressions with one type, which need not show the digits of numerics as they were.
    pub(super) fn unify_values(&self, all: Vec<Expr>, construct: &str, schema: &DFSchema) -> Result<Vec<Expr>> {
        let all = all.into_iter().map(|expr| decimal_literal(&expr).unwrap_or(expr)).collect();
        self.unify_by(common_value_type, all, construct, schema)
    }

    fn unify_by(
        &self,
        common_of: fn(&SqlType, &SqlType) -> Option<SqlType>,
        all: Vec<Expr>,
        construct: &str,
        schema: &DFSchema,
    ) -> Result<Vec<Expr>> {
        let mut common: Option<SqlType> = None;
        for expr in all.iter().filter(|e| !is_unknown(e)) {
            let found = type_of(expr, schema)?;
            if found.data_type().is_null() {
                continue;
            }
            common = match common {
                None => Some(found),
                Some(before) => Some(common_of(&before, &found).ok_or_else(|| {
                    let message = format!("{construct} types {} and {} cannot be matched", before.name(), found.name());
                    failure(SqlError::new(b"42804", message))
                })?),
            };
        }
        let only_unknown = common.is_none();
        let common = common.unwrap_or_else(|| SqlType::new(DataType::Utf8));
        if only_unknown && all.iter().all(|e| matches!(e, Expr::Literal(value, _) if value.is_null())) {
            return Ok(all);
        }
        all.into_iter().map(|e| self.cast(e, &common, schema)).collect()
    }

    /// All expressions with one type whose values Arrow compares as PostgreSQL does.
    fn unify_ordered(&self, all: Vec<Expr>, construct: &str, schema: &DFSchema) -> Result<Vec<Expr>> {
        let all = self.unify_values(all, construct, schema)?;
        all.into_iter().map(|e| e.get_type(schema).map(|found| ordered(e, &found))).collect()
    }

    /// The expression as it is, unless its type is unknown: then it gets the wanted one.
    pub fn cast_unknown(&self, expr: Expr, wanted: &SqlType, schema: &DFSchema) -> Result<Expr> {
        if is_unknown(&expr) { self.cast(expr, wanted, schema) } else { Ok(expr) }
    }

    /// A cast that the user wrote. `numeric` without digits keeps the digits that are there.
    fn cast_explicitly(&self, expr: Expr, target: &SqlType, schema: &DFSchema) -> Result<Expr> {
        if !is_unknown(&expr) {
            let source = type_of(&expr, schema)?;
            if !can_cast(&source, target) {
                let (source, target) = (source.without_modifier().name(), target.clone().without_modifier().name());
                let message = format!("cannot cast type {source} to {target}");
                return Err(failure(SqlError::new(b"42846", message)));
            }
        }
        if *target != SqlType::new(NUMERIC) {
            return self.cast(expr, target, schema);
        }
        let found = type_of(&expr, schema)?;
        let kept = match found.data_type() {
            DataType::Int16 => DataType::Decimal128(5, 0),
            DataType::Int32 => DataType::Decimal128(10, 0),
            DataType::Int64 => DataType::Decimal128(19, 0),
            _ => target.data_type().clone(),
        };
        self.cast(expr, &SqlType::new(kept), schema)
    }

    /// A cast to exactly this type.
    pub fn cast(&self, expr: Expr, target: &SqlType, schema: &DFSchema) -> Result<Expr> {
        let expr = match expr {
            Expr::Placeholder(p) if p.field.is_none() => self.parameters.resolve(&p.id, target)?,
            other => other,
        };
        if let Expr::Literal(value, _) = &expr
            && value.is_null()
        {
            let null = known_literal(ScalarValue::try_from(target.data_type())?);
            return Ok(if target.is_named() { retype(null, target) } else { null });
        }
        let nested;
        let target = match &expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) if target.is_array() => {
                nested = with_dimensions(target, text);
                &nested
            }
            _ => target,
        };
        let source = type_of(&expr, schema)?;
        if let Some(cast) = self.cast_registered(&expr, &source, target)? {
            return Ok(cast);
        }
        if source == *target {
            return Ok(match expr {
                Expr::Literal(value, None) => known_literal(value),
                other => other,
            });
        }
        let (length_max, digits) = (target.length_max(), target.numeric_digits());
        let cast = if source.data_type() == target.data_type() && length_max.is_none() && digits.is_none() {
            expr
        } else {
            let constant = matches!(expr, Expr::Literal(..));
            let type_name = if target.is_array() {
                format!("{}[]", target.base().display)
            } else {
                target.base().display.to_owned()
            };
            let udf = cast_udf(&CastTarget { type_name, data_type: target.data_type().clone(), length_max, digits });
            let call = udf.call(vec![expr]);
            if constant { known_literal(evaluate_constant(&call, &self.options)?) } else { call }
        };
        Ok(if target.is_named() || source.is_named() { retype(cast, target) } else { cast })
    }

    /// Casts from and to `regclass` and its like, which look into the catalog.
    fn cast_registered(&self, expr: &Expr, source: &SqlType, target: &SqlType) -> Result<Option<Expr>> {
        let (from, to) = (source.base().name, target.base().name);
        let is_text = |t: &SqlType| *t.data_type() == DataType::Utf8;
        if to.starts_with("reg") && is_text(source) && !target.is_array() {
            let call = self.call(&format!("{to}_in"), vec![expr.clone()])?;
            return Ok(Some(retype(call, target)));
        }
        if from.starts_with("reg") && is_text(target) && !source.is_array() {
            return Ok(Some(self.call(&format!("{from}_out"), vec![expr.clone()])?));
        }
        Ok(None)
    }

    fn call(&self, name: &str, arguments: Vec<Expr>) -> Result<Expr> {
        match self.functions.get(name) {
            Some(function) => Ok(function.call(arguments)),
            None => Err(failure(SqlError::new(b"42883", format!("function {name} does not exist")))),
        }
    }
}

/// The SQL type of an expression.
pub fn type_of(expr: &Expr, schema: &DFSchema) -> Result<SqlType> {
    Ok(SqlType::from_field(&expr.to_field(schema)?.1))
}
