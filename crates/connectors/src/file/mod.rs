//! The `file` connector: the files that a pattern names, read by position.
//!
//! Files are read in name order. The position is, for each file of which something was read, the
//! byte behind the last record (text) or the number of rows read (Parquet). A file may grow, and
//! with `follow = true` new files are found; what was read once must not change.

mod ahead;
mod files;
mod reader;
mod records;
mod text;

use arrow::datatypes::SchemaRef;

use self::files::Pattern;
use self::reader::FileReader;
use crate::connector::{Connector, OpenOptions};
use crate::formats::csv::Csv;
use crate::formats::json::Json;
use crate::formats::parquet::{self, ParquetFormat};
use crate::formats::{FormatOptions, TextFormat, values};
use crate::options::Options;
use crate::pace::Pace;
use crate::{ConnectorError, SourceReader};

pub const CONNECTOR: Connector = Connector {
    name: "file",
    summary: "files of the server's machine, named by a pattern and read in name order",
    has_format: true,
    open,
    schema_of,
};

/// How the files are written.
enum FileFormat {
    Text(Box<dyn TextFormat>),
    Parquet(ParquetFormat),
}

/// Which part of a file to read.
#[derive(Debug, Clone, Copy)]
struct FilePart {
    max_rows: usize,
    /// Not past here; bytes or rows.
    until: Option<u64>,
    /// The file may grow.
    follow: bool,
}

/// Whether a file holds more at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    More,
    End,
}

fn open(open: OpenOptions<'_>, options: &mut Options) -> Result<Box<dyn SourceReader>, ConnectorError> {
    let pattern = Pattern::new(&options.require("path")?)?;
    let follow = options.bool("follow", false)?;
    let pace = Pace::new(options.rate("rate")?, open.clock);
    let format = open.format.ok_or(ConnectorError::FormatMissing(CONNECTOR.name))?;
    values::check_schema(&open.schema)?;
    let mut format_options = Options::new(&format.options);
    let format = match format.encode.to_ascii_lowercase().as_str() {
        "csv" => {
            let names = open.schema.fields().iter().map(|field| field.name().clone()).collect();
            FileFormat::Text(Box::new(Csv::new(names, &mut format_options, follow)?))
        }
        "json" => FileFormat::Text(Box::new(Json::new(&open.schema))),
        "parquet" => FileFormat::Parquet(ParquetFormat::new(open.schema.clone())),
        _ => return Err(ConnectorError::UnknownFormat(format.encode.clone())),
    };
    format_options.finish()?;
    // Files that are to come are expected only when following.
    if !follow && pattern.list()?.is_empty() {
        return Err(ConnectorError::NoFile(pattern.as_str().to_owned()));
    }
    Ok(Box::new(FileReader::new(pattern, follow, format, open.schema, pace)))
}

fn schema_of(format: Option<&FormatOptions>, options: &mut Options) -> Result<Option<SchemaRef>, ConnectorError> {
    let pattern = Pattern::new(&options.require("path")?)?;
    match format {
        Some(format) if format.encode.eq_ignore_ascii_case("parquet") => {
            let files = pattern.list()?;
            let first = files.first().ok_or_else(|| ConnectorError::NoFile(pattern.as_str().to_owned()))?;
            parquet::schema_of(first).map(Some)
        }
        _ => Ok(None),
    }
}
