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
}

impl Writer {
    /// A client that has written nothing yet.
    pub fn new(id: usize) -> Writer {
        Writer { id, entries: Progress::default(), singles: Progress::default(), acks: 0 }
    }

    /// Writes until the connection breaks.
    ///
    /// # Errors
    /// When the server says what it must not say.
    pub async fn run(mut self, wire: Wire) -> Result<Writer> {
        loop {
            let single = format!("INSERT INTO singles VALUES ({}, {})", self.id, self.singles.acknowledged + 1);
            if !step(&wire, &mut self.singles, &mut self.acks, &single).await? {
                return Ok(self);
            }
            let number = self.entries.acknowledged + 1;
            if !step(&wire, &mut self.entries, &mut self.acks, &entry(self.id as u64, number)).await? {
                return Ok(self);
            }
            if self.entries.acknowledged == number && !self.sees_own_write(&wire, number).await? {
                return Ok(self);
            }
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

/// Sends a write; false when there is no server any more.
async fn step(wire: &Wire, progress: &mut Progress, acks: &mut usize, sql: &str) -> Result<bool> {
    progress.under_way = true;
    match wire.run(sql).await {
        Ok(_) => {
            *progress = Progress { acknowledged: progress.acknowledged + 1, under_way: false };
            *acks += 1;
            Ok(true)
        }
        Err(e) if is_end(&e) => Ok(false),
        // Two transactions that can't both be: this one has done nothing and is tried again.
        Err(e) if e.sqlstate == "40001" => {
            progress.under_way = false;
            Ok(wire.run("ROLLBACK").await.is_ok())
        }
        Err(e) => Err(anyhow::Error::from(e).context(sql.to_owned())),
    }
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

/// From which account to which one an entry moves how much.
pub fn transfer(writer: u64, number: u64) -> (u64, u64, u64) {
    let from = (writer * 3 + number) % ACCOUNT_COUNT;
    let to = (from + 1 + number % (ACCOUNT_COUNT - 1)) % ACCOUNT_COUNT;
    (from, to, number % 7 + 1)
}
