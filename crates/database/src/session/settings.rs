//! A session's settings: SET, SHOW and RESET.

use std::collections::BTreeMap;

use sql::SessionSettings;

use super::transaction::{Isolation, isolation};
use crate::DatabaseError;

/// A setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name, as `SHOW ALL` spells it.
    pub name: &'static str,
    /// Its value unless set.
    pub default: &'static str,
    /// What it does, in one line.
    pub description: &'static str,
    /// Whether clients are told when it changes.
    pub reported: bool,
    kind: ValueKind,
}

impl Setting {
    /// Whether it cannot be changed.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(self.kind, ValueKind::Fixed)
    }
}

/// What values a setting takes.
#[derive(Clone, Copy, Debug)]
enum ValueKind {
    /// Any text.
    Text,
    /// on or off.
    Bool,
    /// A whole number from 0, or a time with a unit, given in milliseconds.
    Milliseconds,
    /// A whole number in these bounds.
    Number(i64, i64),
    /// One of these words.
    Words(&'static [&'static str]),
    /// The name of an encoding that text can be sent in, in any spelling: `utf-8` is UTF8.
    Encoding,
    /// The name of a time zone.
    TimeZone,
    /// A style of dates and an order of their parts, of which the style is taken and ignored.
    DateStyle,
    /// It cannot be changed.
    Fixed,
}

const fn setting(
    name: &'static str,
    default: &'static str,
    reported: bool,
    kind: ValueKind,
    description: &'static str,
) -> Setting {
    Setting { name, default, description, reported, kind }
}

const ISOLATION: ValueKind =
    ValueKind::Words(&["serializable", "repeatable read", "read committed", "read uncommitted"]);
const LEVELS: ValueKind = ValueKind::Words(&[
    "debug5", "debug4", "debug3", "debug2", "debug1", "debug", "log", "notice", "warning", "error", "fatal", "panic",
]);

/// Every setting, by name.
pub const SETTINGS: &[Setting] = &[
    setting("application_name", "", true, ValueKind::Text, "Name of the client program."),
    setting("bytea_output", "hex", false, ValueKind::Words(&["hex"]), "How bytea is written as text."),
    setting("client_encoding", "UTF8", true, ValueKind::Encoding, "Encoding of text."),
    setting("client_min_messages", "notice", false, LEVELS, "The least grave messages that are sent."),
    setting("DateStyle", "ISO, MDY", true, ValueKind::DateStyle, "How dates are written; always ISO."),
    setting("default_transaction_isolation", "read committed", false, ISOLATION, "Isolation of new transactions."),
    setting("default_transaction_read_only", "off", true, ValueKind::Bool, "Whether new transactions only read."),
    setting("extra_float_digits", "1", false, ValueKind::Number(-15, 3), "Taken and ignored: floats are exact."),
    setting("idle_in_transaction_session_timeout", "0", false, ValueKind::Milliseconds, "Taken and ignored."),
    setting("integer_datetimes", "on", true, ValueKind::Fixed, "Times are whole microseconds."),
    setting("IntervalStyle", "postgres", true, ValueKind::Words(&["postgres"]), "How intervals are written."),
    setting("is_superuser", "on", true, ValueKind::Fixed, "Whether the user may do everything."),
    setting("jit", "off", false, ValueKind::Bool, "Taken and ignored."),
    setting("lock_timeout", "0", false, ValueKind::Milliseconds, "The longest to wait for a lock; 0: no limit."),
    setting(
        "read_freshness",
        "acknowledged",
        false,
        ValueKind::Words(&["acknowledged", "latest"]),
        "What reads see: all acknowledged writes, or the visible epoch. Both are the same epoch at present.",
    ),
    setting("row_security", "on", false, ValueKind::Bool, "Taken and ignored."),
    setting("search_path", "\"$user\", public", false, ValueKind::Text, "Schemas searched for names without one."),
    setting("server_encoding", "UTF8", true, ValueKind::Fixed, "Encoding of the database."),
    setting("server_version", "15.0", true, ValueKind::Fixed, "The version of PostgreSQL that is spoken."),
    setting("server_version_num", "150000", false, ValueKind::Fixed, "The same as a number."),
    setting("session_authorization", "keyfold", true, ValueKind::Fixed, "The user."),
    setting("standard_conforming_strings", "on", true, ValueKind::Words(&["on"]), "Backslashes are plain in '…'."),
    setting("statement_timeout", "0", false, ValueKind::Milliseconds, "The longest a statement may run; 0: no limit."),
    setting("TimeZone", "UTC", true, ValueKind::TimeZone, "Time zone in which times are shown and read."),
    setting("transaction_isolation", "read committed", false, ISOLATION, "Isolation of the transaction."),
    setting("transaction_read_only", "off", false, ValueKind::Bool, "Whether the transaction only reads."),
];

