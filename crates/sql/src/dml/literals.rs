//! `INSERT INTO table (columns) VALUES (literals), …` without planning: the text is read straight into columns.
//!
//! 1. `insert_head` finds where VALUES stands. What comes before it says all that does not change from one row to the
//!    next; a `LiteralInsert` is made of it once and used for every text that begins alike.
//! 2. `LiteralInsert::columns` reads the rows. Whatever is not the plain form of a value (an expression, DEFAULT, a
//!    number that does not fit, a text that is too long) makes it give up: the statement is then planned as any
//!    other, which also finds the words for what is wrong with it.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch,
    StringArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{self, SetExpr};
use functions::NumericBuilder;
use functions::numeric::Numeric;

use super::assign::assign;
use super::{insert, target};
use crate::bind::{Binder, fold, physical};
use crate::{Catalog, Relation, SqlError, SqlType};

/// Decimal digits that a double precision holds exactly.
const DOUBLE_DIGITS_MAX: usize = 15;
/// Digits that fit 64 bits whatever they are.
const BIGINT_DIGITS_MAX: usize = 18;

/// An INSERT of literals, without its rows.
#[derive(Debug)]
pub struct LiteralInsert {
    /// The table.
    pub relation: Relation,
    /// Where each of the table's columns comes from.
    sources: Vec<Source>,
    /// How many values a row of the statement has.
    width: usize,
}

#[derive(Debug)]
enum Source {
    /// A value of the statement's rows.
    Value { place: usize, form: Form },
    /// A default that is always the same.
    Constant(ScalarValue),
}

/// How literals become values of a column.
#[derive(Debug)]
struct Form {
    data_type: DataType,
    plain: Plain,
    /// What makes a value of a quoted literal that is no plain text.
    quoted: Option<(SchemaRef, Arc<dyn PhysicalExpr>)>,
}

/// Literals that need no function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    Integer,
    Boolean,
    /// Text of at most so many bytes.
    Text(usize),
    Decimal(u8, i8),
    Numeric,
    Double,
    /// None but NULL.
    Nothing,
}

