//! The table that a statement writes to, and queries built around it.

use arrow::datatypes::Field;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem, SetExpr, Spanned};
use std::sync::Arc;

use super::assign::assign;
use super::row_expressions::RowExpressions;
use crate::bind::{
    Binder, Coercion, failure, from_plan_error, is_unknown, result_schema, rewrite_expression, rewrite_query,
};
use crate::{Catalog, Relation, RelationKind, SqlError, SqlType, identifier, name_parts};

/// The table of this name.
pub fn table(name: &ast::ObjectName, catalog: &dyn Catalog) -> Result<Relation, SqlError> {
    let parts = name_parts(name);
    let Some(relation) = catalog.resolve(&parts) else {
        return Err(SqlError::undefined_relation(parts.join(".")).located(start_of(name)));
    };
    let kind = match relation.kind {
        RelationKind::Table => return Ok(relation),
        RelationKind::Source => "source",
        RelationKind::View { .. } => "view",
        RelationKind::MaterializedView => "materialized view",
        RelationKind::System => "system table",
    };
    let message = format!("cannot change {kind} \"{}\"", relation.name);
    Err(SqlError::new(b"42809", message).located(start_of(name)))
}

fn start_of(name: &ast::ObjectName) -> Option<datafusion::sql::sqlparser::tokenizer::Location> {
    Some(name.span().start)
}

/// The place of a column.
pub fn column_place(relation: &Relation, ident: &Ident) -> Result<usize, SqlError> {
    let name = identifier(ident);
    relation.columns.index_of(&name).map_err(|_| {
        let message = format!("column \"{name}\" of relation \"{}\" does not exist", relation.name);
        SqlError::new(b"42703", message).located(Some(ident.span.start))
    })
}

/// The places of the columns that assignments set, and the values; a column may be set once.
pub fn assignments(relation: &Relation, assignments: &[ast::Assignment]) -> Result<Vec<(usize, ast::Expr)>, SqlError> {
    let mut set: Vec<(usize, ast::Expr)> = Vec::new();
    for assignment in assignments {
        let pairs = match (&assignment.target, &assignment.value) {
            (ast::AssignmentTarget::ColumnName(name), value) => vec![(name, value.clone())],
            (ast::AssignmentTarget::Tuple(names), ast::Expr::Tuple(values)) if names.len() == values.len() => {
                names.iter().zip(values.iter().cloned()).collect()
            }
            (ast::AssignmentTarget::Tuple(_), _) => {
                return Err(SqlError::unsupported("setting several columns from a subquery"));
            }
        };
        for (name, value) in pairs {
            if let [first, _, ..] = name.0.as_slice() {
                let own = first.as_ident().map(identifier).unwrap_or_default();
                let message = format!("column \"{own}\" of relation \"{}\" does not exist", relation.name);
                return Err(SqlError::new(b"42703", message).located(Some(first.span().start)));
            }
            let Some(ident) = name.0.last().and_then(|p| p.as_ident()) else {
                return Err(SqlError::syntax("a column's name is missing"));
            };
            let place = column_place(relation, ident)?;
            if set.iter().any(|(p, _)| *p == place) {
                let message = format!("multiple assignments to same column \"{}\"", identifier(ident));
                return Err(SqlError::new(b"42601", message).located(Some(ident.span.start)));
            }
            set.push((place, value));
        }
    }
    Ok(set)
}

/// A column's DEFAULT as it stands in a statement's tree: NULL if it has none.
pub fn default_tree(relation: &Relation, place: usize) -> Result<ast::Expr, SqlError> {
    match relation.defaults.get(place).and_then(Option::as_ref) {
        Some(text) => crate::parse_expression(text),
        None => Ok(ast::Expr::value(ast::Value::Null)),
    }
}

/// Refuses what other systems have in statements that change rows: it would be no error to change more rows than were meant.
pub fn refuse_limit(statement: &str, order_by: bool, limit: bool) -> Result<(), SqlError> {
    let word = match (order_by, limit) {
        (true, _) => "ORDER BY",
        (false, true) => "LIMIT",
        (false, false) => return Ok(()),
    };
    Err(SqlError::syntax(format!("{statement} has no {word}"))
        .with_hint("Choose the rows in WHERE: key IN (SELECT key FROM … ORDER BY … LIMIT …)."))
}

/// Whether an expression is the word DEFAULT.
pub fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

/// A DEFAULT as an expression of the column's type.
pub fn default_expression(binder: &Binder<'_>, mut tree: ast::Expr, column: &Field) -> PlanResult<Expr> {
    rewrite_expression(&mut tree, binder.catalog()).map_err(failure)?;
    let schema = DFSchema::empty();
    let expr = binder.plan_expression(tree, &schema)?;
    assign(expr, column, binder.coercion(), &schema)
}

