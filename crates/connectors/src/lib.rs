//! The edges: connectors that read outside systems, and the formats that turn their bytes into rows.
//!
//! A connector is one folder, a format one file; [`CONNECTORS`] and [`formats::FORMATS`] list them.
//! A reader gives rows together with a position, and gives the same rows for the same positions
//! again. Nothing here knows the catalog, the engine, or the clock on the wall.

mod clock;
mod connector;
mod counted;
mod error;
mod options;
mod pace;
mod random;
mod source;

mod datagen;
mod file;
pub mod formats;
mod nexmark;

pub use clock::{Clock, MonotonicClock};
pub use connector::{CONNECTORS, Connector, OpenOptions, open, open_with_clock, schema_of};
pub use error::ConnectorError;
pub use formats::FormatOptions;
pub use source::{DeadLetter, Load, LoadUnit, Position, ReadLimit, SourceBatch, SourceReader};

#[cfg(test)]
mod testing;