#[derive(Clone, Debug, PartialEq)]
enum Literal<'a> {
    Null,
    Boolean(bool),
    /// With its sign.
    Number(&'a str),
    Text(Cow<'a, str>),
}

/// The bytes of the text before VALUES, if it begins as an INSERT of values.
#[must_use]
pub fn insert_head(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut words) = (0, 0usize, 0usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b'.' => at += 1,
            b'(' => (at, depth) = (at + 1, depth + 1),
            b')' => (at, depth) = (at + 1, depth.checked_sub(1)?),
            b'"' => at += 2 + text[at + 1..].find('"')?,
            _ => {
                let length = bytes[at..].iter().take_while(|b| is_word(**b)).count();
                let word = &bytes[at..at + length];
                if length == 0 || (words == 0 && !word.eq_ignore_ascii_case(b"insert")) {
                    return None;
                }
                if depth == 0 && word.eq_ignore_ascii_case(b"values") {
                    return (words > 2).then_some(at);
                }
                (at, words) = (at + length, words + 1);
            }
        }
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What is the same for all texts with this statement's head. `None` if its rows need planning in any case.
///
/// # Errors
/// What is wrong with the statement.
pub fn literal_insert(insert: &ast::Insert, catalog: &dyn Catalog) -> Result<Option<LiteralInsert>, SqlError> {
    let ast::TableObject::TableName(name) = &insert.table else { return Ok(None) };
    let values_only = insert.source.as_ref().is_some_and(|source| {
        source.with.is_none()
            && source.order_by.is_none()
            && source.limit_clause.is_none()
            && matches!(source.body.as_ref(), SetExpr::Values(_))
    });
    if !values_only || insert.on.is_some() || insert.returning.is_some() || insert.table_alias.is_some() {
        return Ok(None);
    }
    let relation = target::table(name, catalog)?;
    let binder = Binder::new(catalog, &[]);
    let columns = insert::insert_columns(insert, &relation)?;
    let mut sources = Vec::with_capacity(relation.columns.fields().len());
    for (place, field) in relation.columns.fields().iter().enumerate() {
        sources.push(match columns.iter().position(|column| *column == place) {
            Some(place) => Source::Value { place, form: Form::of(field, &binder) },
            None => match constant_default(&relation, place, &binder)? {
                Some(value) => Source::Constant(value),
                None => return Ok(None),
            },
        });
    }
    // It may be remembered for longer than the table is there, whose rows must not stay in memory with it.
    let relation = Relation { read: None, ..relation };
    Ok(Some(LiteralInsert { relation, sources, width: columns.len() }))
}

fn constant_default(relation: &Relation, place: usize, binder: &Binder<'_>) -> Result<Option<ScalarValue>, SqlError> {
    let field = relation.columns.field(place);
    let tree = target::default_tree(relation, place)?;
    let expr = target::default_expression(binder, tree, field).and_then(|expr| fold(expr, &binder.options()));
    let found = match expr {
        Ok(Expr::Literal(value, _)) if value.is_null() => ScalarValue::try_from(field.data_type()).ok(),
        Ok(Expr::Literal(value, _)) if value.data_type() == *field.data_type() => Some(value),
        _ => None,
    };
    Ok(found)
}

impl Form {
    fn of(field: &Field, binder: &Binder<'_>) -> Form {
        let sql_type = SqlType::from_field(field);
        let base = sql_type.base().name;
        let plain = match field.data_type() {
            DataType::Int16 | DataType::Int32 | DataType::Int64 => Plain::Integer,
            DataType::Boolean => Plain::Boolean,
            DataType::Utf8 if matches!(base, "text" | "varchar") => {
                Plain::Text(sql_type.length_max().unwrap_or(usize::MAX))
            }
            DataType::Decimal128(precision, scale) => Plain::Decimal(*precision, *scale),
            DataType::LargeBinary if sql_type.numeric_digits().is_none() => Plain::Numeric,
            DataType::Float64 => Plain::Double,
            _ => Plain::Nothing,
        };
        // A failure here is for the planned statement to tell.
        let quoted = if matches!(plain, Plain::Text(_)) { None } else { quoted(field, binder).ok() };
        Form { data_type: field.data_type().clone(), plain, quoted }
    }

    /// One column of so many literals; `None` if one of them is not of a form that is known here.
    fn column<'a>(&self, literals: impl Iterator<Item = &'a Literal<'a>> + Clone) -> Option<ArrayRef> {
        if literals.clone().any(|literal| matches!(literal, Literal::Text(_))) && !matches!(self.plain, Plain::Text(_))
        {
            return self.column_of_texts(literals);
        }
        macro_rules! column {
            ($array:ty, $value:expr) => {{
                let values = literals.map(|literal| match literal {
                    Literal::Null => Some(None),
                    literal => Some(Some($value(literal)?)),
                });
                Arc::new(<$array>::from(values.collect::<Option<Vec<_>>>()?)) as ArrayRef
            }};
        }
        Some(match (self.plain, &self.data_type) {
            (Plain::Integer, DataType::Int16) => column!(Int16Array, |l| integer(l).and_then(|v| v.try_into().ok())),
            (Plain::Integer, DataType::Int32) => column!(Int32Array, |l| integer(l).and_then(|v| v.try_into().ok())),
            (Plain::Integer, _) => column!(Int64Array, integer),
            (Plain::Boolean, _) => column!(BooleanArray, boolean),
            (Plain::Text(bytes_max), _) => column!(StringArray, |l| text(l, bytes_max)),
            (Plain::Double, _) => column!(Float64Array, double),
            (Plain::Numeric, _) => {
                let values = literals.map(|literal| match literal {
                    Literal::Number(number) => Some(Some(Numeric::parse(number).ok()?)),
                    literal => (*literal == Literal::Null).then_some(None),
                });
                let mut column = NumericBuilder::default();
                values.collect::<Option<Vec<_>>>()?.iter().for_each(|value| column.append_option(value.as_ref()));
                column.finish()
            }
            (Plain::Decimal(precision, scale), _) => {
                let values = literals.map(|literal| match literal {
                    Literal::Null => Some(None),
                    literal => Some(Some(numeric(literal, precision, scale)?)),
                });
                let values = Decimal128Array::from(values.collect::<Option<Vec<_>>>()?);
                Arc::new(values.with_precision_and_scale(precision, scale).ok()?)
            }
            (Plain::Nothing, data_type) => {
                let mut count = 0;
                for literal in literals {
                    count += 1;
                    if *literal != Literal::Null {
                        return None;
                    }
                }
                new_null_array(data_type, count)
            }
        })
    }

    /// Quoted literals, by the same function that planning would have used.
    fn column_of_texts<'a>(&self, literals: impl Iterator<Item = &'a Literal<'a>>) -> Option<ArrayRef> {
        let (schema, cast) = self.quoted.as_ref()?;
        let texts = literals.map(|literal| match literal {
            Literal::Null => Some(None),
            // A word such as `now` means something else each time.
            Literal::Text(text) if !self.data_type.is_temporal() || begins_with_digit(text) => {
                Some(Some(text.as_ref()))
            }
            _ => None,
        });
        let texts: ArrayRef = Arc::new(StringArray::from(texts.collect::<Option<Vec<_>>>()?));
        let rows = RecordBatch::try_new(Arc::clone(schema), vec![texts]).ok()?;
        let values = cast.evaluate(&rows).ok()?.into_array(rows.num_rows()).ok()?;
        (*values.data_type() == self.data_type).then_some(values)
    }
}

