//! The rules of the source tree that the compiler does not hold: each a function from the files to what breaks it.

mod crates;
mod names;
mod sizes;
mod tokens;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::keyfold::repository_root;

/// A rule: what it says, and the check, which gives one line per breach.
pub struct Rule {
    /// Its name in test names.
    pub name: &'static str,
    /// Finds the breaches.
    pub check: fn(&[SourceFile]) -> Result<Vec<String>>,
}

/// All rules.
pub const RULES: &[Rule] = &[
    Rule { name: "crates-depend-one-way", check: crates::depend_one_way },
    Rule { name: "foreign-crates-stay-where-they-belong", check: crates::foreign_crates_stay },
    Rule { name: "every-crate-has-a-paragraph-in-the-architecture", check: crates::described },
    Rule { name: "every-file-says-what-it-is", check: every_file_says_what_it_is },
    Rule { name: "names-follow-the-glossary", check: names::follow_the_glossary },
    Rule { name: "files-do-not-grow-past-500-lines", check: sizes::files_do_not_grow },
];

/// A Rust file of the workspace.
pub struct SourceFile {
    /// Its path from the root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl SourceFile {
    /// The crate it belongs to.
    #[must_use]
    pub fn crate_name(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }
}

/// All Rust files of the workspace, in order of their paths.
///
/// # Errors
/// When the tree can't be read.
pub fn source_files() -> Result<Vec<SourceFile>> {
    let root = repository_root();
    let mut paths = Vec::new();
    collect(&root.join("crates"), &mut paths)?;
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let path = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
            Ok(SourceFile { path, text })
        })
        .collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|n| n != "target") {
                collect(&path, found)?;
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn every_file_says_what_it_is(files: &[SourceFile]) -> Result<Vec<String>> {
    Ok(files
        .iter()
        .filter(|f| {
            let first = f.text.lines().next().unwrap_or_default();
            first.strip_prefix("//! ").is_none_or(|says| says.trim().len() < 10)
        })
        .map(|f| format!("{}: the first line is not a `//!` that says what the file is", f.path))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_header_is_found() {
        let file = |text: &str| SourceFile { path: "crates/x/src/lib.rs".into(), text: text.into() };
        let found = every_file_says_what_it_is(&[file("use x;\n"), file("//! What flows through.\n")]).unwrap();
        assert_eq!(found.len(), 1);
    }
}
