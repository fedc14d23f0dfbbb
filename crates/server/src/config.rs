//! Settings of the server: a flag wins over an environment variable `KEYFOLD_…`, which wins over the
//! `--config` TOML file, which wins over the default.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::Value;
use thiserror::Error;

/// Where the server listens when nothing else is said.
const DEFAULT_LISTEN: &str = "127.0.0.1:5477";
/// Where data goes when neither a directory nor `--in-memory` is given.
const DEFAULT_DATA_DIR: &str = "keyfold-data";
/// Pause between two checkpoints when nothing else is said.
const DEFAULT_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// More workers than this are a typing mistake.
const WORKER_COUNT_MAX: usize = 256;
/// The longest password that is accepted, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Settings as written by the user; an absent one is looked up one level below.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Settings {
    /// Directory that holds everything the server keeps (default: keyfold-data)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Keep everything in memory: nothing survives the end of the process
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL",
        value_parser = boolean)]
    pub in_memory: Option<bool>,

    /// Address and port to listen on (default: 127.0.0.1:5477)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,

    /// Worker threads of each database (default: the number of CPUs)
    #[arg(long, value_name = "N", value_parser = worker_count)]
    pub workers: Option<usize>,

    /// Memory budget of the process, for example 4GiB (default: half of the machine's memory)
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<ByteSize>,

    /// Pause between two checkpoints, for example 500ms or 2s (default: 1s)
    #[arg(long, value_name = "DURATION")]
    pub checkpoint_interval: Option<Interval>,

    /// SQL statements to run before the first connection is accepted
    #[arg(long, value_name = "FILE.sql")]
    pub init: Option<PathBuf>,

    /// Form of the log on standard error (default: text)
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// File whose first line is the password that every client must know (also: KEYFOLD_PASSWORD)
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// Settings after all levels are put together and checked.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// `None`: in memory.
    pub data_dir: Option<PathBuf>,
    /// Resolved addresses of `--listen`, never empty.
    pub listen: Vec<SocketAddr>,
    pub worker_count: usize,
    /// `None`: the engine decides by the machine.
    pub memory_limit_bytes: Option<usize>,
    pub checkpoint_interval: Duration,
    pub init: Option<PathBuf>,
    pub log_format: LogFormat,
    /// Clients must prove to know it; `None`: everybody on the loopback interface is let in.
    pub password: Option<String>,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What is wrong with the settings, in words for the person who wrote them.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("{place}: {problem}")]
    Value { place: String, problem: String },
    #[error("{path} is not a TOML file with settings: {problem}")]
    Toml { path: PathBuf, problem: String },
    #[error("{path}: there is no setting {key:?}; there are {}", KEYS.join(", "))]
    UnknownKey { path: PathBuf, key: String },
    #[error("cannot read {path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("{data_dir} and {in_memory} exclude each other")]
    TwoStores { data_dir: String, in_memory: String },
    #[error("{place}: {listen:?} is no address to listen on: {problem}; write for example 127.0.0.1:5477")]
    Listen { place: String, listen: String, problem: String },
    #[error(
        "{place}: {listen} can be reached from other machines, but no password is set: give --password-file or KEYFOLD_PASSWORD, or listen on 127.0.0.1"
    )]
    Open { place: String, listen: String },
    #[error("the password must have between 1 and {PASSWORD_BYTES_MAX} bytes")]
    Password,
}

/// Where settings were written.
#[derive(Debug, Clone)]
enum Origin {
    Flags,
    Environment,
    File(PathBuf),
}

/// The settings of one origin.
type Level = (Origin, Settings);

impl Origin {
    /// How a setting is called there.
    fn place(&self, key: &str) -> String {
        match self {
            Self::Flags => format!("--{}", key.replace('_', "-")),
            Self::Environment => variable(key),
            Self::File(path) => format!("{key} in {}", path.display()),
        }
    }
}

fn variable(key: &str) -> String {
    format!("KEYFOLD_{}", key.to_uppercase())
}

