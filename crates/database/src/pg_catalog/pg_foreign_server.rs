//! `pg_foreign_server`: connectors, each as the server that its sources are on.

use super::pg_foreign_data_wrapper::oid;
use super::{CatalogTable, OWNER_OID, Rows, Snapshot};

/// `pg_foreign_server`.
pub static TABLE: CatalogTable = CatalogTable::table(
    1417,
    "pg_foreign_server",
    "oid oid, srvname name, srvowner oid, srvfdw oid, srvtype text?, srvversion text?, srvacl _aclitem?, \
     srvoptions _text?",
    rows,
);

fn rows(_: &Snapshot, rows: &mut Rows) {
    for (n, connector) in connectors::CONNECTORS.iter().enumerate() {
        rows.add([
            ("oid", oid(n).into()),
            ("srvname", connector.name.into()),
            ("srvowner", OWNER_OID.into()),
            ("srvfdw", oid(n).into()),
        ]);
    }
}
