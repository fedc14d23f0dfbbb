//! What depends on an order: LIMIT, OFFSET and WITH TIES, and DISTINCT ON.

use std::cmp::Ordering;

use super::query::{Context, Plain, Query, Relations};
use super::value::{Column, Value};
use super::{Failure, Row};

/// A column of ORDER BY.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Its place.
    pub column: usize,
    /// DESC
    pub descending: bool,
    /// NULLS FIRST
    pub nulls_first: bool,
}

impl Order {
    /// Its text.
    #[must_use]
    pub fn sql(&self, columns: &[Column]) -> String {
        let direction = if self.descending { " DESC" } else { "" };
        let nulls = match (self.descending, self.nulls_first) {
            (false, true) => " NULLS FIRST",
            (true, false) => " NULLS LAST",
            _ => "",
        };
        format!("{}{direction}{nulls}", columns[self.column].name)
    }

    /// Which of two values comes first.
    #[must_use]
    pub fn compare(&self, a: &Value, b: &Value) -> Ordering {
        match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if self.nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if self.nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, false) if self.descending => b.order(a),
            (false, false) => a.order(b),
        }
    }
}

/// Which of two rows comes first.
#[must_use]
pub fn compare_rows(order: &[Order], a: &[Value], b: &[Value]) -> Ordering {
    order.iter().fold(Ordering::Equal, |found, o| found.then_with(|| o.compare(&a[o.column], &b[o.column])))
}

/// ` ORDER BY …`, or nothing.
#[must_use]
pub fn order_sql(order: &[Order], columns: &[Column]) -> String {
    let list: Vec<String> = order.iter().map(|o| o.sql(columns)).collect();
    if list.is_empty() { String::new() } else { format!(" ORDER BY {}", list.join(", ")) }
}

/// The first rows of a query in an order.
#[derive(Clone, Debug)]
pub struct Top {
    /// The query.
    pub query: Query,
    /// Columns of its result.
    pub order: Vec<Order>,
    /// LIMIT
    pub limit: Option<usize>,
    /// OFFSET
    pub offset: usize,
    /// FETCH FIRST … WITH TIES: rows equal to the last one stay.
    pub with_ties: bool,
}

impl Top {
    /// Its text.
    #[must_use]
    pub fn sql(&self, relations: &dyn Relations) -> String {
        let columns = self.query.columns(relations);
        let inner = match &self.query {
            query @ (Query::Plain(_) | Query::Group(_) | Query::Distinct(_)) => query.sql(relations),
            other => format!("SELECT * FROM ({}) AS top", other.sql(relations)),
        };
        let offset = if self.offset == 0 { String::new() } else { format!(" OFFSET {}", self.offset) };
        let limit = match self.limit {
            None => String::new(),
            Some(limit) if self.with_ties => format!(" FETCH FIRST {limit} ROWS WITH TIES"),
            Some(limit) => format!(" LIMIT {limit}"),
        };
        let order = order_sql(&self.order, &columns);
        if self.with_ties { format!("{inner}{order}{offset}{limit}") } else { format!("{inner}{order}{limit}{offset}") }
    }

    /// Its rows.
    ///
    /// # Errors
    /// That of the query.
    pub fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, Failure> {
        let mut rows = self.query.rows(context)?;
        rows.sort_by(|a, b| compare_rows(&self.order, a, b));
        let end = self.limit.map_or(rows.len(), |limit| (self.offset + limit).min(rows.len()));
        let mut kept: Vec<Row> = rows.iter().take(end).skip(self.offset).cloned().collect();
        if self.with_ties
            && let Some(last) = kept.last().cloned()
        {
            let ties = rows.iter().skip(end).take_while(|row| compare_rows(&self.order, row, &last).is_eq());
            kept.extend(ties.cloned());
        }
        Ok(kept)
    }
}

/// SELECT DISTINCT ON (the first columns): of each group the row that comes first.
#[derive(Clone, Debug)]
pub struct DistinctOn {
    /// The rows.
    pub plain: Plain,
    /// How many of the first columns are the key.
    pub keys: usize,
    /// All columns, the key's first.
    pub order: Vec<Order>,
}

impl DistinctOn {
    /// Its text.
    #[must_use]
    pub fn sql(&self, relations: &dyn Relations) -> String {
        let columns = Query::Plain(self.plain.clone()).columns(relations);
        let rows = self.plain.sql("SELECT", relations);
        let keys: Vec<&str> = columns[..self.keys].iter().map(|c| c.name.as_str()).collect();
        let order = order_sql(&self.order, &columns);
        format!("SELECT DISTINCT ON ({}) * FROM ({rows}) AS d{order}", keys.join(", "))
    }

    /// Its rows.
    ///
    /// # Errors
    /// That of an expression.
    pub fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, Failure> {
        let mut rows = self.plain.rows(context)?;
        rows.sort_by(|a, b| compare_rows(&self.order, a, b));
        rows.dedup_by(|b, a| (0..self.keys).all(|k| a[k].same(&b[k])));
        Ok(rows)
    }
}