/// The settings of a session.
#[derive(Debug)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    /// What RESET goes back to, where it is not the default.
    defaults: BTreeMap<&'static str, String>,
    /// Values at the start of the transaction, to go back to at ROLLBACK; none outside.
    at_begin: Option<BTreeMap<&'static str, String>>,
    /// Values before SET LOCAL, to go back to at COMMIT.
    before_local: BTreeMap<&'static str, Option<String>>,
    reported: BTreeMap<&'static str, String>,
    /// The generation that `reported` is of.
    reported_generation: Option<u64>,
    user: String,
    generation: u64,
    /// What every statement asks for, of this generation.
    frequent: Frequent,
}

/// Settings that every statement asks for.
#[derive(Clone, Copy, Debug)]
pub struct Frequent {
    /// Of transactions that a statement begins.
    pub isolation: Isolation,
    /// Whether new transactions only read.
    pub read_only: bool,
    /// The longest that a statement may run, in milliseconds; 0: no limit.
    pub statement_timeout: u64,
}

impl Settings {
    /// The defaults, for this user.
    #[must_use]
    pub fn new(user: &str) -> Settings {
        let frequent = Frequent { isolation: Isolation::ReadCommitted, read_only: false, statement_timeout: 0 };
        let mut settings = Settings {
            values: BTreeMap::new(),
            defaults: BTreeMap::from([("session_authorization", user.to_owned())]),
            at_begin: None,
            before_local: BTreeMap::new(),
            reported: BTreeMap::new(),
            reported_generation: None,
            user: user.to_owned(),
            generation: 0,
            frequent,
        };
        settings.changed();
        settings
    }

    /// What every statement asks for.
    #[must_use]
    pub fn frequent(&self) -> Frequent {
        self.frequent
    }

    /// A value is another one, or may be.
    fn changed(&mut self) {
        self.generation += 1;
        self.frequent = Frequent {
            isolation: isolation(&self.get("default_transaction_isolation").unwrap_or_default()),
            read_only: self.get("default_transaction_read_only").as_deref() == Some("on"),
            statement_timeout: self.milliseconds("statement_timeout"),
        };
    }

    /// Goes up whenever a value changes: plans made before it may no longer hold.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// A setting's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        find(name).map(|setting| self.value(setting))
    }

    fn value(&self, setting: &Setting) -> String {
        let set = self.values.get(setting.name).or_else(|| self.defaults.get(setting.name));
        set.cloned().unwrap_or_else(|| setting.default.to_owned())
    }

    /// All settings with their values.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, String> {
        SETTINGS.iter().map(|setting| (setting.name.to_owned(), self.value(setting))).collect()
    }

    /// SET name = value.
    ///
    /// # Errors
    /// 42704 for a name that does not exist, 22023 for a value that cannot be.
    pub fn set(&mut self, name: &str, value: &str, local: bool) -> Result<(), DatabaseError> {
        let setting = find(name).ok_or_else(|| unknown(name))?;
        let value = checked(setting, value)?;
        if local {
            self.before_local.entry(setting.name).or_insert_with(|| self.values.get(setting.name).cloned());
        } else {
            self.before_local.remove(setting.name);
        }
        self.values.insert(setting.name, value);
        self.changed();
        Ok(())
    }

    /// RESET name.
    ///
    /// # Errors
    /// 42704 for a name that does not exist.
    pub fn reset(&mut self, name: &str) -> Result<(), DatabaseError> {
        let setting = find(name).ok_or_else(|| unknown(name))?;
        self.values.remove(setting.name);
        self.changed();
        Ok(())
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) {
        self.values.clear();
        self.changed();
    }

    /// A value from the start-up packet. Names that PostgreSQL has and we do not are ignored.
    ///
    /// # Errors
    /// 22023 for a value that cannot be.
    pub fn set_default(&mut self, name: &str, value: &str) -> Result<(), DatabaseError> {
        if let Some(setting) = find(name) {
            let value = checked(setting, value)?;
            self.defaults.insert(setting.name, value);
            self.changed();
        }
        Ok(())
    }

    /// A transaction begins.
    pub fn begin_transaction(&mut self) {
        self.at_begin = Some(self.values.clone());
    }

    /// The transaction ends: SET LOCAL is over, and so is every SET if it was rolled back.
    pub fn end_transaction(&mut self, committed: bool) {
        let before = self.values.clone();
        for (name, value) in std::mem::take(&mut self.before_local) {
            match value {
                Some(value) => drop(self.values.insert(name, value)),
                None => drop(self.values.remove(name)),
            }
        }
        if let Some(values) = self.at_begin.take()
            && !committed
        {
            self.values = values;
        }
        self.values.remove("transaction_isolation");
        self.values.remove("transaction_read_only");
        // Plans made within the transaction stay good if nothing was set in it.
        if self.values != before {
            self.changed();
        }
    }

    /// Reported settings that changed since the last call.
    pub fn take_reported(&mut self) -> Vec<(String, String)> {
        // Asked after every statement; nearly always nothing has changed.
        if self.reported_generation.replace(self.generation) == Some(self.generation) {
            return Vec::new();
        }
        let mut changed = Vec::new();
        for setting in SETTINGS.iter().filter(|setting| setting.reported) {
            let value = self.value(setting);
            if self.reported.get(setting.name) != Some(&value) {
                changed.push((setting.name.to_owned(), value.clone()));
                self.reported.insert(setting.name, value);
            }
        }
        changed
    }

    /// What the planner is told.
    #[must_use]
    pub fn to_sql(&self, database: &str) -> SessionSettings {
        SessionSettings {
            database: database.to_owned(),
            user: self.user.clone(),
            search_path: split_names(&self.get("search_path").unwrap_or_default()),
            time_zone: self.get("TimeZone").unwrap_or_else(|| "UTC".to_owned()),
        }
    }

    /// A time in milliseconds; 0 if it is not set.
    #[must_use]
    pub fn milliseconds(&self, name: &str) -> u64 {
        self.get(name).and_then(|value| parse_milliseconds(&value)).unwrap_or(0)
    }
}

