//! DataFusion's errors in PostgreSQL's codes and words.

use std::error::Error;
use std::ops::ControlFlow;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{self, Spanned, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Location;
use functions::PgError;

use crate::{BUILTIN_TYPES, SqlError};

const FUNCTION_HINT: &str =
    "No function matches the given name and argument types. You might need to add explicit type casts.";

/// An error of planning. A column or function that it names is looked for in the query, to tell its position.
pub fn from_plan_error(error: &DataFusionError, query: &ast::Query) -> SqlError {
    let (mut result, name) = translate(error);
    if result.position.is_none()
        && let Some(name) = name
    {
        let mut finder = Finder { name: &name, location: None };
        let _ = query.visit(&mut finder);
        result = result.located(finder.location);
    }
    result
}

/// An error of a run.
pub fn sql_error(error: &DataFusionError) -> SqlError {
    translate(error).0
}

/// The error, and the name of a column or function that it is about.
fn translate(error: &DataFusionError) -> (SqlError, Option<String>) {
    if let Some(own) = find::<SqlError>(error) {
        return (own.clone(), subject(&own.message));
    }
    if let Some(own) = PgError::find(error) {
        let mut result = SqlError { sqlstate: own.sqlstate, ..SqlError::internal(own.message.clone()) };
        if result.message.starts_with("function ") && result.message.ends_with(" does not exist") {
            result = result.with_hint(FUNCTION_HINT);
        }
        return (result, subject(&own.message));
    }
    match root(error) {
        DataFusionError::SchemaError(schema, _) => schema_error(schema),
        DataFusionError::NotImplemented(message) => (SqlError::new(b"0A000", first_line(message)), None),
        DataFusionError::Plan(message) => plan_error(message),
        DataFusionError::ResourcesExhausted(message) => {
            (SqlError::new(b"53200", "out of memory").with_detail(first_line(message)), None)
        }
        DataFusionError::ArrowError(arrow, _) => (arrow_error(&arrow.to_string()), None),
        DataFusionError::SQL(parser, _) => (SqlError::syntax(parser.to_string()), None),
        DataFusionError::Execution(message) => (execution_error(message), None),
        other => (SqlError::internal(first_line(&other.strip_backtrace())), None),
    }
}

fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(inner) => inner.first().map_or(error, root),
        DataFusionError::External(inner) => inner.downcast_ref::<DataFusionError>().map_or(error, root),
        other => other,
    }
}

/// An error of this type, however deep it is wrapped.
fn find<T: Error + 'static>(error: &DataFusionError) -> Option<&T> {
    let mut source: Option<&(dyn Error + 'static)> = match root(error) {
        DataFusionError::External(inner) => Some(inner.as_ref()),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            arrow::error::ArrowError::ExternalError(inner) => Some(inner.as_ref()),
            _ => None,
        },
        _ => None,
    };
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(inner) = cause.downcast_ref::<DataFusionError>() {
            return find(inner);
        }
        source = cause.source();
    }
    None
}

fn schema_error(error: &SchemaError) -> (SqlError, Option<String>) {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            if let Some(relation) = &field.relation {
                let table = relation.table();
                let known = valid_fields.iter().filter_map(|f| f.relation.as_ref()).any(|r| r.table() == table);
                if !known {
                    return (missing_from(table), Some(table.to_owned()));
                }
            }
            let name = field.flat_name();
            let shown = match &field.relation {
                Some(relation) => format!("column {}.{} does not exist", relation.table(), field.name),
                None => format!("column \"{name}\" does not exist"),
            };
            (SqlError::new(b"42703", shown), Some(field.name.clone()))
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!("column reference \"{}\" is ambiguous", field.name);
            (SqlError::new(b"42702", message), Some(field.name.clone()))
        }
        SchemaError::DuplicateQualifiedField { qualifier, .. } => {
            let message = format!("table name \"{}\" specified more than once", qualifier.table());
            (SqlError::new(b"42712", message), None)
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            (SqlError::new(b"42701", format!("column \"{name}\" specified more than once")), None)
        }
    }
}

/// 42P01: a table that a query names outside of FROM only.
fn missing_from(table: &str) -> SqlError {
    SqlError::new(b"42P01", format!("missing FROM-clause entry for table \"{table}\""))
}

