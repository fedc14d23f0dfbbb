//! Clients that write, and write down outside what was acknowledged.

use anyhow::{Result, ensure};

use crate::wire::{SqlError, Wire};

/// Rows of a ledger entry: they are there together or not at all.
pub const ROWS_OF_ENTRY: usize = 3;

/// Entries of a writer that are kept.
pub const ENTRIES_KEPT: u64 = 20;

/// Accounts between which money moves.
pub const ACCOUNT_COUNT: u64 = 10;

/// A numbered write: the last one that was acknowledged, and whether the next one may have got through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// The last acknowledged number.
    pub acknowledged: u64,
    /// The next one was sent, and nothing was heard.
    pub under_way: bool,
}

impl Progress {
    /// Takes what is really there as the new state.
    ///
    /// # Errors
    /// When it is neither what was acknowledged nor that and the write under way.
    pub fn settle(&mut self, found: u64, what: &str) -> Result<()> {
        ensure!(found >= self.acknowledged, "{what}: {} was acknowledged, but {found} is there", self.acknowledged);
        let most = self.acknowledged + u64::from(self.under_way);
        ensure!(found <= most, "{what}: at most {most} can be there, but {found} is");
        *self = Progress { acknowledged: found, under_way: false };
        Ok(())
    }
}

/// One client.
#[derive(Debug)]
pub struct Writer {
    /// Its number.
    pub id: usize,
    /// Transactions over several tables.
    pub entries: Progress,
    /// Single inserts.
    pub singles: Progress,
    /// Acknowledged writes since the last count.
    pub acks: usize,
    /// Writes since the last count that were refused for the sake of others'.
    pub conflicts: usize,
}

impl Writer {
    /// A client that has written nothing yet.
    pub fn new(id: usize) -> Writer {
        Writer { id, entries: Progress::default(), singles: Progress::default(), acks: 0, conflicts: 0 }
    }

    /// Writes until the connection breaks.
    ///
    /// # Errors
    /// When the server says what it must not say.
    pub async fn run(mut self, wire: Wire) -> Result<Writer> {
        loop {
            let single = format!("INSERT INTO singles VALUES ({}, {})", self.id, self.singles.acknowledged + 1);
            self.singles.under_way = true;
            let outcome = wire.run(&single).await.map(drop);
            let outcome = outcome.map_err(|e| in_statement(e, &single));
            if !self.note(&wire, Kind::Single, outcome).await? {
                return Ok(self);
            }
            let (writer, number) = (self.id as u64, self.entries.acknowledged + 1);
            self.entries.under_way = true;
            let outcome = match self.id % 2 {
                0 => {
                    let text = entry(writer, number);
                    wire.run(&text).await.map(drop).map_err(|e| in_statement(e, &text))
                }
                _ => entry_by_reading(&wire, writer, number).await,
            };
            if !self.note(&wire, Kind::Entry, outcome).await? {
                return Ok(self);
            }
            if self.entries.acknowledged == number && !self.sees_own_write(&wire, number).await? {
                return Ok(self);
            }
        }
    }

    /// Notes how a write ended; false when there is no server any more.
    async fn note(&mut self, wire: &Wire, kind: Kind, outcome: Result<(), InStatement>) -> Result<bool> {
        let progress = match kind {
            Kind::Single => &mut self.singles,
            Kind::Entry => &mut self.entries,
        };
        match outcome {
            Ok(()) => {
                *progress = Progress { acknowledged: progress.acknowledged + 1, under_way: false };
                self.acks += 1;
                Ok(true)
            }
            Err((e, _)) if is_end(&e) => Ok(false),
            // Two transactions that can't both be: this one has done nothing and is tried again.
            Err((e, _)) if matches!(e.sqlstate.as_str(), "40001" | "40P01") => {
                progress.under_way = false;
                self.conflicts += 1;
                Ok(wire.run("ROLLBACK").await.is_ok())
            }
            Err((e, text)) => Err(anyhow::Error::from(e).context(text)),
        }
    }

    /// What was acknowledged is in the view at once.
    async fn sees_own_write(&self, wire: &Wire, number: u64) -> Result<bool> {
        let sql = format!("SELECT last FROM last_entries WHERE writer = {}", self.id);
        match wire.rows(&sql).await {
            Ok(rows) => {
                let seen = rows.first().and_then(|r| r[0].clone()).unwrap_or_default();
                ensure!(seen == number.to_string(), "writer {} wrote {number}, but its view says {seen:?}", self.id);
                Ok(true)
            }
            Err(e) if is_end(&e) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// What a writer writes.
#[derive(Clone, Copy)]
enum Kind {
    Single,
    Entry,
}

/// An error and the text that it answers.
type InStatement = (SqlError, String);

fn in_statement(error: SqlError, text: &str) -> InStatement {
    (error, text.to_owned())
}

/// Whether the server has gone, by itself or on request.
pub fn is_end(error: &SqlError) -> bool {
    error.is_broken_connection() || error.sqlstate == "57P01"
}

/// The transaction of an entry: rows in the ledger, money from one account to another, an old entry dropped.
fn entry(writer: u64, number: u64) -> String {
    let rows: Vec<String> = (0..ROWS_OF_ENTRY).map(|part| format!("({writer}, {number}, {part})")).collect();
    let (from, to, amount) = transfer(writer, number);
    format!(
        "BEGIN; INSERT INTO ledger VALUES {}; \
         UPDATE accounts SET balance = balance - {amount} WHERE id = {from}; \
         UPDATE accounts SET balance = balance + {amount} WHERE id = {to}; \
         DELETE FROM ledger WHERE writer = {writer} AND number <= {}; COMMIT",
        rows.join(", "),
        i128::from(number) - i128::from(ENTRIES_KEPT)
    )
}

/// The same entry by a client that reads first, calculates itself and relies on nothing having changed meanwhile. It
/// comes to the tables in another order than `entry`, so that there are deadlocks too.
async fn entry_by_reading(wire: &Wire, writer: u64, number: u64) -> Result<(), InStatement> {
    let (from, to, amount) = transfer(writer, number);
    let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE";
    wire.run(begin).await.map_err(|e| in_statement(e, begin))?;
    let mut balances = [0i64; 2];
    for (balance, account) in balances.iter_mut().zip([from, to]) {
        let text = format!("SELECT balance FROM accounts WHERE id = {account}");
        let rows = wire.rows(&text).await.map_err(|e| in_statement(e, &text))?;
        *balance = rows.first().and_then(|row| row[0].as_deref()?.parse().ok()).unwrap_or(i64::MIN / 2);
    }
    let rows: Vec<String> = (0..ROWS_OF_ENTRY).map(|part| format!("({writer}, {number}, {part})")).collect();
    let text = format!(
        "UPDATE accounts SET balance = {} WHERE id = {from}; UPDATE accounts SET balance = {} WHERE id = {to}; \
         INSERT INTO ledger VALUES {}; DELETE FROM ledger WHERE writer = {writer} AND number <= {}; COMMIT",
        balances[0] - amount as i64,
        balances[1] + amount as i64,
        rows.join(", "),
        i128::from(number) - i128::from(ENTRIES_KEPT)
    );
    wire.run(&text).await.map(drop).map_err(|e| in_statement(e, &text))
}

/// From which account to which one an entry moves how much.
pub fn transfer(writer: u64, number: u64) -> (u64, u64, u64) {
    let from = (writer * 3 + number) % ACCOUNT_COUNT;
    let to = (from + 1 + number % (ACCOUNT_COUNT - 1)) % ACCOUNT_COUNT;
    (from, to, number % 7 + 1)
}