impl ServeOptions {
    /// Puts the levels together: `flags` over the environment over the file `config`.
    pub fn load(flags: &Settings, config: Option<&Path>) -> Result<Self, ConfigError> {
        let mut levels = vec![(Origin::Flags, flags.clone()), (Origin::Environment, environment()?)];
        if let Some(path) = config {
            levels.push((Origin::File(path.to_owned()), file(path)?));
        }
        let written = std::env::var("KEYFOLD_PASSWORD").ok();
        let password_file = levels.iter().find_map(|(_, level)| level.password_file.as_ref());
        let password = match (&flags.password_file, written, password_file) {
            (None, Some(password), _) => Some(password),
            (Some(path), ..) | (None, None, Some(path)) => Some(first_line(path)?),
            (None, None, None) => None,
        };
        Self::check(&levels, password)
    }

    fn check(levels: &[Level], password: Option<String>) -> Result<Self, ConfigError> {
        if password.as_ref().is_some_and(|p| p.is_empty() || p.len() > PASSWORD_BYTES_MAX) {
            return Err(ConfigError::Password);
        }
        let settings = levels.iter().fold(Settings::default(), |above, (_, level)| above.or(level));
        let (data_dir, in_memory) = store(levels)?;
        let worker_count = settings
            .workers
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from).min(WORKER_COUNT_MAX));
        let origin = levels.iter().find(|(_, level)| level.listen.is_some()).map(|(origin, _)| origin);
        Ok(Self {
            data_dir: (!in_memory.unwrap_or(false)).then(|| data_dir.unwrap_or_else(|| DEFAULT_DATA_DIR.into())),
            listen: addresses(settings.listen, origin.unwrap_or(&Origin::Flags), password.is_some())?,
            worker_count,
            memory_limit_bytes: settings.memory_limit.map(|size| size.0),
            checkpoint_interval: settings.checkpoint_interval.map_or(DEFAULT_CHECKPOINT_INTERVAL, |i| i.0),
            init: settings.init,
            log_format: settings.log_format.unwrap_or_default(),
            password,
        })
    }
}

/// The addresses to listen on; only a server with a password may be reached from elsewhere.
fn addresses(listen: Option<String>, origin: &Origin, password: bool) -> Result<Vec<SocketAddr>, ConfigError> {
    let listen = listen.unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
    let place = origin.place("listen");
    let addresses: Vec<SocketAddr> = match listen.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(ConfigError::Listen { place, listen, problem: error.to_string() }),
    };
    if addresses.is_empty() {
        return Err(ConfigError::Listen { place, listen, problem: "the name stands for no address".to_owned() });
    }
    if !password && addresses.iter().any(|address| !address.ip().is_loopback()) {
        return Err(ConfigError::Open { place, listen });
    }
    Ok(addresses)
}

/// The settings, as they are called in a file; in the environment in capitals and with `KEYFOLD_` before.
const KEYS: [&str; 9] = [
    "data_dir",
    "in_memory",
    "listen",
    "workers",
    "memory_limit",
    "checkpoint_interval",
    "init",
    "log_format",
    "password_file",
];

impl Settings {
    /// Takes a setting from its text. The error says what is wrong with the text.
    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        match key {
            "data_dir" => self.data_dir = Some(text.into()),
            "in_memory" => self.in_memory = Some(boolean(text)?),
            "listen" => self.listen = Some(text.to_owned()),
            "workers" => self.workers = Some(worker_count(text)?),
            "memory_limit" => self.memory_limit = Some(text.parse()?),
            "checkpoint_interval" => self.checkpoint_interval = Some(text.parse()?),
            "init" => self.init = Some(text.into()),
            "log_format" => {
                let format = LogFormat::from_str(text, true);
                self.log_format = Some(format.map_err(|_| format!("{text:?} is neither text nor json"))?);
            }
            "password_file" => self.password_file = Some(text.into()),
            _ => {}
        }
        Ok(())
    }

    /// What is not said here is as said below.
    fn or(self, below: &Settings) -> Settings {
        let below = below.clone();
        Settings {
            data_dir: self.data_dir.or(below.data_dir),
            in_memory: self.in_memory.or(below.in_memory),
            listen: self.listen.or(below.listen),
            workers: self.workers.or(below.workers),
            memory_limit: self.memory_limit.or(below.memory_limit),
            checkpoint_interval: self.checkpoint_interval.or(below.checkpoint_interval),
            init: self.init.or(below.init),
            log_format: self.log_format.or(below.log_format),
            password_file: self.password_file.or(below.password_file),
        }
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn worker_count(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(count @ 1..=WORKER_COUNT_MAX) => Ok(count),
        _ => Err(format!("{text:?} is not a number from 1 to {WORKER_COUNT_MAX}")),
    }
}

