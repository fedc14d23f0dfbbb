//! What a statement's text is turned into: the SQL parser's tree, or one of the statements that are ours.

use datafusion::sql::sqlparser::ast;

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// Anything that the SQL parser knows.
    Standard(Box<ast::Statement>),
    /// `CREATE SOURCE`.
    CreateSource(Box<CreateSource>),
    /// `DROP SOURCE`.
    DropSource(DropSource),
    /// `SHOW TABLES`, `SHOW SOURCES`, ….
    ShowRelations {
        /// Which kind is listed.
        kind: ShownKind,
        /// `FROM schema`.
        schema: Option<String>,
    },
    /// `SHOW CREATE TABLE name`, ….
    ShowCreate {
        /// The kind that was named.
        kind: ShownKind,
        /// The relation.
        name: Vec<String>,
    },
    /// `DESCRIBE name`.
    Describe {
        /// The relation.
        name: Vec<String>,
    },
    /// `EXPLAIN [MATERIALIZED] VIEW name`.
    ExplainView {
        /// The view.
        name: Vec<String>,
    },
    /// `REFRESH MATERIALIZED VIEW name`.
    RefreshMaterializedView {
        /// The view.
        name: Vec<String>,
    },
    /// `CHECK MATERIALIZED VIEW name`.
    CheckMaterializedView {
        /// The view.
        name: Vec<String>,
    },
    /// `CHECKPOINT`.
    Checkpoint,
}

/// The kinds of relations that `SHOW` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownKind {
    /// Tables.
    Table,
    /// Sources.
    Source,
    /// Views.
    View,
    /// Materialized views.
    MaterializedView,
}

/// `CREATE SOURCE [IF NOT EXISTS] name [(columns)] WITH (option = value, …) [FORMAT f [ENCODE e [(option = value, …)]]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSource {
    /// Whether a source that is already there is fine.
    pub if_not_exists: bool,
    /// Name of the source, in its parts.
    pub name: Vec<String>,
    /// The columns; none if the connector or the format knows them.
    pub columns: Vec<ast::ColumnDef>,
    /// `WITH (…)`, names in lower case.
    pub options: Vec<(String, String)>,
    /// `FORMAT PLAIN`: the envelope, in lower case.
    pub format: Option<String>,
    /// `ENCODE CSV`, in lower case.
    pub encode: Option<String>,
    /// `ENCODE CSV (…)`.
    pub encode_options: Vec<(String, String)>,
}

/// `DROP SOURCE [IF EXISTS] name, … [CASCADE | RESTRICT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropSource {
    /// Whether a source that is not there is fine.
    pub if_exists: bool,
    /// The sources' names, in their parts.
    pub names: Vec<Vec<String>>,
    /// Whether what depends on them is dropped too.
    pub cascade: bool,
}

/// One statement of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What it says. Spans in it are relative to `text`.
    pub statement: Statement,
    /// The statement's own text, without the semicolon.
    pub text: String,
    /// How many characters of the whole text come before it.
    pub offset: usize,
}

/// A name as PostgreSQL reads it: in lower case unless quoted.
#[must_use]
pub fn identifier(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The parts of a qualified name, as PostgreSQL reads them.
#[must_use]
pub fn name_parts(name: &ast::ObjectName) -> Vec<String> {
    name.0.iter().filter_map(|part| part.as_ident()).map(identifier).collect()
}
