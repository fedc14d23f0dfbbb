//! SQL types: PostgreSQL's names and numbers for the Arrow types that hold their values.
//!
//! Most Arrow types stand for one SQL type. Where several SQL types share one (`text` and `varchar(20)`, `oid` and
//! `regclass`), the field's metadata `keyfold.type` names the SQL type. A `numeric` has an Arrow type of its own
//! (`functions::NUMERIC`); a decimal is a `numeric(p,s)`, or without metadata one whose digits were computed.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion::sql::sqlparser::ast::{self, ArrayElemTypeDef, CharacterLength, ExactNumberInfo, TimezoneInfo};

use functions::NUMERIC;

use crate::SqlError;

/// The key of field metadata that names the SQL type where the Arrow type alone does not.
pub const TYPE_METADATA: &str = "keyfold.type";

/// The name under which a numeric is stored whose digits were computed, not declared. No user's type is called so.
pub const COMPUTED_NUMERIC: &str = "numeric of";

/// The bits of a numeric's type modifier that hold its scale.
const SCALE_MASK: i32 = 0x7ff;

/// One SQL type that values can have.
pub struct BuiltinType {
    /// The name in `pg_type`, such as `int4`.
    pub name: &'static str,
    /// The name that `format_type` gives, such as `integer`.
    pub display: &'static str,
    /// Its OID.
    pub oid: u32,
    /// The OID of its array type.
    pub array_oid: u32,
    /// Bytes of a value, or −1 where they vary.
    pub length: i16,
    /// `pg_type.typcategory`.
    pub category: char,
    /// Whether the metadata has to name it.
    named: bool,
    data_type: fn() -> DataType,
}

impl BuiltinType {
    /// What Arrow calls the type of the values, if that stands for this SQL type alone.
    pub(crate) fn arrow_name(&self) -> String {
        if self.named { String::new() } else { (self.data_type)().to_string() }
    }
}

const fn builtin(
    name: &'static str,
    display: &'static str,
    (oid, array_oid): (u32, u32),
    length: i16,
    category: char,
    named: bool,
    data_type: fn() -> DataType,
) -> BuiltinType {
    BuiltinType { name, display, oid, array_oid, length, category, named, data_type }
}

/// All types, the ones that Arrow types stand for by themselves (`named` is false) being unique among them.
pub const BUILTIN_TYPES: &[BuiltinType] = &[
    builtin("bool", "boolean", (16, 1000), 1, 'B', false, || DataType::Boolean),
    builtin("int2", "smallint", (21, 1005), 2, 'N', false, || DataType::Int16),
    builtin("int4", "integer", (23, 1007), 4, 'N', false, || DataType::Int32),
    builtin("int8", "bigint", (20, 1016), 8, 'N', false, || DataType::Int64),
    builtin("float4", "real", (700, 1021), 4, 'N', false, || DataType::Float32),
    builtin("float8", "double precision", (701, 1022), 8, 'N', false, || DataType::Float64),
    builtin("numeric", "numeric", (1700, 1231), -1, 'N', false, || NUMERIC),
    builtin("text", "text", (25, 1009), -1, 'S', false, || DataType::Utf8),
    builtin("varchar", "character varying", (1043, 1015), -1, 'S', true, || DataType::Utf8),
    builtin("bpchar", "character", (1042, 1014), -1, 'S', true, || DataType::Utf8),
    builtin("name", "name", (19, 1003), 64, 'S', true, || DataType::Utf8),
    builtin("char", "\"char\"", (18, 1002), 1, 'Z', true, || DataType::Utf8),
    builtin("bytea", "bytea", (17, 1001), -1, 'U', false, || DataType::Binary),
    builtin("date", "date", (1082, 1182), 4, 'D', false, || DataType::Date32),
    builtin("time", "time without time zone", (1083, 1183), 8, 'D', false, || DataType::Time64(TimeUnit::Microsecond)),
    builtin("timestamp", "timestamp without time zone", (1114, 1115), 8, 'D', false, || {
        DataType::Timestamp(TimeUnit::Microsecond, None)
    }),
    builtin("timestamptz", "timestamp with time zone", (1184, 1185), 8, 'D', false, || {
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    }),
    builtin("interval", "interval", (1186, 1187), 16, 'T', false, || DataType::Interval(IntervalUnit::MonthDayNano)),
    builtin("uuid", "uuid", (2950, 2951), 16, 'U', false, || DataType::FixedSizeBinary(16)),
    builtin("json", "json", (114, 199), -1, 'U', true, || DataType::LargeUtf8),
    builtin("jsonb", "jsonb", (3802, 3807), -1, 'U', false, || DataType::LargeUtf8),
    builtin("oid", "oid", (26, 1028), 4, 'N', false, || DataType::UInt32),
    builtin("regclass", "regclass", (2205, 2210), 4, 'N', true, || DataType::UInt32),
    builtin("regtype", "regtype", (2206, 2211), 4, 'N', true, || DataType::UInt32),
    builtin("regproc", "regproc", (24, 1008), 4, 'N', true, || DataType::UInt32),
    builtin("regnamespace", "regnamespace", (4089, 4090), 4, 'N', true, || DataType::UInt32),
    builtin("regrole", "regrole", (4096, 4097), 4, 'N', true, || DataType::UInt32),
    builtin("xid", "xid", (28, 1011), 4, 'U', true, || DataType::UInt32),
    builtin("int2vector", "int2vector", (22, 1006), -1, 'A', true, || {
        DataType::List(Arc::new(Field::new_list_field(DataType::Int16, true)))
    }),
    builtin("oidvector", "oidvector", (30, 1013), -1, 'A', true, || {
        DataType::List(Arc::new(Field::new_list_field(DataType::UInt32, true)))
    }),
    builtin("pg_node_tree", "pg_node_tree", (194, 0), -1, 'Z', true, || DataType::Utf8),
    builtin("aclitem", "aclitem", (1033, 1034), 12, 'U', true, || DataType::Utf8),
    builtin("unknown", "unknown", (705, 0), -2, 'X', true, || DataType::Utf8),
];

