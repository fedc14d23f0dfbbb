//! A client that makes and drops tables and views, one of them with a backfill, and knows what must be there.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::writers::is_end;
use crate::wire::Wire;

/// What is known of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Its CREATE was acknowledged.
    There,
    /// Its DROP was acknowledged.
    Gone,
    /// Its CREATE or DROP was under way.
    Either,
}

/// Objects by name: kind and what is known.
#[derive(Debug, Default)]
pub struct Definitions {
    /// Tables and materialized views with what is known of them.
    pub objects: BTreeMap<String, Known>,
    /// Queries of the views.
    pub queries: BTreeMap<String, String>,
    /// Acknowledged statements since the last count.
    pub acks: usize,
    next: usize,
}

impl Definitions {
    /// Makes and drops until the connection breaks.
    ///
    /// # Errors
    /// When the server says what it must not say.
    pub async fn run(mut self, wire: Wire) -> Result<Definitions> {
        // What an earlier life left behind goes first.
        for name in self.objects.keys().cloned().collect::<Vec<_>>() {
            if self.objects[&name] == Known::There && !self.drop(&wire, &name).await? {
                return Ok(self);
            }
        }
        loop {
            self.next += 1;
            let i = self.next;
            let (table, view, above) = (format!("d{i}"), format!("d{i}_view"), format!("d{i}_above"));
            let steps = [
                (table.clone(), format!("CREATE TABLE {table} (x integer PRIMARY KEY, y text)"), None),
                // A backfill of many rows, and of those that change at the same time.
                (
                    view.clone(),
                    String::new(),
                    Some("SELECT k % 100 AS k, count(*) AS n, sum(v) AS v FROM bulk GROUP BY k % 100"),
                ),
                (
                    above.clone(),
                    String::new(),
                    Some("SELECT writer, count(*) AS n, min(number) AS first FROM ledger GROUP BY writer"),
                ),
            ];
            for (name, sql, query) in steps {
                let sql = query.map_or(sql, |q| format!("CREATE MATERIALIZED VIEW {name} AS {q}"));
                if let Some(query) = query {
                    self.queries.insert(name.clone(), query.to_owned());
                }
                if !self.step(&wire, &name, &sql, Known::There).await? {
                    return Ok(self);
                }
            }
            // One generation stays, so that kills find something.
            if i > 1 {
                for name in [format!("d{}", i - 1), format!("d{}_view", i - 1), format!("d{}_above", i - 1)] {
                    if self.objects.get(&name) == Some(&Known::There) && !self.drop(&wire, &name).await? {
                        return Ok(self);
                    }
                }
            }
        }
    }

    async fn drop(&mut self, wire: &Wire, name: &str) -> Result<bool> {
        let kind = if self.queries.contains_key(name) { "MATERIALIZED VIEW" } else { "TABLE" };
        self.step(wire, name, &format!("DROP {kind} {name}"), Known::Gone).await
    }

    async fn step(&mut self, wire: &Wire, name: &str, sql: &str, then: Known) -> Result<bool> {
        self.objects.insert(name.to_owned(), Known::Either);
        match wire.run(sql).await {
            Ok(_) => {
                self.objects.insert(name.to_owned(), then);
                self.acks += 1;
                Ok(true)
            }
            Err(e) if is_end(&e) => Ok(false),
            Err(e) => Err(e).with_context(|| sql.to_owned()),
        }
    }

    /// Checks what is there, and takes it as what is known. Gives how many statements were under way.
    ///
    /// # Errors
    /// When an acknowledged CREATE or DROP has been forgotten.
    pub async fn settle(&mut self, wire: &Wire) -> Result<usize> {
        let under_way = self.objects.values().filter(|known| **known == Known::Either).count();
        for (name, known) in &mut self.objects {
            let found = match wire.run(&format!("SELECT count(*) FROM {name}")).await {
                Ok(_) => Known::There,
                Err(e) if e.sqlstate == "42P01" => Known::Gone,
                Err(e) => return Err(e).with_context(|| format!("read {name}")),
            };
            anyhow::ensure!(*known == Known::Either || *known == found, "{name} should be {known:?}, but is {found:?}");
            *known = found;
        }
        self.objects.retain(|_, known| *known == Known::There);
        let there = &self.objects;
        self.queries.retain(|name, _| there.contains_key(name));
        Ok(under_way)
    }
}
