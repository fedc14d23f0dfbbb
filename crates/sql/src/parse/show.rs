//! `SHOW TABLES`, `SHOW CREATE …` and `DESCRIBE`.

use datafusion::sql::sqlparser::parser::{Parser, ParserError};

use super::next_words;
use crate::statement::{identifier, name_parts};
use crate::{ShownKind, Statement};

/// The kinds, in the plural and the singular.
const KINDS: &[(&[&str], &[&str], ShownKind)] = &[
    (&["TABLES"], &["TABLE"], ShownKind::Table),
    (&["SOURCES"], &["SOURCE"], ShownKind::Source),
    (&["VIEWS"], &["VIEW"], ShownKind::View),
    (&["MATERIALIZED", "VIEWS"], &["MATERIALIZED", "VIEW"], ShownKind::MaterializedView),
];

/// A statement of this file, or nothing and the parser where it was.
pub fn show(parser: &mut Parser<'_>) -> Result<Option<Statement>, ParserError> {
    for (plural, singular, kind) in KINDS {
        if next_words(parser, &[&["SHOW"], *plural].concat()) {
            let schema = if next_words(parser, &["FROM"]) || next_words(parser, &["IN"]) {
                Some(identifier(&parser.parse_identifier()?))
            } else {
                None
            };
            return Ok(Some(Statement::ShowRelations { kind: *kind, schema }));
        }
        if next_words(parser, &[&["SHOW", "CREATE"], *singular].concat()) {
            let name = name_parts(&parser.parse_object_name(false)?);
            return Ok(Some(Statement::ShowCreate { kind: *kind, name }));
        }
    }
    if next_words(parser, &["DESCRIBE"]) || next_words(parser, &["DESC"]) {
        let name = name_parts(&parser.parse_object_name(false)?);
        return Ok(Some(Statement::Describe { name }));
    }
    Ok(None)
}
