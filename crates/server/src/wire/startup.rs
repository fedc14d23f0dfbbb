//! The beginning of a connection: requests for encryption, cancel requests, the start-up packet and its answer.

use std::collections::BTreeMap;
use std::io;

use pgwire::messages::startup::{NegotiateProtocolVersion, Startup};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use super::frontend::Fields;
use super::input::{Input, InputError};
use super::output::{Output, Report};

const SSL_REQUEST: i32 = 80_877_103;
const GSS_ENCRYPTION_REQUEST: i32 = 80_877_104;
const CANCEL_REQUEST: i32 = 80_877_102;
const PROTOCOL_MAJOR: i32 = 3;
/// The user and database of a client that names none.
pub const DEFAULT_NAME: &str = "keyfold";

/// Why a connection did not come about.
#[derive(Debug, Error)]
pub enum StartupError {
    /// To be told to the client.
    #[error("{}", .0.message)]
    Refused(Box<Report>),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Report> for StartupError {
    fn from(report: Report) -> Self {
        Self::Refused(Box::new(report))
    }
}

/// What a client asks for with its first packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Opening {
    Session(StartupPacket),
    Cancel(CancelKey),
}

/// The key that allows to cancel a connection's statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CancelKey {
    pub connection_id: i32,
    pub secret: i32,
}

/// Who connects, to what, with which settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StartupPacket {
    pub user: String,
    pub database: String,
    /// Session settings in the order in which they are to be applied: those of `options`, then the packet's own.
    pub settings: Vec<(String, String)>,
}

/// Reads packets until the client has said what it wants.
pub async fn open<R, W>(input: &mut Input<R>, output: &mut Output<W>) -> Result<Opening, StartupError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    // Each kind of encryption may be asked for once.
    let (mut ssl_asked, mut gss_asked) = (false, false);
    loop {
        let body = input.startup_packet().await?;
        let code = Fields::new(body).i32().map_err(violation)?;
        let asked = match code {
            SSL_REQUEST => &mut ssl_asked,
            GSS_ENCRYPTION_REQUEST => &mut gss_asked,
            CANCEL_REQUEST => return cancel_key(body).map(Opening::Cancel),
            _ => return startup_packet(body, output).map(Opening::Session),
        };
        if body.len() != 4 || std::mem::replace(asked, true) {
            return Err(Report::protocol_violation("invalid request for encryption").into());
        }
        if input.has_unread() {
            return Err(Report::protocol_violation("received unencrypted data after encryption request").into());
        }
        output.byte(b'N');
        output.flush().await?;
    }
}

fn violation(error: impl std::fmt::Display) -> Report {
    Report::protocol_violation(error.to_string())
}

fn cancel_key(body: &[u8]) -> Result<CancelKey, StartupError> {
    let mut fields = Fields::new(body);
    let (_code, connection_id, secret) =
        (fields.i32(), fields.i32().map_err(violation)?, fields.i32().map_err(violation)?);
    fields.end().map_err(violation)?;
    Ok(CancelKey { connection_id, secret })
}

fn startup_packet<W: AsyncWrite + Unpin>(body: &[u8], output: &mut Output<W>) -> Result<StartupPacket, StartupError> {
    let mut fields = Fields::new(body);
    let version = fields.i32().map_err(violation)?;
    let (major, minor) = (version >> 16, version & 0xffff);
    if major != PROTOCOL_MAJOR {
        let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.0");
        return Err(Report::new("0A000", message).into());
    }
    let mut parameters = BTreeMap::new();
    let mut unknown_options = Vec::new();
    loop {
        let name =
            fields.text().map_err(|_| violation("invalid startup packet layout: expected terminator as last byte"))?;
        if name.is_empty() {
            break;
        }
        let value = fields.text().map_err(violation)?;
        match name.starts_with("_pq_.") {
            true => unknown_options.push(name.to_owned()),
            false => drop(parameters.insert(name.to_owned(), value.to_owned())),
        }
    }
    fields.end().map_err(|_| violation("invalid startup packet layout: expected terminator as last byte"))?;
    if minor != 0 || !unknown_options.is_empty() {
        output.message(&NegotiateProtocolVersion::new(Startup::PROTOCOL_VERSION_3_0 & 0xffff, unknown_options));
    }
    session_of(parameters)
}

