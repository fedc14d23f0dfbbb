//! Values, their types, their order, and the text by which two answers are compared.

use std::cmp::Ordering;

use super::exact::Decimal;

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// true or false.
    Boolean,
    /// 16 bits.
    SmallInt,
    /// 32 bits.
    Integer,
    /// 64 bits.
    BigInt,
    /// Decimal.
    Numeric,
    /// Double precision.
    Double,
    /// Text in the order of its bytes.
    Text,
    /// A day.
    Date,
    /// A day and a time of day.
    Timestamp,
    /// A span of time, compared by its length: a month has 30 days.
    Interval,
    /// A numeric that is a quotient: compared to ten digits.
    Quotient,
    /// A number that need not be right to the last digit: compared to ten significant ones.
    Approximate,
    /// An array, as text; not for use in expressions.
    Array,
}

impl Type {
    /// Its name in SQL.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Type::Boolean => "boolean",
            Type::SmallInt => "smallint",
            Type::Integer => "integer",
            Type::BigInt => "bigint",
            Type::Numeric | Type::Quotient => "numeric(12,2)",
            Type::Double | Type::Approximate => "double precision",
            Type::Text => "text",
            Type::Date => "date",
            Type::Timestamp => "timestamp",
            Type::Interval => "interval",
            Type::Array => "text[]",
        }
    }

    /// Whether it is a whole number's type.
    #[must_use]
    pub fn is_integer(self) -> bool {
        matches!(self, Type::SmallInt | Type::Integer | Type::BigInt)
    }

    /// The range of a whole number's type.
    #[must_use]
    pub fn range(self) -> (i64, i64) {
        match self {
            Type::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
            Type::Integer => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        }
    }

    /// An answer's value in a form in which equal values have equal text.
    #[must_use]
    pub fn canonical(self, text: &str) -> String {
        match self {
            Type::Numeric => Decimal::parse(text).map_or_else(|| text.to_owned(), |d| d.to_string()),
            Type::Quotient => {
                Decimal::parse(text).map_or_else(|| text.to_owned(), |d| d.divided_to_ten_digits(1).to_string())
            }
            Type::Double => text.parse().map_or_else(|_| text.to_owned(), canonical_float),
            Type::Approximate => text.parse().map_or_else(|_| text.to_owned(), approximate_float),
            // Which one of equal intervals a group shows is not said anywhere.
            Type::Interval => interval_length(text).map_or_else(|| text.to_owned(), |length| length.to_string()),
            _ => text.to_owned(),
        }
    }
}

/// A column of a relation.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// Whether its values lie near the limits, so that arithmetic on them is likely to fail.
    pub extreme: bool,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// No value.
    Null,
    /// true or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A decimal.
    Numeric(Decimal),
    /// A sum and how many values it has; not for use in expressions.
    Quotient(Decimal, u64),
    /// A float.
    Float(f64),
    /// Text, or a date or timestamp in ISO form, whose order is that of its text.
    Text(String),
    /// An interval's length in microseconds, and a text of it.
    Interval(i64, String),
}

