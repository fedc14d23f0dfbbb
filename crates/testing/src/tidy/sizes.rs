//! The size of files, as a ratchet: nothing new grows past the limit, what is past it may only shrink.

use anyhow::{Context, Result};

use super::SourceFile;
use crate::keyfold::repository_root;

/// Lines of a file.
const LINES_MAX: usize = 500;

/// The list of those that are longer: a path and its lines per row.
const LIST: &str = "crates/testing/oversized_files.txt";

/// Finds files past the limit, and rows of the list that can be lowered or struck out.
pub fn files_do_not_grow(files: &[SourceFile]) -> Result<Vec<String>> {
    let list = std::fs::read_to_string(repository_root().join(LIST)).context(LIST)?;
    compare(files, &list)
}

fn compare(files: &[SourceFile], list: &str) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    let mut listed = Vec::new();
    for row in list.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (path, lines) = row.split_once(' ').context("a row is a path and a number")?;
        listed.push((path, lines.trim().parse::<usize>()?));
    }
    for file in files {
        let lines = file.text.lines().count();
        match listed.iter().find(|(path, _)| *path == file.path) {
            Some((_, allowed)) if lines > *allowed => {
                breaches.push(format!("{}: {lines} lines, it may only shrink from {allowed}", file.path));
            }
            Some((_, allowed)) if lines < *allowed && *allowed > LINES_MAX => {
                breaches.push(format!("{}: has shrunk to {lines} lines, lower its row in {LIST}", file.path));
            }
            None if lines > LINES_MAX => {
                breaches.push(format!("{}: {lines} lines, split it (at most {LINES_MAX})", file.path));
            }
            _ => {}
        }
    }
    for (path, _) in &listed {
        if !files.iter().any(|f| f.path == *path) {
            breaches.push(format!("{path}: is gone, strike it from {LIST}"));
        }
    }
    Ok(breaches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratchet_turns_one_way() {
        let file = |path: &str, lines: usize| SourceFile { path: path.into(), text: "x\n".repeat(lines) };
        let files = [file("a", 500), file("b", 501), file("c", 700), file("d", 600), file("e", 650)];
        let found = compare(&files, "# list\nc 690\nd 600\ne 660\nf 700\n").unwrap();
        let paths: Vec<&str> = found.iter().filter_map(|f| f.split(':').next()).collect();
        assert_eq!(paths, ["b", "c", "e", "f"]);
    }
}
