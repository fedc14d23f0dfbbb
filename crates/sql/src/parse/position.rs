//! Places in a statement's text, and syntax errors that name them.

use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer, TokenizerError};

use super::DIALECT;
use crate::SqlError;

/// The byte at which a location lies; the text's length if it lies beyond.
pub fn byte_of(text: &str, location: Location) -> usize {
    let mut line = 1;
    let mut column = 1;
    for (byte, character) in text.char_indices() {
        if (line, column) >= (location.line, location.column) {
            return byte;
        }
        if character == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    text.len()
}

/// The position of a location in characters from 1; none for a location that the parser did not know.
pub fn position_of(text: &str, location: Location) -> Option<usize> {
    (location.line > 0).then(|| text[..byte_of(text, location)].chars().count() + 1)
}

/// `syntax error at or near "…"` for the token that begins at the location.
pub fn syntax_error_at(text: &str, location: Location) -> SqlError {
    let start = byte_of(text, location);
    let rest = &text[start..];
    let position = Some(text[..start].chars().count() + 1);
    if rest.trim().is_empty() || rest.starts_with(';') {
        return SqlError::syntax("syntax error at end of input").at(position);
    }
    let tokens = Tokenizer::new(&DIALECT, rest).tokenize_with_location().unwrap_or_default();
    let first = tokens.iter().find(|t| !matches!(t.token, Token::Whitespace(_)));
    let near = first.map_or(rest, |t| &rest[byte_of(rest, t.span.start)..byte_of(rest, t.span.end)]);
    let near = near.split('\n').next().unwrap_or(near);
    SqlError::syntax(format!("syntax error at or near \"{near}\"")).at(position)
}

/// A parser's error in PostgreSQL's words; what the parser expected becomes the detail.
pub fn parser_error(text: &str, error: &ParserError) -> SqlError {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return SqlError::new(b"54001", "the statement is nested too deeply");
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
    };
    let Some((reason, location)) = split_location(message) else {
        if message.contains("found: EOF") {
            let position = text.chars().count() + 1;
            return SqlError::syntax("syntax error at end of input").at(Some(position));
        }
        return SqlError::syntax(message.clone());
    };
    let error = syntax_error_at(text, location);
    match reason.split_once(", found: ") {
        Some((expected, _)) => error.with_detail(expected.replacen("Expected: ", "Expected ", 1)),
        None => error.with_detail(reason.to_owned()),
    }
}

/// A tokenizer's error: a string or comment that does not end, mostly.
pub fn tokenizer_error(text: &str, error: &TokenizerError) -> SqlError {
    let message = error.message.to_lowercase();
    let message = message.replace("unterminated string literal", "unterminated quoted string");
    SqlError::syntax(message).at(position_of(text, error.location))
}

/// Cuts ` at Line: 3, Column: 7` off a message.
fn split_location(message: &str) -> Option<(&str, Location)> {
    let (reason, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let digits = |s: &str| s.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().ok();
    Some((reason, Location::new(digits(line)?, digits(column)?)))
}
