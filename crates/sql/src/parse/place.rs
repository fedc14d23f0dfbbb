//! Where in a statement's text the cause of an error is, told from the message, for errors that were found where the text
//! is not known any more.
//!
//! 1. The message says what is wrong in PostgreSQL's words: a literal, an operator, a type, a clause.
//! 2. The token that it is about is looked for in the text. Where more than one could be meant, there is no place.

mod values;

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::DIALECT;
use super::position::position_of;
use crate::bind::registry;

/// The part of a query in which a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clause {
    None,
    Select,
    From,
    Where,
    Group,
    Having,
    Order,
}

/// What is known of a token from those before it.
#[derive(Clone, Copy, Debug)]
struct Surroundings {
    clause: Clause,
    /// It is among the arguments of an aggregate.
    aggregated: bool,
    depth: usize,
}

/// What is so at the beginning.
const OUTSIDE: Surroundings = Surroundings { clause: Clause::None, aggregated: false, depth: 0 };

struct Text {
    tokens: Vec<TokenWithSpan>,
    around: Vec<Surroundings>,
}

/// The position of what the message is about, in characters from 1.
#[must_use]
pub fn place_of(text: &str, message: &str) -> Option<usize> {
    let tokens = Text::of(text)?;
    let index = tokens.find(message)?;
    position_of(text, tokens.tokens.get(index)?.span.start)
}

/// The position of the operand of AND or OR that is this name or literal.
#[must_use]
pub fn operand_place(text: &str, operand: &str) -> Option<usize> {
    let tokens = Text::of(text)?;
    let index = tokens.operand(operand)?;
    position_of(text, tokens.tokens.get(index)?.span.start)
}

fn surroundings(tokens: &[TokenWithSpan]) -> Vec<Surroundings> {
    let mut frames = vec![OUTSIDE];
    let mut found = Vec::with_capacity(tokens.len());
    for (index, token) in tokens.iter().enumerate() {
        let mut frame = frames.last().copied().unwrap_or(OUTSIDE);
        if token.token == Token::RParen && frames.len() > 1 {
            frames.pop();
            frame.depth -= 1;
        }
        found.push(frame);
        if token.token == Token::LParen {
            let call = index.checked_sub(1).and_then(|before| name_of(&tokens[before].token));
            let aggregate = call.is_some_and(|name| registry().aggregate(&name).is_some());
            frames.push(Surroundings {
                clause: frame.clause,
                aggregated: frame.aggregated || aggregate,
                depth: frames.len(),
            });
            continue;
        }
        let clause = match word_of(&token.token).as_deref() {
            Some("select") => Clause::Select,
            // EXTRACT(hour FROM d) has one, too.
            Some("from") if !frame.aggregated => Clause::From,
            Some("where") => Clause::Where,
            Some("group") => Clause::Group,
            Some("having") => Clause::Having,
            Some("order") => Clause::Order,
            _ => continue,
        };
        if let Some(frame) = frames.last_mut() {
            frame.clause = clause;
            frame.aggregated &= clause != Clause::Select;
        }
    }
    found
}

/// A word without quotes in lower case.
fn word_of(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
        _ => None,
    }
}

/// A name as it is compared.
fn name_of(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
        other => word_of(other),
    }
}

/// What stands between two texts of a message.
fn between<'m>(message: &'m str, before: &str, behind: &str) -> Option<&'m str> {
    message.strip_prefix(before)?.split_once(behind).map(|(found, _)| found)
}

impl Text {
    fn of(text: &str) -> Option<Text> {
        let mut tokens = Tokenizer::new(&DIALECT, text).tokenize_with_location().ok()?;
        tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
        let around = surroundings(&tokens);
        Some(Text { tokens, around })
    }

