//! A file's queries as views that were there first: the weather `views-first`.
//!
//! 1. When statements have made tables, every later query of the file that can be a materialized view is made one, before
//!    the rows come.
//! 2. The file runs as it is. After each query its view must hold what the query answers.
//! 3. Before tables are dropped, and at the end, their rows are deleted. Each view must then hold what its query answers over
//!    nothing: no row, or the one of a global aggregate. The views are dropped, and step 1 begins again with the next table.
//!
//! A setting may change what a query means, so views are made anew after SET, too. What a query can't see from a view
//! (rows of an open transaction) is not compared.

use anyhow::{Result, anyhow, bail, ensure};
use sqllogictest::{DefaultColumnType, QueryExpect, Record, RecordOutput, StatementExpect};

use super::{FileRunner, sql_of};
use crate::sql_text::words;
use crate::wire::{SqlError, Wire};

type TestRecord = Record<DefaultColumnType>;

/// How statements begin that change what there is, or what a query means.
const BOUNDARIES: [&str; 5] = ["create", "drop", "alter", "set", "reset"];

/// What of a file was compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    /// Queries that were views before they were asked.
    pub queries: usize,
    /// Views that had no row, or one, after the rows of their tables were deleted.
    pub emptied: usize,
}

/// A query of the file that is a view now.
struct Made {
    place: usize,
    name: String,
    query: String,
}

/// A file on its way.
pub struct ViewsFirst<'a> {
    runner: &'a mut FileRunner,
    /// A session beside the file's own, with the same settings.
    wire: Wire,
    records: Vec<TestRecord>,
    made: Vec<Made>,
    /// The file's tables.
    tables: Vec<String>,
    compared: Compared,
    /// Whether the session's time zone is not that of views, which is UTC.
    elsewhere: bool,
}

