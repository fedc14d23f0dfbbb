//! The list of connectors, and how a source is opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::formats::{self, FormatOptions};
use crate::options::Options;
use crate::{Clock, ConnectorError, MonotonicClock, SourceReader};
use crate::{datagen, file, nexmark};

/// Every connector.
pub const CONNECTORS: &[Connector] = &[file::CONNECTOR, nexmark::CONNECTOR, datagen::CONNECTOR];

/// One kind of outside system.
pub struct Connector {
    /// The word after `connector =`.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Whether `FORMAT … ENCODE …` must (or else may not) be given.
    pub has_format: bool,
    pub(crate) open: fn(OpenOptions<'_>, &mut Options) -> Result<Box<dyn SourceReader>, ConnectorError>,
    pub(crate) schema_of: fn(Option<&FormatOptions>, &mut Options) -> Result<Option<SchemaRef>, ConnectorError>,
}

/// What a source is opened with, apart from its connector's own options.
pub struct OpenOptions<'a> {
    pub format: Option<&'a FormatOptions>,
    /// The columns of the rows to give.
    pub schema: SchemaRef,
    /// By which rates are kept.
    pub clock: Arc<dyn Clock>,
}

/// Opens a source at its start. `options` are those of `WITH (…)` without `connector`. Unknown
/// options and values that cannot be are errors.
pub fn open(
    name: &str,
    options: &BTreeMap<String, String>,
    format: Option<&FormatOptions>,
    schema: SchemaRef,
) -> Result<Box<dyn SourceReader>, ConnectorError> {
    open_with_clock(name, options, OpenOptions { format, schema, clock: Arc::new(MonotonicClock::new()) })
}

/// As [`open`], with a clock of the caller's choice.
pub fn open_with_clock(
    name: &str,
    options: &BTreeMap<String, String>,
    open: OpenOptions<'_>,
) -> Result<Box<dyn SourceReader>, ConnectorError> {
    let connector = find(name, open.format)?;
    let mut taken = Options::new(options);
    let reader = (connector.open)(open, &mut taken)?;
    taken.finish()?;
    Ok(reader)
}

/// The columns that a source has by itself, for a `CREATE SOURCE` that names none. None: the user
/// has to name them.
pub fn schema_of(
    name: &str,
    options: &BTreeMap<String, String>,
    format: Option<&FormatOptions>,
) -> Result<Option<SchemaRef>, ConnectorError> {
    let connector = find(name, format)?;
    (connector.schema_of)(format, &mut Options::new(options))
}

fn find(name: &str, format: Option<&FormatOptions>) -> Result<&'static Connector, ConnectorError> {
    let connector = CONNECTORS
        .iter()
        .find(|connector| connector.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| ConnectorError::UnknownConnector(name.to_owned()))?;
    match format {
        None if connector.has_format => Err(ConnectorError::FormatMissing(connector.name)),
        Some(_) if !connector.has_format => Err(ConnectorError::FormatUnexpected(connector.name)),
        Some(format) if !formats::FORMATS.contains(&format.encode.to_ascii_lowercase().as_str()) => {
            Err(ConnectorError::UnknownFormat(format.encode.clone()))
        }
        _ => Ok(connector),
    }
}
