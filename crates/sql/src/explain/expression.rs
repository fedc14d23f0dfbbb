//! An expression's text: operators in their places, casts as `x::type`, and what rules put around it left out.

use std::collections::HashMap;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, Case, Like, ScalarFunction, Sort, WindowFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, WindowFrameBound, WindowFrameUnits};
use functions::NUMERIC;
use functions::aggregate::{HYPOTHETICAL_PREFIX, orders_within_group};
use functions::text_format::{Clock, write_value};

use crate::SqlType;
use crate::bind::shown_name;
use crate::window::EXCLUDE_MARK;

/// How tightly the outermost operator of a text binds: parentheses go around what binds less than its place wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Not,
    Is,
    Comparison,
    Range,
    Other,
    Sum,
    Product,
    Power,
    Sign,
    Atom,
}

impl Binding {
    /// The next tighter one.
    fn tighter(self) -> Binding {
        use Binding::{And, Atom, Comparison, Is, Not, Or, Other, Power, Product, Range, Sign, Sum};
        match self {
            Or => And,
            And => Not,
            Not => Is,
            Is => Comparison,
            Comparison => Range,
            Range => Other,
            Other => Sum,
            Sum => Product,
            Product => Power,
            Power => Sign,
            Sign | Atom => Atom,
        }
    }
}

/// Functions that stand for binary operators.
const OPERATOR_FUNCTIONS: &[(&str, &str, Binding)] = &[
    ("pg_add", "+", Binding::Sum),
    ("pg_subtract", "-", Binding::Sum),
    ("pg_multiply", "*", Binding::Product),
    ("pg_divide", "/", Binding::Product),
    ("pg_modulo", "%", Binding::Product),
    ("pg_concat", "||", Binding::Other),
    ("jsonb_get", "->", Binding::Other),
    ("jsonb_get_text", "->>", Binding::Other),
    ("jsonb_get_path", "#>", Binding::Other),
    ("jsonb_get_path_text", "#>>", Binding::Other),
    ("jsonb_contains", "@>", Binding::Other),
    ("jsonb_contained", "<@", Binding::Other),
    ("jsonb_exists", "?", Binding::Other),
];

/// Functions that the planner puts around a value without changing what it says.
const TRANSPARENT_FUNCTIONS: &[&str] = &["retype", "sort_value", "sort_text", "sort_decimal", "check_length"];

/// The texts of a plan's computed columns, by the names that the planner gives them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    computed: HashMap<String, String>,
}

impl Names {
    /// The columns that the nodes of a plan compute.
    pub fn of(plan: &LogicalPlan) -> Names {
        let mut names = Names::default();
        // The visitor gives no errors, so there are none to look at.
        let _ = names.gather(plan);
        names
    }