/// The SQL name of a type that DataFusion's message shows.
fn shown_type(shown: &str) -> &str {
    let shown = shown.trim();
    BUILTIN_TYPES.iter().find(|b| b.arrow_name() == shown).map_or(shown, |b| b.display)
}

/// Errors whose words DataFusion chooses, in PostgreSQL's.
fn known_error(message: &str) -> Option<SqlError> {
    let has = |text: &str| message.contains(text);
    let error = |code: &[u8; 5], text: &str| Some(SqlError::new(code, text));
    if has("Aggregate functions are not allowed in the WHERE clause") {
        return error(b"42803", "aggregate functions are not allowed in WHERE");
    }
    if has("Aggregate function calls cannot be nested") {
        return error(b"42803", "aggregate function calls cannot be nested");
    }
    if has("GROUPS requires an ORDER BY clause") {
        return error(b"42P20", "GROUPS mode requires an ORDER BY clause");
    }
    if has("Window function") && has("nested") {
        return error(b"42P20", "window function calls cannot be nested");
    }
    if let Some((_, found)) = message.split_once("Unary operator 'NOT' requires a boolean expression, got ") {
        return error(b"42804", &format!("argument of NOT must be type boolean, not type {}", shown_type(found)));
    }
    if has("Cannot create filter with non-boolean predicate") {
        let found = shown_type(message.rsplit("returning ").next().unwrap_or("unknown"));
        return error(b"42804", &format!("argument of WHERE must be type boolean, not type {found}"));
    }
    if has("Order by column out of bounds") || has("Order by index starts at 1") {
        let place = message.split(|c: char| !c.is_ascii_digit()).find(|d| !d.is_empty()).unwrap_or("0");
        return error(b"42P10", &format!("ORDER BY position {place} is not in select list"));
    }
    if has("Cannot find column with position") {
        return error(b"42P10", "GROUP BY position is not in select list");
    }
    if has("LIMIT must be >= 0") {
        return error(b"2201W", "LIMIT must not be negative");
    }
    if has("OFFSET must be >=") {
        return error(b"2201X", "OFFSET must not be negative");
    }
    if has("DISTINCT ON expressions must match") {
        return error(b"42P10", "SELECT DISTINCT ON expressions must match initial ORDER BY expressions");
    }
    if has("For SELECT DISTINCT, ORDER BY expressions") {
        return error(b"42P10", "for SELECT DISTINCT, ORDER BY expressions must appear in select list");
    }
    if has("names given as column alias") {
        return error(b"42P10", message);
    }
    if has("Scalar subquery should only return one column") {
        return error(b"42601", "subquery must return only one column");
    }
    if has("specified more than once") && has("WITH query name") {
        return error(b"42712", message);
    }
    if has("HAVING clause references") {
        return error(b"42803", message);
    }
    if has("Unary operator '") {
        return error(b"42883", message);
    }
    no_such_call(message)
}

/// 42883 in PostgreSQL's words for a call whose arguments DataFusion has no form of the function for.
fn no_such_call(message: &str) -> Option<SqlError> {
    let error =
        |call: &str| SqlError::new(b"42883", format!("function {call} does not exist")).with_hint(FUNCTION_HINT);
    // Our own functions say it themselves, within DataFusion's words.
    if let Some((_, rest)) = message.split_once("External error: function ") {
        let (call, _) = rest.split_once(" does not exist")?;
        return Some(error(call));
    }
    let (_, rest) = message.split_once("given name and argument types '")?;
    let (call, _) = rest.split_once('\'')?;
    let (name, types) = call.trim_end_matches(')').split_once('(')?;
    let types: Vec<&str> = types.split(", ").filter(|t| !t.is_empty()).map(shown_type).collect();
    Some(error(&format!("{name}({})", types.join(", "))))
}

