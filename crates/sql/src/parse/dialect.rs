//! PostgreSQL's dialect with what the parser's own form of it lacks.
//!
//! Most methods say what `PostgreSqlDialect` says. Ours are:
//! - `x [NOT] BETWEEN SYMMETRIC a AND b`, which becomes two ordinary ones;
//! - `trim(FROM x)` and `trim(LEADING FROM x)`, without characters to trim.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, TrimWhereField, UnaryOperator, Value};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

const POSTGRESQL: PostgreSqlDialect = PostgreSqlDialect {};

/// The dialect of all statements.
#[derive(Debug)]
pub struct KeyfoldDialect;

macro_rules! as_in_postgresql {
    ($($name:ident),* $(,)?) => {
        $(fn $name(&self) -> bool {
            POSTGRESQL.$name()
        })*
    };
}

impl Dialect for KeyfoldDialect {
    fn dialect(&self) -> TypeId {
        POSTGRESQL.dialect()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRESQL.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRESQL.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRESQL.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRESQL.is_identifier_part(ch)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        POSTGRESQL.is_reserved_for_identifier(keyword)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        POSTGRESQL.is_custom_operator_part(ch)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        POSTGRESQL.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRESQL.prec_value(precedence)
    }

    as_in_postgresql! {
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_alter_column_type_using,
        supports_array_typedef_with_brackets,
        supports_bitwise_shift_operators,
        supports_comma_separated_trim,
        supports_comment_on,
        supports_comment_optimizer_hint,
        supports_create_index_with_clause,
        supports_create_table_like_parenthesized,
        supports_empty_projections,
        supports_explain_with_utility_options,
        supports_factorial_operator,
        supports_filter_during_aggregation,
        supports_geometric_types,
        supports_group_by_expr,
        supports_insert_table_alias,
        supports_interval_options,
        supports_listen_notify,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_named_fn_args_with_expr_name,
        supports_nested_comments,
        supports_notnull_operator,
        supports_numeric_literal_underscores,
        supports_select_wildcard_with_alias,
        supports_set_names,
        supports_string_escape_constant,
        supports_unicode_string_literal,
        supports_xml_expressions,
    }

    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        trim_without_characters(parser)
    }

    fn parse_infix(&self, parser: &mut Parser<'_>, left: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        for (words, negated, symmetric) in BETWEENS {
            if super::next_words(parser, words) {
                let between = parser.parse_between(left.clone(), false);
                return Some(between.map(|between| range(between, *negated, *symmetric)));
            }
        }
        None
    }
}

/// Words, whether the answer is negated, whether the bounds may come in any order.
const BETWEENS: &[(&[&str], bool, bool)] = &[
    (&["BETWEEN", "SYMMETRIC"], false, true),
    (&["NOT", "BETWEEN", "SYMMETRIC"], true, true),
    (&["BETWEEN", "ASYMMETRIC"], false, false),
    (&["NOT", "BETWEEN", "ASYMMETRIC"], true, false),
];

fn range(between: Expr, negated: bool, symmetric: bool) -> Expr {
    let mut whole = between.clone();
    if symmetric && let Expr::Between { expr, low, high, .. } = between {
        let swapped = Expr::Between { expr, negated: false, low: high, high: low };
        let either = Expr::BinaryOp { left: Box::new(whole), op: BinaryOperator::Or, right: Box::new(swapped) };
        whole = Expr::Nested(Box::new(either));
    }
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(whole) } } else { whole }
}

/// `TRIM([LEADING | TRAILING | BOTH] FROM x [, characters])`.
fn trim_without_characters(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    let word = |parser: &Parser<'_>, n: usize| match parser.peek_nth_token(n).token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    };
    if word(parser, 0) != Some(Keyword::TRIM) || parser.peek_nth_token(1).token != Token::LParen {
        return None;
    }
    let side = match word(parser, 2) {
        Some(Keyword::LEADING) => Some(TrimWhereField::Leading),
        Some(Keyword::TRAILING) => Some(TrimWhereField::Trailing),
        Some(Keyword::BOTH) => Some(TrimWhereField::Both),
        _ => None,
    };
    let from = if side.is_some() { 3 } else { 2 };
    if word(parser, from) != Some(Keyword::FROM) {
        return None;
    }
    for _ in 0..=from {
        parser.next_token();
    }
    Some(trim_rest(parser, side.unwrap_or(TrimWhereField::Both)))
}

fn trim_rest(parser: &mut Parser<'_>, side: TrimWhereField) -> Result<Expr, ParserError> {
    let expr = Box::new(parser.parse_expr()?);
    let what = if parser.consume_token(&Token::Comma) {
        parser.parse_expr()?
    } else {
        Expr::value(Value::SingleQuotedString(" ".to_owned()))
    };
    parser.expect_token(&Token::RParen)?;
    let what = Some(Box::new(what));
    Ok(Expr::Trim { expr, trim_where: Some(side), trim_what: what, trim_characters: None })
}