    fn find(&self, message: &str) -> Option<usize> {
        if let Some(place) = self.find_value(message) {
            return Some(place);
        }
        if let Some(rest) = message.strip_prefix("operator does not exist: ") {
            return self.operator(rest);
        }
        if message.starts_with("op ANY/ALL") {
            return self.before_any();
        }
        if message == "subquery must return only one column" {
            return self.wide_subquery();
        }
        if let Some(name) = between(message, "function ", "(") {
            return self.only(|i| self.is_name(i, name) && self.is(i + 1, &Token::LParen));
        }
        if let Some(name) = between(message, "type \"", "\" does not exist") {
            return self.first(|i| self.is_name(i, last_part(name))).map(|i| self.whole_name(i));
        }
        if let Some(name) = between(message, "relation \"", "\" does not exist") {
            return self.first(|i| self.is_name(i, last_part(name))).map(|i| self.whole_name(i));
        }
        if let Some(column) = between(message, "column \"", "\" must appear in the GROUP BY clause") {
            return self.ungrouped(last_part(column));
        }
        if message.starts_with("column \"") && message.contains("\" is of type ") {
            return self.assigned(between(message, "column \"", "\" is")?);
        }
        if message.starts_with("cannot cast type ") {
            return self.only(|i| self.is(i, &Token::DoubleColon) || self.is_word(i, "cast"));
        }
        if let Some(clause) = between(message, "argument of ", " must be type boolean") {
            let word = match clause {
                "JOIN/ON" => "on",
                "CASE/WHEN" => "when",
                "FILTER" => "where",
                "AND" | "OR" => return None,
                other => &other.to_lowercase(),
            };
            return Some(self.only(|i| self.is_word(i, word))? + 1);
        }
        if let Some((construct, _)) = message.split_once(" types ").filter(|_| message.ends_with("cannot be matched")) {
            return self.unmatched(&construct.to_lowercase());
        }
        self.find_clause(message)
    }

    /// What is about a clause, or a word of the language.
    fn find_clause(&self, message: &str) -> Option<usize> {
        let by = |clause: Clause| move |i: usize| self.around[i].clause == clause;
        for (name, clause) in [("ORDER BY", Clause::Order), ("GROUP BY", Clause::Group)] {
            if let Some(number) = between(message, &format!("{name} position "), " is not") {
                let is_it = |i: usize| matches!(&self.tokens[i].token, Token::Number(text, _) if text == number);
                return self.only(|i| is_it(i) && by(clause)(i));
            }
        }
        for (clause, name) in [(Clause::Where, "WHERE"), (Clause::Where, "FILTER"), (Clause::Group, "GROUP BY")] {
            if message == format!("aggregate functions are not allowed in {name}") {
                return self.first(|i| by(clause)(i) && self.is_aggregate(i));
            }
            if message == format!("window functions are not allowed in {name}") {
                return self.first(|i| by(clause)(i) && self.is_windowed(i));
            }
        }
        if message == "aggregate function calls cannot be nested" {
            return self.first(|i| self.is_aggregate(i) && self.around[i].aggregated);
        }
        if message.starts_with("for SELECT DISTINCT, ORDER BY") || message.starts_with("in an aggregate with DISTINCT")
        {
            return Some(self.only(|i| self.is_word(i, "order"))? + 2);
        }
        if message.starts_with("SELECT DISTINCT ON expressions must match") {
            return Some(self.only(|i| self.is_word(i, "distinct") && self.is_word(i + 1, "on"))? + 3);
        }
        if let Some(name) = between(message, "WITH query name \"", "\" specified") {
            let is_it = |i: usize| self.is_name(i, name) && self.is_word(i + 1, "as");
            return (0..self.tokens.len()).filter(|i| is_it(*i)).nth(1);
        }
        if let Some(name) = between(message, "window \"", "\" does not exist") {
            return Some(self.first(|i| self.is_word(i, "over") && self.is_name(i + 1, name))? + 1);
        }
        if let Some(name) = message.strip_prefix("there is no parameter ") {
            return self.first(|i| matches!(&self.tokens[i].token, Token::Placeholder(text) if text == name));
        }
        if message.starts_with("INSERT has more ") {
            return self.insert_width(message.starts_with("INSERT has more expressions"));
        }
        let word = match message {
            m if m.starts_with("multiple primary keys") => {
                return (0..self.tokens.len()).filter(|i| self.is_word(*i, "primary")).nth(1);
            }
            m if m.ends_with("named in key does not exist") => "primary",
            m if m.starts_with("length for type varchar") => "varchar",
            m if m.starts_with("NUMERIC precision") || m.starts_with("NUMERIC scale") => "numeric",
            m if m.starts_with("window function ") => between(m, "window function ", " requires")?,
            m if m.starts_with("SELECT INTO") => "into",
            m if m.starts_with("a subquery in LIMIT") => "limit",
            m if m.starts_with("a statement that writes in WITH") => {
                let writes = |i| ["insert", "update", "delete", "merge"].iter().any(|word| self.is_word(i, word));
                return self.first(|i| writes(i) && self.around[i].depth > 0);
            }
            m if m.starts_with("a row as a value") => return self.row(),
            m if m.ends_with("subscript must have type integer") => return Some(self.subscript()? + 1),
            m if m.starts_with("cannot subscript") => return self.subscript()?.checked_sub(1),
            _ => return None,
        };
        self.only(|i| self.is_word(i, word))
    }

