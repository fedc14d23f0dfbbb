//! Expectations written anew, from what PostgreSQL 15 answers: `TESTING_UPDATE=1` in the weather `reference`.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, anyhow};
use sqllogictest::{Condition, DefaultColumnType, QueryExpect, Record, SortMode, StatementExpect};
use tokio_postgres::types::Type;

use super::session::{shown, with_plain_views};
use crate::postgres::Postgres;
use crate::sql_text::words;
use crate::wire::{SqlError, Wire};

type TestRecord = Record<DefaultColumnType>;

/// Runs a file on PostgreSQL and writes down what it answers; what stands under `skipif reference` is kept.
///
/// # Errors
/// When the file can't be read or a connection breaks.
pub async fn update_file(file: &Path) -> Result<()> {
    let records = sqllogictest::parse_file::<DefaultColumnType>(file).map_err(|e| anyhow!("{e}"))?;
    let (port, database) = Postgres::shared_database().await?;
    let wire = Wire::connect(port, "keyfold", &database).await?;
    let mut text = String::new();
    for record in records {
        if matches!(record, Record::Injected(_)) {
            continue;
        }
        writeln!(text, "{}", answered(record, &wire).await?)?;
    }
    std::fs::write(file, text.trim_end().to_owned() + "\n")?;
    Ok(())
}

async fn answered(record: TestRecord, wire: &Wire) -> Result<TestRecord> {
    let conditions = match &record {
        Record::Statement { conditions, .. } | Record::Query { conditions, .. } => conditions,
        _ => return Ok(record),
    };
    if conditions.iter().any(|c| matches!(c, Condition::SkipIf { label } if label == "reference")) {
        return Ok(record);
    }
    match record {
        Record::Statement { loc, conditions, connection, sql, retry, .. } => {
            let expected = match wire.run(&with_plain_views(&sql)).await {
                Ok(answer) if counts_rows(&sql) => StatementExpect::Count(answer.count),
                Ok(_) => StatementExpect::Ok,
                Err(error) => statement_error(&error)?,
            };
            Ok(Record::Statement { loc, conditions, connection, sql, expected, retry })
        }
        Record::Query { loc, conditions, connection, sql, retry, .. } => {
            let expected = match wire.run(&sql).await {
                Ok(answer) => {
                    let mut rows: Vec<Vec<String>> =
                        answer.rows.iter().map(|r| r.iter().map(|v| shown(v.as_deref())).collect()).collect();
                    let sort_mode = (rows.len() > 1 && !is_ordered(&sql)).then_some(SortMode::RowSort);
                    if sort_mode.is_some() {
                        rows.sort_unstable();
                    }
                    QueryExpect::Results {
                        types: letters(wire, &sql, answer.columns.len()).await,
                        sort_mode,
                        result_mode: None,
                        label: None,
                        results: rows.iter().map(|r| r.join("  ")).collect(),
                    }
                }
                Err(error) => query_error(&error)?,
            };
            Ok(Record::Query { loc, conditions, connection, sql, expected, retry })
        }
        other => Ok(other),
    }
}

/// The parser makes expectations, so errors are written and read again.
fn parsed(kind: &str, error: &SqlError) -> Result<TestRecord> {
    anyhow::ensure!(!error.is_broken_connection(), "{error}");
    let script = format!("{kind} error ({})\nx\n", error.sqlstate);
    let records = sqllogictest::parse::<DefaultColumnType>(&script).map_err(|e| anyhow!("{e}"))?;
    records.into_iter().next().ok_or_else(|| anyhow!("no record"))
}

fn statement_error(error: &SqlError) -> Result<StatementExpect> {
    match parsed("statement", error)? {
        Record::Statement { expected, .. } => Ok(expected),
        other => Err(anyhow!("{other}")),
    }
}

fn query_error(error: &SqlError) -> Result<QueryExpect<DefaultColumnType>> {
    match parsed("query", error)? {
        Record::Query { expected, .. } => Ok(expected),
        other => Err(anyhow!("{other}")),
    }
}

fn counts_rows(sql: &str) -> bool {
    matches!(words(sql, 1).first().map(String::as_str), Some("insert" | "update" | "delete"))
}

/// Whether the whole result has an order. A query that ends in parentheses or a window's ORDER BY is no concern here.
fn is_ordered(sql: &str) -> bool {
    let upper = sql.to_uppercase();
    let after = upper.rfind("ORDER BY").map(|p| &upper[p..]);
    let explained = matches!(words(sql, 1).first().map(String::as_str), Some("explain" | "show"));
    explained || after.is_some_and(|rest| rest.matches('(').count() == rest.matches(')').count())
}

async fn letters(wire: &Wire, sql: &str, columns: usize) -> Vec<DefaultColumnType> {
    let Ok(statement) = wire.client().prepare(sql).await else {
        return vec![DefaultColumnType::Text; columns];
    };
    statement
        .columns()
        .iter()
        .map(|c| match *c.type_() {
            Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => DefaultColumnType::Integer,
            Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => DefaultColumnType::FloatingPoint,
            _ => DefaultColumnType::Text,
        })
        .collect()
}
