//! Which files a pattern names, in name order.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use crate::ConnectorError;
use crate::options::invalid;

/// A path in which `*`, `?`, `[…]`, `{…,…}` stand for parts of names and `**` for any folders.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    /// The folder above the first part with a wildcard.
    base: PathBuf,
    matcher: GlobMatcher,
    /// How many folders below `base` to look; None for any number.
    depth: Option<usize>,
}

impl Pattern {
    /// Fails for a pattern that cannot be.
    pub fn new(text: &str) -> Result<Self, ConnectorError> {
        let text = text.strip_prefix("file://").unwrap_or(text);
        // `a//b` and `./a` name the same files as `a/b` and `a`.
        let clean: PathBuf = Path::new(text).components().filter(|part| *part != Component::CurDir).collect();
        let clean = clean.to_string_lossy().into_owned();
        if clean.is_empty() {
            return Err(invalid("path", text, "expected the path of a file, or a pattern"));
        }
        let glob = GlobBuilder::new(&clean).literal_separator(true).build();
        let glob = glob.map_err(|error| invalid("path", text, &error.to_string()))?;
        let mut base = PathBuf::new();
        let mut rest = Path::new(&clean).components().peekable();
        while let Some(part) = rest.next_if(|part| !has_wildcard(part)) {
            if rest.peek().is_some() {
                base.push(part);
            } else {
                return Ok(Self { text: clean.clone(), base, matcher: glob.compile_matcher(), depth: Some(0) });
            }
        }
        let parts: Vec<Component> = rest.collect();
        // Braces may hold slashes, so that the number of parts is not the depth.
        let any_depth = clean.contains("**") || clean.contains('{');
        let depth = if any_depth { None } else { Some(parts.len().saturating_sub(1)) };
        Ok(Self { text: clean, base, matcher: glob.compile_matcher(), depth })
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The files there are, in name order. Folders that cannot be read are errors, but for those that
    /// are gone. Names that are not UTF-8 are passed over: a position could not name them.
    pub fn list(&self) -> Result<Vec<String>, ConnectorError> {
        if Path::new(&self.text).is_file() {
            return Ok(vec![self.text.clone()]);
        }
        let mut found = Vec::new();
        let mut folders = vec![(self.base.clone(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let shown = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            let entries = match std::fs::read_dir(shown) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => continue,
                Err(source) => return Err(ConnectorError::Io { path: shown.to_owned(), source }),
            };
            for entry in entries.flatten() {
                let path = folder.join(entry.file_name());
                let Ok(kind) = std::fs::metadata(&path) else { continue };
                // A link to a folder could lead in a circle.
                let linked = entry.file_type().is_ok_and(|kind| kind.is_symlink());
                if kind.is_dir() && (!linked || self.depth.is_some()) && self.depth.is_none_or(|max| depth < max) {
                    folders.push((path, depth + 1));
                } else if kind.is_file() && self.matcher.is_match(&path) {
                    found.extend(path.to_str().map(str::to_owned));
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

fn has_wildcard(part: &Component<'_>) -> bool {
    part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_files_in_name_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", "c.txt", "x/d.csv", "x/y/e.csv"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let list = |pattern: &str| {
            let pattern = Pattern::new(&format!("{}/{pattern}", folder.path().display())).unwrap();
            let prefix = format!("{}/", folder.path().display());
            let found = pattern.list().unwrap();
            found.iter().map(|path| path.strip_prefix(&prefix).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(list("*.csv"), ["a.csv", "b.csv"]);
        assert_eq!(list("**/*.csv"), ["a.csv", "b.csv", "x/d.csv", "x/y/e.csv"]);
        assert_eq!(list("*/*.csv"), ["x/d.csv"]);
        assert_eq!(list("a.csv"), ["a.csv"]);
        assert_eq!(list(".//x/./d.csv"), ["x/d.csv"]);
        assert_eq!(list("{a,c}.*"), ["a.csv", "c.txt"]);
        assert_eq!(list("nothing*"), Vec::<String>::new());
        assert_eq!(list("none/here"), Vec::<String>::new());
        assert!(Pattern::new("a[").is_err());
        assert!(Pattern::new("").is_err());
    }
}