    fn first(&self, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        (0..self.tokens.len()).find(|i| is_it(*i))
    }

    /// The token of which this is so, if there is one such only.
    fn only(&self, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mut found = (0..self.tokens.len()).filter(|i| is_it(*i));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    fn is(&self, index: usize, token: &Token) -> bool {
        self.tokens.get(index).is_some_and(|found| found.token == *token)
    }

    fn is_word(&self, index: usize, word: &str) -> bool {
        self.tokens.get(index).and_then(|token| word_of(&token.token)).is_some_and(|found| found == word)
    }

    fn is_name(&self, index: usize, name: &str) -> bool {
        self.tokens.get(index).and_then(|token| name_of(&token.token)).is_some_and(|found| found == name)
    }

    fn is_aggregate(&self, index: usize) -> bool {
        let name = name_of(&self.tokens[index].token).filter(|_| self.is(index + 1, &Token::LParen));
        name.is_some_and(|name| registry().aggregate(&name).is_some())
    }

    /// A call with OVER.
    fn is_windowed(&self, index: usize) -> bool {
        if name_of(&self.tokens[index].token).is_none() || !self.is(index + 1, &Token::LParen) {
            return false;
        }
        let depth = self.around[index].depth;
        let end =
            (index + 2..self.tokens.len()).find(|i| self.is(*i, &Token::RParen) && self.around[*i].depth == depth);
        end.is_some_and(|end| self.is_word(end + 1, "over"))
    }

    /// The first part of a name with dots, of which this is the last.
    fn whole_name(&self, mut index: usize) -> usize {
        while index >= 2 && self.is(index - 1, &Token::Period) && name_of(&self.tokens[index - 2].token).is_some() {
            index -= 2;
        }
        index
    }

    /// The literal with this text; or the array literal that has it as an element.
    fn literal(&self, value: &str) -> Option<usize> {
        let text = |i: usize| match &self.tokens[i].token {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text.as_str()),
            Token::Number(text, _) => Some(text.as_str()),
            _ => None,
        };
        self.only(|i| text(i) == Some(value))
            .or_else(|| self.only(|i| text(i).is_some_and(|text| text.starts_with('{') && text.contains(value))))
    }

    /// `integer + text`: the only operator of this form.
    fn operator(&self, call: &str) -> Option<usize> {
        let symbol = call.split(' ').find(|part| !part.is_empty() && !part.contains(char::is_alphanumeric))?;
        let is_it = |i: usize| match symbol {
            "~~" => self.is_word(i, "like"),
            "~~*" => self.is_word(i, "ilike"),
            "<>" => self.is(i, &Token::Neq),
            _ => self.tokens[i].token.to_string() == symbol,
        };
        // NOT LIKE begins at NOT.
        self.only(is_it).map(|i| if i > 0 && self.is_word(i - 1, "not") { i - 1 } else { i })
    }

    /// Where a column is used that is neither grouped nor in an aggregate.
    fn ungrouped(&self, column: &str) -> Option<usize> {
        let clauses = [Clause::Select, Clause::Having, Clause::Order];
        let is_it = |i: usize| {
            let around = self.around[i];
            let is_column = !self.is(i + 1, &Token::LParen) && !self.is(i + 1, &Token::Period);
            let is_alias = i > 0 && self.is_word(i - 1, "as");
            self.is_name(i, column) && clauses.contains(&around.clause) && !around.aggregated && is_column && !is_alias
        };
        self.first(is_it).map(|i| self.whole_name(i))
    }

