//! Random changes: statements for the server, and what they do to the lists of rows.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::coverage::ChangeKind;
use super::queries::Queries;
use super::tables::{Table, draw_value};
use crate::reference::{Column, Context, Expression, Failure, Relations, Row, Scope, Value};

/// A statement and what the server answers to it.
#[derive(Debug)]
pub struct Change {
    /// The statement.
    pub sql: String,
    /// The SQLSTATE with which it fails; then it changes nothing.
    pub fails: Option<&'static str>,
    /// Which table it changes.
    pub table: usize,
    /// What it is to the views above.
    pub kinds: Vec<ChangeKind>,
}

/// Nothing to select from: changes look at their own table only.
struct OneTable<'a>(&'a [Column]);

impl Relations for OneTable<'_> {
    fn columns(&self, _: &str) -> &[Column] {
        self.0
    }

    fn rows(&self, _: &str) -> Result<&[Row], Failure> {
        Ok(&[])
    }
}

/// Draws a change of a table and applies it to the table's rows.
pub fn draw(rng: &mut ChaCha8Rng, table: &mut Table) -> Change {
    let full = table.rows.len() > table.rows_max;
    if table.append_only {
        return if full || rng.random_bool(0.8) { insert(rng, table) } else { repeat(rng, table) };
    }
    match rng.random_range(0..100) {
        0..40 if !full => insert(rng, table),
        40..46 if !full && !table.has_key => repeat(rng, table),
        46..50 if table.has_key && !table.rows.is_empty() => insert_taken(rng, table),
        50..56 if table.has_key && !table.rows.is_empty() => upsert(rng, table),
        56..66 => update(rng, table),
        66..76 if table.has_key && !table.rows.is_empty() => update_by_key(rng, table),
        76..80 if table.has_key && !table.rows.is_empty() => move_key(rng, table),
        80..83 => delete_all(table),
        _ if table.rows.is_empty() => insert(rng, table),
        _ => delete(rng, table),
    }
}

fn done(sql: String, kinds: &[ChangeKind]) -> Change {
    Change { sql, fails: None, table: 0, kinds: kinds.to_vec() }
}

/// Inserting rows, with or without NULLs.
fn inserting(rows: &[Row]) -> Vec<ChangeKind> {
    let nulls = rows.iter().flatten().any(Value::is_null);
    if nulls { vec![ChangeKind::Insert, ChangeKind::Null] } else { vec![ChangeKind::Insert] }
}

/// Updating a column.
fn updating(column: &Column, value: &Value) -> Vec<ChangeKind> {
    let kind = if ["n", "k"].contains(&column.name.as_str()) { ChangeKind::Key } else { ChangeKind::Value };
    if value.is_null() { vec![kind, ChangeKind::Null] } else { vec![kind] }
}

fn literals(row: &Row, columns: &[Column]) -> String {
    let values: Vec<String> = row.iter().zip(columns).map(|(v, c)| v.sql(c.kind)).collect();
    format!("({})", values.join(", "))
}

fn insert(rng: &mut ChaCha8Rng, table: &mut Table) -> Change {
    let rows: Vec<Row> = (0..rng.random_range(1..=6)).map(|_| table.draw_row(rng)).collect();
    let values: Vec<String> = rows.iter().map(|r| literals(r, &table.columns)).collect();
    let sql = format!("INSERT INTO {} VALUES {}", table.name, values.join(", "));
    let kinds = inserting(&rows);
    table.rows.extend(rows);
    done(sql, &kinds)
}

/// Rows that are there already, once more.
fn repeat(rng: &mut ChaCha8Rng, table: &mut Table) -> Change {
    let condition = condition(rng, table);
    let again = matching(table, &condition);
    let again: Vec<Row> = again.into_iter().map(|i| table.rows[i].clone()).collect();
    let kinds: &[ChangeKind] = if again.is_empty() { &[] } else { &[ChangeKind::Duplicate] };
    table.rows.extend(again);
    done(format!("INSERT INTO {0} SELECT * FROM {0} WHERE {1}", table.name, condition.sql(&table.columns)), kinds)
}

/// A good row and one with a key that is taken: neither gets in.
fn insert_taken(rng: &mut ChaCha8Rng, table: &mut Table) -> Change {
    let good = table.draw_row(rng);
    let mut bad = table.draw_row(rng);
    bad[0] = table.rows[rng.random_range(0..table.rows.len())][0].clone();
    let values = [literals(&good, &table.columns), literals(&bad, &table.columns)].join(", ");
    let sql = format!("INSERT INTO {} VALUES {values}", table.name);
    Change { sql, fails: Some("23505"), table: 0, kinds: Vec::new() }
}