/// A quoted name.
pub fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// `SELECT items FROM from WHERE selection`.
pub fn select(
    items: Vec<SelectItem>,
    from: Vec<ast::TableWithJoins>,
    selection: Option<ast::Expr>,
) -> Result<ast::Query, SqlError> {
    let mut query = crate::parse_query("SELECT 1")?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items;
        select.from = from;
        select.selection = selection;
    }
    Ok(query)
}

/// `FROM name [AS alias]`.
pub fn from_table(name: &ast::ObjectName, alias: Option<&Ident>) -> Result<ast::TableWithJoins, SqlError> {
    let text = match alias {
        Some(alias) => format!("SELECT 1 FROM {name} AS {alias}"),
        None => format!("SELECT 1 FROM {name}"),
    };
    match *crate::parse_query(&text)?.body {
        SetExpr::Select(mut select) if select.from.len() == 1 => Ok(select.from.swap_remove(0)),
        _ => Err(SqlError::syntax("a table's name was expected")),
    }
}

/// Plans a query whose first result columns go into columns of a table: literals and parameters of unknown type get
/// the column's type.
pub fn plan_for_columns(
    binder: &Binder<'_>,
    query: &ast::Query,
    columns: &[Option<&Field>],
) -> Result<LogicalPlan, SqlError> {
    let convert = |e| from_plan_error(&e, query);
    let mut rewritten = query.clone();
    rewrite_query(&mut rewritten, binder.catalog())?;
    let plan = binder.plan_query(rewritten).map_err(convert)?;
    let plan = with_known_types(plan, columns, binder.coercion()).map_err(convert)?;
    binder.resolve(plan).map_err(convert)
}

fn with_known_types(plan: LogicalPlan, columns: &[Option<&Field>], coercion: &Coercion) -> PlanResult<LogicalPlan> {
    let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else { return Ok(plan) };
    let schema = Arc::clone(input.schema());
    let mut exprs = Vec::with_capacity(expr.len());
    for (n, expr) in expr.into_iter().enumerate() {
        let name = expr.schema_name().to_string();
        let plain = expr.clone().unalias();
        exprs.push(match columns.get(n) {
            Some(Some(field)) if is_unknown(&plain) => {
                let wanted = SqlType::from_field(field).without_modifier();
                coercion.cast(plain, &wanted, &schema)?.alias(name)
            }
            _ => expr,
        });
    }
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, input)?))
}

/// RETURNING as expressions over the table's columns.
pub fn returning(
    binder: &Binder<'_>,
    items: Option<&Vec<SelectItem>>,
    from: ast::TableWithJoins,
    relation: &Relation,
) -> Result<Option<RowExpressions>, SqlError> {
    let Some(items) = items else { return Ok(None) };
    let query = select(items.clone(), vec![from], None)?;
    let mut rewritten = query.clone();
    rewrite_query(&mut rewritten, binder.catalog())?;
    let convert = |e| from_plan_error(&e, &query);
    let plan = binder.plan_query(rewritten).map_err(convert)?;
    let plan = binder.resolve(plan).map_err(convert)?;
    let shown = result_schema(&plan);
    let (expressions, input) = over_rows(plan, relation.columns.fields().len())?;
    let named = expressions.into_iter().zip(shown.fields()).map(|(e, field)| e.unalias().alias(field.name()));
    RowExpressions::new(named.collect(), input, binder.options()).map(Some).map_err(convert)
}

/// The expressions of a plan that does nothing but compute columns from rows of `width` columns.
pub fn over_rows(plan: LogicalPlan, width: usize) -> Result<(Vec<Expr>, DFSchemaRef), SqlError> {
    let refused = || SqlError::unsupported("an aggregate, subquery or function giving rows in this place");
    let LogicalPlan::Projection(projection) = plan else { return Err(refused()) };
    let mut subquery = false;
    for expr in &projection.expr {
        let visited = expr.apply(|part| {
            subquery = subquery
                || matches!(
                    part,
                    Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
                );
            Ok(TreeNodeRecursion::Continue)
        });
        visited.map_err(|e| crate::bind::sql_error(&e))?;
    }
    let plain = matches!(
        projection.input.as_ref(),
        LogicalPlan::TableScan(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Join(_)
    );
    if subquery || !plain || projection.input.schema().fields().len() != width {
        return Err(refused());
    }
    let schema = Arc::clone(projection.input.schema());
    Ok((projection.expr, schema))
}