/// The names of a list such as `"$user", public`.
#[must_use]
pub fn split_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.strip_prefix('"').and_then(|p| p.strip_suffix('"')) {
            Some(quoted) => names.push(quoted.replace("\"\"", "\"")),
            None => names.push(part.to_lowercase()),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> DatabaseError {
    DatabaseError::new("42704", format!("unrecognized configuration parameter \"{name}\""))
}

/// The value in its usual spelling.
fn checked(setting: &Setting, value: &str) -> Result<String, DatabaseError> {
    let invalid =
        || DatabaseError::new("22023", format!("invalid value for parameter \"{}\": \"{value}\"", setting.name));
    match setting.kind {
        ValueKind::Text => Ok(value.to_owned()),
        ValueKind::Fixed if value == setting.default => Ok(value.to_owned()),
        ValueKind::Fixed => {
            Err(DatabaseError::new("55P02", format!("parameter \"{}\" cannot be changed", setting.name)))
        }
        ValueKind::Bool => match value.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" | "t" | "y" => Ok("on".to_owned()),
            "off" | "false" | "no" | "0" | "f" | "n" => Ok("off".to_owned()),
            _ => Err(DatabaseError::new("22023", format!("parameter \"{}\" requires a Boolean value", setting.name))),
        },
        ValueKind::Milliseconds => parse_milliseconds(value).map(|_| value.to_owned()).ok_or_else(|| {
            let units = "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".";
            if value.trim().starts_with(|c: char| c.is_ascii_digit()) { invalid().with_hint(units) } else { invalid() }
        }),
        ValueKind::Number(min, max) => match value.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(number.to_string()),
            Ok(number) => {
                let name = setting.name;
                let message = format!("{number} is outside the valid range for parameter \"{name}\" ({min} .. {max})");
                Err(DatabaseError::new("22023", message))
            }
            Err(_) => Err(invalid()),
        },
        ValueKind::Words(words) => {
            let found = words.iter().find(|word| word.eq_ignore_ascii_case(value)).ok_or_else(|| {
                let hint = format!("Available values: {}.", words.join(", "));
                invalid().with_hint(hint)
            })?;
            Ok((*found).to_owned())
        }
        ValueKind::Encoding => {
            let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            match plain.to_ascii_lowercase().as_str() {
                "utf8" | "unicode" => Ok("UTF8".to_owned()),
                "sqlascii" => Ok("SQL_ASCII".to_owned()),
                _ => Err(invalid()),
            }
        }
        ValueKind::DateStyle => {
            let known = value.split(',').all(|part| is_date_style(part.trim()));
            if known { Ok(value.to_owned()) } else { Err(invalid()) }
        }
        ValueKind::TimeZone => {
            value.parse::<arrow::array::timezone::Tz>().map(|_| value.to_owned()).map_err(|_| invalid())
        }
    }
}

/// Whether a word says how dates are written or read.
fn is_date_style(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let styles = ["iso", "sql", "postgres", "german"].iter().any(|style| word == *style || word == "default");
    styles
        || word.starts_with("ymd")
        || word.starts_with("dmy")
        || word.starts_with("mdy")
        || word.starts_with("euro")
        || word.starts_with("us")
        || word.starts_with("noneuro")
}

fn parse_milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}