    fn gather(&mut self, plan: &LogicalPlan) -> Result<()> {
        // Names of nodes above may be made of the names of nodes below.
        for input in plan.inputs() {
            self.gather(input)?;
        }
        let computes = matches!(plan, LogicalPlan::Aggregate(_) | LogicalPlan::Window(_));
        plan.apply_expressions(|expr| {
            if let Expr::Alias(alias) = expr
                && computes
            {
                // The planner's name of a call whose arguments have been resolved since.
                self.computed.insert(alias.name.clone(), self.text(&alias.expr));
            }
            if !matches!(expr, Expr::Column(_) | Expr::Alias(_) | Expr::Literal(..)) {
                let text = self.text(expr);
                self.computed.insert(expr.schema_name().to_string(), text);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    /// The text of a column by the planner's name.
    pub fn column(&self, name: &str) -> String {
        self.computed.get(name).cloned().unwrap_or_else(|| shown_name(name).to_owned())
    }

    /// The text of an expression.
    pub fn text(&self, expr: &Expr) -> String {
        self.write(expr).0
    }

    /// The text of a filter's predicate, for which NULL is as good as false.
    pub fn predicate(&self, expr: &Expr) -> String {
        let conjuncts = datafusion::logical_expr::utils::split_conjunction(expr);
        let mut texts = Vec::with_capacity(conjuncts.len());
        let mut alone = Binding::Atom;
        for conjunct in conjuncts {
            let mut rest = conjunct;
            // Predicates that must be evaluated in order are nested: CASE WHEN first THEN rest ELSE false END.
            while let Some((first, then)) = in_order(rest) {
                texts.push(self.within(first, Binding::And));
                rest = then;
            }
            let (text, binding) = self.write(rest);
            alone = binding;
            texts.push(if binding < Binding::And { format!("({text})") } else { text });
        }
        match texts.as_slice() {
            [text] if alone < Binding::And => text[1..text.len() - 1].to_owned(),
            _ => texts.join(" AND "),
        }
    }

    /// The text of an ORDER BY item.
    pub fn sort(&self, sort: &Sort) -> String {
        let mut text = self.text(&sort.expr);
        if !sort.asc {
            text.push_str(" DESC");
        }
        // PostgreSQL's default: NULL is above everything.
        match (sort.asc, sort.nulls_first) {
            (true, true) => text.push_str(" NULLS FIRST"),
            (false, false) => text.push_str(" NULLS LAST"),
            _ => {}
        }
        text
    }

    pub fn list<'a>(&self, exprs: impl IntoIterator<Item = &'a Expr>) -> String {
        exprs.into_iter().map(|e| self.text(e)).collect::<Vec<_>>().join(", ")
    }

    fn sorts(&self, sorts: &[Sort]) -> String {
        sorts.iter().map(|s| self.sort(s)).collect::<Vec<_>>().join(", ")
    }

    /// The text, in parentheses if it binds less than `wanted`.
    fn within(&self, expr: &Expr, wanted: Binding) -> String {
        let (text, binding) = self.write(expr);
        if binding < wanted { format!("({text})") } else { text }
    }

    fn infix(&self, left: &Expr, sign: &str, right: &Expr, binding: Binding) -> (String, Binding) {
        // Comparisons do not chain; all others group from the left.
        let left_wants = if binding == Binding::Comparison { binding.tighter() } else { binding };
        let text = format!("{} {sign} {}", self.within(left, left_wants), self.within(right, binding.tighter()));
        (text, binding)
    }

    fn write(&self, expr: &Expr) -> (String, Binding) {
        let postfix =
            |inner: &Expr, words: &str| (format!("{} {words}", self.within(inner, Binding::Comparison)), Binding::Is);
        match expr {
            Expr::Alias(alias) => self.write(&alias.expr),
            Expr::Column(column) => (self.column_text(column), Binding::Atom),
            Expr::OuterReferenceColumn(_, column) => (self.column_text(column), Binding::Atom),
            Expr::Literal(value, _) => literal(value),
            Expr::Placeholder(placeholder) => (placeholder.id.clone(), Binding::Atom),
            Expr::BinaryExpr(binary) => {
                let (sign, binding) = operator(binary.op);
                self.infix(&binary.left, &sign, &binary.right, binding)
            }
            Expr::Not(inner) => (format!("NOT {}", self.within(inner, Binding::Not)), Binding::Not),
            Expr::Negative(inner) => (format!("-{}", self.within(inner, Binding::Atom)), Binding::Sign),
            Expr::IsNull(inner) => postfix(inner, "IS NULL"),
            Expr::IsNotNull(inner) => postfix(inner, "IS NOT NULL"),
            Expr::IsTrue(inner) => postfix(inner, "IS TRUE"),
            Expr::IsFalse(inner) => postfix(inner, "IS FALSE"),
            Expr::IsUnknown(inner) => postfix(inner, "IS UNKNOWN"),
            Expr::IsNotTrue(inner) => postfix(inner, "IS NOT TRUE"),
            Expr::IsNotFalse(inner) => postfix(inner, "IS NOT FALSE"),
            Expr::IsNotUnknown(inner) => postfix(inner, "IS NOT UNKNOWN"),
            Expr::Between(between) => {
                let not = if between.negated { "NOT " } else { "" };
                let [value, low, high] =
                    [&between.expr, &between.low, &between.high].map(|e| self.within(e, Binding::Other));
                (format!("{value} {not}BETWEEN {low} AND {high}"), Binding::Range)
            }
            Expr::InList(list) => {
                let not = if list.negated { "NOT " } else { "" };
                let value = self.within(&list.expr, Binding::Other);
                (format!("{value} {not}IN ({})", self.list(&list.list)), Binding::Range)
            }
            Expr::Like(like) => self.like(like),
            Expr::Case(case) => self.case(case),
            Expr::Cast(cast) => self.cast(&cast.expr, &SqlType::from_field(&cast.field)),
            Expr::TryCast(cast) => self.cast(&cast.expr, &SqlType::from_field(&cast.field)),
            Expr::ScalarFunction(call) => self.function(call),
            Expr::AggregateFunction(call) => (self.aggregate(call), Binding::Atom),
            Expr::WindowFunction(call) => (self.window(call), Binding::Atom),
            Expr::ScalarSubquery(_) => ("(subquery)".to_owned(), Binding::Atom),
            Expr::Exists(exists) if exists.negated => ("NOT EXISTS (subquery)".to_owned(), Binding::Not),
            Expr::Exists(_) => ("EXISTS (subquery)".to_owned(), Binding::Atom),
            Expr::InSubquery(within) => {
                let not = if within.negated { "NOT " } else { "" };
                (format!("{} {not}IN (subquery)", self.within(&within.expr, Binding::Other)), Binding::Range)
            }
            other => (other.to_string(), Binding::Atom),
        }
    }

    fn column_text(&self, column: &Column) -> String {
        match &column.relation {
            Some(relation) => format!("{}.{}", relation.table(), shown_name(&column.name)),
            None => self.column(&column.name),
        }
    }

    fn like(&self, like: &Like) -> (String, Binding) {
        let not = if like.negated { "NOT " } else { "" };
        let word = if like.case_insensitive { "ILIKE" } else { "LIKE" };
        let [value, pattern] = [&like.expr, &like.pattern].map(|e| self.within(e, Binding::Other));
        let escape = like.escape_char.map(|c| format!(" ESCAPE '{c}'")).unwrap_or_default();
        (format!("{value} {not}{word} {pattern}{escape}"), Binding::Range)
    }

    fn case(&self, case: &Case) -> (String, Binding) {
        if let Some(guarded) = guarded(case) {
            return self.write(guarded);
        }
        let mut text = "CASE".to_owned();
        if let Some(operand) = &case.expr {
            text.push_str(&format!(" {}", self.text(operand)));
        }
        for (when, then) in &case.when_then_expr {
            text.push_str(&format!(" WHEN {} THEN {}", self.text(when), self.text(then)));
        }
        if let Some(otherwise) = &case.else_expr {
            text.push_str(&format!(" ELSE {}", self.text(otherwise)));
        }
        (text + " END", Binding::Atom)
    }

    fn cast(&self, inner: &Expr, target: &SqlType) -> (String, Binding) {
        (format!("{}::{}", self.within(inner, Binding::Atom), target.name()), Binding::Atom)
    }

    fn function(&self, call: &ScalarFunction) -> (String, Binding) {
        let name = call.func.name();
        match call.args.as_slice() {
            [inner] if TRANSPARENT_FUNCTIONS.contains(&name) => return self.write(inner),
            [inner] if name == "pg_negate" => {
                return (format!("-{}", self.within(inner, Binding::Atom)), Binding::Sign);
            }
            [inner] if name.starts_with("pg_cast_") => {
                if let Ok(target) = call.func.return_type(&[]) {
                    return self.cast(inner, &SqlType::new(target));
                }
            }
            [array, value] if name == "array_has" => {
                let value = self.within(value, Binding::Other);
                return (format!("{value} = ANY ({})", self.text(array)), Binding::Comparison);
            }
            [left, right] => {
                if let Some((_, sign, binding)) = OPERATOR_FUNCTIONS.iter().find(|(function, ..)| *function == name) {
                    return self.infix(left, sign, right, *binding);
                }
            }
            _ => {}
        }
        let arguments = self.list(&call.args);
        match name {
            "make_array" => (format!("ARRAY[{arguments}]"), Binding::Atom),
            name => (format!("{name}({arguments})"), Binding::Atom),
        }
    }

    /// An aggregate as it is written; `count(*)` is planned as the count of a literal.
    fn aggregate(&self, call: &AggregateFunction) -> String {
        let params = &call.params;
        let name = call.func.name();
        let counts_rows = name == "count"
            && !params.distinct
            && matches!(params.args.as_slice(), [Expr::Literal(value, _)] if !value.is_null());
        let arguments = params.args.iter().map(|argument| unfiltered(argument, params.filter.as_deref()));
        let arguments = if counts_rows { "*".to_owned() } else { self.list(arguments) };
        let distinct = if params.distinct { "DISTINCT " } else { "" };
        let order = match params.order_by.as_slice() {
            [] => String::new(),
            sorts => format!(" ORDER BY {}", self.sorts(sorts)),
        };
        let filter = match &params.filter {
            Some(filter) => format!(" FILTER (WHERE {})", self.predicate(filter)),
            None => String::new(),
        };
        if orders_within_group(name) && !params.order_by.is_empty() {
            // The planner has put what is sorted in front of the arguments.
            let direct = self.list(params.args.iter().skip(1));
            let name = name.strip_prefix(HYPOTHETICAL_PREFIX).unwrap_or(name);
            return format!("{name}({direct}) WITHIN GROUP ({}){filter}", order.trim_start());
        }
        format!("{name}({distinct}{arguments}{order}){filter}")
    }

    fn window(&self, call: &WindowFunction) -> String {
        let params = &call.params;
        let name = call.fun.name();
        let counts_rows = name == "count" && matches!(params.args.as_slice(), [Expr::Literal(..)]);
        let arguments = if counts_rows { "*".to_owned() } else { self.list(&params.args) };
        let mut over = Vec::new();
        let exclusion = |expr: &Expr| match expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) if text.starts_with(EXCLUDE_MARK) => {
                Some(text.to_uppercase())
            }
            _ => None,
        };
        let partition: Vec<&Expr> = params.partition_by.iter().filter(|expr| exclusion(expr).is_none()).collect();
        if !partition.is_empty() {
            over.push(format!("PARTITION BY {}", self.list(partition)));
        }
        if !params.order_by.is_empty() {
            over.push(format!("ORDER BY {}", self.sorts(&params.order_by)));
        }
        let frame = &params.window_frame;
        let is_default = matches!(&frame.start_bound, WindowFrameBound::Preceding(offset) if offset.is_null())
            && match &frame.end_bound {
                WindowFrameBound::CurrentRow => frame.units == WindowFrameUnits::Range,
                WindowFrameBound::Following(offset) => offset.is_null() && params.order_by.is_empty(),
                WindowFrameBound::Preceding(_) => false,
            };
        if !is_default {
            over.push(frame.to_string());
        }
        over.extend(params.partition_by.iter().find_map(exclusion));
        let filter = match &params.filter {
            Some(filter) => format!(" FILTER (WHERE {})", self.predicate(filter)),
            None => String::new(),
        };
        format!("{name}({arguments}){filter} OVER ({})", over.join(" "))
    }
}

/// The parts of `CASE WHEN first THEN rest ELSE false END`.
fn in_order(expr: &Expr) -> Option<(&Expr, &Expr)> {
    let Expr::Case(case) = expr else { return None };
    let [(first, rest)] = case.when_then_expr.as_slice() else { return None };
    let otherwise_false =
        matches!(case.else_expr.as_deref(), Some(Expr::Literal(ScalarValue::Boolean(Some(false)), _)));
    (case.expr.is_none() && otherwise_false && guarded(case).is_none()).then_some((first, rest))
}

/// The argument of an aggregate that `rules::guard` has put a CASE on the aggregate's filter around.
fn unfiltered<'a>(argument: &'a Expr, filter: Option<&Expr>) -> &'a Expr {
    match (argument, filter) {
        (Expr::Case(case), Some(filter)) if case.expr.is_none() && case.else_expr.is_none() => {
            match case.when_then_expr.as_slice() {
                [(when, then)] if when.as_ref() == filter => then,
                _ => argument,
            }
        }
        _ => argument,
    }
}

