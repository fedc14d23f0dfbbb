//! What is stored of an object: its SQL text and ids, never a plan.

use std::collections::BTreeMap;

use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use serde::{Deserialize, Serialize};
use sql::{SqlType, ast};

use crate::DatabaseError;

/// A schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// What COMMENT ON says.
    #[serde(default)]
    pub comment: Option<String>,
}

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as it is written in a statement, such as `numeric(10,2)`.
    #[serde(rename = "type")]
    pub type_text: String,
    /// Whether it can hold NULL.
    pub nullable: bool,
    /// The text of its DEFAULT.
    #[serde(default)]
    pub default: Option<String>,
    /// What COMMENT ON says.
    #[serde(default)]
    pub comment: Option<String>,
}

/// A table's primary key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryKey {
    /// The constraint's name, such as `t_pkey`; its index has the same.
    pub name: String,
    /// The index's OID.
    pub index_oid: u32,
    /// The constraint's OID.
    pub constraint_oid: u32,
    /// Positions of its columns.
    pub columns: Vec<usize>,
}

/// `FORMAT … ENCODE … (…)` of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormatDefinition {
    /// The envelope, such as `plain`.
    pub format: String,
    /// The encoding, such as `csv`.
    pub encode: String,
    /// The encoding's options.
    pub options: Vec<(String, String)>,
}

/// What happens to reads of a view some of whose rows have no result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorPolicy {
    /// They fail with the row's error.
    #[default]
    FailReads,
    /// Those rows are left out.
    Skip,
}

/// What sort of relation it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Rows that clients write.
    Table {
        /// Its primary key.
        primary_key: Option<PrimaryKey>,
        /// Whether rows are never changed or deleted.
        append_only: bool,
    },
    /// Rows that a connector brings.
    Source {
        /// The connector's name.
        connector: String,
        /// Its options.
        options: Vec<(String, String)>,
        /// How records are written, if the connector has formats.
        format: Option<FormatDefinition>,
    },
    /// A query with a name.
    View {
        /// The query, with every relation's schema named.
        query: String,
    },
    /// A maintained query.
    MaterializedView {
        /// The query, with every relation's schema named.
        query: String,
        /// What happens to reads when rows have no result.
        on_error: ErrorPolicy,
        /// State tables that it uses in the place of its own, by these: views with equal indexes keep one.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        moved_tables: BTreeMap<u64, u64>,
        /// How many iterations a recursive query may take.
        #[serde(default = "default_iterations")]
        max_iterations: u64,
    },
}

fn default_iterations() -> u64 {
    sql::ITERATIONS_MAX
}

/// A relation as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its OID, which is its relation id too.
    pub oid: u32,
    /// The OID of its row type.
    pub type_oid: u32,
    /// The OID of its schema.
    pub schema: u32,
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// What sort it is.
    pub kind: Kind,
    /// The relations that its query names, by OID.
    #[serde(default)]
    pub depends_on: Vec<u32>,
    /// What COMMENT ON says.
    #[serde(default)]
    pub comment: Option<String>,
    /// Who created it.
    pub owner: String,
}

impl Column {
    /// A column like this field.
    #[must_use]
    pub fn from_field(field: &Field) -> Column {
        Column {
            name: field.name().clone(),
            type_text: SqlType::from_field(field).stored_name(),
            nullable: field.is_nullable(),
            default: None,
            comment: None,
        }
    }

    /// The name of its type as users see it.
    #[must_use]
    pub fn shown_type(&self) -> String {
        type_from_text(&self.type_text).map_or_else(|_| self.type_text.clone(), |found| found.name())
    }

    /// The column as an Arrow field.
    ///
    /// # Errors
    /// 42704 if there is no such type.
    pub fn field(&self) -> Result<Field, DatabaseError> {
        Ok(type_from_text(&self.type_text)?.field(&self.name, self.nullable))
    }
}

impl Definition {
    /// The columns as an Arrow schema.
    ///
    /// # Errors
    /// 42704 if a stored type does not exist.
    pub fn arrow_schema(&self) -> Result<SchemaRef, DatabaseError> {
        let fields = self.columns.iter().map(Column::field).collect::<Result<Vec<_>, _>>()?;
        Ok(std::sync::Arc::new(ArrowSchema::new(fields)))
    }

    /// What messages call the sort of relation.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Table { .. } => "table",
            Kind::Source { .. } => "source",
            Kind::View { .. } => "view",
            Kind::MaterializedView { .. } => "materialized view",
        }
    }

    /// The primary key's columns.
    #[must_use]
    pub fn unique_key(&self) -> Option<Vec<usize>> {
        match &self.kind {
            Kind::Table { primary_key: Some(key), .. } => Some(key.columns.clone()),
            _ => None,
        }
    }
}

/// The type that this text names.
fn type_from_text(text: &str) -> Result<SqlType, DatabaseError> {
    match sql::parse_expression(&format!("CAST(NULL AS {text})"))? {
        ast::Expr::Cast { data_type, .. } => Ok(SqlType::from_ast(&data_type)?),
        _ => Err(DatabaseError::new("42704", format!("type \"{text}\" does not exist"))),
    }
}

/// A name as a statement must write it: quoted unless it is plain and no keyword.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    let plain = name
        .chars()
        .enumerate()
        .all(|(n, c)| c == '_' || c.is_ascii_lowercase() || (n > 0 && (c.is_ascii_digit() || c == '$')));
    if plain && !name.is_empty() && !is_reserved(name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// PostgreSQL's reserved words: those that cannot name a table or column without quotes.
fn is_reserved(name: &str) -> bool {
    const RESERVED: &[&str] = &[
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "authorization",
        "binary",
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "collation",
        "column",
        "concurrently",
        "constraint",
        "create",
        "cross",
        "current_catalog",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "default",
        "deferrable",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "fetch",
        "for",
        "foreign",
        "freeze",
        "from",
        "full",
        "grant",
        "group",
        "having",
        "ilike",
        "in",
        "initially",
        "inner",
        "intersect",
        "into",
        "is",
        "isnull",
        "join",
        "lateral",
        "leading",
        "left",
        "like",
        "limit",
        "localtime",
        "localtimestamp",
        "natural",
        "not",
        "notnull",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "outer",
        "overlaps",
        "placing",
        "primary",
        "references",
        "returning",
        "right",
        "select",
        "session_user",
        "similar",
        "some",
        "symmetric",
        "table",
        "tablesample",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "variadic",
        "verbose",
        "when",
        "where",
        "window",
        "with",
    ];
    RESERVED.binary_search(&name).is_ok()
}

/// `schema.name`, quoted where needed.
#[must_use]
pub fn qualified_name(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}
