//! `pg_type`: types, and the row types of relations.

use super::{CatalogTable, OWNER_OID, Rows, Snapshot, Value};
use crate::catalog::PG_CATALOG_OID;
use sql::{BUILTIN_TYPES, BuiltinType, SqlType};

/// `pg_type`.
pub static TABLE: CatalogTable = CatalogTable::table(
    1247,
    "pg_type",
    "oid oid, typname name, typnamespace oid, typowner oid, typlen int2, typbyval bool, typtype char, \
     typcategory char, typispreferred bool, typisdefined bool, typdelim char, typrelid oid, \
     typsubscript regproc, typelem oid, typarray oid, typinput regproc, typoutput regproc, typreceive regproc, \
     typsend regproc, typmodin regproc, typmodout regproc, typanalyze regproc, typalign char, typstorage char, \
     typnotnull bool, typbasetype oid, typtypmod int4, typndims int4, typcollation oid, \
     typdefaultbin pg_node_tree?, typdefault text?, typacl _aclitem?",
    rows,
);

/// What pg_type says of a type beside its name, OID, length and category.
#[derive(Clone, Copy, Debug)]
pub struct Details {
    /// Bytes of a value, or −1.
    pub length: i16,
    /// `typbyval`.
    pub by_value: bool,
    /// `typispreferred`.
    preferred: bool,
    /// `typalign`.
    pub align: char,
    /// `typstorage`.
    pub storage: char,
    /// `typcollation`.
    pub collation: u32,
    element: u32,
    subscript: u32,
    /// OIDs of the functions for input, output, receive, send, and the modifier's input and output.
    functions: [u32; 6],
}

/// Name; v: by value, p: preferred, alignment, storage; collation; element; subscript function; I/O functions.
type DetailsRow = (&'static str, &'static str, u32, u32, u32, [u32; 6]);

/// The details of the built-in types.
#[rustfmt::skip]
const DETAILS: &[DetailsRow] = &[
    ("bool", "vpcp", 0, 0, 0, [1242, 1243, 2436, 2437, 0, 0]),
    ("int2", "v-sp", 0, 0, 0, [38, 39, 2404, 2405, 0, 0]),
    ("int4", "v-ip", 0, 0, 0, [42, 43, 2406, 2407, 0, 0]),
    ("int8", "v-dp", 0, 0, 0, [460, 461, 2408, 2409, 0, 0]),
    ("float4", "v-ip", 0, 0, 0, [200, 201, 2424, 2425, 0, 0]),
    ("float8", "vpdp", 0, 0, 0, [214, 215, 2426, 2427, 0, 0]),
    ("numeric", "--im", 0, 0, 0, [1701, 1702, 2460, 2461, 2917, 2918]),
    ("text", "-pix", 100, 0, 0, [46, 47, 2414, 2415, 0, 0]),
    ("varchar", "--ix", 100, 0, 0, [1046, 1047, 2432, 2433, 2915, 2916]),
    ("bpchar", "--ix", 100, 0, 0, [1044, 1045, 2430, 2431, 2913, 2914]),
    ("name", "--cp", 950, 18, 6180, [34, 35, 2422, 2423, 0, 0]),
    ("char", "v-cp", 0, 0, 0, [1245, 33, 2434, 2435, 0, 0]),
    ("bytea", "--ix", 0, 0, 0, [1244, 31, 2412, 2413, 0, 0]),
    ("date", "v-ip", 0, 0, 0, [1084, 1085, 2468, 2469, 0, 0]),
    ("time", "v-dp", 0, 0, 0, [1143, 1144, 2470, 2471, 2909, 2910]),
    ("timestamp", "v-dp", 0, 0, 0, [1312, 1313, 2474, 2475, 2905, 2906]),
    ("timestamptz", "vpdp", 0, 0, 0, [1150, 1151, 2476, 2477, 2907, 2908]),
    ("interval", "-pdp", 0, 0, 0, [1160, 1161, 2478, 2479, 2903, 2904]),
    ("uuid", "--cp", 0, 0, 0, [2952, 2953, 2961, 2962, 0, 0]),
    ("json", "--ix", 0, 0, 0, [321, 322, 323, 324, 0, 0]),
    ("jsonb", "--ix", 0, 0, 6098, [3806, 3804, 3805, 3803, 0, 0]),
    ("oid", "vpip", 0, 0, 0, [1798, 1799, 2418, 2419, 0, 0]),
    ("regclass", "v-ip", 0, 0, 0, [2218, 2219, 2452, 2453, 0, 0]),
    ("regtype", "v-ip", 0, 0, 0, [2220, 2221, 2454, 2455, 0, 0]),
    ("regproc", "v-ip", 0, 0, 0, [44, 45, 2444, 2445, 0, 0]),
    ("regnamespace", "v-ip", 0, 0, 0, [4084, 4085, 4087, 4088, 0, 0]),
    ("regrole", "v-ip", 0, 0, 0, [4098, 4092, 4094, 4095, 0, 0]),
    ("xid", "v-ip", 0, 0, 0, [50, 51, 2440, 2441, 0, 0]),
    ("int2vector", "--ip", 0, 21, 6179, [40, 41, 2410, 2411, 0, 0]),
    ("oidvector", "--ip", 0, 26, 6179, [54, 55, 2420, 2421, 0, 0]),
    ("pg_node_tree", "--ix", 100, 0, 0, [195, 196, 197, 198, 0, 0]),
    ("aclitem", "--ip", 0, 0, 0, [1031, 1032, 0, 0, 0, 0]),
    ("unknown", "--cp", 0, 0, 0, [109, 110, 2416, 2417, 0, 0]),
];

