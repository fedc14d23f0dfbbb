//! What a crate may know: the table of architecture.md, held against manifests and sources.

use anyhow::{Context, Result};

use super::SourceFile;
use super::tokens::identifiers;
use crate::keyfold::repository_root;

/// A crate of ours and those it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("changelog", &[]),
    ("state", &["changelog"]),
    ("dataflow", &["changelog", "state"]),
    ("functions", &["changelog"]),
    ("sql", &["changelog", "state", "dataflow", "functions"]),
    ("connectors", &["changelog", "functions"]),
    ("database", &["changelog", "state", "dataflow", "functions", "sql", "connectors"]),
    ("server", &["changelog", "state", "dataflow", "functions", "sql", "connectors", "database"]),
    // Speaks to the product from outside only.
    ("testing", &[]),
];

/// A foreign crate's name and the path prefixes of the files that may name it.
const NAMED_ONLY_IN: &[(&str, &[&str])] = &[
    ("rocksdb", &["crates/state/"]),
    ("timely", &["crates/dataflow/src/runtime/"]),
    ("datafusion", &["crates/sql/", "crates/functions/"]),
    ("pgwire", &["crates/server/"]),
];

/// What `changelog` must not know: I/O, async, clocks, SQL.
const NOT_IN_CHANGELOG: &[&str] = &["tokio", "futures", "SystemTime", "Instant", "sqlparser", "File"];

/// Finds dependencies against the direction of the table.
pub fn depend_one_way(_: &[SourceFile]) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    let folder = repository_root().join("crates");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some((_, allowed)) = MAY_USE.iter().find(|(crate_name, _)| *crate_name == name) else {
            breaches.push(format!("crates/{name}: is not in the table"));
            continue;
        };
        seen += 1;
        let manifest = std::fs::read_to_string(repository_root().join("crates").join(&name).join("Cargo.toml"))
            .with_context(|| name.clone())?;
        if !manifest.contains(&format!("name = \"{name}\"")) {
            breaches.push(format!("crates/{name}: the crate is not called as its directory"));
        }
        for used in dependencies(&manifest) {
            let ours = MAY_USE.iter().any(|(crate_name, _)| *crate_name == used);
            if ours && !allowed.contains(&used) {
                breaches.push(format!("crates/{name}: must not depend on {used}"));
            }
            if let Some((_, places)) = NAMED_ONLY_IN.iter().find(|(foreign, _)| belongs_to(used, foreign))
                && !places.iter().any(|p| p.starts_with(&format!("crates/{name}/")))
            {
                breaches.push(format!("crates/{name}: must not depend on {used}"));
            }
        }
    }
    if seen != MAY_USE.len() {
        breaches.push(format!("{seen} crates found of {} in the table", MAY_USE.len()));
    }
    Ok(breaches)
}

/// Names on the left side in the `[dependencies]` and `[dev-dependencies]` sections.
fn dependencies(manifest: &str) -> Vec<&str> {
    let (mut names, mut inside) = (Vec::new(), false);
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
            // The crate's own tests may use anything of ours.
            if line.contains("dev-dependencies") {
                inside = false;
            }
        } else if inside && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if !name.is_empty() {
                names.push(name);
            }
        }
    }
    names
}

/// Whether the crate is `foreign` or one of its family (`datafusion-common`).
fn belongs_to(name: &str, foreign: &str) -> bool {
    name == foreign || name.replace('_', "-").starts_with(&format!("{foreign}-"))
}

/// Finds sources that name a foreign crate outside of its place.
pub fn foreign_crates_stay(files: &[SourceFile]) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for file in files {
        for name in identifiers(&file.text) {
            let used = name.is_path || ["use", "crate"].contains(&name.before);
            if let Some((_, places)) = NAMED_ONLY_IN.iter().find(|(foreign, _)| belongs_to(name.text, foreign))
                && used
                && !places.iter().any(|p| file.path.starts_with(p))
            {
                breaches.push(format!("{}:{}: names {}", file.path, name.line, name.text));
            }
            if file.crate_name() == "changelog" && used && NOT_IN_CHANGELOG.contains(&name.text) {
                breaches.push(format!("{}:{}: changelog knows nothing of {}", file.path, name.line, name.text));
            }
        }
    }
    Ok(breaches)
}

/// Finds crates that the architecture page does not speak of.
pub fn described(_: &[SourceFile]) -> Result<Vec<String>> {
    let page =
        std::fs::read_to_string(repository_root().join("docs/architecture.md")).context("docs/architecture.md")?;
    Ok(MAY_USE
        .iter()
        .filter(|(name, _)| !page.contains(&format!("`{name}`")))
        .map(|(name, _)| format!("docs/architecture.md: says nothing of `{name}`"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_crate_out_of_place_is_found() {
        let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
        let found = foreign_crates_stay(&[
            file("crates/sql/src/a.rs", "use datafusion::x; // rocksdb::DB"),
            file("crates/database/src/a.rs", "fn f() { datafusion_common::x(); let timely = 1; }"),
            file("crates/dataflow/src/engine.rs", "use timely::x;"),
            file("crates/dataflow/src/runtime/a.rs", "use timely::x;"),
        ])
        .unwrap();
        assert_eq!(
            found,
            ["crates/database/src/a.rs:1: names datafusion_common", "crates/dataflow/src/engine.rs:1: names timely"]
        );
    }

    #[test]
    fn dependencies_are_read_from_a_manifest() {
        let manifest =
            "[dependencies]\nstate.workspace = true\narrow = \"59\"\n[dev-dependencies]\nsql.workspace = true\n";
        assert_eq!(dependencies(manifest), ["state", "arrow"]);
    }
}
