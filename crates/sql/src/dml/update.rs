//! UPDATE: how the statement is carried out.

use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::logical_expr::{LogicalPlan, Projection};
use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem, TableFactor};

use super::assign::assign;
use super::row_expressions::RowExpressions;
use super::target;
use crate::bind::{Binder, Bound, from_plan_error, no_aggregate, result_schema};
use crate::{Catalog, QueryPlan, Relation, SqlError, SqlType};

/// `UPDATE`.
#[derive(Clone, Debug)]
pub struct UpdatePlan {
    /// The table.
    pub relation: Relation,
    /// The types of `$1`, `$2`, ….
    pub parameters: Vec<SqlType>,
    /// For each row to change: all columns as they are, then all columns as they shall be. NOT NULL is not checked yet.
    pub rows: QueryPlan,
    /// RETURNING, over the rows as written.
    pub returning: Option<RowExpressions>,
}

/// Plans an UPDATE.
///
/// # Errors
/// What is wrong with the statement.
pub fn plan_update(
    update: &ast::Update,
    catalog: &dyn Catalog,
    parameter_types: &[Option<SqlType>],
) -> Result<UpdatePlan, SqlError> {
    let (plan, complete) = update_once(update, catalog, parameter_types)?;
    if complete {
        return Ok(plan);
    }
    let known: Vec<_> = plan.parameters.into_iter().map(Some).collect();
    Ok(update_once(update, catalog, &known)?.0)
}

fn update_once(
    update: &ast::Update,
    catalog: &dyn Catalog,
    parameter_types: &[Option<SqlType>],
) -> Result<(UpdatePlan, bool), SqlError> {
    target::refuse_limit("UPDATE", !update.order_by.is_empty(), update.limit.is_some())?;
    let TableFactor::Table { name, alias, .. } = &update.table.relation else {
        return Err(SqlError::unsupported("UPDATE of anything but a table"));
    };
    if !update.table.joins.is_empty() {
        return Err(SqlError::syntax("UPDATE takes one table; others stand in FROM"));
    }
    let relation = target::table(name, catalog)?;
    let binder = Binder::new(catalog, parameter_types);
    let alias = alias.as_ref().map(|a| &a.name);
    let own = alias.cloned().unwrap_or_else(|| target::quoted(&relation.name));
    let (items, known) = items(update, &relation, &own)?;
    let mut from = vec![target::from_table(name, alias)?];
    match &update.from {
        None => {}
        Some(ast::UpdateTableFromKind::BeforeSet(tables) | ast::UpdateTableFromKind::AfterSet(tables)) => {
            if relation.unique_key.is_none() {
                return Err(SqlError::unsupported("UPDATE … FROM of a table without a primary key"));
            }
            from.extend(tables.iter().cloned());
        }
    }
    let query = target::select(items, from, update.selection.clone())?;
    let convert = |e| from_plan_error(&e, &query);
    let plan = target::plan_for_columns(&binder, &query, &known)?;
    let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else {
        return Err(SqlError::internal("the rows of an UPDATE are not computed from its table"));
    };
    let mut exprs = Vec::with_capacity(expr.len());
    for (expr, field) in expr.into_iter().zip(&known) {
        let name = expr.schema_name().to_string();
        exprs.push(match field {
            None => expr,
            Some(field) => {
                assign(expr.unalias(), field, binder.coercion(), input.schema()).map_err(convert)?.alias(name)
            }
        });
    }
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(&input)).map_err(convert)?);
    let plan = binder.resolve(plan).map_err(convert)?;
    let from = target::from_table(name, alias)?;
    let returning = target::returning(&binder, update.returning.as_ref(), from, &relation)?;
    let (parameters, complete) = binder.parameter_types();
    let schema = result_schema(&plan);
    let bound =
        Bound { plan, schema, parameters: parameters.clone(), named: binder.named(), options: binder.options() };
    let rows = QueryPlan::from_bound(bound)?;
    Ok((UpdatePlan { relation, parameters, rows, returning }, complete))
}

/// The old columns, then the new ones, with the table's column for each of the new.
fn items<'a>(
    update: &ast::Update,
    relation: &'a Relation,
    own: &Ident,
) -> Result<(Vec<SelectItem>, Vec<Option<&'a Field>>), SqlError> {
    let mut set = target::assignments(relation, &update.assignments)?;
    let fields = relation.columns.fields();
    let column = |name: &str| ast::Expr::CompoundIdentifier(vec![own.clone(), target::quoted(name)]);
    let named = |expr, prefix: &str, place: usize| SelectItem::ExprWithAlias {
        expr,
        alias: target::quoted(&format!("{prefix} {place}")),
    };
    let mut items: Vec<SelectItem> =
        fields.iter().enumerate().map(|(place, field)| named(column(field.name()), "old", place)).collect();
    let mut known: Vec<Option<&Field>> = vec![None; fields.len()];
    for (place, field) in fields.iter().enumerate() {
        let expr = match set.iter().position(|(p, _)| *p == place) {
            Some(n) => {
                let (_, value) = set.swap_remove(n);
                no_aggregate(&value, "UPDATE")?;
                if target::is_default(&value) { target::default_tree(relation, place)? } else { value }
            }
            None => column(field.name()),
        };
        items.push(named(expr, "new", place));
        known.push(Some(field.as_ref()));
    }
    Ok((items, known))
}
