//! Tables with random columns, and the small pools their values come from.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::reference::{Column, Decimal, Row, Type, Value};

/// A table and its rows, as they should be.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns; with a key, the first one is it.
    pub columns: Vec<Column>,
    /// Whether the first column is the primary key.
    pub has_key: bool,
    /// Whether rows are only ever added, so that views over it need to keep less.
    pub append_only: bool,
    /// Its rows.
    pub rows: Vec<Row>,
    /// The next key that was never used.
    pub next_key: i64,
    /// Rows past which more are taken away than added.
    pub rows_max: usize,
}

/// What a statement says of a table that only grows; PostgreSQL has no such tables.
pub const APPEND_ONLY: &str = " WITH (append_only = true)";

/// Types of columns, the frequent ones more than once.
const TYPES: [Type; 13] = [
    Type::SmallInt,
    Type::Integer,
    Type::Integer,
    Type::Integer,
    Type::BigInt,
    Type::Numeric,
    Type::Double,
    Type::Text,
    Type::Text,
    Type::Boolean,
    Type::Date,
    Type::Timestamp,
    Type::Interval,
];

impl Table {
    /// Draws a table.
    pub fn draw(rng: &mut ChaCha8Rng, name: String, has_key: bool, rows_max: usize) -> Table {
        let mut columns = Vec::new();
        if has_key {
            columns.push(Column { name: "id".into(), kind: Type::Integer, extreme: false });
        }
        for i in 0..rng.random_range(2..=5) {
            let kind = *TYPES.choose(rng).unwrap_or(&Type::Integer);
            columns.push(Column { name: format!("x{i}"), kind, extreme: rng.random_bool(0.2) });
        }
        // In every table, so that there is always something to add up and something to join by.
        columns.push(Column { name: "k".into(), kind: Type::Text, extreme: false });
        columns.push(Column { name: "n".into(), kind: Type::Integer, extreme: false });
        let append_only = !has_key && rng.random_bool(0.4);
        Table { name, columns, has_key, append_only, rows: Vec::new(), next_key: 1, rows_max }
    }

    /// The statement that makes it.
    pub fn sql(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(i, c)| {
                let key = if self.has_key && i == 0 { " PRIMARY KEY" } else { "" };
                format!("{} {}{key}", c.name, c.kind.sql())
            })
            .collect();
        let kind = if self.append_only { APPEND_ONLY } else { "" };
        format!("CREATE TABLE {} ({}){kind}", self.name, columns.join(", "))
    }

    /// Draws a row with a fresh key.
    pub fn draw_row(&mut self, rng: &mut ChaCha8Rng) -> Row {
        let has_key = self.has_key;
        let key = self.next_key;
        self.next_key += 1;
        self.columns
            .iter()
            .enumerate()
            .map(|(i, c)| if has_key && i == 0 { Value::Integer(key) } else { draw_value(rng, c.kind, c.extreme, 0.2) })
            .collect()
    }
}

/// Draws a value from a pool so small that values meet again.
pub fn draw_value(rng: &mut ChaCha8Rng, kind: Type, extreme: bool, nulls: f64) -> Value {
    if rng.random_bool(nulls) {
        return Value::Null;
    }
    let extreme = extreme && rng.random_bool(0.4);
    match kind {
        Type::Boolean => Value::Boolean(rng.random()),
        Type::SmallInt | Type::Integer | Type::BigInt => {
            let (least, most) = kind.range();
            let pool = if extreme { vec![least, most, most - 1] } else { vec![-2, -1, 0, 1, 2, 3, 7] };
            Value::Integer(one_of(rng, &pool))
        }
        Type::Numeric | Type::Quotient => {
            let pool = if extreme {
                vec!["9999999999.99", "-9999999999.99"]
            } else {
                vec!["0.00", "1.50", "-1.50", "0.01", "2.25", "100.00"]
            };
            Decimal::parse(one_of(rng, &pool)).map_or(Value::Null, Value::Numeric)
        }
        Type::Double | Type::Approximate => {
            let pool = if extreme {
                vec![f64::INFINITY, f64::NEG_INFINITY, 1e16, -1e16, 0.1, 0.2, 1e300, -1e300, 5e-324]
            } else {
                vec![0.0, -0.0, 0.5, -0.5, 0.25, 1.5, 1024.0, f64::NAN]
            };
            Value::Float(one_of(rng, &pool))
        }
        Type::Text | Type::Array => Value::Text(one_of(rng, &["", "a", "b", "B", "ab", "é", "it's"]).to_owned()),
        Type::Date if extreme => Value::Text(one_of(rng, &["0001-01-01", "9999-12-31"]).to_owned()),
        Type::Date => Value::Text(one_of(rng, &["1969-12-31", "2000-01-01", "2024-02-29", "2024-03-01"]).to_owned()),
        Type::Timestamp => {
            let pool = if extreme {
                vec!["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"]
            } else {
                vec![
                    "1969-12-31 23:59:59.999999",
                    "2000-01-01 00:00:00",
                    "2024-02-29 12:34:56",
                    "2024-02-29 12:34:56.5",
                ]
            };
            Value::Text(one_of(rng, &pool).to_owned())
        }
        Type::Interval => {
            let pool = if extreme {
                vec!["100000 years", "-100000 years", "1000000 days", "-2000000:00:00"]
            } else {
                vec![
                    "1 mon",
                    "30 days",
                    "720:00:00",
                    "1 mon 1 day",
                    "31 days",
                    "-1 days",
                    "00:00:00",
                    "00:00:00.000001",
                ]
            };
            Value::interval(one_of(rng, &pool))
        }
    }
}

/// Draws one of a pool.
pub fn one_of<T: Copy>(rng: &mut ChaCha8Rng, pool: &[T]) -> T {
    pool[rng.random_range(0..pool.len())]
}