impl Value {
    /// An interval from its text.
    #[must_use]
    pub fn interval(text: &str) -> Value {
        interval_length(text).map_or(Value::Null, |length| Value::Interval(length, text.to_owned()))
    }

    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The order of two values of one type: NULL last, NaN above all numbers, 0 and −0 equal.
    #[must_use]
    pub fn order(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Greater,
            (_, Value::Null) => Ordering::Less,
            (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Value::Interval(a, _), Value::Interval(b, _)) => a.cmp(b),
            (Value::Float(_), _) | (_, Value::Float(_)) => order_of_floats(self.float(), other.float()),
            (a, b) => a.decimal().order(&b.decimal()),
        }
    }

    /// Whether two values are the same, NULL being the same as NULL.
    #[must_use]
    pub fn same(&self, other: &Value) -> bool {
        self.order(other) == Ordering::Equal
    }

    /// The value as a decimal. Only for numbers that are no floats.
    #[must_use]
    pub fn decimal(&self) -> Decimal {
        match self {
            Value::Integer(n) => Decimal::from_integer(*n),
            Value::Numeric(d) => d.clone(),
            other => panic!("{other:?} is no exact number"),
        }
    }

    /// The value as a float. Only for numbers.
    #[must_use]
    pub fn float(&self) -> f64 {
        match self {
            Value::Float(f) => *f,
            other => other.decimal().to_float(),
        }
    }

    /// The text by which it is compared with an answer of a column of this type.
    #[must_use]
    pub fn canonical(&self, kind: Type) -> Option<String> {
        Some(match self {
            Value::Null => return None,
            Value::Boolean(b) => if *b { "t" } else { "f" }.to_owned(),
            Value::Integer(n) => n.to_string(),
            Value::Numeric(d) => d.to_string(),
            Value::Quotient(sum, count) => sum.divided_to_ten_digits(*count).to_string(),
            Value::Float(f) if kind == Type::Approximate => approximate_float(*f),
            Value::Float(f) => canonical_float(*f),
            Value::Text(s) => s.clone(),
            Value::Interval(length, _) => length.to_string(),
        })
    }

    /// The value as a literal of SQL.
    #[must_use]
    pub fn sql(&self, kind: Type) -> String {
        match self {
            Value::Null => format!("NULL::{}", kind.sql()),
            Value::Boolean(b) => b.to_string(),
            Value::Integer(n) if kind == Type::Integer && *n > i64::from(i32::MIN) => bracketed(&n.to_string()),
            Value::Integer(n) => format!("'{n}'::{}", kind.sql()),
            Value::Numeric(d) => bracketed(&d.to_string()),
            Value::Float(f) => format!("'{f:?}'::double precision"),
            Value::Text(s) if kind == Type::Text => format!("'{}'", s.replace('\'', "''")),
            Value::Text(s) | Value::Interval(_, s) => format!("'{s}'::{}", kind.sql()),
            Value::Quotient(..) => panic!("a quotient is no literal"),
        }
    }
}

fn bracketed(number: &str) -> String {
    if number.starts_with('-') { format!("({number})") } else { number.to_owned() }
}

fn order_of_floats(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

fn canonical_float(value: f64) -> String {
    // −0 and 0 are one value.
    format!("{:?}", if value == 0.0 { 0.0 } else { value })
}

fn approximate_float(value: f64) -> String {
    // What is left of a difference of equal numbers is nothing.
    if value.abs() < 1e-9 { "0".to_owned() } else { format!("{value:.9e}") }
}

/// The microseconds of an interval as PostgreSQL writes it: `1 year 2 mons -3 days 04:05:06.5`.
fn interval_length(text: &str) -> Option<i64> {
    const DAY: i64 = 86_400_000_000;
    let mut length = 0i64;
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if word.contains(':') {
            let (sign, digits) = word.strip_prefix('-').map_or((1, word), |digits| (-1, digits));
            let mut parts = digits.trim_start_matches('+').splitn(3, ':');
            let mut whole = || parts.next().map_or(Some(0), |part| part.parse::<i64>().ok());
            let minutes = whole()? * 60 + whole()?;
            let seconds = Decimal::parse(parts.next().unwrap_or("0"))?;
            let micros: i64 = seconds.multiply(&Decimal::from_integer(1_000_000)).to_string().parse().ok()?;
            length += sign * (minutes * 60_000_000 + micros);
            continue;
        }
        let count: i64 = word.parse().ok()?;
        length += count
            * match words.next()?.trim_end_matches('s') {
                "year" => 360 * DAY,
                "mon" => 30 * DAY,
                "day" => DAY,
                _ => return None,
            };
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_a_length() {
        assert_eq!(interval_length("1 mon"), interval_length("30 days"));
        assert_eq!(interval_length("1 mon"), interval_length("720:00:00"));
        assert_eq!(interval_length("1 year -5 days -00:00:01.5"), Some(355 * 86_400_000_000 - 1_500_000));
        assert_eq!(interval_length("soon"), None);
    }
}