/// The settings of the file; keys may be written as the flags are, with hyphens.
fn file(path: &Path) -> Result<Settings, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
    let values: BTreeMap<String, Value> = Figment::from(Toml::string(&text))
        .extract()
        .map_err(|error| ConfigError::Toml { path: path.to_owned(), problem: error.kind.to_string() })?;
    let mut settings = Settings::default();
    for (written, value) in values {
        let key = written.replace('-', "_");
        if !KEYS.contains(&key.as_str()) {
            return Err(ConfigError::UnknownKey { path: path.to_owned(), key: written });
        }
        let problem = match text_of(&value) {
            Some(text) => settings.set(&key, &text).err(),
            None => Some("a text, a number, true or false is wanted".to_owned()),
        };
        if let Some(problem) = problem {
            return Err(ConfigError::Value { place: Origin::File(path.to_owned()).place(&written), problem });
        }
    }
    Ok(settings)
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Bool(_, value) => Some(value.to_string()),
        Value::Num(_, number) => {
            let whole = number.to_i128().map(|n| n.to_string()).or_else(|| number.to_u128().map(|n| n.to_string()));
            whole.or_else(|| number.to_f64().map(|n| n.to_string()))
        }
        _ => None,
    }
}

/// The settings of environment variables; an empty one is as none.
fn environment() -> Result<Settings, ConfigError> {
    let mut settings = Settings::default();
    for key in KEYS {
        let place = variable(key);
        let Some(value) = std::env::var_os(&place).filter(|value| !value.is_empty()) else { continue };
        let set = match value.to_str() {
            Some(text) => settings.set(key, text),
            None => Err(format!("{value:?} is not UTF-8")),
        };
        set.map_err(|problem| ConfigError::Value { place, problem })?;
    }
    Ok(settings)
}

/// Directory and `in_memory` of the topmost level that says where data goes: each of them hides both below.
fn store(levels: &[Level]) -> Result<(Option<PathBuf>, Option<bool>), ConfigError> {
    let mut in_memory = None;
    for (origin, level) in levels {
        in_memory = in_memory.or(level.in_memory);
        match (&level.data_dir, level.in_memory) {
            (Some(_), Some(true)) => {
                let [data_dir, in_memory] = ["data_dir", "in_memory"].map(|key| origin.place(key));
                return Err(ConfigError::TwoStores { data_dir, in_memory });
            }
            (Some(directory), _) => return Ok((Some(directory.clone()), Some(false))),
            (None, _) if in_memory == Some(true) => return Ok((None, Some(true))),
            (None, _) => {}
        }
    }
    Ok((None, in_memory))
}

fn first_line(path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// A number of bytes, written `123`, `64MB`, `4GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub usize);

/// A length of time, written `500ms`, `2s`, `1min`, or a plain number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval(pub Duration);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text)?;
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" | "k" => 1_000,
            "mb" | "m" => 1_000_000,
            "gb" | "g" => 1_000_000_000,
            "tb" | "t" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1u64 << 40,
            _ => return Err(format!("{text:?} is not a size: write for example 512MiB or 4GB")),
        };
        let bytes = number * factor as f64;
        if !(1.0..=1e18).contains(&bytes) {
            return Err(format!("{text:?} is out of range for a size"));
        }
        Ok(Self(bytes as usize))
    }
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text)?;
        let seconds = match unit.to_ascii_lowercase().as_str() {
            "us" | "µs" => number / 1e6,
            "ms" => number / 1e3,
            "" | "s" | "sec" => number,
            "m" | "min" => number * 60.0,
            "h" => number * 3600.0,
            _ => return Err(format!("{text:?} is not a duration: write for example 500ms or 2s")),
        };
        match Duration::try_from_secs_f64(seconds) {
            Ok(duration) if duration >= Duration::from_millis(1) && seconds <= 86_400.0 => Ok(Self(duration)),
            _ => Err(format!("{text:?} is out of range: between 1ms and 24h")),
        }
    }
}

