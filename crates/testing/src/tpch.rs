//! TPC-H: the 22 queries as materialized views, compared with PostgreSQL 15 while orders come and go.
//!
//! 1. The first part of the rows is loaded, then the views are made, then the rest is loaded.
//! 2. Refreshes: transactions that insert new orders with their items, and transactions that delete old ones.
//! 3. Every view is compared with PostgreSQL's answer at the end, and at other moments if asked.
//!
//! `generate` makes the rows; queries and tables are in `examples/tpch`.

mod files;
mod generate;
mod words;

use std::fmt;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use futures::SinkExt;

pub use files::write_files;
pub use generate::{Generator, Order};

use crate::keyfold::{Keyfold, KeyfoldOptions, repository_root};
use crate::postgres::Postgres;
use crate::reference::Decimal;
use crate::sql_text::split_statements;
use crate::wire::{Row, Wire};

/// How many queries there are.
const QUERIES: usize = 22;

/// Indexes without which PostgreSQL takes minutes for the queries with subqueries.
const POSTGRES_INDEXES: &str = "CREATE INDEX ON lineitem (l_partkey, l_suppkey); \
    CREATE INDEX ON orders (o_custkey); CREATE INDEX ON partsupp (ps_suppkey); ANALYZE";

/// What to run.
#[derive(Clone, Debug)]
pub struct TpchOptions {
    /// The scale factor.
    pub scale: f64,
    /// The data's seed.
    pub seed: u64,
    /// Workers of the server.
    pub workers: usize,
    /// Pairs of refreshes.
    pub refreshes: usize,
    /// Compare after the views are made and after each refresh, too.
    pub compare_often: bool,
    /// Kill the server once, between two refreshes.
    pub kill: bool,
    /// Only these queries; none means all.
    pub queries: Vec<usize>,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct TpchTally {
    /// Views that are maintained.
    pub views: usize,
    /// Queries whose view was refused, and why.
    pub refused: Vec<(usize, String)>,
    /// Comparisons with PostgreSQL.
    pub comparisons: usize,
    /// Rows in the answers.
    pub rows: usize,
    /// Rows written.
    pub written: usize,
}

impl fmt::Display for TpchTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} views, {} rows written, {} comparisons with PostgreSQL, {} rows in the answers",
            self.views, self.written, self.comparisons, self.rows
        )?;
        self.refused.iter().try_for_each(|(query, why)| write!(f, "\nquery {query} is refused: {why}"))
    }
}

/// The two servers and what they were told.
struct Run {
    keyfold: Keyfold,
    wire: Wire,
    postgres: Wire,
    queries: Vec<(usize, String)>,
    made: Vec<usize>,
    tally: TpchTally,
    /// Says how long each part takes.
    begin: Instant,
}

/// Runs the scenario.
///
/// # Errors
/// The first view that differs from PostgreSQL's answer.
pub async fn run(options: &TpchOptions) -> Result<TpchTally> {
    let generator = Generator::new(options.scale, options.seed);
    let mut run = Run::start(options).await?;
    let outcome = run.all(options, &generator).await;
    outcome.with_context(|| format!("the server's log ends with\n{}", run.keyfold.log_end()))?;
    run.keyfold.terminate().await?;
    Ok(run.tally)
}

impl Run {
    async fn start(options: &TpchOptions) -> Result<Run> {
        let server = KeyfoldOptions { workers: options.workers, ..KeyfoldOptions::default() };
        let keyfold = Keyfold::start(server).await?;
        let wire = keyfold.connect().await?;
        let (port, database) = Postgres::shared_database().await?;
        let postgres = Wire::connect(port, "keyfold", &database).await?;
        let schema = std::fs::read_to_string(repository_root().join("examples/tpch/schema.sql"))?;
        for statement in split_statements(&schema) {
            wire.run(&statement).await.with_context(|| statement.clone())?;
            postgres.run(&statement).await?;
        }
        postgres.run("CREATE INDEX ON lineitem (l_orderkey)").await?;
        let wanted = |n: &usize| options.queries.is_empty() || options.queries.contains(n);
        let queries = (1..=QUERIES).filter(wanted).map(|n| Ok((n, query_text(n)?))).collect::<Result<_>>()?;
        let tally = TpchTally::default();
        Ok(Run { keyfold, wire, postgres, queries, made: Vec::new(), tally, begin: Instant::now() })
    }