fn upsert(rng: &mut ChaCha8Rng, table: &mut Table) -> Change {
    let place = rng.random_range(0..table.rows.len());
    let mut row = table.draw_row(rng);
    row[0] = table.rows[place][0].clone();
    let fresh = table.draw_row(rng);
    let values = [literals(&row, &table.columns), literals(&fresh, &table.columns)].join(", ");
    let update = rng.random_bool(0.6);
    let action = if update {
        let sets: Vec<String> = table.columns[1..].iter().map(|c| format!("{0} = excluded.{0}", c.name)).collect();
        table.rows[place] = row;
        format!("(id) DO UPDATE SET {}", sets.join(", "))
    } else {
        "DO NOTHING".to_owned()
    };
    table.rows.push(fresh);
    let kinds = if update { vec![ChangeKind::Insert, ChangeKind::Value] } else { vec![ChangeKind::Insert] };
    done(format!("INSERT INTO {} VALUES {values} ON CONFLICT {action}", table.name), &kinds)
}

fn update(rng: &mut ChaCha8Rng, table: &mut Table) -> Change {
    let condition = condition(rng, table);
    let column = rng.random_range(usize::from(table.has_key)..table.columns.len());
    let kind = table.columns[column].kind;
    let value = draw_value(rng, kind, table.columns[column].extreme, 0.2);
    let changed = matching(table, &condition);
    for i in &changed {
        table.rows[*i][column] = value.clone();
    }
    let kinds = if changed.is_empty() { Vec::new() } else { updating(&table.columns[column], &value) };
    let name = &table.columns[column].name;
    done(
        format!("UPDATE {} SET {name} = {} WHERE {}", table.name, value.sql(kind), condition.sql(&table.columns)),
        &kinds,
    )
}

fn update_by_key(rng: &mut ChaCha8Rng, table: &mut Table) -> Change {
    let place = rng.random_range(0..table.rows.len());
    let key = table.rows[place][0].clone();
    let (mut sets, mut kinds) = (Vec::new(), Vec::new());
    for i in 1..table.columns.len() {
        if rng.random_bool(0.5) || sets.is_empty() {
            let column = &table.columns[i];
            let value = draw_value(rng, column.kind, column.extreme, 0.2);
            sets.push(format!("{} = {}", column.name, value.sql(column.kind)));
            kinds.extend(updating(column, &value));
            table.rows[place][i] = value;
        }
    }
    let kind = table.columns[0].kind;
    done(format!("UPDATE {} SET {} WHERE id = {}", table.name, sets.join(", "), key.sql(kind)), &kinds)
}

fn move_key(rng: &mut ChaCha8Rng, table: &mut Table) -> Change {
    let place = rng.random_range(0..table.rows.len());
    let kind = table.columns[0].kind;
    let old = table.rows[place][0].clone();
    let fresh = Value::Integer(table.next_key);
    table.next_key += 1;
    table.rows[place][0] = fresh.clone();
    let sql = format!("UPDATE {} SET id = {} WHERE id = {}", table.name, fresh.sql(kind), old.sql(kind));
    done(sql, &[ChangeKind::Key])
}

fn delete_all(table: &mut Table) -> Change {
    table.rows.clear();
    done(format!("DELETE FROM {}", table.name), &[ChangeKind::Delete])
}

fn delete(rng: &mut ChaCha8Rng, table: &mut Table) -> Change {
    let condition = condition(rng, table);
    let gone = matching(table, &condition);
    let mut i = 0;
    table.rows.retain(|_| {
        i += 1;
        !gone.contains(&(i - 1))
    });
    let kinds: &[ChangeKind] = if gone.is_empty() { &[] } else { &[ChangeKind::Delete] };
    done(format!("DELETE FROM {} WHERE {}", table.name, condition.sql(&table.columns)), kinds)
}

fn condition(rng: &mut ChaCha8Rng, table: &Table) -> Expression {
    let relations = OneTable(&table.columns);
    Queries { rng, names: vec![table.name.clone()], relations: &relations, sizes: &[], rows_max: 0, exact_sums: false }
        .condition(&table.columns, 1)
}

/// The places of the rows for which a condition is true.
fn matching(table: &Table, condition: &Expression) -> Vec<usize> {
    let relations = OneTable(&table.columns);
    let context = Context::new(&relations);
    let columns = &table.columns;
    let holds = |row: &Row| matches!(condition.value(&Scope { row, columns, context }), Ok(Value::Boolean(true)));
    (0..table.rows.len()).filter(|i| holds(&table.rows[*i])).collect()
}