impl<'a> ViewsFirst<'a> {
    /// A file that is to be run by a runner, and a session to the same server.
    pub fn new(runner: &'a mut FileRunner, wire: Wire, records: Vec<TestRecord>) -> ViewsFirst<'a> {
        let compared = Compared::default();
        ViewsFirst { runner, wire, records, made: Vec::new(), tables: Vec::new(), compared, elsewhere: false }
    }

    /// Runs the file.
    ///
    /// # Errors
    /// The first record that fails, or view that differs.
    pub async fn run(mut self) -> Result<Compared> {
        let mut in_transaction = false;
        for place in 0..self.records.len() {
            let record = self.records[place].clone();
            if matches!(record, Record::Halt { .. }) {
                break;
            }
            let sql = sql_of(&record).unwrap_or_default().to_owned();
            let first = words(&sql, 2);
            let first: Vec<&str> = first.iter().map(String::as_str).collect();
            let is_boundary = first.first().is_some_and(|first| BOUNDARIES.contains(first));
            let ends_views = is_boundary && (first[0] != "create" || first.get(1) == Some(&"or"));
            if ends_views && !in_transaction && !self.made.is_empty() {
                self.end(self.dropped_from(place)).await?;
            }
            let output = self.runner.run_async(record).await.map_err(|e| anyhow!("{}", e.display(false)))?;
            let succeeded =
                matches!(output, RecordOutput::Statement { error: None, .. } | RecordOutput::Query { error: None, .. });
            match first[..] {
                ["begin" | "start", ..] if succeeded => in_transaction = true,
                ["commit" | "rollback" | "end" | "abort", ..] => in_transaction = false,
                ["set" | "reset", ..] if succeeded && !in_transaction => {
                    self.wire.run(&sql).await?;
                    let lower = sql.to_lowercase();
                    let names_zone = lower.contains("timezone") || lower.contains("time zone");
                    if names_zone || lower.contains("reset all") {
                        self.elsewhere = names_zone && !lower.contains("utc");
                    }
                }
                ["create", "table"] if succeeded => self.tables.extend(names_after(&sql, "table")),
                ["drop", "table"] if succeeded => {
                    let dropped = names_after(&sql, "table");
                    self.tables.retain(|table| !dropped.contains(table));
                }
                _ => {}
            }
            if succeeded && !in_transaction {
                self.compare(place).await?;
                if is_boundary && !self.elsewhere && !self.goes_on(place) {
                    self.make_views(place).await?;
                }
            }
        }
        if !in_transaction {
            self.end(self.tables.clone()).await?;
        }
        Ok(self.compared)
    }

    /// Whether the next statement makes or ends something, too, so that views wait for it.
    fn goes_on(&self, place: usize) -> bool {
        let next = self.records[place + 1..].iter().find_map(sql_of);
        next.is_some_and(|sql| words(sql, 1).first().is_some_and(|first| BOUNDARIES.contains(&first.as_str())))
    }

    /// Makes views of the later queries that can be.
    async fn make_views(&mut self, after: usize) -> Result<()> {
        for place in after + 1..self.records.len() {
            let Some((query, columns)) = question(&self.records[place]) else { continue };
            if self.made.iter().any(|made| made.place == place) {
                continue;
            }
            let name = format!("public.query_{place}");
            let list: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
            let sql = format!("CREATE MATERIALIZED VIEW {name} ({}) AS {query}", list.join(", "));
            match self.wire.run(&sql).await {
                Ok(_) => self.made.push(Made { place, name, query: query.to_owned() }),
                Err(e) if e.is_broken_connection() || e.sqlstate == "XX000" => bail!("{sql}: {e}"),
                // What it reads is not there yet, or it can't be a view at all.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Compares the view of a query that has just been answered.
    async fn compare(&mut self, place: usize) -> Result<()> {
        if let Some(made) = self.made.iter().find(|made| made.place == place) {
            compare(&self.wire, made).await?;
            self.compared.queries += 1;
        }
        Ok(())
    }

    /// Compares all views, deletes the rows of tables, compares again, drops the views.
    async fn end(&mut self, tables: Vec<String>) -> Result<()> {
        for table in tables {
            match self.wire.run(&format!("DELETE FROM {table}")).await {
                // It may be gone (IF EXISTS), or only grow.
                Err(e) if e.is_broken_connection() || e.sqlstate == "XX000" => bail!("DELETE FROM {table}: {e}"),
                _ => {}
            }
        }
        for made in std::mem::take(&mut self.made).into_iter().rev() {
            let rows = compare(&self.wire, &made).await?;
            self.compared.emptied += usize::from(rows.is_some_and(|rows| rows <= 1));
            self.wire.run(&format!("DROP MATERIALIZED VIEW {}", made.name)).await?;
        }
        Ok(())
    }

    /// The tables that go by the statements that follow each other here.
    fn dropped_from(&self, place: usize) -> Vec<String> {
        let mut tables = Vec::new();
        for record in &self.records[place..] {
            let Record::Statement { sql, expected, .. } = record else {
                if sql_of(record).is_some() {
                    break;
                }
                continue;
            };
            match &words(sql, 2).iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["drop", "table"] if matches!(expected, StatementExpect::Ok) => {
                    tables.extend(names_after(sql, "table"));
                }
                ["drop", _] => {}
                _ => break,
            }
        }
        tables
    }
}

/// Compares a view with its query; how many rows it has, if it can be read.
async fn compare(wire: &Wire, made: &Made) -> Result<Option<usize>> {
    let view = wire.bag(&format!("SELECT * FROM {}", made.name)).await;
    let answer = wire.bag(&made.query).await;
    let same_failure = |a: &SqlError, b: &SqlError| a.sqlstate == b.sqlstate && !a.is_broken_connection();
    match (view, answer) {
        (Ok(view), Ok(answer)) => {
            ensure!(
                view == answer,
                "as a view that was there first it holds\n{view:?}\nbut now it answers\n{answer:?}\n{}",
                made.query
            );
            Ok(Some(view.len()))
        }
        (Err(view), Err(answer)) if same_failure(&view, &answer) => Ok(None),
        // A recursion without an end, of which the query's LIMIT takes what it needs: a view has all of it, up to its bound.
        (Err(view), Ok(_)) if view.sqlstate == "54000" && made.query.to_uppercase().contains("LIMIT") => Ok(None),
        (view, answer) => bail!("as a view it answers\n{view:?}\nbut now\n{answer:?}\n{}", made.query),
    }
}

/// A record's query over relations with its number of columns, if it is one that is answered.
fn question(record: &TestRecord) -> Option<(&str, usize)> {
    let Record::Query { sql, expected: QueryExpect::Results { types, .. }, .. } = record else { return None };
    let first = words(sql, 1);
    let asks = matches!(first.first().map(String::as_str), Some("select" | "with" | "values" | "table"));
    (asks && sql.to_lowercase().contains("from")).then_some((sql, types.len()))
}

/// The names that follow a word in `DROP TABLE IF EXISTS a, s.b CASCADE` or `CREATE TABLE a (…)`.
fn names_after(sql: &str, word: &str) -> Vec<String> {
    let lower = sql.to_lowercase();
    let Some(at) = lower.find(word) else { return Vec::new() };
    let mut rest = sql[at + word.len()..].trim_start();
    for skipped in ["if not exists", "if exists"] {
        if rest.to_lowercase().starts_with(skipped) {
            rest = rest[skipped.len()..].trim_start();
        }
    }
    let end = rest.find(['(', ';']).unwrap_or(rest.len());
    let list = rest[..end].split(',').filter_map(|name| name.split_whitespace().next());
    list.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::names_after;

    #[test]
    fn names_of_tables_are_found() {
        assert_eq!(names_after("DROP TABLE IF EXISTS a, s.b CASCADE", "table"), ["a", "s.b"]);
        assert_eq!(names_after("CREATE TABLE t (a integer, b text)", "table"), ["t"]);
        assert_eq!(names_after("CREATE TABLE IF NOT EXISTS t AS SELECT 1", "table"), ["t"]);
    }
}