    async fn all(&mut self, options: &TpchOptions, generator: &Generator) -> Result<()> {
        // A part of each table is there before the views are, the rest comes after.
        let orders = generator.orders;
        let (early, late) = (orders * 3 / 5, orders);
        for (table, lines) in small_tables(generator) {
            let (first, _) = lines.split_at(lines.len() * 4 / 5);
            self.copy(table, first).await?;
        }
        self.load_orders(generator, 0..early).await?;
        self.postgres.run(POSTGRES_INDEXES).await?;
        self.say("loaded the first part");
        self.make_views().await?;
        self.say("made the views");
        if options.compare_often {
            self.compare().await?;
        }
        for (table, lines) in small_tables(generator) {
            let (_, second) = lines.split_at(lines.len() * 4 / 5);
            self.copy(table, second).await?;
        }
        self.load_orders(generator, early..late).await?;
        self.say("loaded the rest");
        let changed = (orders / 1000).max(3);
        for refresh in 0..options.refreshes as u64 {
            let fresh = late + refresh * changed;
            self.insert_orders(generator, fresh..fresh + changed).await?;
            self.delete_orders(generator, refresh * changed..(refresh + 1) * changed).await?;
            if options.kill && refresh == options.refreshes as u64 / 2 {
                self.keyfold.kill();
                self.keyfold.restart().await?;
                self.wire = self.keyfold.connect().await?;
            }
            if options.compare_often {
                self.compare().await?;
            }
        }
        self.say("refreshed");
        self.postgres.run("ANALYZE").await?;
        self.compare().await?;
        self.say("compared");
        Ok(())
    }

    fn say(&self, what: &str) {
        println!("tpch: {:.1} s: {what}", self.begin.elapsed().as_secs_f64());
    }

    async fn make_views(&mut self) -> Result<()> {
        for (number, query) in &self.queries {
            match self.wire.run(&format!("CREATE MATERIALIZED VIEW q{number:02} AS {query}")).await {
                Ok(_) => self.made.push(*number),
                Err(e) if e.sqlstate == "0A000" => self.tally.refused.push((*number, e.message)),
                Err(e) => bail!("query {number}: {e}"),
            }
        }
        self.tally.views = self.made.len();
        Ok(())
    }

    async fn load_orders(&mut self, generator: &Generator, numbers: std::ops::Range<u64>) -> Result<()> {
        let step = 5_000;
        for start in numbers.clone().step_by(step) {
            let orders: Vec<Order> =
                (start..(start + step as u64).min(numbers.end)).map(|n| generator.order(n)).collect();
            let lines: Vec<String> = orders.iter().map(|o| o.line.clone()).collect();
            let items: Vec<String> = orders.into_iter().flat_map(|o| o.items).collect();
            // Items without orders, for a moment.
            self.copy("lineitem", &items).await?;
            self.copy("orders", &lines).await?;
        }
        Ok(())
    }

    /// RF1: new orders and their items, in one transaction.
    async fn insert_orders(&mut self, generator: &Generator, numbers: std::ops::Range<u64>) -> Result<()> {
        let orders: Vec<Order> = numbers.map(|n| generator.order(n)).collect();
        let lines: Vec<String> = orders.iter().map(|o| o.line.clone()).collect();
        let items: Vec<String> = orders.into_iter().flat_map(|o| o.items).collect();
        let text = format!("BEGIN; {}; {}; COMMIT", insert("orders", &lines), insert("lineitem", &items));
        self.tally.written += lines.len() + items.len();
        self.both(&text).await
    }

