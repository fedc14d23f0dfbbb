//! WITH RECURSIVE, by its definition: the work table's rows go through the recursive term until there are none.

use super::query::{Context, Plain, Relations, same};
use super::value::Column;
use super::{Failure, Row};

/// The name of a recursive query, by which its recursive term reads the rows of the iteration before.
pub const WORK_TABLE: &str = "w";

/// A recursive query.
#[derive(Clone, Debug)]
pub struct Recursive {
    /// The rows to begin with.
    pub base: Plain,
    /// What is made of an iteration's rows.
    pub term: Plain,
    /// Whether rows that were there before count.
    pub all: bool,
}

/// The relations of a recursive term: all others, and the work table.
struct WithWorkTable<'a> {
    below: &'a dyn Relations,
    columns: &'a [Column],
    rows: Vec<Row>,
}

impl Relations for WithWorkTable<'_> {
    fn columns(&self, name: &str) -> &[Column] {
        if name == WORK_TABLE { self.columns } else { self.below.columns(name) }
    }

    fn rows(&self, name: &str) -> Result<&[Row], Failure> {
        if name == WORK_TABLE { Ok(&self.rows) } else { self.below.rows(name) }
    }
}

impl Recursive {
    pub(super) fn columns(&self, relations: &dyn Relations) -> Vec<Column> {
        // What the recursive term adds may lie near the limits, too.
        super::Query::Plain(self.base.clone())
            .columns(relations)
            .into_iter()
            .map(|c| Column { extreme: true, ..c })
            .collect()
    }

    pub(super) fn inputs(&self) -> Vec<String> {
        let of = |plain: &Plain| super::Query::Plain(plain.clone()).inputs();
        of(&self.base).into_iter().chain(of(&self.term)).filter(|name| name != WORK_TABLE).collect()
    }

    pub(super) fn sql(&self, relations: &dyn Relations) -> String {
        let columns = self.columns(relations);
        let names = columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
        let inner = WithWorkTable { below: relations, columns: &columns, rows: Vec::new() };
        let (base, term) = (self.base.sql("SELECT", relations), self.term.sql("SELECT", &inner));
        let all = if self.all { " ALL" } else { "" };
        format!("WITH RECURSIVE {WORK_TABLE}({names}) AS ({base} UNION{all} {term}) SELECT {names} FROM {WORK_TABLE}")
    }

    pub(super) fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, Failure> {
        let columns = self.columns(context.relations);
        let mut found = Vec::new();
        let mut next = self.base.rows(context)?;
        loop {
            if !self.all {
                next = new_rows(next, &found);
            }
            if next.is_empty() {
                return Ok(found);
            }
            found.extend(next.iter().cloned());
            let inner = WithWorkTable { below: context.relations, columns: &columns, rows: next };
            next = self.term.rows(&Context { relations: &inner, outer: context.outer })?;
        }
    }
}

/// Rows that were not found before, each once.
fn new_rows(rows: Vec<Row>, found: &[Row]) -> Vec<Row> {
    let mut kept: Vec<Row> = Vec::new();
    for row in rows {
        if !found.iter().chain(&kept).any(|known| same(known, &row)) {
            kept.push(row);
        }
    }
    kept
}
