//! Functions in FROM: their columns are named by the alias, and rows may be numbered.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, SelectItem, SetExpr, Spanned, TableAlias,
    TableAliasColumnDef, TableFactor, TableFunctionArgs, TableWithJoins, Visit, Visitor,
};

use super::operator::call;
use crate::bind::table_function::{ORDINALITY_MARK, list_function, own_columns};
use crate::{SqlError, identifier};

/// Rewrites one item of FROM.
pub fn table_factor(factor: &mut TableFactor) -> Result<(), SqlError> {
    let (TableFactor::Table { sample, .. } | TableFactor::Derived { sample, .. }) = &*factor else {
        return function_factor(factor);
    };
    if sample.is_some() {
        return Err(SqlError::unsupported("TABLESAMPLE").located(Some(factor.span().start)));
    }
    function_factor(factor)
}

fn function_factor(factor: &mut TableFactor) -> Result<(), SqlError> {
    if let TableFactor::UNNEST { array_exprs, alias, with_ordinality, with_offset: false, .. } = factor {
        let args = array_exprs.drain(..).map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
        let alias = alias.take();
        let with_ordinality = *with_ordinality;
        *factor = table_of(ObjectName::from(vec![Ident::new("unnest")]), args, alias, with_ordinality);
    }
    if let TableFactor::Table { name, alias, args: Some(_), with_ordinality, .. } = factor {
        let own = name.0.last().and_then(|p| p.as_ident()).map_or_else(|| "function".to_owned(), identifier);
        let mark = if *with_ordinality { ORDINALITY_MARK } else { "" };
        *name = ObjectName::from(vec![Ident::with_quote('"', format!("{own}{mark}"))]);
        let columns = own_columns(&own).unwrap_or_default();
        let own = Ident::with_quote('"', own);
        let alias =
            alias.get_or_insert_with(|| TableAlias { explicit: true, name: own, columns: Vec::new(), at: None });
        let named = alias.columns.len();
        alias.columns.extend(columns.iter().skip(named).map(|column| TableAliasColumnDef::from_name(*column)));
        if alias.columns.is_empty() {
            alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
        }
        if *with_ordinality && alias.columns.len() == columns.len().max(1) {
            alias.columns.push(TableAliasColumnDef { name: Ident::new("ordinality"), data_type: None });
        }
    }
    Ok(())
}

/// `LATERAL f(x)` is written as any function in FROM: whether it names columns is seen from its arguments.
fn plain_function(factor: &mut TableFactor) {
    let TableFactor::Function { name, args, with_ordinality, alias, .. } = factor else { return };
    let (name, args) = (name.clone(), std::mem::take(args));
    let (with_ordinality, alias) = (*with_ordinality, alias.take());
    *factor = table_of(name, args, alias, with_ordinality);
}

fn table_of(name: ObjectName, args: Vec<FunctionArg>, alias: Option<TableAlias>, with_ordinality: bool) -> TableFactor {
    TableFactor::Table {
        name,
        alias,
        args: Some(TableFunctionArgs { args, settings: None }),
        with_hints: Vec::new(),
        version: None,
        with_ordinality,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// Functions in FROM that name columns of what stands before them are LATERAL without the word.
pub fn lateral_functions(from: &mut [TableWithJoins]) -> Result<(), SqlError> {
    for (place, table) in from.iter_mut().enumerate() {
        let first = (place > 0).then_some(&mut table.relation);
        for factor in first.into_iter().chain(table.joins.iter_mut().map(|join| &mut join.relation)) {
            plain_function(factor);
            if is_function_of_columns(factor) {
                make_lateral(factor)?;
            }
        }
    }
    Ok(())
}

fn is_function_of_columns(factor: &TableFactor) -> bool {
    let mut columns = Columns { found: false };
    let _ = match factor {
        TableFactor::Table { args: Some(args), .. } => args.visit(&mut columns),
        TableFactor::UNNEST { array_exprs, .. } => array_exprs.visit(&mut columns),
        _ => ControlFlow::Continue(()),
    };
    columns.found
}

struct Columns {
    found: bool,
}

impl Visitor for Columns {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.found |= matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        ControlFlow::Continue(())
    }
}

/// `f(x) AS a (b)` as `LATERAL (SELECT * FROM f(x) AS a (b)) AS a`.
fn make_lateral(factor: &mut TableFactor) -> Result<(), SqlError> {
    let (TableFactor::Table { alias, .. } | TableFactor::UNNEST { alias, .. }) = &*factor else { return Ok(()) };
    let name = match (alias, &*factor) {
        (Some(alias), _) => alias.name.clone(),
        (None, TableFactor::Table { name, .. }) => {
            name.0.last().and_then(|p| p.as_ident()).cloned().unwrap_or_else(|| Ident::new("function"))
        }
        (None, _) => Ident::new("unnest"),
    };
    let mut subquery = crate::parse_query("SELECT * FROM f")?;
    if let SetExpr::Select(select) = subquery.body.as_mut()
        && let Some(table) = select.from.first_mut()
    {
        std::mem::swap(&mut table.relation, factor);
    }
    let alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    *factor = TableFactor::Derived { lateral: true, subquery: Box::new(subquery), alias, sample: None };
    Ok(())
}

/// `SELECT generate_series(1, 3)` as `SELECT unnest(…)` of an array with these items.
pub fn series_in_list(items: &mut [SelectItem]) {
    for item in items {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let Expr::Function(function) = expr else { continue };
        let last = function.name.0.last().and_then(|p| p.as_ident()).map(identifier);
        if let Some(list) = last.as_deref().and_then(list_function) {
            function.name = ObjectName::from(vec![Ident::with_quote('"', list)]);
            *expr = call("unnest", vec![expr.clone()]);
        }
    }
}