/// A SQL type with its modifier, such as `integer`, `numeric(10,2)` or `character varying(20)[]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SqlType {
    data_type: DataType,
    /// What the metadata says: the `pg_type` name of the element type with its modifier, such as `varchar(20)`.
    named: Option<String>,
}

impl SqlType {
    /// The type that this Arrow type stands for by itself.
    #[must_use]
    pub fn new(data_type: DataType) -> SqlType {
        SqlType { data_type, named: None }
    }

    /// The type of a field's values.
    #[must_use]
    pub fn from_field(field: &Field) -> SqlType {
        SqlType { data_type: field.data_type().clone(), named: field.metadata().get(TYPE_METADATA).cloned() }
    }

    /// The type of this `pg_type` name, such as `int4` or `_text`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<SqlType> {
        if let Some(element) = name.strip_prefix('_') {
            return Some(SqlType::from_name(element)?.array());
        }
        BUILTIN_TYPES.iter().find(|b| b.name == name).map(SqlType::builtin)
    }

    /// The type of this OID.
    #[must_use]
    pub fn from_oid(oid: u32) -> Option<SqlType> {
        let found = BUILTIN_TYPES.iter().find(|b| b.oid == oid || (b.array_oid == oid && oid != 0))?;
        Some(if found.oid == oid { SqlType::builtin(found) } else { SqlType::builtin(found).array() })
    }

    /// The type as it is written in a statement.
    ///
    /// # Errors
    /// 42704 for a type that does not exist, 22023 for a modifier that cannot be.
    pub fn from_ast(data_type: &ast::DataType) -> Result<SqlType, SqlError> {
        from_ast(data_type)
    }

    fn builtin(found: &BuiltinType) -> SqlType {
        SqlType { data_type: (found.data_type)(), named: found.named.then(|| found.name.to_owned()) }
    }

    /// The array type of this type.
    #[must_use]
    pub fn array(self) -> SqlType {
        let item = Field::new_list_field(self.data_type, true);
        SqlType { data_type: DataType::List(Arc::new(item)), named: self.named }
    }

    /// Whether the Arrow type alone does not say the type.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.named.is_some()
    }

    /// The type without its length or digits, as parameters have it.
    #[must_use]
    pub fn without_modifier(self) -> SqlType {
        if self.modifier() < 0 && self.digits().is_none() {
            return self;
        }
        if self.is_array() {
            return SqlType::builtin(self.base()).array();
        }
        SqlType::builtin(self.base())
    }

    /// The Arrow type of the values.
    #[must_use]
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// A field for a column of this type.
    #[must_use]
    pub fn field(&self, name: impl Into<String>, nullable: bool) -> Field {
        let field = Field::new(name, self.data_type.clone(), nullable);
        match &self.named {
            Some(named) => field.with_metadata(HashMap::from([(TYPE_METADATA.to_owned(), named.clone())])),
            None => field,
        }
    }

    /// What an array of this type holds.
    #[must_use]
    pub fn element(&self) -> Option<SqlType> {
        if self.named.as_deref() == Some("int2vector") || self.named.as_deref() == Some("oidvector") {
            return Some(SqlType::new(if self.named.as_deref() == Some("int2vector") {
                DataType::Int16
            } else {
                DataType::UInt32
            }));
        }
        match &self.data_type {
            DataType::List(item) => Some(SqlType { data_type: item.data_type().clone(), named: self.named.clone() }),
            _ => None,
        }
    }

    /// Whether it is an array of some other type (the vectors of the catalog are not).
    #[must_use]
    pub fn is_array(&self) -> bool {
        matches!(self.data_type, DataType::List(_)) && !matches!(self.base().name, "int2vector" | "oidvector")
    }

    /// n of `varchar(n)` or `character(n)`.
    #[must_use]
    pub fn length_max(&self) -> Option<usize> {
        let (name, modifier) = self.named.as_deref()?.split_once('(')?;
        matches!(name, "varchar" | "bpchar").then(|| modifier.trim_end_matches(')').parse().ok())?
    }

    /// The row of the type table that describes it; for an array, its element's. Arrow types that no SQL type
    /// uses count as text.
    #[must_use]
    pub fn base(&self) -> &'static BuiltinType {
        if let Some(named) = &self.named {
            let name = named.split('(').next().unwrap_or(named).trim_matches('"');
            if let Some(found) = BUILTIN_TYPES.iter().find(|b| b.name == name) {
                return found;
            }
        }
        let wanted = match innermost(&self.data_type) {
            DataType::Decimal128(..) | DataType::Decimal256(..) => "numeric",
            DataType::Timestamp(_, None) => "timestamp",
            DataType::Timestamp(_, Some(_)) => "timestamptz",
            DataType::Int8 | DataType::UInt8 => "int2",
            DataType::UInt16 => "int4",
            DataType::UInt64 => "int8",
            other => {
                let found = BUILTIN_TYPES.iter().find(|b| !b.named && (b.data_type)() == *other);
                found.map_or("text", |b| b.name)
            }
        };
        BUILTIN_TYPES.iter().find(|b| b.name == wanted).unwrap_or(&BUILTIN_TYPES[0])
    }

    /// The OID of the type.
    #[must_use]
    pub fn oid(&self) -> u32 {
        if self.is_array() { self.base().array_oid } else { self.base().oid }
    }

    /// The type modifier as `pg_attribute.atttypmod` has it; −1 for none.
    #[must_use]
    pub fn modifier(&self) -> i32 {
        if let Some(length) = self.length_max() {
            return i32::try_from(length + 4).unwrap_or(-1);
        }
        match (self.digits(), self.numeric_digits()) {
            (Some((precision, scale)), _) if self.is_named() => ((i32::from(precision) << 16) | i32::from(scale)) + 4,
            (_, Some((precision, scale))) => ((i32::from(precision) << 16) | (i32::from(scale) & SCALE_MASK)) + 4,
            _ => -1,
        }
    }

    /// The digits of a numeric, or of an array's items: all, and those after the point.
    fn digits(&self) -> Option<(u8, i8)> {
        match innermost(&self.data_type) {
            DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
            _ => None,
        }
    }

    /// p and s of a `numeric(p,s)` that is no decimal: too long, or with a scale that decimals do not have.
    #[must_use]
    pub fn numeric_digits(&self) -> Option<(u16, i16)> {
        let digits = self.named.as_deref()?.strip_prefix("numeric(")?.strip_suffix(')')?;
        let (precision, scale) = digits.split_once(',').filter(|_| *innermost(&self.data_type) == NUMERIC)?;
        Some((precision.parse().ok()?, scale.parse().ok()?))
    }

    /// Whether it is a numeric whose digits were computed, not declared.
    pub(crate) fn is_computed_numeric(&self) -> bool {
        !self.is_array() && !self.is_named() && self.digits().is_some()
    }

    /// The type as it is written in stored definitions: its name, with the digits that a numeric was computed with.
    #[must_use]
    pub fn stored_name(&self) -> String {
        match self.digits() {
            Some((precision, scale)) if !self.is_named() => {
                let brackets = if self.is_array() { "[]" } else { "" };
                format!("\"{COMPUTED_NUMERIC}\"({precision},{scale}){brackets}")
            }
            _ => self.name(),
        }
    }

    /// The name with its modifier, as `format_type` gives it.
    #[must_use]
    pub fn name(&self) -> String {
        let base = self.base();
        let mut name = match (self.length_max(), self.modifier()) {
            (Some(length), _) => format!("{}({length})", base.display),
            (None, -1) => base.display.to_owned(),
            (None, modifier) => {
                let modifier = modifier - 4;
                // Eleven bits with a sign, as in PostgreSQL.
                let scale = ((modifier & SCALE_MASK) ^ 0x400) - 0x400;
                format!("{}({},{scale})", base.display, modifier >> 16)
            }
        };
        if self.is_array() {
            name.push_str("[]");
        }
        name
    }
}