fn begins_with_digit(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_digit)
}

/// The assignment of a column of texts to the field.
fn quoted(field: &Field, binder: &Binder<'_>) -> datafusion::error::Result<(SchemaRef, Arc<dyn PhysicalExpr>)> {
    let schema = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, true)]));
    let columns = DFSchema::try_from(Arc::clone(&schema))?;
    let wanted = SqlType::from_field(field).without_modifier();
    let value = binder.coercion().cast(Expr::Column("text".into()), &wanted, &columns)?;
    let value = fold(assign(value, field, binder.coercion(), &columns)?, &binder.options())?;
    Ok((schema, physical(&value, &columns, &binder.options())?))
}

fn integer(literal: &Literal<'_>) -> Option<i64> {
    let Literal::Number(number) = literal else { return None };
    let digits = number.trim_start_matches('-');
    let plain = digits.len() <= BIGINT_DIGITS_MAX && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { number.parse().ok() } else { None }
}

fn boolean(literal: &Literal<'_>) -> Option<bool> {
    match literal {
        Literal::Boolean(value) => Some(*value),
        _ => None,
    }
}

fn text<'a>(literal: &'a Literal<'a>, bytes_max: usize) -> Option<&'a str> {
    match literal {
        Literal::Text(text) if text.len() <= bytes_max => Some(text),
        _ => None,
    }
}

fn double(literal: &Literal<'_>) -> Option<f64> {
    let Literal::Number(number) = literal else { return None };
    let digit_count = number.bytes().filter(u8::is_ascii_digit).count();
    let plain = digit_count <= DOUBLE_DIGITS_MAX && !number.contains(['e', 'E']);
    // There is no negative zero among numerics, which such a literal is.
    if plain { number.parse().ok().map(|value: f64| if value == 0.0 { 0.0 } else { value }) } else { None }
}

/// The digits of a number that has no more of them than the column.
fn numeric(literal: &Literal<'_>, precision: u8, scale: i8) -> Option<i128> {
    let Literal::Number(number) = literal else { return None };
    let digits = number.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::try_from(scale).ok()?;
    if fraction.len() > scale || whole.len() + scale > usize::from(precision) {
        return None;
    }
    let zeros = std::iter::repeat_n(b'0', scale - fraction.len());
    let mut value = 0i128;
    for digit in whole.bytes().chain(fraction.bytes()).chain(zeros) {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i128::from(digit - b'0');
    }
    Some(if number.starts_with('-') { -value } else { value })
}

impl LiteralInsert {
    /// All columns of the table for the rows of a text, which begins with VALUES; NOT NULL is not checked yet. `None`
    /// if the statement has to be planned.
    #[must_use]
    pub fn columns(&self, values: &str) -> Option<Vec<ArrayRef>> {
        let mut reader = Reader { rest: values };
        let mut literals = Vec::with_capacity(self.width);
        reader.rows(self.width, &mut literals)?;
        let row_count = literals.len() / self.width;
        let column = |source: &Source| match source {
            Source::Value { place, form } => form.column(literals.iter().skip(*place).step_by(self.width)),
            Source::Constant(value) => value.to_array_of_size(row_count).ok(),
        };
        self.sources.iter().map(column).collect()
    }
}

