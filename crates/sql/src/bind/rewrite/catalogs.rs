//! What clients' queries of the system catalogs have and other queries have not: the column `tableoid`, types of objects
//! that this database has none of, and partitions.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, CastKind, DataType, Expr, Ident, ObjectName, Select, TableFactor, Value, VisitMut, VisitorMut,
};

use crate::{Catalog, RelationKind, SqlError, identifier, name_parts};

/// Types that stand for objects of which there are none; their values are numbers.
const NUMBERED: &[&str] = &["regoper", "regoperator", "regprocedure", "regconfig", "regdictionary", "regcollation"];

/// The rows of `pg_partition_tree`: no relation has partitions.
const PARTITIONS: &str = "SELECT 0::oid AS relid, 0::oid AS parentrelid, false AS isleaf, 0 AS level WHERE false";

/// `c.tableoid`, where `c` is a table of the system, as that table's OID.
pub fn table_oids(select: &mut Select, catalog: &dyn Catalog) {
    let factors =
        select.from.iter().flat_map(|t| std::iter::once(&t.relation).chain(t.joins.iter().map(|j| &j.relation)));
    let mut oids = HashMap::new();
    for factor in factors {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { continue };
        let Some(relation) = catalog.resolve(&name_parts(name)).filter(|r| r.kind == RelationKind::System) else {
            continue;
        };
        let own = alias.as_ref().map_or_else(|| relation.name.clone(), |alias| identifier(&alias.name));
        if relation.columns.field_with_name("tableoid").is_err() {
            oids.insert(own, relation.id.0);
        }
    }
    if !oids.is_empty() {
        let _ = select.visit(&mut TableOids { oids });
    }
}

struct TableOids {
    oids: HashMap<String, u32>,
}

impl VisitorMut for TableOids {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [table, column] = parts.as_slice()
            && identifier(column) == "tableoid"
            && let Some(oid) = self.oids.get(&identifier(table))
        {
            let number = Expr::value(Value::Number(oid.to_string(), false));
            *expr = Expr::Cast {
                kind: CastKind::DoubleColon,
                expr: Box::new(number),
                data_type: oid_type(),
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
    }
}

fn oid_type() -> DataType {
    DataType::Custom(ObjectName::from(vec![Ident::new("oid")]), Vec::new())
}

/// `x::regoperator` as `x::oid`, unless it is a name that is looked for.
pub fn numbered_object(expr: &Expr, data_type: &mut DataType) {
    let DataType::Custom(name, _) = &*data_type else { return };
    let is_name = matches!(expr, Expr::Value(ast::ValueWithSpan { value: Value::SingleQuotedString(_), .. }));
    if !is_name && name_parts(name).last().is_some_and(|last| NUMBERED.contains(&last.as_str())) {
        *data_type = oid_type();
    }
}

/// `pg_partition_tree(x)` in FROM as a query without rows.
///
/// # Errors
/// Never: the query can be read.
pub fn partitions(factor: &mut TableFactor) -> Result<(), SqlError> {
    let TableFactor::Table { name, alias, args: Some(_), .. } = factor else { return Ok(()) };
    if name_parts(name).last().is_some_and(|last| last == "pg_partition_tree") {
        let subquery = Box::new(crate::parse_query(PARTITIONS)?);
        *factor = TableFactor::Derived { lateral: false, subquery, alias: alias.take(), sample: None };
    }
    Ok(())
}
