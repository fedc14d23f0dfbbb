//! PostgreSQL's system catalogs, as clients read them: pg_class, pg_attribute, pg_type, ….
//!
//! Each is a `CatalogTable`: its columns as a text, and a function that makes its rows from a `Snapshot` of the
//! catalog whenever it is read. Columns, names and OIDs are those of PostgreSQL 15; `TABLES` is the list of them.

mod rows;
mod snapshot;
mod value;

pub mod functions;

mod pg_am;
mod pg_attrdef;
pub mod pg_attribute;
mod pg_authid;
mod pg_class;
mod pg_collation;
mod pg_constraint;
mod pg_database;
mod pg_depend;
mod pg_description;
mod pg_extension;
mod pg_foreign_data_wrapper;
mod pg_foreign_server;
mod pg_foreign_table;
mod pg_index;
mod pg_indexes;
mod pg_language;
mod pg_matviews;
mod pg_namespace;
mod pg_proc;
mod pg_rewrite;
mod pg_roles;
mod pg_settings;
mod pg_stat_activity;
mod pg_stat_user_tables;
mod pg_tables;
mod pg_tablespace;
mod pg_type;
mod pg_user;
mod pg_views;
mod without_rows;

use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use sql::SqlType;

pub use rows::Rows;
pub use snapshot::{Class, DATABASE_OWNER, OWNER_OID, Snapshot};
pub use value::Value;

use crate::DatabaseError;
use crate::session::SessionFacts;
use crate::system_tables::SystemTable;

/// The catalogs that have rows.
static TABLES: &[&CatalogTable] = &[
    &pg_am::TABLE,
    &pg_attrdef::TABLE,
    &pg_attribute::TABLE,
    &pg_authid::TABLE,
    &pg_class::TABLE,
    &pg_collation::TABLE,
    &pg_constraint::TABLE,
    &pg_database::TABLE,
    &pg_depend::TABLE,
    &pg_description::TABLE,
    &pg_extension::TABLE,
    &pg_foreign_data_wrapper::TABLE,
    &pg_foreign_server::TABLE,
    &pg_foreign_table::TABLE,
    &pg_index::TABLE,
    &pg_indexes::TABLE,
    &pg_language::TABLE,
    &pg_matviews::TABLE,
    &pg_namespace::TABLE,
    &pg_proc::TABLE,
    &pg_rewrite::TABLE,
    &pg_roles::TABLE,
    &pg_settings::TABLE,
    &pg_stat_activity::TABLE,
    &pg_stat_user_tables::TABLE,
    &pg_tables::TABLE,
    &pg_tablespace::TABLE,
    &pg_type::TABLE,
    &pg_user::TABLE,
    &pg_views::TABLE,
];

/// Every relation of the schema `pg_catalog`.
pub fn tables() -> impl Iterator<Item = &'static CatalogTable> {
    TABLES.iter().chain(without_rows::TABLES).copied()
}

/// A system catalog.
pub struct CatalogTable {
    oid: u32,
    schema: &'static str,
    name: &'static str,
    is_view: bool,
    columns: &'static str,
    rows: fn(&Snapshot, &mut Rows),
    schema_cell: OnceLock<SchemaRef>,
}

/// The rows of a catalog that has none.
pub fn no_rows(_: &Snapshot, _: &mut Rows) {}

impl CatalogTable {
    /// A table of pg_catalog. `columns` are names and types, separated by commas; a type that ends in `?` can be
    /// NULL.
    pub const fn table(
        oid: u32,
        name: &'static str,
        columns: &'static str,
        rows: fn(&Snapshot, &mut Rows),
    ) -> CatalogTable {
        CatalogTable { oid, schema: "pg_catalog", name, is_view: false, columns, rows, schema_cell: OnceLock::new() }
    }

    /// A relation of pg_catalog that is a view in PostgreSQL.
    pub const fn view(
        oid: u32,
        name: &'static str,
        columns: &'static str,
        rows: fn(&Snapshot, &mut Rows),
    ) -> CatalogTable {
        CatalogTable { oid, schema: "pg_catalog", name, is_view: true, columns, rows, schema_cell: OnceLock::new() }
    }

    /// The same in another schema.
    pub const fn in_schema(mut self, schema: &'static str) -> CatalogTable {
        self.schema = schema;
        self
    }
}

impl SystemTable for CatalogTable {
    fn oid(&self) -> u32 {
        self.oid
    }

    fn schema(&self) -> &'static str {
        self.schema
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn is_view(&self) -> bool {
        self.is_view
    }

    fn columns(&self) -> SchemaRef {
        Arc::clone(self.schema_cell.get_or_init(|| Arc::new(schema_of(self.columns))))
    }

    fn rows(&self, session: &SessionFacts) -> Result<RecordBatch, DatabaseError> {
        let mut rows = Rows::new(self.columns());
        (self.rows)(&Snapshot::new(session.clone()), &mut rows);
        rows.finish()
    }
}

fn schema_of(columns: &str) -> Schema {
    let fields: Vec<Field> = columns
        .split(',')
        .map(|column| {
            let (name, type_name) = column.trim().split_once(' ').unwrap_or((column, "text"));
            let nullable = type_name.ends_with('?');
            let found = SqlType::from_name(type_name.trim_end_matches('?'));
            debug_assert!(found.is_some(), "the type of {column}");
            let found = found.unwrap_or_else(|| SqlType::new(arrow::datatypes::DataType::Utf8));
            found.field(name, nullable)
        })
        .collect();
    Schema::new(fields)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::system_tables::system_tables;
    use crate::{ConnectOptions, Instance, InstanceOptions};

    #[test]
    fn every_catalog_can_be_read() {
        let instance =
            Instance::open(InstanceOptions { worker_count: 1, ..InstanceOptions::default() }).expect("opens");
        let options =
            ConnectOptions { database: "keyfold".to_owned(), user: "keyfold".to_owned(), settings: Vec::new() };
        let session = instance.connect(options).expect("connects");
        let mut seen = BTreeSet::new();
        for table in system_tables() {
            let rows = table.rows(&session.facts());
            let rows = rows.unwrap_or_else(|error| panic!("{}.{}: {error}", table.schema(), table.name()));
            assert_eq!(rows.schema(), table.columns(), "{}", table.name());
            assert!(seen.insert(table.oid()), "two tables have OID {}", table.oid());
        }
        let rows = |name: &str| {
            let table = tables().find(|table| table.name() == name).expect("exists");
            table.rows(&session.facts()).expect("can be read").num_rows()
        };
        assert_eq!(rows("pg_class"), seen.len());
        assert_eq!(rows("pg_namespace"), 4);
        assert_eq!(rows("pg_roles"), 2);
    }
}
