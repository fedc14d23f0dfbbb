//! Where literals and operands are that an error is about.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::{Text, name_of};

impl Text {
    /// What is about a literal's text.
    pub(super) fn find_value(&self, message: &str) -> Option<usize> {
        // PostgreSQL tells no place in SET and its like.
        if message.starts_with("invalid value for parameter") {
            return None;
        }
        if let Some((quoted, _)) = message.split_once(" is out of range for type ") {
            return self.literal(quoted.strip_prefix("value ").unwrap_or(quoted).strip_prefix('"')?.strip_suffix('"')?);
        }
        if message == "invalid input syntax for type json" {
            return self
                .only(|i| self.is_literal_of(i, &["json", "jsonb"]))
                .or_else(|| self.only(|i| self.is_string(i)));
        }
        if message.starts_with("invalid hexadecimal d") {
            return self.only(|i| self.string(i).is_some_and(|text| text.starts_with("\\x")));
        }
        if message.contains(" for relation ") || message.contains(" of relation ") {
            return None;
        }
        let (_, rest) = message.rsplit_once(": \"")?;
        self.literal(rest.strip_suffix('"')?)
    }

    /// The operand of AND or OR with this name or text.
    pub(super) fn operand(&self, near: &str) -> Option<usize> {
        let joins = |i: usize| self.is_word(i, "and") || self.is_word(i, "or");
        let is_it = |i: &usize| {
            let start = self.whole_name(*i);
            let named = self.is_name(*i, near) || self.string(*i) == Some(near) || self.is_number(*i, near);
            named && (joins(i + 1) || (start > 0 && joins(start - 1)))
        };
        (0..self.tokens.len()).find(is_it).map(|i| self.whole_name(i))
    }

    /// The operator before ANY, SOME or ALL.
    pub(super) fn before_any(&self) -> Option<usize> {
        let is_it = |i: usize| {
            let quantifier = ["any", "some", "all"].iter().any(|word| self.is_word(i, word));
            quantifier && self.is(i + 1, &Token::LParen) && i > 0 && name_of(&self.tokens[i - 1].token).is_none()
        };
        self.only(is_it)?.checked_sub(1)
    }

    /// The query with more than one column in the place of a value, or IN before it.
    pub(super) fn wide_subquery(&self) -> Option<usize> {
        self.only(|i| {
            let before = i.checked_sub(1).and_then(|before| name_of(&self.tokens[before].token));
            let is_value =
                !matches!(before.as_deref(), Some("exists" | "from" | "join" | "array" | "lateral" | "as" | "in"));
            is_value && self.is(i, &Token::LParen) && self.is_word(i + 1, "select") && self.items(i + 2).len() > 1
        })
        .or_else(|| {
            self.only(|i| {
                let open = self.is_word(i, "in") && self.is(i + 1, &Token::LParen);
                open && self.is_word(i + 2, "select") && self.items(i + 3).len() > 1
            })
        })
    }

    fn is_number(&self, index: usize, digits: &str) -> bool {
        matches!(&self.tokens[index].token, Token::Number(text, _) if text == digits)
    }

    fn string(&self, index: usize) -> Option<&str> {
        match &self.tokens.get(index)?.token {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text),
            _ => None,
        }
    }

    fn is_string(&self, index: usize) -> bool {
        self.string(index).is_some()
    }

    /// A string with one of these types: `'…'::t`, `CAST ('…' AS t)` or `t '…'`.
    fn is_literal_of(&self, index: usize, types: &[&str]) -> bool {
        let is_type = |i: usize| types.iter().any(|name| self.is_word(i, name));
        let cast = self.is(index + 1, &Token::DoubleColon) || self.is_word(index + 1, "as");
        self.is_string(index) && ((cast && is_type(index + 2)) || (index > 0 && is_type(index - 1)))
    }
}
