//! Functions in FROM: their columns are named by the alias.

use datafusion::sql::sqlparser::ast::{Ident, TableAlias, TableAliasColumnDef, TableFactor};

use crate::SqlError;

/// Rewrites one item of FROM.
pub fn table_factor(factor: &mut TableFactor) -> Result<(), SqlError> {
    if let TableFactor::Table { name, alias, args: Some(_), .. } = factor {
        if name.0.len() == 2 {
            name.0.remove(0);
        }
        let own = name.0.last().and_then(|p| p.as_ident()).cloned().unwrap_or_else(|| Ident::new("function"));
        let alias =
            alias.get_or_insert_with(|| TableAlias { explicit: true, name: own, columns: Vec::new(), at: None });
        if alias.columns.is_empty() {
            alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
        }
    }
    Ok(())
}
