//! `pg_foreign_data_wrapper`: connectors, each as a wrapper.

use super::{CatalogTable, OWNER_OID, Rows, Snapshot};

/// `pg_foreign_data_wrapper`.
pub static TABLE: CatalogTable = CatalogTable::table(
    2328,
    "pg_foreign_data_wrapper",
    "oid oid, fdwname name, fdwowner oid, fdwhandler oid, fdwvalidator oid, fdwacl _aclitem?, \
     fdwoptions _text?",
    rows,
);

fn rows(_: &Snapshot, rows: &mut Rows) {
    for (n, connector) in connectors::CONNECTORS.iter().enumerate() {
        rows.add([("oid", oid(n).into()), ("fdwname", connector.name.into()), ("fdwowner", OWNER_OID.into())]);
    }
}

/// The OID of a connector by its place in the list, for its wrapper and its server.
pub fn oid(place: usize) -> u32 {
    9_500 + u32::try_from(place).unwrap_or_default()
}
