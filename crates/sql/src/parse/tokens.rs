//! What is put right among a statement's tokens before the parser reads them.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Whitespace};

use super::exclude::with_exclusions;
use super::position::{byte_of, syntax_error_at};
use crate::SqlError;

/// Words that no relation can be called, so that a query that has them after FROM lacks a name there.
const NO_NAMES: &[Keyword] = &[
    Keyword::WHERE,
    Keyword::GROUP,
    Keyword::ORDER,
    Keyword::HAVING,
    Keyword::LIMIT,
    Keyword::OFFSET,
    Keyword::FETCH,
    Keyword::UNION,
    Keyword::INTERSECT,
    Keyword::EXCEPT,
    Keyword::ON,
    Keyword::USING,
    Keyword::RETURNING,
    Keyword::AND,
    Keyword::OR,
    Keyword::AS,
    Keyword::FROM,
];

/// The tokens as the parser wants them.
///
/// # Errors
/// 42601 for two strings beside each other on a line, and for what the parser would take for something else.
pub fn prepared(text: &str, tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, SqlError> {
    whole_numbers(text, &tokens)?;
    whole_statement(text, &tokens)?;
    Ok(with_exclusions(with_table_commands(with_joined_strings(text, tokens)?)))
}

/// Where a reserved word stands in the place of a relation's name: the parser takes it for one.
pub fn missing_name(tokens: &[TokenWithSpan]) -> Option<Location> {
    let mut words = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).peekable();
    while let Some(token) = words.next() {
        let wants_name = matches!(keyword(token), Some(Keyword::FROM | Keyword::JOIN | Keyword::INTO));
        let reserved = |next: &&&TokenWithSpan| wants_name && keyword(next).is_some_and(|k| NO_NAMES.contains(&k));
        if let Some(next) = words.peek().filter(reserved) {
            return Some(next.span.start);
        }
    }
    None
}

fn keyword(token: &TokenWithSpan) -> Option<Keyword> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// A number ends where no letter follows: `0x1F` and `1_000` are none in PostgreSQL 15.
fn whole_numbers(text: &str, tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let start = |token: &TokenWithSpan| byte_of(text, token.span.start);
    for (n, token) in tokens.iter().enumerate() {
        let end = match (&token.token, tokens.get(n + 1).map(|next| &next.token)) {
            (Token::Number(..), Some(Token::Word(word))) if word.quote_style.is_none() => tokens[n + 1].span.end,
            (Token::Number(digits, long), _) if *long || digits.contains('_') => token.span.end,
            (Token::HexStringLiteral(_), _) if text[start(token)..].starts_with('0') => token.span.end,
            _ => continue,
        };
        let number = &text[start(token)..byte_of(text, end)];
        let error = SqlError::syntax(format!("trailing junk after numeric literal at or near \"{number}\""));
        return Err(error.located(Some(token.span.start)));
    }
    Ok(())
}

/// INSERT without INTO, and CREATE TABLE without columns.
fn whole_statement(text: &str, tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut words = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF));
    let (first, second) = (words.next(), words.next());
    match (first.and_then(keyword), second) {
        (Some(Keyword::INSERT), Some(next)) if keyword(next) != Some(Keyword::INTO) => {
            Err(syntax_error_at(text, next.span.start))
        }
        (Some(Keyword::CREATE), Some(next)) if keyword(next) == Some(Keyword::TABLE) => {
            let rest: Vec<&TokenWithSpan> = words.collect();
            let named = rest.iter().all(|t| matches!(t.token, Token::Word(_) | Token::Period));
            match rest.last() {
                Some(last) if named && (rest.len() == 1 || rest[1].token == Token::Period) && rest.len() <= 3 => {
                    Err(syntax_error_at(text, last.span.end))
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Strings on lines that follow each other are one string.
fn with_joined_strings(text: &str, tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, SqlError> {
    let is_string =
        |t: &TokenWithSpan| matches!(t.token, Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_));
    if tokens.iter().filter(|t| is_string(t)).count() < 2 {
        return Ok(tokens);
    }
    let mut joined: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // Where the last string stands, and whether the line has ended since.
    let mut last: Option<(usize, bool)> = None;
    for token in tokens {
        match (&token.token, last) {
            (Token::Whitespace(Whitespace::Newline), Some((place, _))) => last = Some((place, true)),
            (Token::Whitespace(Whitespace::SingleLineComment { .. }), Some((place, _))) => last = Some((place, true)),
            (Token::Whitespace(_), _) => {}
            (Token::SingleQuotedString(more), Some((place, true))) => {
                if let Token::SingleQuotedString(whole) | Token::EscapedStringLiteral(whole) = &mut joined[place].token
                {
                    whole.push_str(more);
                }
                last = Some((place, false));
                continue;
            }
            (Token::SingleQuotedString(_), Some((_, false))) => return Err(syntax_error_at(text, token.span.start)),
            _ if is_string(&token) => last = Some((joined.len(), false)),
            _ => last = None,
        }
        joined.push(token);
    }
    Ok(joined)
}

/// `TABLE name` where a query can begin, as `SELECT * FROM name`: the parser's own form of it cannot be planned.
fn with_table_commands(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_table = |t: &TokenWithSpan| matches!(&t.token, Token::Word(w) if w.keyword == Keyword::TABLE);
    if !tokens.iter().any(is_table) {
        return tokens;
    }
    let begins_query = |before: Option<&Token>| match before {
        None | Some(Token::LParen) => true,
        Some(Token::Word(word)) => {
            matches!(word.keyword, Keyword::AS | Keyword::UNION | Keyword::ALL | Keyword::INTERSECT | Keyword::EXCEPT)
        }
        Some(_) => false,
    };
    let mut rewritten = Vec::with_capacity(tokens.len() + 2);
    let mut before = None;
    for (n, token) in tokens.iter().enumerate() {
        let mut rest = tokens[n + 1..].iter().filter(|t| !matches!(t.token, Token::Whitespace(_)));
        // `1 AS table FROM t` has the word for a name.
        let name_follows =
            rest.next().is_some_and(|t| matches!(&t.token, Token::Word(w) if w.keyword != Keyword::FROM));
        if is_table(token) && name_follows && begins_query(before) {
            let words = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
            rewritten.extend(words.into_iter().map(|word| TokenWithSpan::new(word, token.span)));
        } else {
            rewritten.push(token.clone());
        }
        if !matches!(token.token, Token::Whitespace(_)) {
            before = Some(&token.token);
        }
    }
    rewritten
}
