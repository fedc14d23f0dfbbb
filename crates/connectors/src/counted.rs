//! Readers of generated records: record n is a function of n, so the position is a number.

use std::time::Duration;

use arrow::array::RecordBatch;

use crate::pace::Pace;
use crate::{ConnectorError, Load, LoadUnit, Position, ReadLimit, SourceBatch, SourceReader};

/// Makes records by number.
pub trait Generator: Send {
    /// Makes at most `max_rows` rows from the numbers in `from..end`, as many as there are, and says
    /// which number comes next. Not every number need give a row.
    fn generate(&self, from: u64, end: u64, max_rows: usize) -> Result<(RecordBatch, u64), ConnectorError>;
}

/// Reads a generator's records in the order of their numbers.
pub struct CountedReader<G> {
    generator: G,
    /// The number behind the last record; None for no end.
    end: Option<u64>,
    pace: Pace,
    next: u64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Place {
    #[serde(default)]
    next: u64,
}

impl<G: Generator> CountedReader<G> {
    /// A reader at the start.
    pub fn new(generator: G, end: Option<u64>, pace: Pace) -> Self {
        Self { generator, end, pace, next: 0 }
    }
}

impl<G: Generator> SourceReader for CountedReader<G> {
    fn read(&mut self, limit: ReadLimit<'_>) -> Result<SourceBatch, ConnectorError> {
        let source_end = self.end.unwrap_or(u64::MAX);
        let end = match limit.until {
            Some(until) => until.parse::<Place>()?.next,
            None => self.next.saturating_add(self.pace.allowed() as u64).min(source_end),
        };
        let from = self.next;
        let (rows, next) = self.generator.generate(from, end.max(from), limit.max_rows.max(1))?;
        self.next = next;
        let retry_after = match limit.until {
            Some(_) => Duration::ZERO,
            None => {
                self.pace.gave((next - from) as usize);
                self.pace.wait()
            }
        };
        let at_end = next >= if limit.until.is_some() { end } else { source_end };
        Ok(SourceBatch { rows, dead_letters: Vec::new(), position: self.position(), at_end, retry_after })
    }

    fn position(&self) -> Position {
        if self.next == 0 { Position::start() } else { Position::of(&Place { next: self.next }) }
    }

    fn seek(&mut self, position: &Position) -> Result<(), ConnectorError> {
        self.next = position.parse::<Place>()?.next;
        Ok(())
    }

    fn load(&mut self) -> Option<Load> {
        let total = self.end.filter(|_| !self.pace.has_rate())?;
        Some(Load { read: self.next.min(total), total, unit: LoadUnit::Records })
    }
}
