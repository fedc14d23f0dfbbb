//! Tidy: the rules of the source tree.

use libtest_mimic::{Failed, Trial};
use testing::tidy::{RULES, source_files};

pub fn trials() -> Vec<Trial> {
    RULES
        .iter()
        .map(|rule| {
            Trial::test(format!("tidy/{}", rule.name), move || {
                let files = source_files().map_err(|e| Failed::from(format!("{e:#}")))?;
                let breaches = (rule.check)(&files).map_err(|e| Failed::from(format!("{e:#}")))?;
                if breaches.is_empty() { Ok(()) } else { Err(breaches.join("\n").into()) }
            })
        })
        .collect()
}
