//! Options as the user wrote them, taken out one by one so that the rest can be refused.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::ConnectorError;

/// The options of a source that nobody has taken yet.
pub struct Options {
    left: BTreeMap<String, String>,
}

impl Options {
    /// Names are compared without regard to case.
    pub fn new(options: &BTreeMap<String, String>) -> Self {
        Self { left: options.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect() }
    }

    /// Takes an option out.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.left.remove(name)
    }

    /// Takes an option that must be there.
    pub fn require(&mut self, name: &str) -> Result<String, ConnectorError> {
        self.take(name).ok_or_else(|| ConnectorError::OptionMissing(name.to_owned()))
    }

    /// Takes `true`/`false` and PostgreSQL's other spellings of them.
    pub fn bool(&mut self, name: &str, default: bool) -> Result<bool, ConnectorError> {
        let Some(value) = self.take(name) else { return Ok(default) };
        match value.to_ascii_lowercase().as_str() {
            "true" | "t" | "on" | "yes" | "1" => Ok(true),
            "false" | "f" | "off" | "no" | "0" => Ok(false),
            _ => Err(invalid(name, &value, "expected true or false")),
        }
    }

    /// Takes a number between two bounds, both included.
    pub fn number<T>(&mut self, name: &str, min: T, max: T) -> Result<Option<T>, ConnectorError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.trim().replace('_', "").parse::<T>() {
            Ok(number) if number >= min && number <= max => Ok(Some(number)),
            _ => Err(invalid(name, &value, &format!("expected a number from {min} to {max}"))),
        }
    }

    /// Takes a rate: records a second, more than zero.
    pub fn rate(&mut self, name: &str) -> Result<Option<f64>, ConnectorError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.trim().replace('_', "").parse::<f64>() {
            Ok(rate) if (1e-3..=1e9).contains(&rate) => Ok(Some(rate)),
            _ => Err(invalid(name, &value, "expected a number of records a second, from 0.001 to 1e9")),
        }
    }

    /// Fails if an option is left that nobody knows.
    pub fn finish(self) -> Result<(), ConnectorError> {
        match self.left.into_keys().next() {
            Some(name) => Err(ConnectorError::OptionUnknown(name)),
            None => Ok(()),
        }
    }
}

/// The error for a value that cannot be.
pub fn invalid(option: &str, value: &str, expected: &str) -> ConnectorError {
    ConnectorError::OptionInvalid { option: option.to_owned(), value: value.to_owned(), expected: expected.to_owned() }
}
