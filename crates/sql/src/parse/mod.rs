//! Takes a text apart into statements.
//!
//! 1. The text is cut into tokens, and the tokens into statements at semicolons.
//! 2. Statements that are ours are recognised by their first words; the SQL parser reads all others.
//! 3. What cannot be read becomes PostgreSQL's `syntax error at or near "…"` with the place.

mod depth;
mod dialect;
mod exclude;
mod place;
mod position;
mod show;
mod source;
mod tokens;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use dialect::KeyfoldDialect;
pub use place::{operand_place, place_of};
pub(crate) use position::position_of;
use position::{byte_of, tokenizer_error};

use crate::statement::name_parts;
use crate::{Parsed, SqlError, Statement};

/// How deep expressions and queries may be nested.
const DEPTH_MAX: usize = 100;

const DIALECT: KeyfoldDialect = KeyfoldDialect;

/// Takes a text apart into statements. An empty text gives none.
///
/// # Errors
/// 42601 with the place, counted over the whole text.
pub fn parse(text: &str) -> Result<Vec<Parsed>, SqlError> {
    let tokens = tokens_of(text)?;
    let mut statements = Vec::new();
    for group in tokens.split(|t| t.token == Token::SemiColon) {
        let mut words = group.iter().filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF));
        let Some(first) = words.next() else { continue };
        let last = words.next_back().unwrap_or(first);
        let start = byte_of(text, first.span.start);
        let end = byte_of(text, last.span.end).max(start);
        let own = &text[start..end];
        let offset = text[..start].chars().count();
        let statement = parse_one(own).map_err(|mut e| {
            e.position = Some(e.position.unwrap_or(1) + offset);
            e
        })?;
        statements.push(Parsed { statement, text: own.to_owned(), offset });
    }
    Ok(statements)
}

/// Reads a query, such as a view's text.
///
/// # Errors
/// 42601 with the place.
pub fn parse_query(text: &str) -> Result<ast::Query, SqlError> {
    read(text, |parser| parser.parse_query().map(|q| *q))
}

/// Reads an expression, such as a column's default.
///
/// # Errors
/// 42601 with the place.
pub fn parse_expression(text: &str) -> Result<ast::Expr, SqlError> {
    read(text, |parser| parser.parse_expr())
}

fn parse_one(text: &str) -> Result<Statement, SqlError> {
    read(text, |parser| {
        if let Some(statement) = parse_own(parser)? {
            return Ok(statement);
        }
        Ok(Statement::Standard(Box::new(parser.parse_statement()?)))
    })
}

/// A statement that is ours, or nothing and the parser where it was.
fn parse_own(parser: &mut Parser<'_>) -> Result<Option<Statement>, ParserError> {
    if next_words(parser, &["CREATE", "SOURCE"]) {
        return source::create_source(parser).map(Some);
    }
    if next_words(parser, &["DROP", "SOURCE"]) {
        return source::drop_source(parser).map(Some);
    }
    if let Some(statement) = show::show(parser)? {
        return Ok(Some(statement));
    }
    if next_words(parser, &["EXPLAIN", "MATERIALIZED", "VIEW"]) || next_words(parser, &["EXPLAIN", "VIEW"]) {
        let name = name_parts(&parser.parse_object_name(false)?);
        return Ok(Some(Statement::ExplainView { name }));
    }
    if next_words(parser, &["REFRESH", "MATERIALIZED", "VIEW"]) {
        let _ = next_words(parser, &["CONCURRENTLY"]);
        let name = name_parts(&parser.parse_object_name(false)?);
        let _ = next_words(parser, &["WITH", "DATA"]);
        return Ok(Some(Statement::RefreshMaterializedView { name }));
    }
    if next_words(parser, &["CHECK", "MATERIALIZED", "VIEW"]) {
        let name = name_parts(&parser.parse_object_name(false)?);
        return Ok(Some(Statement::CheckMaterializedView { name }));
    }
    if next_words(parser, &["ABORT"]) {
        let _ = next_words(parser, &["WORK"]) || next_words(parser, &["TRANSACTION"]);
        let rollback = ast::Statement::Rollback { chain: false, savepoint: None };
        return Ok(Some(Statement::Standard(Box::new(rollback))));
    }
    if next_words(parser, &["CHECKPOINT"]) {
        return Ok(Some(Statement::Checkpoint));
    }
    Ok(None)
}