/// What an array holds, however many dimensions it has; any other type itself.
fn innermost(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::List(item) => innermost(item.data_type()),
        other => other,
    }
}

fn named(data_type: DataType, name: String) -> SqlType {
    SqlType { data_type, named: Some(name) }
}

fn from_ast(data_type: &ast::DataType) -> Result<SqlType, SqlError> {
    use ast::DataType as Ast;
    let plain = |data_type| Ok(SqlType::new(data_type));
    match data_type {
        Ast::Boolean | Ast::Bool => plain(DataType::Boolean),
        Ast::SmallInt(None) | Ast::Int2(None) => plain(DataType::Int16),
        Ast::Int(None) | Ast::Integer(None) | Ast::Int4(None) => plain(DataType::Int32),
        Ast::BigInt(None) | Ast::Int8(None) => plain(DataType::Int64),
        Ast::Real | Ast::Float4 => plain(DataType::Float32),
        Ast::DoublePrecision | Ast::Float8 | Ast::Float64 | Ast::Double(ExactNumberInfo::None) => {
            plain(DataType::Float64)
        }
        Ast::Float(ExactNumberInfo::None) => plain(DataType::Float64),
        Ast::Float(ExactNumberInfo::Precision(bits)) => match bits {
            1..=24 => plain(DataType::Float32),
            25..=53 => plain(DataType::Float64),
            _ => Err(SqlError::new(b"22023", "precision for type float must be between 1 and 53 bits")),
        },
        Ast::Numeric(info) | Ast::Decimal(info) | Ast::Dec(info) => numeric(info),
        Ast::Text | Ast::String(None) => plain(DataType::Utf8),
        Ast::Varchar(length) | Ast::CharacterVarying(length) | Ast::CharVarying(length) => {
            character("varchar", length.as_ref())
        }
        Ast::Char(length) | Ast::Character(length) => {
            let one = CharacterLength::IntegerLength { length: 1, unit: None };
            character("bpchar", Some(length.as_ref().unwrap_or(&one)))
        }
        Ast::Bytea => plain(DataType::Binary),
        Ast::Date => plain(DataType::Date32),
        Ast::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            plain(DataType::Time64(TimeUnit::Microsecond))
        }
        Ast::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            plain(DataType::Timestamp(TimeUnit::Microsecond, None))
        }
        Ast::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            plain(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
        }
        Ast::Interval { .. } => plain(DataType::Interval(IntervalUnit::MonthDayNano)),
        Ast::Uuid => plain(DataType::FixedSizeBinary(16)),
        Ast::JSONB => plain(DataType::LargeUtf8),
        Ast::JSON => Ok(named(DataType::LargeUtf8, "json".to_owned())),
        Ast::Regclass => Ok(named(DataType::UInt32, "regclass".to_owned())),
        Ast::Array(ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::AngleBracket(element)) => {
            // PostgreSQL has one array type for any number of dimensions.
            let element = from_ast(element)?;
            Ok(if element.is_array() { element } else { element.array() })
        }
        Ast::Custom(name, modifiers) => custom(name, modifiers),
        other => Err(undefined_type(&other.to_string().to_lowercase())),
    }
}

