//! `CREATE SOURCE` and `DROP SOURCE`.

use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::next_words;
use crate::statement::{identifier, name_parts};
use crate::{CreateSource, DropSource, Statement};

/// What follows `CREATE SOURCE`.
pub fn create_source(parser: &mut Parser<'_>) -> Result<Statement, ParserError> {
    let if_not_exists = next_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = name_parts(&parser.parse_object_name(false)?);
    let columns = if parser.peek_token().token == Token::LParen { parser.parse_columns()?.0 } else { Vec::new() };
    let options = if next_words(parser, &["WITH"]) { option_list(parser)? } else { Vec::new() };
    let format = next_words(parser, &["FORMAT"]).then(|| word(parser)).transpose()?;
    let encode = next_words(parser, &["ENCODE"]).then(|| word(parser)).transpose()?;
    let encode_options = match &encode {
        Some(_) if parser.peek_token().token == Token::LParen => option_list(parser)?,
        _ => Vec::new(),
    };
    let source = CreateSource { if_not_exists, name, columns, options, format, encode, encode_options };
    Ok(Statement::CreateSource(Box::new(source)))
}

/// What follows `DROP SOURCE`.
pub fn drop_source(parser: &mut Parser<'_>) -> Result<Statement, ParserError> {
    let if_exists = next_words(parser, &["IF", "EXISTS"]);
    let mut names = vec![name_parts(&parser.parse_object_name(false)?)];
    while parser.consume_token(&Token::Comma) {
        names.push(name_parts(&parser.parse_object_name(false)?));
    }
    let cascade = next_words(parser, &["CASCADE"]);
    if !cascade {
        let _ = next_words(parser, &["RESTRICT"]);
    }
    Ok(Statement::DropSource(DropSource { if_exists, names, cascade }))
}

fn word(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    Ok(identifier(&parser.parse_identifier()?).to_lowercase())
}

/// `(name = value, …)`; a name may have dots, a value may be a string, a number or a word.
fn option_list(parser: &mut Parser<'_>) -> Result<Vec<(String, String)>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let mut options = Vec::new();
    loop {
        if parser.consume_token(&Token::RParen) {
            return Ok(options);
        }
        let mut name = word(parser)?;
        while parser.consume_token(&Token::Period) {
            name = format!("{name}.{}", word(parser)?);
        }
        parser.expect_token(&Token::Eq)?;
        let value = parser.next_token();
        let value = match value.token {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text,
            Token::Number(digits, _) => digits,
            Token::Minus => format!("-{}", parser.next_token().token),
            Token::Word(word) => word.value,
            _ => return parser.expected("a value", value),
        };
        options.push((name, value));
        if !parser.consume_token(&Token::Comma) {
            parser.expect_token(&Token::RParen)?;
            return Ok(options);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_source() {
        let text = "CREATE SOURCE IF NOT EXISTS s.Flights (a int, b numeric(10,2) NOT NULL) \
                    WITH (connector = 'file', path = 'x/*.csv', Follow = true, rate = 10) \
                    FORMAT PLAIN ENCODE CSV (header = true, delimiter = ';')";
        let parsed = crate::parse(text).expect("parses");
        let Statement::CreateSource(source) = &parsed[0].statement else { panic!("{parsed:?}") };
        assert_eq!(source.name, ["s", "flights"]);
        assert_eq!(source.columns.len(), 2);
        assert_eq!(source.options[2], ("follow".to_owned(), "true".to_owned()));
        assert_eq!((source.format.as_deref(), source.encode.as_deref()), (Some("plain"), Some("csv")));
        assert_eq!(source.encode_options.len(), 2);
    }

    #[test]
    fn reads_drop_source() {
        let parsed = crate::parse("drop source if exists a, b.c cascade").expect("parses");
        let Statement::DropSource(drop) = &parsed[0].statement else { panic!("{parsed:?}") };
        assert!(drop.if_exists && drop.cascade);
        assert_eq!(drop.names.len(), 2);
    }
}