/// array_subscript_handler.
const ARRAY_SUBSCRIPT: u32 = 6179;
/// array_in, array_out, array_recv, array_send.
const ARRAY_FUNCTIONS: [u32; 4] = [750, 751, 2400, 2401];

/// Types that no column has, but functions do: name, OID, length, OID of the array type.
const PSEUDO: &[(&str, u32, i16, u32)] = &[
    ("record", 2249, -1, 2287),
    ("cstring", 2275, -2, 1263),
    ("any", 2276, 4, 0),
    ("anyarray", 2277, -1, 0),
    ("void", 2278, 4, 0),
    ("trigger", 2279, 4, 0),
    ("internal", 2281, 8, 0),
    ("anyelement", 2283, 4, 0),
];

/// The details of a type.
pub fn details(found: &SqlType) -> Details {
    let base = builtin_details(found.base());
    if found.is_array() { array_details(&base, found.base().oid) } else { base }
}

/// The name in pg_type of a type that no column has.
pub fn pseudo_name(oid: u32) -> Option<&'static str> {
    PSEUDO.iter().find(|pseudo| pseudo.1 == oid).map(|pseudo| pseudo.0)
}

/// The OID of a type that no column has.
pub fn pseudo_oid(name: &str) -> Option<u32> {
    PSEUDO.iter().find(|pseudo| pseudo.0 == name).map(|pseudo| pseudo.1)
}

fn builtin_details(builtin: &BuiltinType) -> Details {
    let row = DETAILS.iter().find(|row| row.0 == builtin.name).unwrap_or(&DETAILS[0]);
    let (_, flags, collation, element, subscript, functions) = *row;
    let flag = |place: usize| char::from(flags.as_bytes()[place]);
    Details {
        length: builtin.length,
        by_value: flag(0) == 'v',
        preferred: flag(1) == 'p',
        align: flag(2),
        storage: flag(3),
        collation,
        element,
        subscript,
        functions,
    }
}

fn array_details(element: &Details, oid: u32) -> Details {
    let [input, output, receive, send] = ARRAY_FUNCTIONS;
    let [.., modifier_in, modifier_out] = element.functions;
    Details {
        length: -1,
        by_value: false,
        preferred: false,
        align: if element.align == 'd' { 'd' } else { 'i' },
        storage: 'x',
        collation: element.collation,
        element: oid,
        subscript: ARRAY_SUBSCRIPT,
        functions: [input, output, receive, send, modifier_in, modifier_out],
    }
}

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for builtin in BUILTIN_TYPES {
        let details = builtin_details(builtin);
        add(rows, builtin.name.to_owned(), (builtin.oid, builtin.array_oid), builtin.category, &details);
        if builtin.array_oid != 0 {
            let array = array_details(&details, builtin.oid);
            add(rows, format!("_{}", builtin.name), (builtin.array_oid, 0), 'A', &array);
        }
    }
    for (name, oid, length, array_oid) in PSEUDO {
        rows.add([
            ("oid", (*oid).into()),
            ("typname", (*name).into()),
            ("typnamespace", PG_CATALOG_OID.into()),
            ("typowner", OWNER_OID.into()),
            ("typlen", (*length).into()),
            ("typtype", 'p'.into()),
            ("typcategory", 'P'.into()),
            ("typisdefined", true.into()),
            ("typdelim", ','.into()),
            ("typarray", (*array_oid).into()),
            ("typalign", 'i'.into()),
            ("typstorage", 'p'.into()),
            ("typtypmod", (-1).into()),
        ]);
    }
    for (class, definition) in snapshot.relations() {
        rows.add([
            ("oid", definition.type_oid.into()),
            ("typname", class.name.as_str().into()),
            ("typnamespace", definition.schema.into()),
            ("typowner", OWNER_OID.into()),
            ("typlen", (-1).into()),
            ("typtype", 'c'.into()),
            ("typcategory", 'C'.into()),
            ("typisdefined", true.into()),
            ("typdelim", ','.into()),
            ("typrelid", class.oid.into()),
            ("typalign", 'd'.into()),
            ("typstorage", 'x'.into()),
            ("typtypmod", (-1).into()),
        ]);
    }
}

fn add(rows: &mut Rows, name: String, (oid, array_oid): (u32, u32), category: char, details: &Details) {
    let [input, output, receive, send, modifier_in, modifier_out] = details.functions.map(Value::from);
    rows.add([
        ("oid", oid.into()),
        ("typname", name.into()),
        ("typnamespace", PG_CATALOG_OID.into()),
        ("typowner", OWNER_OID.into()),
        ("typlen", details.length.into()),
        ("typbyval", details.by_value.into()),
        ("typtype", if oid == 705 { 'p' } else { 'b' }.into()),
        ("typcategory", category.into()),
        ("typispreferred", details.preferred.into()),
        ("typisdefined", true.into()),
        ("typdelim", ','.into()),
        ("typsubscript", details.subscript.into()),
        ("typelem", details.element.into()),
        ("typarray", array_oid.into()),
        ("typinput", input),
        ("typoutput", output),
        ("typreceive", receive),
        ("typsend", send),
        ("typmodin", modifier_in),
        ("typmodout", modifier_out),
        ("typalign", details.align.into()),
        ("typstorage", details.storage.into()),
        ("typtypmod", (-1).into()),
        ("typcollation", details.collation.into()),
    ]);
}
