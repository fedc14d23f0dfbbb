//! `pg_foreign_table`: sources, with their options.

use super::pg_foreign_data_wrapper::oid;
use super::{CatalogTable, Rows, Snapshot, Value};
use crate::catalog::Kind;

/// `pg_foreign_table`.
pub static TABLE: CatalogTable =
    CatalogTable::table(3118, "pg_foreign_table", "ftrelid oid, ftserver oid, ftoptions _text?", rows);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (class, definition) in snapshot.relations() {
        let Kind::Source { connector, options, .. } = &definition.kind else { continue };
        let Some(place) = connectors::CONNECTORS.iter().position(|known| known.name == connector) else { continue };
        let options: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        rows.add([("ftrelid", class.oid.into()), ("ftserver", oid(place).into()), ("ftoptions", Value::from(options))]);
    }
}
