//! Small statements over the PostgreSQL protocol, beside PostgreSQL 15 under the same load.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::client::{Answer, Client, push_execution, push_query};
use super::figures::print;
use super::load::{Load, Outcome};
use super::servers::{DATABASE, Server};

const INSERT: &str = "INSERT INTO items (id, client, amount, name) VALUES ($1, $2, $3, $4)";
const LOOKUP: &str = "SELECT n, total FROM totals WHERE k = $1";
/// Ids of one client's rows begin at a multiple of this.
const CLIENT_IDS: usize = 1_000_000_000;

/// `keyfold bench inserts`
#[derive(Debug, clap::Args)]
pub(super) struct InsertArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// How statements are sent: as texts, or prepared.
    #[arg(long, value_enum, default_value_t = Protocol::Simple)]
    protocol: Protocol,
    /// Keep a materialized view over the table up to date meanwhile.
    #[arg(long)]
    view: bool,
}

/// `keyfold bench lookups`
#[derive(Debug, clap::Args)]
pub(super) struct LookupArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Keys of the view.
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
}

#[derive(Debug, clap::Args)]
struct CommonArguments {
    /// Clients, each with one statement under way.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Seconds that are measured, after one that is not.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Worker threads of Keyfold (default: the number of CPUs).
    #[arg(long)]
    workers: Option<usize>,
    /// Leave PostgreSQL out.
    #[arg(long)]
    no_postgres: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Protocol {
    Simple,
    Prepared,
}

impl CommonArguments {
    fn load(&self, prepared: Option<&'static str>, answer: Answer) -> Load {
        let measured = Duration::from_secs_f64(self.seconds);
        Load { client_count: self.clients, warm_up: Duration::from_secs(1), measured, prepared, answer }
    }

    /// Measures Keyfold and then PostgreSQL, and prints the ratio.
    fn compare(&self, measure: impl Fn(&Server) -> Result<Outcome>) -> Result<()> {
        let runtime = runtime()?;
        let server = runtime.block_on(Server::keyfold(self.workers))?;
        let mut ours = measure(&server)?;
        ours.print(server.name);
        print("keyfold: peak memory", server.peak_memory_bytes() as f64 / 1e6, "MB");
        drop(server);
        if self.no_postgres {
            return Ok(());
        }
        let Some(server) = runtime.block_on(Server::postgres())? else {
            println!("PostgreSQL 15 is not installed: nothing to compare with");
            return Ok(());
        };
        let mut theirs = measure(&server)?;
        theirs.print(server.name);
        print("ratio", ours.rate / theirs.rate, "x PostgreSQL 15");
        Ok(())
    }
}

pub(super) fn inserts(arguments: &InsertArguments) -> Result<()> {
    let prepared = (arguments.protocol == Protocol::Prepared).then_some(INSERT);
    let load = arguments.common.load(prepared, Answer { rows: 0, commands: 1 });
    arguments.common.compare(|server| {
        let mut statements =
            vec!["CREATE TABLE items (id bigint PRIMARY KEY, client int NOT NULL, amount numeric(10,2), name text)"];
        if arguments.view && server.name == "keyfold" {
            statements
                .push("CREATE MATERIALIZED VIEW by_client AS SELECT client, count(*) FROM items GROUP BY client");
        }
        set_up(server, &statements)?;
        let outcome = load.run(server.port, |out, client, n| {
            let id = client * CLIENT_IDS + n;
            let (cents, name) = (n % 1_000_000, n % 1000);
            if arguments.protocol == Protocol::Simple {
                let (whole, part) = (cents / 100, cents % 100);
                let text = format!(
                    "INSERT INTO items (id, client, amount, name) VALUES ({id}, {client}, {whole}.{part:02}, 'name {name}')"
                );
                push_query(out, &text);
            } else {
                let amount = format!("{}.{:02}", cents / 100, cents % 100);
                let name = format!("name {name}");
                push_execution(out, "s", &[&id.to_string(), &client.to_string(), &amount, &name]);
            }
        })?;
        let rows = count(server, "SELECT count(*) FROM items")?;
        ensure!(rows >= outcome.latencies.len(), "{rows} rows are there of {} inserted", outcome.latencies.len());
        Ok(outcome)
    })
}

pub(super) fn lookups(arguments: &LookupArguments) -> Result<()> {
    let keys = arguments.keys;
    let load = arguments.common.load(Some(LOOKUP), Answer { rows: 1, commands: 1 });
    arguments.common.compare(|server| {
        let fill = format!("INSERT INTO items SELECT i, i * 7 FROM generate_series(1, {keys}) AS g(i)");
        let mut statements = vec![
            "CREATE TABLE items (k bigint, v bigint)",
            &fill,
            "CREATE MATERIALIZED VIEW totals AS SELECT k, count(*) AS n, sum(v) AS total FROM items GROUP BY k",
        ];
        if server.name != "keyfold" {
            statements.extend(["CREATE UNIQUE INDEX ON totals (k)", "VACUUM ANALYZE totals"]);
        }
        set_up(server, &statements)?;
        let found = count(server, "SELECT count(*) FROM totals")?;
        ensure!(found == keys, "the view has {found} keys instead of {keys}");
        load.run(server.port, |out, client, n| {
            // Any order will do that has no two neighbours.
            let key = (n * 7919 + client * 104_729) % keys + 1;
            push_execution(out, "s", &[&key.to_string()]);
        })
    })
}

fn set_up(server: &Server, statements: &[&str]) -> Result<()> {
    runtime()?.block_on(async {
        let mut client = Client::connect(server.port, DATABASE).await?;
        for statement in statements {
            client.query(statement).await?;
        }
        Ok(())
    })
}

fn count(server: &Server, query: &str) -> Result<usize> {
    runtime()?.block_on(async {
        let mut client = Client::connect(server.port, DATABASE).await?;
        client.value(query).await?.context("a count is a row")?.parse().context("a count is a number")
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no thread for clients")
}
