//! How deep a statement can become as a tree, told from its tokens.
//!
//! `1 + 1 + …` nests as deep as it is long, and everything that goes over a tree of expressions goes as deep. What the
//! parser counts are only parentheses. Here each operator counts one; a comma ends a chain, but for those in FROM, which
//! are joins; what is within parentheses is below what is before them.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::SqlError;

/// Operators on the way from the root of a statement to its leaves, at most.
const OPERATORS_MAX: usize = 4000;

/// Fails if the statement may be deeper than threads' stacks are.
///
/// # Errors
/// 54001.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut outside = Vec::new();
    let mut level = Level::default();
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket => {
                let inner = Level { before: level.before + level.operators, ..Level::default() };
                outside.push(std::mem::replace(&mut level, inner));
            }
            // A subscript is an operator, too.
            Token::RParen | Token::RBracket => {
                level = outside.pop().unwrap_or_default();
                level.operators += 1;
            }
            Token::Comma if !level.in_from => level.operators = 0,
            Token::Word(word) => match word.keyword {
                Keyword::FROM => level.in_from = true,
                Keyword::WHERE | Keyword::GROUP | Keyword::HAVING | Keyword::ORDER | Keyword::SELECT => {
                    level.in_from = false;
                }
                keyword if joins_parts(keyword) => level.operators += 1,
                _ => {}
            },
            Token::Number(..) | Token::Whitespace(_) | Token::Period | Token::EOF => {}
            _ => level.operators += 1,
        }
        if level.before + level.operators > OPERATORS_MAX {
            let hint =
                format!("At most {OPERATORS_MAX} operators can follow one another; a list (IN, VALUES) can be longer.");
            return Err(SqlError::new(b"54001", "stack depth limit exceeded").with_hint(hint));
        }
    }
    Ok(())
}

/// What is between two parentheses.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Operators that it is below.
    before: usize,
    /// Operators since the last comma.
    operators: usize,
    in_from: bool,
}

fn joins_parts(keyword: Keyword) -> bool {
    use Keyword as K;
    matches!(
        keyword,
        K::AND
            | K::OR
            | K::NOT
            | K::IS
            | K::IN
            | K::LIKE
            | K::ILIKE
            | K::SIMILAR
            | K::BETWEEN
            | K::COLLATE
            | K::AT
            | K::UNION
            | K::EXCEPT
            | K::INTERSECT
            | K::JOIN
            | K::OVERLAPS
            | K::NOTNULL
    )
}

#[cfg(test)]
mod tests {
    use crate::parse::parse;

    #[test]
    fn chains_are_bounded_and_lists_are_not() {
        let chain = |part: &str, between: &str, count: usize| vec![part; count].join(between);
        for text in [
            format!("SELECT {}", chain("1", "+", 10_000)),
            format!("SELECT 1 WHERE {}", chain("a = 1", " OR ", 10_000)),
            format!("SELECT 1{}", chain("::int", "", 10_000)),
            format!("SELECT a{}", chain("[1]", "", 10_000)),
            chain("SELECT 1", " UNION ALL ", 10_000),
            format!("SELECT 1 FROM {}", chain("t", ", ", 10_000)),
            format!("SELECT 1 FROM t {}", chain("JOIN t USING (a)", " ", 10_000)),
            format!("SELECT {}({})", "1+".repeat(3000), chain("1", "+", 3000)),
            format!("SELECT 1 IN (SELECT {})", chain("'a'", "||", 10_000)),
        ] {
            let error = parse(&text).expect_err("is too deep");
            assert_eq!(error.sqlstate.as_str(), "54001", "{}", &text[..60]);
        }
        for text in [
            format!("INSERT INTO t VALUES {}", chain("(1 + 1, -1, 'a')", ", ", 10_000)),
            format!("SELECT 1 WHERE a IN ({})", chain("-1", ",", 10_000)),
            format!("SELECT {} FROM t, u WHERE a = 1 GROUP BY 1, 2", chain("a + 1", ", ", 10_000)),
            format!("SELECT {}", chain("1", "+", 1000)),
            chain("SELECT 1", "; ", 100),
        ] {
            assert!(parse(&text).is_ok(), "{}", &text[..60]);
        }
    }
}
