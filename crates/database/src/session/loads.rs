//! Waiting for loads: sources with an end that views read, until all of their rows are visible.
//!
//! 1. A source is a load if its connector says so: it has an end, and no rate.
//! 2. A load is done when its reader is at the end and the clock's epochs have come to the same position.

use std::time::Duration;

use changelog::RelationId;
use connectors::{Load, Position};

use super::{Parsed, Session};
use crate::sources::ReadSource;
use crate::{DatabaseError, statements};

/// So often it is looked how far the loads are.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// How far the load of a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLoad {
    /// The source's name.
    pub source: String,
    /// How much was read, of how much.
    pub load: Load,
}

impl Parsed {
    /// Whether the statement's answer depends on rows, so that whoever loads a file wants it loaded before.
    #[must_use]
    pub fn reads_rows(&self) -> bool {
        statements::reads_rows(self.statement())
    }
}

impl Session {
    /// Waits until the rows of all loads are visible. `progress` is told now and then how far they are.
    ///
    /// # Errors
    /// Why a load can't go on; 57014 if cancelled.
    pub async fn wait_for_loads(&self, progress: &mut dyn FnMut(&[SourceLoad])) -> Result<(), DatabaseError> {
        let cancel = self.cancel.current();
        loop {
            let sources = self.database.sources.all();
            if let Some(error) = sources.iter().find_map(failure) {
                return Err(error);
            }
            let open = sources.iter().any(|source| match source.status.load {
                None => true,
                Some(load) => load.is_some() && !source.status.at_end,
            });
            if !open && self.are_visible(&sources).await? {
                return Ok(());
            }
            if let Some(failure) = self.database.clock.progress().failure() {
                return Err(failure);
            }
            let loads: Vec<SourceLoad> = sources.iter().filter_map(load_of).collect();
            progress(&loads);
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = cancel.cancelled() => return Err(DatabaseError::cancelled()),
            }
        }
    }

    /// Whether everything that the loads brought is in epochs that are visible.
    async fn are_visible(&self, sources: &[ReadSource]) -> Result<bool, DatabaseError> {
        let loads = sources.iter().filter(|source| load_of(source).is_some());
        let ends: Vec<(RelationId, Position)> = loads
            .map(|source| (source.relation.id(), source.status.position.clone().unwrap_or_else(Position::start)))
            .collect();
        if ends.is_empty() {
            return Ok(true);
        }
        let start = Position::start();
        let reached = move |positions: &std::collections::BTreeMap<RelationId, Position>| {
            ends.iter().all(|(source, end)| positions.get(source).unwrap_or(&start) == end)
        };
        self.database.clock.at_boundary(move |boundary| reached(boundary.positions)).await
    }
}

fn load_of(source: &ReadSource) -> Option<SourceLoad> {
    let load = source.status.load.flatten()?;
    Some(SourceLoad { source: source.relation.definition.name.clone(), load })
}

/// Why a load can't go on. What is not known to be a load could not even be opened.
fn failure(source: &ReadSource) -> Option<DatabaseError> {
    let status = &source.status;
    if status.load == Some(None) {
        return None;
    }
    let mut error = status.error.clone()?;
    error.message = format!("source \"{}\" cannot be read: {}", source.relation.definition.name, error.message);
    Some(error)
}