/// The AND or OR that `rules::guard` has put a CASE around.
fn guarded(case: &Case) -> Option<&Expr> {
    let [(when, then)] = case.when_then_expr.as_slice() else { return None };
    let Some(whole @ Expr::BinaryExpr(binary)) = case.else_expr.as_deref() else { return None };
    let settled = match (when.as_ref(), binary.op) {
        (Expr::IsFalse(left), Operator::And) | (Expr::IsTrue(left), Operator::Or) => **left == *binary.left,
        _ => false,
    };
    let answers = matches!(then.as_ref(), Expr::Literal(ScalarValue::Boolean(Some(_)), _));
    (case.expr.is_none() && settled && answers).then_some(whole)
}

fn operator(operator: Operator) -> (String, Binding) {
    let sign = match operator {
        Operator::NotEq => "<>".to_owned(),
        Operator::BitwiseXor => "#".to_owned(),
        other => other.to_string(),
    };
    let binding = match operator {
        Operator::Or => Binding::Or,
        Operator::And => Binding::And,
        Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => Binding::Is,
        Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
            Binding::Comparison
        }
        Operator::Plus | Operator::Minus => Binding::Sum,
        Operator::Multiply | Operator::Divide | Operator::Modulo => Binding::Product,
        _ => Binding::Other,
    };
    (sign, binding)
}

/// A literal: numbers as they are written, everything else in quotes with its type unless that is text.
fn literal(value: &ScalarValue) -> (String, Binding) {
    let data_type = value.data_type();
    if value.is_null() {
        return ("NULL".to_owned(), Binding::Atom);
    }
    let mut text = String::new();
    match value.to_array() {
        Ok(array) => write_value(array.as_ref(), 0, &Clock::default(), &mut text),
        Err(_) => text = value.to_string(),
    }
    if let ScalarValue::Boolean(Some(value)) = value {
        return (value.to_string(), Binding::Atom);
    }
    let exact = data_type.is_integer()
        || matches!(data_type, arrow::datatypes::DataType::Decimal128(..))
        || data_type == NUMERIC;
    if exact {
        let binding = if text.starts_with('-') { Binding::Sign } else { Binding::Atom };
        return (text, binding);
    }
    let quoted = format!("'{}'", text.replace('\'', "''"));
    match SqlType::new(data_type) {
        text if *text.data_type() == arrow::datatypes::DataType::Utf8 => (quoted, Binding::Atom),
        other => (format!("{quoted}::{}", other.name()), Binding::Atom),
    }
}
