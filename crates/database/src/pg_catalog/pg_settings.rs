//! `pg_settings`: settings with their values.

use super::{CatalogTable, Rows, Snapshot};
use crate::session::SETTINGS;

/// `pg_settings`.
pub static TABLE: CatalogTable = CatalogTable::view(
    12104,
    "pg_settings",
    "name text?, setting text?, unit text?, category text?, short_desc text?, extra_desc text?, context text?, \
     vartype text?, source text?, min_val text?, max_val text?, enumvals _text?, boot_val text?, \
     reset_val text?, sourcefile text?, sourceline int4?, pending_restart bool?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for setting in SETTINGS {
        let value = snapshot.setting(setting.name).unwrap_or(setting.default);
        let source = if value == setting.default { "default" } else { "session" };
        rows.add([
            ("name", setting.name.into()),
            ("setting", value.into()),
            ("category", "Keyfold".into()),
            ("short_desc", setting.description.into()),
            ("context", if setting.is_fixed() { "internal" } else { "user" }.into()),
            ("vartype", "string".into()),
            ("source", source.into()),
            ("boot_val", setting.default.into()),
            ("reset_val", setting.default.into()),
            ("pending_restart", false.into()),
        ]);
    }
}
