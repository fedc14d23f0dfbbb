//! A transaction: what it has written so far, and the tables it holds. Each statement is one, or several together.

use std::collections::BTreeMap;
use std::sync::Arc;

use changelog::ChangeBatch;
use state::{Pin, ReadTable};

use super::Settings;
use crate::DatabaseError;
use crate::catalog::{Catalog, Live};
use crate::clock::now_micros;
use crate::database::Database;
use crate::locks::TableLock;
use crate::table::Table;
use crate::write::{TableWrites, net_changes};

/// How much a transaction sees of others that end while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement sees all that was visible when it began.
    ReadCommitted,
    /// All statements see what the first one saw; a write to a table that others have changed since fails.
    Snapshot,
    /// As `Snapshot`, and a transaction that writes fails if others have changed a table that it has read.
    Serializable,
}

/// An open transaction.
#[derive(Debug)]
pub struct Transaction {
    explicit: bool,
    failed: bool,
    read_only: bool,
    isolation: Isolation,
    /// When it began: what `now()` is.
    now_micros: i64,
    /// What all its statements see, if it is a snapshot.
    pin: Option<Pin>,
    /// The tables it has read, also through views, if it must be serializable.
    reads: BTreeMap<u32, Arc<Table>>,
    writes: BTreeMap<u32, TableWrites>,
    locks: BTreeMap<u32, TableLock>,
}

impl Transaction {
    /// A transaction that begins now: by BEGIN, or with a statement.
    #[must_use]
    pub fn new(settings: &Settings, explicit: bool) -> Transaction {
        let frequent = settings.frequent();
        let level = if explicit { settings.get("transaction_isolation") } else { None };
        Transaction {
            explicit,
            failed: false,
            read_only: frequent.read_only,
            isolation: level.map_or(frequent.isolation, |level| isolation(&level)),
            now_micros: now_micros(),
            pin: None,
            reads: BTreeMap::new(),
            writes: BTreeMap::new(),
            locks: BTreeMap::new(),
        }
    }

    /// Whether it was begun by BEGIN.
    #[must_use]
    pub fn is_explicit(&self) -> bool {
        self.explicit
    }

    /// BEGIN within statements that are one transaction anyway: what they did belongs to it.
    pub fn make_explicit(&mut self) {
        self.explicit = true;
    }

    /// Whether a statement of it has failed.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.failed
    }

    /// A statement failed: nothing of it will be written.
    pub fn fail(&mut self) {
        self.failed = true;
        self.writes.clear();
        self.locks.clear();
        self.pin = None;
    }

    /// When it began, in microseconds since 1970.
    #[must_use]
    pub fn now_micros(&self) -> i64 {
        self.now_micros
    }

    /// Sets its isolation.
    pub fn set_isolation(&mut self, isolation: Isolation) {
        self.isolation = isolation;
    }

    /// Sets whether it only reads.
    pub fn set_read_only(&mut self, read_only: bool) {
        self.read_only = read_only;
    }

    /// Whether it has written anything.
    #[must_use]
    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Whether it has changed this table.
    #[must_use]
    pub fn has_written(&self, oid: u32) -> bool {
        self.writes.contains_key(&oid)
    }

    /// Fails if it only reads.
    ///
    /// # Errors
    /// 25006.
    pub fn check_writable(&self, command: &str) -> Result<(), DatabaseError> {
        match self.read_only {
            true => {
                let message = format!("cannot execute {command} in a read-only transaction");
                Err(DatabaseError::new("25006", message))
            }
            false => Ok(()),
        }
    }

    /// The epoch that a statement reads, held as long as the pin.
    pub fn pin(&mut self, database: &Database) -> Pin {
        match self.isolation {
            Isolation::ReadCommitted => database.pins.pin(),
            Isolation::Snapshot | Isolation::Serializable => {
                self.pin.get_or_insert_with(|| database.pins.pin()).clone()
            }
        }
    }

    /// Whether its snapshot is still to be taken.
    #[must_use]
    pub fn lacks_snapshot(&self) -> bool {
        self.isolation != Isolation::ReadCommitted && self.pin.is_none()
    }

    /// Notes what a statement reads, by the OIDs of the relations that it names.
    pub fn note_reads(&mut self, catalog: &Catalog, relations: impl Iterator<Item = u32>) {
        if self.isolation == Isolation::Serializable {
            let mut open: Vec<u32> = relations.collect();
            while let Some(relation) = open.pop().and_then(|oid| catalog.relation(oid)) {
                match &relation.live {
                    Live::Table(table) => drop(self.reads.insert(relation.oid, Arc::clone(table))),
                    _ => open.extend(&relation.definition.depends_on),
                }
            }
        }
    }

    /// Rows to read instead of the tables' own: those of the tables it has written to.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    pub fn overlay(&self) -> Result<BTreeMap<u32, Arc<dyn ReadTable>>, DatabaseError> {
        self.writes.iter().map(|(oid, writes)| Ok((*oid, writes.rows()?))).collect()
    }

    /// Whether it holds the table's write lock.
    #[must_use]
    pub fn holds(&self, oid: u32) -> bool {
        self.locks.contains_key(&oid)
    }

    /// Keeps a table's write lock until the end.
    ///
    /// # Errors
    /// 40001 if others have changed the table since the transaction's snapshot.
    pub fn hold(&mut self, table: &Table, lock: TableLock) -> Result<(), DatabaseError> {
        if let Some(pin) = &self.pin
            && table.changed() > pin.epoch()
        {
            return Err(DatabaseError::conflict("could not serialize access due to concurrent update"));
        }
        self.locks.insert(table.oid, lock);
        Ok(())
    }

    /// The table's rows as this transaction has left them so far, to be written to. It holds the table's lock.
    pub fn writes_to(&mut self, table: &Arc<Table>) -> &mut TableWrites {
        assert!(self.locks.contains_key(&table.oid), "a table is written to under its lock");
        self.writes.entry(table.oid).or_insert_with(|| TableWrites::new(table))
    }

    /// Makes all writes visible as one epoch and waits until they are.
    ///
    /// # Errors
    /// 40001 if it must be serializable and cannot; if the database has failed.
    pub async fn commit(self, database: &Database) -> Result<(), DatabaseError> {
        let mut staged: Vec<(Arc<Table>, Vec<ChangeBatch>)> = Vec::new();
        if !self.failed {
            for writes in self.writes.into_values() {
                let (table, changes, statements) = writes.into_changes();
                let changes = if statements > 1 { net_changes(&changes)? } else { changes };
                if !changes.is_empty() {
                    staged.push((table, changes));
                }
            }
        }
        if staged.is_empty() {
            return Ok(());
        }
        let reads = match &self.pin {
            Some(pin) if !self.reads.is_empty() => Some((self.reads.into_values().collect(), pin.epoch())),
            _ => None,
        };
        let epoch = database.clock.stage(staged, reads).await?;
        // The next writer sees the staged rows; only the answer has to wait for the disk.
        drop(self.locks);
        database.clock.progress().wait(epoch).await
    }
}

/// The isolation of this name.
#[must_use]
pub fn isolation(level: &str) -> Isolation {
    match level {
        "serializable" => Isolation::Serializable,
        "repeatable read" => Isolation::Snapshot,
        _ => Isolation::ReadCommitted,
    }
}
