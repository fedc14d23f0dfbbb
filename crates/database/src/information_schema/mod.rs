//! The schema that the SQL standard describes: `information_schema.tables`, `.columns` and so on.
//!
//! They are made as the catalogs in `pg_catalog` are; `TABLES` is the list of them.

mod columns;
mod key_column_usage;
mod role_table_grants;
mod schemata;
mod table_constraints;
mod tables;
mod views;

use crate::pg_catalog::{CatalogTable, Snapshot, no_rows};

/// Every relation of the schema.
static TABLES: &[&CatalogTable] = &[
    &columns::TABLE,
    &key_column_usage::TABLE,
    &role_table_grants::TABLE,
    &schemata::TABLE,
    &table_constraints::TABLE,
    &tables::TABLE,
    &views::TABLE,
    &REFERENTIAL_CONSTRAINTS,
    &CONSTRAINT_COLUMN_USAGE,
    &SEQUENCES,
];

/// Every relation of the schema.
pub fn tables() -> impl Iterator<Item = &'static CatalogTable> {
    TABLES.iter().copied()
}

/// The name of the session's database, which the standard calls a catalog.
fn database(snapshot: &Snapshot) -> &str {
    &snapshot.facts.database.options.name
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}

static REFERENTIAL_CONSTRAINTS: CatalogTable = CatalogTable::view(
    13339,
    "referential_constraints",
    "constraint_catalog name?, constraint_schema name?, constraint_name name?, unique_constraint_catalog name?, \
     unique_constraint_schema name?, unique_constraint_name name?, match_option varchar?, update_rule varchar?, \
     delete_rule varchar?",
    no_rows,
)
.in_schema("information_schema");

static CONSTRAINT_COLUMN_USAGE: CatalogTable = CatalogTable::view(
    13300,
    "constraint_column_usage",
    "table_catalog name?, table_schema name?, table_name name?, column_name name?, constraint_catalog name?, \
     constraint_schema name?, constraint_name name?",
    no_rows,
)
.in_schema("information_schema");

static SEQUENCES: CatalogTable = CatalogTable::view(
    13386,
    "sequences",
    "sequence_catalog name?, sequence_schema name?, sequence_name name?, data_type varchar?, \
     numeric_precision int4?, numeric_precision_radix int4?, numeric_scale int4?, start_value varchar?, \
     minimum_value varchar?, maximum_value varchar?, increment varchar?, cycle_option varchar?",
    no_rows,
)
.in_schema("information_schema");