fn split_unit(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse().map_err(|_| format!("{text:?} does not begin with a number"))?;
    Ok((number, text[end..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(listen: &str) -> Vec<Level> {
        vec![(Origin::Flags, Settings { listen: Some(listen.to_owned()), ..Settings::default() })]
    }

    #[test]
    fn a_place_for_data_hides_those_below() {
        let directory = || Settings { data_dir: Some("d".into()), ..Settings::default() };
        let memory = |value| Settings { in_memory: Some(value), ..Settings::default() };
        let none = Settings::default;
        let store = |levels: [Settings; 3]| store(&levels.map(|level| (Origin::Flags, level)));
        assert_eq!(store([memory(true), none(), directory()]).unwrap(), (None, Some(true)));
        assert_eq!(store([directory(), memory(true), none()]).unwrap(), (Some("d".into()), Some(false)));
        assert_eq!(store([memory(false), memory(true), directory()]).unwrap(), (Some("d".into()), Some(false)));
        assert_eq!(store([none(), none(), none()]).unwrap(), (None, None));
        let both = Settings { in_memory: Some(true), ..directory() };
        assert!(matches!(store([none(), both, none()]), Err(ConfigError::TwoStores { .. })));
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!("4GiB".parse(), Ok(ByteSize(4 << 30)));
        assert_eq!("1.5 kb".parse(), Ok(ByteSize(1500)));
        assert_eq!("77".parse(), Ok(ByteSize(77)));
        assert!("4 apples".parse::<ByteSize>().is_err());
        assert!("".parse::<ByteSize>().is_err());
        assert!("0".parse::<ByteSize>().is_err());
        assert_eq!("500ms".parse(), Ok(Interval(Duration::from_millis(500))));
        assert_eq!("2".parse(), Ok(Interval(Duration::from_secs(2))));
        assert!("0s".parse::<Interval>().is_err());
        assert!("99999999h".parse::<Interval>().is_err());
    }

    #[test]
    fn an_open_address_needs_a_password() {
        let check =
            |listen, password: Option<&str>| ServeOptions::check(&listening(listen), password.map(str::to_owned));
        assert!(matches!(check("0.0.0.0:1", None), Err(ConfigError::Open { .. })));
        assert!(check("0.0.0.0:1", Some("secret")).is_ok());
        assert!(check("127.0.0.1:1", None).is_ok());
        assert!(check("[::1]:1", None).is_ok());
        assert!(check("[::1]:1", Some("")).is_err());
        assert!(matches!(check("nowhere", None), Err(ConfigError::Listen { .. })));
    }

    #[test]
    fn the_same_texts_everywhere() {
        let mut settings = Settings::default();
        for (key, text) in [("in_memory", "1"), ("data_dir", "2013"), ("checkpoint_interval", "0.5"), ("workers", "3")]
        {
            settings.set(key, text).expect(key);
        }
        assert_eq!((settings.in_memory, settings.data_dir), (Some(true), Some("2013".into())));
        let half = Some(Interval(Duration::from_millis(500)));
        assert_eq!((settings.checkpoint_interval, settings.workers), (half, Some(3)));
        for key in ["in_memory", "workers", "memory_limit", "checkpoint_interval", "log_format"] {
            let problem = Settings::default().set(key, "x y").expect_err(key);
            assert!(problem.starts_with("\"x y\" "), "{problem}");
        }
    }

    #[test]
    fn settings_of_a_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("keyfold.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).expect("a file");
            file(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
        };
        let settings = read("workers = 3\ndata-dir = '/tmp/x'\ncheckpoint_interval = 0.5\nmemory-limit = 5000\n");
        let settings = Settings { workers: Some(4), ..Settings::default() }.or(&settings.expect("valid"));
        assert_eq!((settings.workers, settings.data_dir), (Some(4), Some("/tmp/x".into())));
        assert_eq!(settings.checkpoint_interval, Some(Interval(Duration::from_millis(500))));
        assert_eq!(settings.memory_limit, Some(ByteSize(5000)));
        let problem = |text| read(text).expect_err(text);
        assert!(problem("wrokers = 3").starts_with("FILE: there is no setting \"wrokers\"; there are data_dir, "));
        assert_eq!(problem("workers = 0"), "workers in FILE: \"0\" is not a number from 1 to 256");
        assert_eq!(problem("workers = [1]"), "workers in FILE: a text, a number, true or false is wanted");
        let broken = problem("workers = \n");
        assert!(broken.starts_with("FILE is not a TOML file with settings: "), "{broken}");
        assert!(!broken.contains("crates/"), "{broken}");
    }
}
