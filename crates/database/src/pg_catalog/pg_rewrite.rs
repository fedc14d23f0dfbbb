//! `pg_rewrite`: the rules that make views of relations.

use super::{CatalogTable, Rows, Snapshot};

/// `pg_rewrite`.
pub static TABLE: CatalogTable = CatalogTable::table(
    2618,
    "pg_rewrite",
    "oid oid, rulename name, ev_class oid, ev_type char, ev_enabled char, is_instead bool, \
     ev_qual pg_node_tree, ev_action pg_node_tree",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (class, _) in snapshot.relations().filter(|(class, _)| class.query().is_some()) {
        rows.add([
            ("oid", rule_oid(class.oid).into()),
            ("rulename", "_RETURN".into()),
            ("ev_class", class.oid.into()),
            ("ev_type", '1'.into()),
            ("ev_enabled", 'O'.into()),
            ("is_instead", true.into()),
        ]);
    }
}

/// The OID of a view's rule: views have one each, so the view's own tells them apart.
pub fn rule_oid(view: u32) -> u32 {
    view
}