    /// RF2: old orders and their items go, in one transaction.
    async fn delete_orders(&mut self, generator: &Generator, numbers: std::ops::Range<u64>) -> Result<()> {
        let keys: Vec<String> = numbers.map(|n| generator.order(n).key.to_string()).collect();
        let keys = keys.join(", ");
        self.both(&format!(
            "BEGIN; DELETE FROM lineitem WHERE l_orderkey IN ({keys}); DELETE FROM orders WHERE o_orderkey IN ({keys}); \
             COMMIT"
        ))
        .await
    }

    async fn both(&self, text: &str) -> Result<()> {
        let of = |name: &str| format!("{name}: {}", &text[..text.len().min(200)]);
        self.wire.run(text).await.with_context(|| of("Keyfold"))?;
        self.postgres.run(text).await.with_context(|| of("PostgreSQL"))?;
        Ok(())
    }

    async fn copy(&mut self, table: &str, lines: &[String]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let text = lines.join("\n") + "\n";
        for wire in [&self.wire, &self.postgres] {
            let sink = wire.client().copy_in(&format!("COPY {table} FROM STDIN")).await?;
            let mut sink = std::pin::pin!(sink);
            sink.send(bytes::Bytes::from(text.clone())).await?;
            let count = sink.finish().await?;
            ensure!(count == lines.len() as u64, "{count} of {} rows of {table} were taken", lines.len());
        }
        self.tally.written += lines.len();
        Ok(())
    }

    async fn compare(&mut self) -> Result<()> {
        for (number, query) in self.queries.iter().filter(|(n, _)| self.made.contains(n)) {
            let view = bag(self.wire.rows(&format!("SELECT * FROM q{number:02}")).await?);
            let answer = bag(self.postgres.rows(query).await?);
            if view != answer {
                let missing: Vec<_> = answer.iter().filter(|row| !view.contains(row)).take(5).collect();
                let extra: Vec<_> = view.iter().filter(|row| !answer.contains(row)).take(5).collect();
                bail!(
                    "query {number}: {} rows instead of {}; missing {missing:?}, too many {extra:?}",
                    view.len(),
                    answer.len()
                );
            }
            self.tally.comparisons += 1;
            self.tally.rows += answer.len();
        }
        Ok(())
    }
}

fn query_text(number: usize) -> Result<String> {
    let path = repository_root().join(format!("examples/tpch/q{number:02}.sql"));
    Ok(std::fs::read_to_string(&path).with_context(|| path.display().to_string())?.trim().to_owned())
}

fn small_tables(generator: &Generator) -> [(&'static str, Vec<String>); 6] {
    [
        ("region", generator.regions()),
        ("nation", generator.nations()),
        ("supplier", generator.suppliers()),
        ("part", generator.parts()),
        ("partsupp", generator.part_suppliers()),
        ("customer", generator.customers()),
    ]
}

/// An INSERT of lines of COPY.
fn insert(table: &str, lines: &[String]) -> String {
    let row = |line: &String| {
        let values: Vec<String> = line.split('\t').map(|v| format!("'{}'", v.replace('\'', "''"))).collect();
        format!("({})", values.join(", "))
    };
    format!("INSERT INTO {table} VALUES {}", lines.iter().map(row).collect::<Vec<_>>().join(", "))
}

/// Rows in an order of their own; how many decimals a quotient has is not compared.
fn bag(rows: Vec<Row>) -> Vec<Row> {
    let value = |text: String| match Decimal::parse(&text) {
        Some(number) if text.contains('.') => number.divided_to_ten_digits(1).to_string(),
        _ => text,
    };
    let mut rows: Vec<Row> = rows.into_iter().map(|row| row.into_iter().map(|v| v.map(value)).collect()).collect();
    rows.sort_unstable();
    rows
}
