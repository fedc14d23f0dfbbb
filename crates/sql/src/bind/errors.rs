//! DataFusion's errors in PostgreSQL's codes and words.

use std::error::Error;
use std::ops::ControlFlow;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{self, Spanned, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Location;
use functions::PgError;

use super::registry;
use crate::{BUILTIN_TYPES, SqlError};

/// What to do about a function that does not exist.
pub const FUNCTION_HINT: &str =
    "No function matches the given name and argument types. You might need to add explicit type casts.";

/// An error of planning. A column or function that it names is looked for in the query, to tell its position.
pub fn from_plan_error(error: &DataFusionError, query: &ast::Query) -> SqlError {
    let (mut result, name) = translate(error);
    // DataFusion makes filters of both clauses.
    if let ast::SetExpr::Select(select) = query.body.as_ref()
        && select.selection.is_none()
        && select.having.is_some()
    {
        result.message = result.message.replace("argument of WHERE", "argument of HAVING");
    }
    if let Some(name) = &name
        && result.sqlstate.as_str() == "42703"
        && let Some(error) = super::whole_row::explain(query, name)
    {
        return error;
    }
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
        if let Some(error) = subscript_error(&own.message) {
            return (error, None);
        }
        return (own.clone(), subject(&own.message));
    }
    if let Some(own) = PgError::find(error) {
        if let Some(error) = subscript_error(&own.message) {
            return (error, None);
        }
        let mut result = SqlError { sqlstate: own.sqlstate, ..SqlError::internal(own.message.clone()) };
        if result.message.starts_with("function ") && result.message.ends_with(" does not exist") {
            result = result.with_hint(FUNCTION_HINT);
        }
        return (result, subject(&own.message));
    }
    match root(error) {
        DataFusionError::SchemaError(schema, _) => schema_error(schema),
        DataFusionError::NotImplemented(message) => (unsupported(&first_line(message)), None),
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

/// 0A000 for what DataFusion does not know, in words of SQL.
fn unsupported(message: &str) -> SqlError {
    let has = |text: &str| message.contains(text);
    if has("Struct not supported by ExprPlanner") {
        let hint = "Name the columns one by one; to count distinct rows, count those of SELECT DISTINCT.";
        return SqlError::unsupported("a row as a value").with_hint(hint);
    }
    if has("CreateMemoryTable") {
        return SqlError::unsupported("SELECT INTO").with_hint("Use CREATE TABLE … AS SELECT ….");
    }
    if has("Unsupported LIMIT expression") || has("Unsupported OFFSET expression") {
        let hint = "Write the number of rows, or give it as a parameter.";
        return SqlError::unsupported("a subquery in LIMIT or OFFSET").with_hint(hint);
    }
    if has("not implemented yet") && ["Query INSERT", "Query UPDATE", "Query DELETE"].iter().any(|q| has(q)) {
        let hint = "Run the statements one after the other in a transaction; RETURNING gives their rows.";
        return SqlError::unsupported("a statement that writes in WITH").with_hint(hint);
    }
    if has("does not support logical expression WindowFunction") {
        return SqlError::new(b"42P20", "window functions are not allowed in WHERE");
    }
    if has("Dot access not supported") {
        return SqlError::unsupported("taking a column out of a row");
    }
    SqlError::new(b"0A000", message)
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
    if let Some((_, rest)) = message.split_once("Cannot find column with position ") {
        let place = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        return error(b"42P10", &format!("GROUP BY position {place} is not in select list"));
    }
    if let Some((_, found)) = message.split_once("Join condition must be boolean type, but got ") {
        return error(b"42804", &format!("argument of JOIN/ON must be type boolean, not type {}", shown_type(found)));
    }
    if has("queries have different number of columns") {
        return error(b"42601", "each UNION query must have the same number of columns");
    }
    if let Some((_, rest)) = message.split_once("for comparison operation ")
        && let Some((found, _)) =
            rest.split_once(" IS DISTINCT FROM Boolean").or_else(|| rest.split_once(" IS NOT DISTINCT FROM Boolean"))
    {
        return error(b"42804", &format!("argument of IS TRUE must be type boolean, not type {}", shown_type(found)));
    }
    if has("Inconsistent data length across values list") {
        return error(b"42601", "VALUES lists must all be the same length");
    }
    if let Some((_, rest)) = message.split_once("The window ")
        && let Some((name, _)) = rest.split_once(" is not defined")
    {
        return error(b"42704", &format!("window \"{name}\" does not exist"));
    }
    if has("ByteStringLiteral(") {
        return Some(SqlError::unsupported("a bit string"));
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
    if has("subquery should only return one column") {
        return error(b"42601", "subquery must return only one column");
    }
    if has("specified more than once") && has("WITH query name") {
        return error(b"42712", message);
    }
    if let Some((_, rest)) = message.split_once("HAVING clause references: ") {
        let column = rest.split(' ').next().unwrap_or_default();
        return error(b"42803", &ungrouped(column));
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
    if let Some(error) = subscript_error(message) {
        return Some(error);
    }
    // Our own functions say it themselves, within DataFusion's words.
    if let Some((_, rest)) = message.split_once("External error: function ") {
        let (call, _) = rest.split_once(" does not exist")?;
        return Some(error(call));
    }
    let (_, rest) = message.split_once("given name and argument types '")?;
    let (call, _) = rest.split_once('\'')?;
    let (name, types) = call.trim_end_matches(')').split_once('(')?;
    let types: Vec<&str> = types.split(", ").filter(|t| !t.is_empty()).map(shown_type).collect();
    let call = format!("{name}({})", types.join(", "));
    subscript_error(&format!("function {call} does not exist")).or_else(|| Some(error(&call)))
}

/// PostgreSQL's words for a subscript, a sign or `= ANY`, which are calls for DataFusion.
fn subscript_error(message: &str) -> Option<SqlError> {
    if let Some((_, rest)) = message.split_once("function pg_negate(") {
        let (operand, _) = rest.rsplit_once(')')?;
        let hint = "No operator matches the given name and argument type. You might need to add an explicit type cast.";
        let message = format!("operator does not exist: - {operand}");
        return Some(SqlError::new(b"42883", message).with_hint(hint));
    }
    let array_functions = ["function array_has(", "function array_min(", "function array_max("];
    if let Some((_, rest)) = array_functions.iter().find_map(|name| message.split_once(name)) {
        let array = rest.split([',', ')']).next()?;
        if !array.starts_with("List") && !array.ends_with("[]") {
            return Some(SqlError::new(b"42809", super::call::NO_ARRAY));
        }
        return None;
    }
    if let Some((_, rest)) = message.split_once("function array_slice(") {
        let item = rest.split([',', ')']).next().filter(|item| !item.starts_with("List") && !item.ends_with("[]"))?;
        let message = format!("cannot subscript type {item} because it does not support subscripting");
        return Some(SqlError::new(b"42804", message));
    }
    let (_, rest) = message.split_once("function array_element(")?;
    let item = rest.split([',', ')']).next()?;
    let message = match item.starts_with("List") || item.ends_with("[]") {
        true => "array subscript must have type integer".to_owned(),
        false => format!("cannot subscript type {item} because it does not support subscripting"),
    };
    Some(SqlError::new(b"42804", message))
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
        if registry().window(&name).is_some() {
            let message = format!("window function {name} requires an OVER clause");
            return (SqlError::new(b"42809", message), Some(name));
        }
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
        .split_once("must be in GROUP BY or an aggregate function: While expanding wildcard, column \"")
        .and_then(|(_, rest)| rest.split('"').next());
    column.map_or_else(|| message.to_owned(), ungrouped)
}

fn ungrouped(column: &str) -> String {
    format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function")
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
    } else if let Some((value, target)) = uncastable(&text) {
        match target {
            // Bounds of frames are the only such numbers.
            "UInt64" => SqlError::new(b"22013", "frame starting or ending offset must not be negative"),
            _ => {
                let message = format!("invalid input syntax for type {}: \"{value}\"", shown_type(target));
                SqlError::new(b"22P02", message)
            }
        }
    } else if lower.contains("cast error") || lower.contains("cannot cast") || lower.contains("parse") {
        SqlError::new(b"22P02", text)
    } else {
        SqlError::internal(text)
    }
}

/// Text and type of `Cannot cast string 'x' to value of Int32 type`.
fn uncastable(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("Cannot cast string '")?;
    let (value, rest) = rest.split_once("' to value of ")?;
    Some((value, rest.split(" type").next().unwrap_or(rest)))
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

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let ast::SelectItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
                && let Some(ident) = name.0.last().and_then(|part| part.as_ident())
            {
                self.check(ident, name.span().start)?;
            }
        }
        ControlFlow::Continue(())
    }

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
