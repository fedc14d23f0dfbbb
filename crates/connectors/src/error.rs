//! What can go wrong at the edges, apart from single bad records.

use std::path::PathBuf;

/// Why a source could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error("connector \"{0}\" does not exist")]
    UnknownConnector(String),
    #[error("format \"{0}\" does not exist")]
    UnknownFormat(String),
    #[error("connector \"{0}\" needs a format")]
    FormatMissing(&'static str),
    #[error("connector \"{0}\" has no formats")]
    FormatUnexpected(&'static str),
    #[error("option \"{0}\" is missing")]
    OptionMissing(String),
    #[error("option \"{0}\" does not exist")]
    OptionUnknown(String),
    #[error("invalid value for option \"{option}\": \"{value}\" ({expected})")]
    OptionInvalid { option: String, value: String, expected: String },
    #[error("{0}")]
    Schema(String),
    #[error("no file matches \"{0}\"")]
    NoFile(String),
    #[error("could not read \"{}\"", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("file \"{}\" changed under its reader: {reason}", path.display())]
    FileChanged { path: PathBuf, reason: String },
    #[error("\"{position}\" is no position of this source: {reason}")]
    BadPosition { position: String, reason: String },
}

impl ConnectorError {
    /// The SQLSTATE to report.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::UnknownConnector(_) | Self::UnknownFormat(_) => "42704",
            Self::FormatMissing(_) | Self::FormatUnexpected(_) => "42601",
            Self::OptionMissing(_) | Self::OptionUnknown(_) | Self::OptionInvalid { .. } => "22023",
            Self::Schema(_) => "42P16",
            Self::NoFile(_) => "58P01",
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => "58P01",
            Self::Io { .. } => "58030",
            Self::FileChanged { .. } => "55000",
            Self::BadPosition { .. } => "XX001",
        }
    }

    /// Advice for the user, where there is some.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownConnector(_) => {
                let names: Vec<&str> = crate::CONNECTORS.iter().map(|connector| connector.name).collect();
                Some(format!("Connectors: {}.", names.join(", ")))
            }
            Self::UnknownFormat(_) | Self::FormatMissing(_) => {
                Some(format!("Formats: {}.", crate::formats::FORMATS.join(", ")))
            }
            _ => None,
        }
    }
}
