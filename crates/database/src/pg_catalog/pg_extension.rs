//! `pg_extension`: extensions. There are none: clients read from this what they must not use.

use super::{CatalogTable, no_rows};

/// `pg_extension`.
pub static TABLE: CatalogTable = CatalogTable::table(
    3079,
    "pg_extension",
    "oid oid, extname name, extowner oid, extnamespace oid, extrelocatable bool, extversion text, \
     extconfig _oid?, extcondition _text?",
    no_rows,
);
