//! `WITH (name = value, …)`.

use sql::ast;

use crate::DatabaseError;

/// The options of a statement, names in lower case.
pub(super) fn with_options(options: &ast::CreateTableOptions) -> Result<Vec<(String, String)>, DatabaseError> {
    let list = match options {
        ast::CreateTableOptions::None => return Ok(Vec::new()),
        ast::CreateTableOptions::With(list) | ast::CreateTableOptions::Options(list) => list,
        ast::CreateTableOptions::Plain(list) | ast::CreateTableOptions::TableProperties(list) => list,
    };
    let mut found = Vec::new();
    for option in list {
        match option {
            ast::SqlOption::KeyValue { key, value } => found.push((key.value.to_lowercase(), value_text(value))),
            ast::SqlOption::Ident(name) => found.push((name.value.to_lowercase(), "true".to_owned())),
            other => return Err(DatabaseError::new("42601", format!("option \"{other}\" is not understood"))),
        }
    }
    Ok(found)
}

/// An option's or a setting's value as text: without quotes.
pub(super) fn value_text(value: &ast::Expr) -> String {
    match value {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text)
            | ast::Value::DoubleQuotedString(text)
            | ast::Value::EscapedStringLiteral(text) => text.clone(),
            other => other.to_string(),
        },
        ast::Expr::Identifier(name) => sql::identifier(name),
        other => other.to_string(),
    }
}

/// An option that is true or false.
pub(super) fn bool_value(name: &str, value: &str) -> Result<bool, DatabaseError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(DatabaseError::new("22023", format!("invalid value for boolean option \"{name}\": {value}"))),
    }
}

/// 22023 for an option that nobody knows.
pub(super) fn unknown_option(name: &str) -> DatabaseError {
    DatabaseError::new("22023", format!("unrecognized parameter \"{name}\""))
}