/// Reads literals. Every function gives `None` for what it does not know.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// `VALUES (…), (…);`: each row has `width` literals.
    fn rows(&mut self, width: usize, literals: &mut Vec<Literal<'a>>) -> Option<()> {
        self.word().filter(|word| word.eq_ignore_ascii_case("values"))?;
        loop {
            self.take(b'(')?;
            for place in 0..width {
                if place > 0 {
                    self.take(b',')?;
                }
                literals.push(self.literal()?);
            }
            self.take(b')')?;
            self.space();
            if !self.rest.starts_with(',') {
                break;
            }
            self.take(b',')?;
        }
        if self.rest.starts_with(';') {
            self.take(b';')?;
            self.space();
        }
        (self.rest.is_empty() && width > 0).then_some(())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        self.space();
        (self.rest.as_bytes().first() == Some(&wanted)).then(|| self.rest = &self.rest[1..])
    }

    fn split(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn word(&mut self) -> Option<&'a str> {
        self.space();
        let length = self.rest.bytes().take_while(|byte| is_word(*byte)).count();
        (length > 0).then(|| self.split(length))
    }

    fn literal(&mut self) -> Option<Literal<'a>> {
        self.space();
        let literal = match self.rest.as_bytes().first()? {
            b'\'' => Literal::Text(self.quoted()?),
            b'-' | b'0'..=b'9' => Literal::Number(self.number()?),
            _ => match self.word()? {
                word if word.eq_ignore_ascii_case("null") => Literal::Null,
                word if word.eq_ignore_ascii_case("true") => Literal::Boolean(true),
                word if word.eq_ignore_ascii_case("false") => Literal::Boolean(false),
                _ => return None,
            },
        };
        Some(literal)
    }

    fn quoted(&mut self) -> Option<Cow<'a, str>> {
        self.take(b'\'')?;
        let end = self.rest.find('\'')?;
        let first = self.split(end);
        self.rest = &self.rest[1..];
        if !self.rest.starts_with('\'') {
            return Some(Cow::Borrowed(first));
        }
        let mut text = first.to_owned();
        while self.rest.starts_with('\'') {
            text.push('\'');
            self.rest = &self.rest[1..];
            let end = self.rest.find('\'')?;
            text.push_str(self.split(end));
            self.rest = &self.rest[1..];
        }
        Some(Cow::Owned(text))
    }

    /// Digits with a sign and a point perhaps.
    fn number(&mut self) -> Option<&'a str> {
        let bytes = self.rest.as_bytes();
        let sign = usize::from(bytes.first() == Some(&b'-'));
        let whole = bytes[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut length = sign + whole;
        if bytes.get(length) == Some(&b'.') {
            let fraction = bytes[length + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            length += 1 + fraction;
            if fraction == 0 {
                return None;
            }
        }
        let ends = bytes.get(length).is_none_or(|byte| matches!(byte, b',' | b')' | b' ' | b'\t' | b'\n' | b'\r'));
        (whole > 0 && ends).then(|| self.split(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_values() {
        let head = |text: &'static str| insert_head(text).map(|end| &text[..end]);
        assert_eq!(head("INSERT INTO t VALUES (1)"), Some("INSERT INTO t "));
        assert_eq!(
            head(" insert into \"a b\".t(x, \"values\") values(1)"),
            Some(" insert into \"a b\".t(x, \"values\") ")
        );
        assert_eq!(head("INSERT INTO t (values) VALUES (1)"), Some("INSERT INTO t (values) "));
        for text in ["VALUES (1)", "INSERT INTO t SELECT 1", "INSERT INTO t /* */ VALUES (1)", "INSERT INTO t (\"x", ""]
        {
            assert_eq!(head(text), None, "{text}");
        }
    }

    #[test]
    fn rows_of_literals_are_read() {
        let read = |text: &'static str, width| {
            let mut literals = Vec::new();
            Reader { rest: text }.rows(width, &mut literals).map(|()| literals)
        };
        let number = Literal::Number;
        let text = |text: &'static str| Literal::Text(Cow::Borrowed(text));
        assert_eq!(read("VALUES (1, -2.50)", 2), Some(vec![number("1"), number("-2.50")]));
        assert_eq!(read("values('it''s''', '') ;\n", 2), Some(vec![text("it's'"), text("")]));
        assert_eq!(
            read("VALUES\n(NULL,true) , (False, 'ü, (x')", 2),
            Some(vec![Literal::Null, Literal::Boolean(true), Literal::Boolean(false), text("ü, (x")])
        );
        let texts = [
            ["VALUES (1, 2)", "VALUES (1), (2, 3)", "VALUES (1) RETURNING x"],
            ["VALUES (1); SELECT 1", "VALUES ('a' 'b')", "VALUES ('a"],
            ["VALUES (E'a')", "VALUES (1 + 1)", "VALUES (1::int)"],
            ["VALUES (- 1)", "VALUES (1.)", "VALUES (1e3)"],
            ["VALUES (0x1f)", "VALUES (DEFAULT)", "VALUES ($1)"],
            ["VALUES (1) -- one", "VALUES ()", "VALUES"],
        ];
        for text in texts.as_flattened() {
            assert_eq!(read(text, 1), None, "{text}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_left_to_planning() {
        let number = |text: &'static str, precision, scale| numeric(&Literal::Number(text), precision, scale);
        assert_eq!(number("-12.3", 4, 2), Some(-1230));
        assert_eq!(number("12.345", 4, 2), None);
        assert_eq!(number("123", 4, 2), None);
        assert_eq!(integer(&Literal::Number("-000000000000000017")), Some(-17));
        assert_eq!(integer(&Literal::Number("1.0")), None);
        assert_eq!(integer(&Literal::Number("9223372036854775807")), None);
        assert_eq!(double(&Literal::Number("-0.0")).map(f64::to_bits), Some(0));
    }
}