fn plan_error(message: &str) -> (SqlError, Option<String>) {
    if let Some(parts) = message.split_once("could not parse compound identifier from [\"").map(|(_, parts)| parts) {
        let table = parts.split('"').next().unwrap_or_default();
        return (missing_from(table), Some(table.to_owned()));
    }
    let message = first_line(message);
    if let Some(error) = known_error(&message) {
        return (error, None);
    }
    if let Some(table) = message.strip_prefix("Invalid qualifier ") {
        return (missing_from(table), Some(table.to_owned()));
    }
    if let Some(rest) = message.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or(rest).to_owned();
        let error = SqlError::new(b"42883", format!("function {name} does not exist")).with_hint(FUNCTION_HINT);
        return (error, Some(name));
    }
    let has = |text: &str| message.contains(text);
    let code = if has("must appear in the GROUP BY") || has("could not be resolved from available columns") {
        b"42803"
    } else if has("No function matches") || has("Failed to coerce arguments") || has("Function '") {
        b"42883"
    } else if has("must be boolean") || has("boolean type") || has("coerce") || has("Incompatible inputs") {
        b"42804"
    } else if has("same number of columns") || has("unequal") {
        b"42601"
    } else if has("Invalid placeholder") {
        b"42P02"
    } else {
        b"42601"
    };
    (SqlError::new(code, grouping_message(&message)), None)
}

/// PostgreSQL's words for a column that is not grouped.
fn grouping_message(message: &str) -> String {
    let column = message
        .strip_prefix(
            "Column in SELECT must be in GROUP BY or an aggregate function: While expanding wildcard, column \"",
        )
        .and_then(|rest| rest.split('"').next());
    match column {
        Some(column) => {
            format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function")
        }
        None => message.to_owned(),
    }
}

fn arrow_error(message: &str) -> SqlError {
    let text = first_line(message);
    let lower = text.to_lowercase();
    if text.contains("Regular expression did not compile") {
        SqlError::new(b"2201B", "invalid regular expression").with_detail(text)
    } else if lower.contains("divide by zero") {
        SqlError::new(b"22012", "division by zero")
    } else if lower.contains("overflow") || lower.contains("too large to store") || lower.contains("out of range") {
        SqlError::new(b"22003", text)
    } else if lower.contains("cast error") || lower.contains("cannot cast") || lower.contains("parse") {
        SqlError::new(b"22P02", text)
    } else {
        SqlError::internal(text)
    }
}

fn execution_error(message: &str) -> SqlError {
    let text = first_line(message);
    if text.to_lowercase().contains("scalar subquery") && text.contains("more than one row") {
        return SqlError::new(b"21000", "more than one row returned by a subquery used as an expression");
    }
    if text.contains("Regular expression did not compile") || text.contains("regex parse error") {
        return SqlError::new(b"2201B", "invalid regular expression").with_detail(text);
    }
    if text.contains("step can't be 0") {
        return SqlError::new(b"22023", "step size cannot equal zero");
    }
    if text.contains("does not support escape_char") {
        return SqlError::unsupported("an escape other than a backslash with a pattern that is not a literal");
    }
    SqlError::new(b"22000", text)
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or(message).to_owned()
}

/// What a message of PostgreSQL's form is about: a name in quotes, or a function with its arguments' types.
fn subject(message: &str) -> Option<String> {
    if let Some((name, _)) = message.strip_prefix("function ").and_then(|rest| rest.split_once('(')) {
        return Some(name.to_owned());
    }
    message.split('"').nth(1).map(str::to_owned)
}

/// Looks for the first place where a query mentions a name.
struct Finder<'a> {
    name: &'a str,
    location: Option<Location>,
}

impl Finder<'_> {
    fn check(&mut self, ident: &ast::Ident, start: Location) -> ControlFlow<()> {
        if crate::identifier(ident) == self.name && start.line > 0 {
            self.location = Some(start);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ast::ObjectName) -> ControlFlow<()> {
        let parts = crate::name_parts(relation);
        let whole = parts.join(".") == self.name || parts.last().is_some_and(|p| p == self.name);
        let start = relation.span().start;
        if whole && start.line > 0 {
            self.location = Some(start);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::Identifier(ident) => self.check(ident, ident.span.start),
            ast::Expr::CompoundIdentifier(idents) => {
                let start = idents.first().map_or(Location::empty(), |i| i.span.start);
                if idents.len() > 1 {
                    self.check(&idents[0], start)?;
                }
                idents.last().map_or(ControlFlow::Continue(()), |ident| self.check(ident, start))
            }
            ast::Expr::Function(function) => {
                let ident = function.name.0.last().and_then(|p| p.as_ident());
                ident.map_or(ControlFlow::Continue(()), |ident| self.check(ident, function.name.span().start))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
