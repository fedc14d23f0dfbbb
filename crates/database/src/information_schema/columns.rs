//! `information_schema.columns`: columns of relations.

use super::{database, yes_or_no};
use crate::catalog::Kind;
use crate::pg_catalog::{CatalogTable, Rows, Snapshot, Value};
use arrow::datatypes::DataType;
use sql::SqlType;

/// `information_schema.columns`.
pub static TABLE: CatalogTable = CatalogTable::view(
    13295,
    "columns",
    "table_catalog name?, table_schema name?, table_name name?, column_name name?, ordinal_position int4?, \
     column_default varchar?, is_nullable varchar?, data_type varchar?, character_maximum_length int4?, \
     character_octet_length int4?, numeric_precision int4?, numeric_precision_radix int4?, numeric_scale int4?, \
     datetime_precision int4?, interval_type varchar?, interval_precision int4?, character_set_catalog name?, \
     character_set_schema name?, character_set_name name?, collation_catalog name?, collation_schema name?, \
     collation_name name?, domain_catalog name?, domain_schema name?, domain_name name?, udt_catalog name?, \
     udt_schema name?, udt_name name?, scope_catalog name?, scope_schema name?, scope_name name?, \
     maximum_cardinality int4?, dtd_identifier name?, is_self_referencing varchar?, is_identity varchar?, \
     identity_generation varchar?, identity_start varchar?, identity_increment varchar?, \
     identity_maximum varchar?, identity_minimum varchar?, identity_cycle varchar?, is_generated varchar?, \
     generation_expression varchar?, is_updatable varchar?",
    rows,
)
.in_schema("information_schema");

/// The longest text in bytes, and the bytes of its longest character.
const OCTETS_MAX: i32 = 1 << 30;
const CHARACTER_BYTES: i32 = 4;

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    // As in PostgreSQL without materialized views and indexes.
    for class in snapshot.classes().iter().filter(|class| matches!(class.kind, 'r' | 'v' | 'f')) {
        let written = class.definition().is_some_and(|d| matches!(d.kind, Kind::Table { .. }));
        for (n, field) in class.columns.fields().iter().enumerate() {
            let found = SqlType::from_field(field);
            let stored = class.definition().and_then(|definition| definition.columns.get(n));
            let [length, octets, precision, radix, scale, time] = measures(&found);
            let udt = if found.is_array() { format!("_{}", found.base().name) } else { found.base().name.to_owned() };
            rows.add([
                ("table_catalog", database(snapshot).into()),
                ("table_schema", snapshot.schema_name(class.schema).into()),
                ("table_name", class.name.as_str().into()),
                ("column_name", field.name().as_str().into()),
                ("ordinal_position", (n + 1).into()),
                ("column_default", stored.and_then(|column| column.default.clone()).into()),
                ("is_nullable", yes_or_no(field.is_nullable() || class.kind != 'r').into()),
                ("data_type", if found.is_array() { "ARRAY" } else { found.base().display }.into()),
                ("character_maximum_length", length),
                ("character_octet_length", octets),
                ("numeric_precision", precision),
                ("numeric_precision_radix", radix),
                ("numeric_scale", scale),
                ("datetime_precision", time),
                ("udt_catalog", database(snapshot).into()),
                ("udt_schema", "pg_catalog".into()),
                ("udt_name", udt.into()),
                ("dtd_identifier", (n + 1).to_string().into()),
                ("is_self_referencing", "NO".into()),
                ("is_identity", "NO".into()),
                ("identity_cycle", "NO".into()),
                ("is_generated", "NEVER".into()),
                ("is_updatable", yes_or_no(written).into()),
            ]);
        }
    }
}

/// Length in characters and bytes; digits, their base, and those after the point; digits of a second.
fn measures(found: &SqlType) -> [Value; 6] {
    const NONE: Value = Value::Null;
    let number =
        |digits: i32, base: i32, scale: Option<i32>| [NONE, NONE, digits.into(), base.into(), scale.into(), NONE];
    let text = |length: Option<i32>| {
        let octets = length.map_or(OCTETS_MAX, |length| length.saturating_mul(CHARACTER_BYTES));
        [length.into(), octets.into(), NONE, NONE, NONE, NONE]
    };
    let length = found.length_max().and_then(|length| i32::try_from(length).ok());
    match (found.data_type(), found.base().name) {
        (DataType::Int16, _) => number(16, 2, Some(0)),
        (DataType::Int32, _) => number(32, 2, Some(0)),
        (DataType::Int64, _) => number(64, 2, Some(0)),
        (DataType::Float32, _) => number(24, 2, None),
        (DataType::Float64, _) => number(53, 2, None),
        (_, "numeric") if found.is_array() => [NONE; 6],
        (_, "numeric") if found.modifier() < 0 => [NONE, NONE, NONE, 10.into(), NONE, NONE],
        (DataType::Decimal128(digits, scale), _) => number((*digits).into(), 10, Some((*scale).into())),
        (_, "numeric") => match found.numeric_digits() {
            // PostgreSQL shows the bits of a scale below zero.
            Some((digits, scale)) => number(digits.into(), 10, Some(i32::from(scale) & 0x7ff)),
            None => [NONE; 6],
        },
        (DataType::Date32, _) => [NONE, NONE, NONE, NONE, NONE, 0.into()],
        (DataType::Time64(_) | DataType::Timestamp(..) | DataType::Interval(_), _) => {
            [NONE, NONE, NONE, NONE, NONE, 6.into()]
        }
        (DataType::Utf8, "text" | "varchar" | "bpchar") => text(length),
        _ => [NONE; 6],
    }
}