/// Whether these words come next; if so they are consumed.
fn next_words(parser: &mut Parser<'_>, words: &[&str]) -> bool {
    let matches = words.iter().enumerate().all(|(n, wanted)| match parser.peek_nth_token(n).token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
        _ => false,
    });
    if matches {
        for _ in words {
            parser.next_token();
        }
    }
    matches
}

fn tokens_of(text: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    Tokenizer::new(&DIALECT, text).tokenize_with_location().map_err(|e| tokenizer_error(text, &e))
}

/// Runs a parser over the whole text; what is left over is a syntax error.
fn read<T>(text: &str, parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>) -> Result<T, SqlError> {
    let mut tokens = tokens::prepared(text, tokens_of(text)?)?;
    depth::check(&tokens)?;
    let missing_name = tokens::missing_name(&tokens);
    // The parser wants the semicolon after COPY … FROM STDIN, whose rows could follow it in a file.
    let end = tokens.last().map_or(Location::new(1, 1), |t| t.span.end);
    tokens.push(TokenWithSpan::new(Token::SemiColon, Span::new(end, end)));
    let mut parser = Parser::new(&DIALECT).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
    let parsed = parse(&mut parser).map_err(|e| position::parser_error(text, &e))?;
    let _ = parser.consume_token(&Token::SemiColon);
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(position::syntax_error_at(text, rest.span.start));
    }
    match missing_name {
        Some(place) => Err(position::syntax_error_at(text, place)),
        None => Ok(parsed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_texts_apart() {
        let parsed = parse("SELECT 1; ; select ';' -- no\n;COPY t FROM STDIN;").expect("parses");
        let texts: Vec<_> = parsed.iter().map(|p| (p.text.as_str(), p.offset)).collect();
        assert_eq!(texts, [("SELECT 1", 0), ("select ';'", 12), ("COPY t FROM STDIN", 30)]);
    }

    #[test]
    fn says_where_the_syntax_is_wrong() {
        let error = parse("SELECT 1;\nSELEC 2").expect_err("is wrong");
        assert_eq!(error.message, "syntax error at or near \"SELEC\"");
        assert_eq!((error.sqlstate.as_str(), error.position), ("42601", Some(11)));
        let error = parse("SELECT (1").expect_err("is wrong");
        assert_eq!((error.message.as_str(), error.position), ("syntax error at end of input", Some(10)));
        let error = parse("SELECT 'é', 'abc").expect_err("is wrong");
        assert_eq!(error.position, Some(13));
    }

    #[test]
    fn reads_what_the_parser_itself_does_not() {
        let query = |text: &str| parse_query(text).expect("parses").to_string();
        assert_eq!(query("TABLE t ORDER BY 1"), "SELECT * FROM t ORDER BY 1");
        assert_eq!(query("SELECT 1 AS table FROM t"), "SELECT 1 AS table FROM t");
        let expr = |text: &str| parse_expression(text).expect("parses").to_string();
        assert_eq!(expr("2 BETWEEN SYMMETRIC 3 AND 1 AND x"), "(2 BETWEEN 3 AND 1 OR 2 BETWEEN 1 AND 3) AND x");
        assert_eq!(expr("x NOT BETWEEN ASYMMETRIC 1 AND 3"), "NOT x BETWEEN 1 AND 3");
        assert_eq!(expr("trim(LEADING FROM x)"), "TRIM(LEADING ' ' FROM x)");
        assert_eq!(expr("trim(LEADING 'a' FROM x)"), "TRIM(LEADING 'a' FROM x)");
    }
}