fn undefined_type(name: &str) -> SqlError {
    SqlError::new(b"42704", format!("type \"{name}\" does not exist"))
}

fn numeric(info: &ExactNumberInfo) -> Result<SqlType, SqlError> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(SqlType::new(NUMERIC)),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    if precision == 0 || precision > 1000 {
        return Err(SqlError::new(b"22023", format!("NUMERIC precision {precision} must be between 1 and 1000")));
    }
    if !(-1000..=1000).contains(&scale) {
        return Err(SqlError::new(b"22023", format!("NUMERIC scale {scale} must be between -1000 and 1000")));
    }
    let name = format!("numeric({precision},{scale})");
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p), Ok(s)) if p <= 38 && s >= 0 && i64::from(p) >= scale => Ok(named(DataType::Decimal128(p, s), name)),
        _ => Ok(named(NUMERIC, name)),
    }
}

fn character(name: &str, length: Option<&CharacterLength>) -> Result<SqlType, SqlError> {
    match length {
        None => Ok(named(DataType::Utf8, name.to_owned())),
        Some(CharacterLength::IntegerLength { length: 0, .. }) => {
            Err(SqlError::new(b"22023", format!("length for type {name} must be at least 1")))
        }
        Some(CharacterLength::IntegerLength { length, .. }) if *length > 10_485_760 => {
            Err(SqlError::new(b"22023", format!("length for type {name} cannot exceed 10485760")))
        }
        Some(CharacterLength::IntegerLength { length, .. }) => Ok(named(DataType::Utf8, format!("{name}({length})"))),
        Some(CharacterLength::Max) => Err(undefined_type("max")),
    }
}

