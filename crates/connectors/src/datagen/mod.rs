//! The `datagen` connector.

use arrow::datatypes::SchemaRef;

use crate::connector::{Connector, OpenOptions};
use crate::formats::FormatOptions;
use crate::options::Options;
use crate::{ConnectorError, SourceReader};

pub const CONNECTOR: Connector =
    Connector { name: "datagen", summary: "", has_format: false, open, schema_of };

fn open(open: OpenOptions<'_>, options: &mut Options) -> Result<Box<dyn SourceReader>, ConnectorError> {
    let _ = (open.format, open.schema, open.clock, options);
    Err(ConnectorError::Schema("connector \"datagen\" cannot be opened yet".into()))
}

fn schema_of(format: Option<&FormatOptions>, options: &mut Options) -> Result<Option<SchemaRef>, ConnectorError> {
    let _ = (format, options);
    Ok(None)
}