    /// The expression that a column is set to: in SET, in the only row of VALUES, or in the list of SELECT.
    fn assigned(&self, column: &str) -> Option<usize> {
        if let Some(set) = self.only(|i| self.is_word(i, "set")) {
            let name = (set + 1..self.tokens.len()).find(|i| self.is_name(*i, column) && self.is(i + 1, &Token::Eq))?;
            return Some(name + 2);
        }
        let columns = self.target_columns()?;
        let place = columns.iter().position(|i| self.is_name(*i, column))?;
        self.given_items()?.get(place).copied()
    }

    /// The columns in parentheses behind the table of an INSERT.
    fn target_columns(&self) -> Option<Vec<usize>> {
        let open = self.first(|i| self.is(i, &Token::LParen))?;
        let before = self.first(|i| self.is_word(i, "values") || self.is_word(i, "select"))?;
        (self.is_word(0, "insert") && open < before).then(|| self.items(open + 1))
    }

    /// The first tokens of the expressions that an INSERT gives.
    fn given_items(&self) -> Option<Vec<usize>> {
        let start = self.first(|i| self.is_word(i, "values") || self.is_word(i, "select"))?;
        if self.is_word(start, "select") {
            return Some(self.items(start + 1));
        }
        let open = |i: usize| i > start && self.is(i, &Token::LParen) && self.around[i].depth == 0;
        Some(self.items(self.only(open)? + 1))
    }

    /// The first tokens of items with commas between, from here to the end of the list.
    fn items(&self, from: usize) -> Vec<usize> {
        let depth = self.around.get(from).map_or(0, |around| around.depth);
        let mut items = vec![from];
        for index in from..self.tokens.len() {
            let around = self.around[index];
            if around.depth < depth || (around.depth == depth && self.is_word(index, "from")) {
                break;
            }
            if around.depth == depth && self.is(index, &Token::Comma) {
                items.push(index + 1);
            }
        }
        items
    }

    /// The first expression that has no column, or the first column that has no expression.
    fn insert_width(&self, too_many_expressions: bool) -> Option<usize> {
        let (columns, given) = (self.target_columns()?, self.given_items()?);
        if too_many_expressions { given.get(columns.len()).copied() } else { columns.get(given.len()).copied() }
    }

    /// The value that does not go with the first one where there are two, else the construct.
    fn unmatched(&self, construct: &str) -> Option<usize> {
        let start = self.only(|i| self.is_word(i, construct))?;
        match construct {
            "union" | "intersect" | "except" => {
                let select = (start + 1..self.tokens.len()).find(|i| self.is_word(*i, "select"))?;
                Some(if self.items(select + 1).len() == 1 { select + 1 } else { start })
            }
            "case" => match self.only(|i| self.is_word(i, "then")) {
                // The type of ELSE comes first.
                Some(then) if self.only(|i| self.is_word(i, "else")).is_some() => Some(then + 1),
                _ => Some(start),
            },
            "array" if self.is(start + 1, &Token::LBracket) => match self.items(start + 2).as_slice() {
                [_, second] => Some(*second),
                _ => Some(start),
            },
            "array" | "in" => Some(start),
            _ => match self.items(start + 2).as_slice() {
                [_, second] => Some(*second),
                _ => Some(start),
            },
        }
    }

    /// The only bracket that begins a subscript.
    fn subscript(&self) -> Option<usize> {
        self.only(|i| i > 0 && self.is(i, &Token::LBracket) && !self.is_word(i - 1, "array"))
    }

    /// A row: `ROW (…)`, or an expression in parentheses that has a comma.
    fn row(&self) -> Option<usize> {
        self.first(|i| {
            let begins = i == 0 || !matches!(name_of(&self.tokens[i - 1].token), Some(name) if !is_before_value(&name));
            self.is_word(i, "row") && self.is(i + 1, &Token::LParen)
                || (begins && self.is(i, &Token::LParen) && self.items(i + 1).len() > 1)
        })
    }
}

