//! Functions in FROM: their columns are named by the alias, and rows may be numbered.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, SelectItem, TableAlias, TableAliasColumnDef, TableFactor,
    TableFunctionArgs,
};

use super::operator::call;
use crate::bind::table_function::{OPTION_COLUMNS, OPTIONS_FUNCTION, ORDINALITY_MARK};
use crate::{SqlError, identifier};

/// Rewrites one item of FROM.
pub fn table_factor(factor: &mut TableFactor) -> Result<(), SqlError> {
    if let TableFactor::UNNEST { array_exprs, alias, with_ordinality, with_offset: false, .. } = factor {
        let args = array_exprs.drain(..).map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
        let alias = alias.take();
        let with_ordinality = *with_ordinality;
        *factor = TableFactor::Table {
            name: ObjectName::from(vec![Ident::new("unnest")]),
            alias,
            args: Some(TableFunctionArgs { args, settings: None }),
            with_hints: Vec::new(),
            version: None,
            with_ordinality,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        };
    }
    if let TableFactor::Table { name, alias, args: Some(_), with_ordinality, .. } = factor {
        let own = name.0.last().and_then(|p| p.as_ident()).map_or_else(|| "function".to_owned(), identifier);
        let mark = if *with_ordinality { ORDINALITY_MARK } else { "" };
        *name = ObjectName::from(vec![Ident::with_quote('"', format!("{own}{mark}"))]);
        let is_options = own == OPTIONS_FUNCTION;
        let own = Ident::with_quote('"', own);
        let alias =
            alias.get_or_insert_with(|| TableAlias { explicit: true, name: own, columns: Vec::new(), at: None });
        if alias.columns.is_empty() && is_options {
            let columns = OPTION_COLUMNS.iter().map(|column| TableAliasColumnDef::from_name(*column));
            alias.columns.extend(columns);
        }
        if alias.columns.is_empty() {
            alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
        }
        if *with_ordinality && alias.columns.len() == 1 {
            alias.columns.push(TableAliasColumnDef { name: Ident::new("ordinality"), data_type: None });
        }
    }
    Ok(())
}

/// `SELECT generate_series(1, 3)` as `SELECT unnest(…)` of an array with these items.
pub fn series_in_list(items: &mut [SelectItem]) {
    for item in items {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let Expr::Function(function) = expr else { continue };
        let last = function.name.0.last().and_then(|p| p.as_ident()).map(identifier);
        if last.as_deref() == Some("generate_series") {
            *expr = call("unnest", vec![expr.clone()]);
        }
    }
}
