//! EXCLUDE in window frames, which the parser does not know: it becomes a partition key, a literal that says what is left out
//! (`window::prepare` reads it).

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::window::EXCLUDE_MARK;

/// The tokens with each EXCLUDE clause moved to its window's partition keys.
pub fn with_exclusions(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut from = 0;
    while let Some(at) = tokens[from..].iter().position(|token| is_word(token, "EXCLUDE")).map(|at| at + from) {
        from = at + 1;
        let words: Vec<usize> = (at + 1..tokens.len()).filter(|place| !is_space(&tokens[*place])).take(3).collect();
        let what = match words.as_slice() {
            [a, b, end] if is_word(&tokens[*a], "CURRENT") && is_word(&tokens[*b], "ROW") => {
                Some(("current row", *end))
            }
            [a, b, end] if is_word(&tokens[*a], "NO") && is_word(&tokens[*b], "OTHERS") => Some(("no others", *end)),
            [a, end, ..] if is_word(&tokens[*a], "GROUP") => Some(("group", *end)),
            [a, end, ..] if is_word(&tokens[*a], "TIES") => Some(("ties", *end)),
            _ => None,
        };
        let Some((what, end)) = what.filter(|(_, end)| tokens[*end].token == Token::RParen) else { continue };
        let Some(open) = opening(&tokens, end) else { continue };
        let span = tokens[at].span;
        tokens.drain(at..end);
        let place = after_name(&tokens, open);
        let word = |text: &str, keyword| TokenWithSpan {
            token: Token::Word(Word { value: text.to_owned(), quote_style: None, keyword }),
            span,
        };
        let mark = TokenWithSpan { token: Token::SingleQuotedString(format!("{EXCLUDE_MARK}{what}")), span };
        // The planner drops keys that are plain literals; not those in parentheses.
        let token = |token| TokenWithSpan { token, span };
        let [open, close, comma] = [token(Token::LParen), token(Token::RParen), token(Token::Comma)];
        let (at, added) = match is_word(&tokens[place], "PARTITION") {
            true => {
                let by = (place + 1..tokens.len()).find(|at| is_word(&tokens[*at], "BY")).unwrap_or(place);
                (by + 1, vec![open, mark, close, comma])
            }
            false => (place, vec![word("PARTITION", Keyword::PARTITION), word("BY", Keyword::BY), open, mark, close]),
        };
        tokens.splice(at..at, added);
    }
    tokens
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

fn is_word(token: &TokenWithSpan, text: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

/// The parenthesis that is closed at this place.
fn opening(tokens: &[TokenWithSpan], close: usize) -> Option<usize> {
    let mut depth = 0;
    for place in (0..=close).rev() {
        match tokens[place].token {
            Token::RParen => depth += 1,
            Token::LParen => {
                depth -= 1;
                if depth == 0 {
                    return Some(place);
                }
            }
            _ => {}
        }
    }
    None
}

/// The first token of a window behind the name of the window that it extends.
fn after_name(tokens: &[TokenWithSpan], open: usize) -> usize {
    const BEGINNINGS: &[&str] = &["PARTITION", "ORDER", "ROWS", "RANGE", "GROUPS"];
    let mut places = (open + 1..tokens.len()).filter(|place| !is_space(&tokens[*place]));
    let first = places.next().unwrap_or(open + 1);
    if BEGINNINGS.iter().any(|word| is_word(&tokens[first], word)) {
        return first;
    }
    places.next().unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn moved(text: &str) -> String {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().expect("tokens");
        let words = with_exclusions(tokens).into_iter().filter(|token| !is_space(token));
        words.map(|token| token.token.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn exclusions_become_partition_keys() {
        let check = |text: &str, expected: &str| assert_eq!(moved(text), expected);
        check(
            "over (order by a rows 1 preceding exclude ties)",
            "over ( PARTITION BY ( 'exclude ties' ) order by a rows 1 preceding )",
        );
        check(
            "over (partition by (b) rows 1 preceding EXCLUDE CURRENT ROW)",
            "over ( partition by ( 'exclude current row' ) , ( b ) rows 1 preceding )",
        );
        check(
            "over (w groups 1 preceding exclude no others)",
            "over ( w PARTITION BY ( 'exclude no others' ) groups 1 preceding )",
        );
        check("select exclude from t", "select exclude from t");
    }
}