/// Whether a parenthesis behind the word begins a value and no list of arguments.
fn is_before_value(word: &str) -> bool {
    matches!(word, "select" | "distinct" | "where" | "by" | "then" | "else" | "when" | "and" | "or" | "not")
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place is where the mark `^` stands in the text.
    #[track_caller]
    fn check(marked: &str, message: &str) {
        let text = marked.replace('^', "");
        let expected = marked.chars().position(|c| c == '^').map(|place| place + 1);
        assert_eq!(place_of(&text, message), expected, "{text}: {message}");
    }

    #[test]
    fn values_and_operators() {
        check("SELECT a + ^'x' FROM t", "invalid input syntax for type integer: \"x\"");
        check("SELECT ^'{1,x}'::int[]", "invalid input syntax for type integer: \"x\"");
        check("SELECT 'x' || 'x'::int", "invalid input syntax for type integer: \"x\"");
        check("SELECT d ^> 1, a >= 2", "operator does not exist: date > integer");
        check("SELECT d > 1, a > 2", "operator does not exist: date > integer");
        check("SELECT a ^NOT LIKE 1", "operator does not exist: integer ~~ integer");
        check("SELECT ^length(a)", "function length(integer) does not exist");
        check("SELECT a::^pg_catalog.nope", "type \"pg_catalog.nope\" does not exist");
        check("SELECT a^::date", "cannot cast type integer to date");
        check("DELETE FROM ^nope", "relation \"nope\" does not exist");
        check("SELECT ^$2", "there is no parameter $2");
        check("SELECT ^'9'::smallint", "value \"9\" is out of range for type smallint");
        check("SELECT 'x', ^'y'::jsonb", "invalid input syntax for type json");
        check("SELECT a ^= ANY (b) FROM t", "op ANY/ALL (array) requires array on right side");
        check("SELECT ^(SELECT a, b FROM t)", "subquery must return only one column");
        check("SELECT ARRAY[a, ^b]", "ARRAY types integer and text cannot be matched");
        check("SET a = 'x'", "invalid value for parameter \"a\": \"x\"");
    }

    #[test]
    fn operands() {
        let check = |marked: &str, operand: &str| {
            let text = marked.replace('^', "");
            let expected = marked.chars().position(|c| c == '^').map(|place| place + 1);
            assert_eq!(operand_place(&text, operand), expected, "{text}");
        };
        check("SELECT a, f AND ^t.a", "a");
        check("SELECT 1 WHERE ^1 OR f", "1");
        check("SELECT a, f AND b", "a");
    }

    #[test]
    fn clauses() {
        let grouped = "column \"t.b\" must appear in the GROUP BY clause or be used in an aggregate function";
        check("SELECT a, sum(b), ^t.b FROM t WHERE b > 1 GROUP BY a", grouped);
        check("SELECT a AS b FROM t GROUP BY a HAVING ^b > 1", grouped);
        check("SELECT a FROM t WHERE ^a", "argument of WHERE must be type boolean, not type integer");
        check("SELECT a, 3 FROM t ORDER BY ^3", "ORDER BY position 3 is not in select list");
        check("SELECT count(*) FROM t WHERE ^count(*) > 1", "aggregate functions are not allowed in WHERE");
        check("SELECT sum(^count(*)) FROM t", "aggregate function calls cannot be nested");
        check("SELECT a FROM t WHERE ^rank() OVER (ORDER BY a) = 1", "window functions are not allowed in WHERE");
        check("SELECT count(DISTINCT ^(a, b)), f(a, b) FROM t", "a row as a value is not supported");
        check("SELECT COALESCE(a, ^b) FROM t", "COALESCE types integer and text cannot be matched");
        check("SELECT a FROM t UNION SELECT ^b FROM t", "UNION types integer and text cannot be matched");
        check("WITH w AS (^INSERT INTO t VALUES (1)) SELECT 1", "a statement that writes in WITH is not supported");
    }

    #[test]
    fn assignments() {
        let wrong = "column \"b\" is of type text but expression is of type integer";
        check("UPDATE t SET a = 1, b = ^2", wrong);
        check("INSERT INTO t (a, b) VALUES (1, ^2)", wrong);
        check("INSERT INTO t (a, b) VALUES (1, 2), (3, 4)", wrong);
        check("INSERT INTO t (a, b) SELECT f(1, 2), ^c FROM u", wrong);
        check("INSERT INTO t (a) VALUES (1, ^2)", "INSERT has more expressions than target columns");
        check("INSERT INTO t (a, ^b) VALUES (1)", "INSERT has more target columns than expressions");
    }
}