fn custom(name: &ast::ObjectName, modifiers: &[String]) -> Result<SqlType, SqlError> {
    let part = name.0.last().and_then(|p| p.as_ident());
    let Some(ident) = part else { return Err(undefined_type(&name.to_string())) };
    let quoted = ident.quote_style.is_some();
    let word = if quoted { ident.value.clone() } else { ident.value.to_lowercase() };
    if let (COMPUTED_NUMERIC, [precision, scale]) = (word.as_str(), modifiers) {
        let digits = precision.parse().ok().zip(scale.parse().ok()).filter(|(p, s)| *p <= 38 && (0..=38).contains(s));
        let (precision, scale) = digits.ok_or_else(|| undefined_type(&word))?;
        return Ok(SqlType::new(DataType::Decimal128(precision, scale)));
    }
    // Unquoted `char` is the keyword, and parsed elsewhere: here it is the catalog's one-byte type.
    let found =
        SqlType::from_name(&word).or_else(|| BUILTIN_TYPES.iter().find(|b| b.display == word).map(SqlType::builtin));
    match (found, modifiers) {
        (Some(found), []) => Ok(found),
        (Some(found), [length]) if matches!(found.base().name, "varchar" | "bpchar") => {
            let length = length.parse().map_err(|_| undefined_type(&word))?;
            character(found.base().name, Some(&CharacterLength::IntegerLength { length, unit: None }))
        }
        (Some(found), [precision, scale @ ..]) if found.base().name == "numeric" => {
            let info = match (precision.parse(), scale.first().map(|s| s.parse())) {
                (Ok(precision), None) => ExactNumberInfo::Precision(precision),
                (Ok(precision), Some(Ok(scale))) => ExactNumberInfo::PrecisionAndScale(precision, scale),
                _ => return Err(undefined_type(&word)),
            };
            numeric(&info)
        }
        _ => Err(undefined_type(&name.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_oid_name_and_field() {
        for builtin in BUILTIN_TYPES {
            let by_name = SqlType::from_name(builtin.name).expect("named");
            assert_eq!(SqlType::from_oid(builtin.oid), Some(by_name.clone()), "{}", builtin.name);
            assert_eq!(by_name.oid(), builtin.oid, "{}", builtin.name);
            assert_eq!(by_name.name(), builtin.display);
            let field = by_name.field("x", true);
            assert_eq!(SqlType::from_field(&field), by_name);
        }
        assert_eq!(SqlType::from_oid(1007).map(|t| t.name()), Some("integer[]".to_owned()));
        assert_eq!(SqlType::from_name("_text").map(|t| t.oid()), Some(1009));
    }

    #[test]
    fn modifiers_show_and_count_as_in_postgresql() {
        let numeric = named(DataType::Decimal128(10, 2), "numeric(10,2)".to_owned());
        assert_eq!((numeric.name(), numeric.modifier()), ("numeric(10,2)".to_owned(), 655_366));
        let computed = SqlType::new(DataType::Decimal128(10, 2));
        assert_eq!((computed.name(), computed.modifier()), ("numeric".to_owned(), -1));
        assert_eq!(computed.stored_name(), "\"numeric of\"(10,2)");
        let varchar = named(DataType::Utf8, "varchar(20)".to_owned());
        assert_eq!((varchar.name(), varchar.modifier(), varchar.oid()), ("character varying(20)".to_owned(), 24, 1043));
    }
}
