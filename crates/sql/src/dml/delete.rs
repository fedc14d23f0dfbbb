//! DELETE: how the statement is carried out.

use datafusion::sql::sqlparser::ast::{self, SelectItem, TableFactor};

use super::row_expressions::RowExpressions;
use super::target;
use crate::bind::{Binder, Bound, from_plan_error, result_schema, rewrite_query};
use crate::{Catalog, QueryPlan, Relation, SqlError, SqlType};

/// `DELETE`.
#[derive(Clone, Debug)]
pub struct DeletePlan {
    /// The table.
    pub relation: Relation,
    /// The types of `$1`, `$2`, ….
    pub parameters: Vec<SqlType>,
    /// The rows to delete: all columns.
    pub rows: QueryPlan,
    /// RETURNING, over the rows deleted.
    pub returning: Option<RowExpressions>,
}

/// Plans a DELETE.
///
/// # Errors
/// What is wrong with the statement.
pub fn plan_delete(
    delete: &ast::Delete,
    catalog: &dyn Catalog,
    parameter_types: &[Option<SqlType>],
) -> Result<DeletePlan, SqlError> {
    let (plan, complete) = delete_once(delete, catalog, parameter_types)?;
    if complete {
        return Ok(plan);
    }
    let known: Vec<_> = plan.parameters.into_iter().map(Some).collect();
    Ok(delete_once(delete, catalog, &known)?.0)
}

fn delete_once(
    delete: &ast::Delete,
    catalog: &dyn Catalog,
    parameter_types: &[Option<SqlType>],
) -> Result<(DeletePlan, bool), SqlError> {
    let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) = &delete.from;
    target::refuse_limit("DELETE", !delete.order_by.is_empty(), delete.limit.is_some())?;
    let [table] = tables.as_slice() else { return Err(SqlError::unsupported("DELETE from several tables")) };
    let TableFactor::Table { name, alias, .. } = &table.relation else {
        return Err(SqlError::unsupported("DELETE from anything but a table"));
    };
    if !table.joins.is_empty() {
        return Err(SqlError::syntax("DELETE takes one table; others stand in USING"));
    }
    let relation = target::table(name, catalog)?;
    let binder = Binder::new(catalog, parameter_types);
    let alias = alias.as_ref().map(|a| &a.name);
    let own = alias.cloned().unwrap_or_else(|| target::quoted(&relation.name));
    let items = relation.columns.fields().iter().map(|field| {
        SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(vec![own.clone(), target::quoted(field.name())]))
    });
    // A row that matches several rows of USING is still deleted once.
    let selection = match &delete.using {
        None => delete.selection.clone(),
        Some(using) => {
            let one = SelectItem::UnnamedExpr(ast::Expr::value(ast::Value::Null));
            let subquery = Box::new(target::select(vec![one], using.clone(), delete.selection.clone())?);
            Some(ast::Expr::Exists { subquery, negated: false })
        }
    };
    let query = target::select(items.collect(), vec![target::from_table(name, alias)?], selection)?;
    let convert = |e| from_plan_error(&e, &query);
    let mut rewritten = query.clone();
    rewrite_query(&mut rewritten, binder.catalog())?;
    let plan = binder.plan_query(rewritten).map_err(convert)?;
    let plan = binder.resolve(plan).map_err(convert)?;
    let from = target::from_table(name, alias)?;
    let returning = target::returning(&binder, delete.returning.as_ref(), from, &relation)?;
    let (parameters, complete) = binder.parameter_types();
    let schema = result_schema(&plan);
    let bound =
        Bound { plan, schema, parameters: parameters.clone(), named: binder.named(), options: binder.options() };
    let rows = QueryPlan::from_bound(bound)?;
    Ok((DeletePlan { relation, parameters, rows, returning }, complete))
}