fn session_of(mut parameters: BTreeMap<String, String>) -> Result<StartupPacket, StartupError> {
    let mut named =
        |name| parameters.remove(name).filter(|value| !value.is_empty()).unwrap_or_else(|| DEFAULT_NAME.to_owned());
    let user = named("user");
    let database = named("database");
    if parameters
        .remove("replication")
        .is_some_and(|value| !matches!(value.as_str(), "" | "false" | "off" | "no" | "0"))
    {
        return Err(Report::new("0A000", "replication connections are not supported").into());
    }
    let mut settings = match parameters.remove("options") {
        Some(options) => parse_options(&options).map_err(StartupError::from)?,
        None => Vec::new(),
    };
    settings.extend(parameters);
    Ok(StartupPacket { user, database, settings })
}

/// `-c name=value`, `-cname=value` and `--name=value`, separated by blanks; a backslash takes the next character as it is.
fn parse_options(options: &str) -> Result<Vec<(String, String)>, Report> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            character if character.is_ascii_whitespace() => words.extend(word.take()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--") {
            Some(setting) => Some(setting.to_owned()),
            None if word == "-c" => words.next(),
            None => word.strip_prefix("-c").map(str::to_owned),
        };
        let pair = setting.as_deref().and_then(|setting| setting.split_once('='));
        let Some((name, value)) = pair else {
            return Err(Report::new("42601", format!("invalid command-line argument for server process: {word}")));
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as u32 + 4).to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    async fn opening(bytes: &[u8]) -> (Result<Opening, StartupError>, Vec<u8>) {
        let mut sent = Vec::new();
        let mut output = Output::new(&mut sent);
        let opening = open(&mut Input::new(bytes), &mut output).await;
        output.flush().await.expect("memory takes everything");
        (opening, sent)
    }

    #[tokio::test]
    async fn parameters_and_options() {
        let bytes = packet(b"\0\x03\0\0user\0u\0options\0-c a=b\\ c --x-y=1 -cz=2\0application_name\0psql\0\0");
        let Ok(Opening::Session(session)) = opening(&bytes).await.0 else { panic!("refused") };
        assert_eq!((session.user.as_str(), session.database.as_str()), ("u", DEFAULT_NAME));
        let expected = [("a", "b c"), ("x_y", "1"), ("z", "2"), ("application_name", "psql")];
        assert_eq!(session.settings, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[tokio::test]
    async fn a_newer_minor_version_is_talked_down() {
        let (opening, sent) = opening(&packet(b"\0\x03\0\x02user\0u\0_pq_.x\0y\0\0")).await;
        assert!(matches!(opening, Ok(Opening::Session(_))));
        assert_eq!(sent, b"v\0\0\0\x13\0\0\0\0\0\0\0\x01_pq_.x\0");
    }

    #[tokio::test]
    async fn malformed_packets_are_refused() {
        let bad: [&[u8]; 6] = [
            b"\0\x02\0\0user\0u\0\0",
            b"\0\x03\0\0",
            b"\0\x03\0\0user\0u\0",
            b"\0\x03\0\0user\0u\0\0more",
            b"\0\x03\0\0user\0u\0replication\0true\0\0",
            b"\x04\xd2\x16\x2e\0\0\0\x01",
        ];
        for body in bad {
            assert!(matches!(opening(&packet(body)).await.0, Err(StartupError::Refused(_))), "{body:?}");
        }
        let ssl = packet(b"\x04\xd2\x16\x2f");
        let (result, sent) = opening(&ssl).await;
        assert!(matches!(result, Err(StartupError::Input(InputError::Closed))));
        assert_eq!(sent, b"N");
        let twice = [ssl.clone(), ssl].concat();
        assert!(matches!(opening(&twice).await.0, Err(StartupError::Refused(_))));
    }

    #[tokio::test]
    async fn a_cancel_request() {
        let bytes = packet(b"\x04\xd2\x16\x2e\0\0\0\x05\0\0\0\x07");
        let key = CancelKey { connection_id: 5, secret: 7 };
        assert!(matches!(opening(&bytes).await.0, Ok(Opening::Cancel(found)) if found == key));
    }
}
