//! Names: the words of the glossary, none of their many synonyms.

use anyhow::Result;

use super::SourceFile;
use super::tokens::{Identifier, identifiers};

/// Words of the field for which we have another; no name of ours holds one.
const SYNONYMS: &[&str] = &[
    "vnode",
    "executor",
    "actor",
    "subtask",
    "shuffle",
    "dispatcher",
    "arrangement",
    "frontier",
    "tick",
    "tombstone",
    "hydrate",
    "peek",
    "mview",
    "circuit",
    "topology",
    "chunk",
];

/// Words that say nothing; no module or type is called so.
const EMPTY_WORDS: &[&str] =
    &["manager", "handler", "helper", "helpers", "util", "utils", "data", "info", "common", "core", "types"];

/// Keywords before the name of a thing that is being named.
const NAMING: &[&str] = &["fn", "struct", "enum", "trait", "type", "mod", "const", "static", "let", "mut", "union"];

/// Finds names that hold a banned word.
pub fn follow_the_glossary(files: &[SourceFile]) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for file in files {
        let stem = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if EMPTY_WORDS.contains(&stem) || words_of(stem).iter().any(|w| SYNONYMS.contains(&w.as_str())) {
            breaches.push(format!("{}: a file has this name", file.path));
        }
        for name in identifiers(&file.text) {
            if let Some(word) = banned_word(&file.path, &name) {
                breaches.push(format!("{}:{}: `{}` holds the word `{word}`", file.path, name.line, name.text));
            }
        }
    }
    Ok(breaches)
}

fn banned_word(path: &str, name: &Identifier<'_>) -> Option<String> {
    let names_a_thing = NAMING.contains(&name.before) || (name.after == ':' && !name.is_path);
    if !names_a_thing {
        return None;
    }
    let is_module_or_type = ["struct", "enum", "trait", "type", "mod"].contains(&name.before);
    let words = words_of(name.text);
    // Timely's own words stay where timely stays.
    let timely = path.starts_with("crates/dataflow/src/runtime/");
    words.iter().find_map(|word| {
        let synonym = SYNONYMS.contains(&word.as_str()) && !(timely && word == "frontier");
        let empty =
            is_module_or_type && EMPTY_WORDS.contains(&word.as_str()) && (words.len() == 1 || is_noun_of_duty(word));
        (synonym || empty).then(|| word.clone())
    })
}

/// Words that say nothing in longer names, too.
fn is_noun_of_duty(word: &str) -> bool {
    ["manager", "handler", "helper", "helpers", "util", "utils"].contains(&word)
}

/// The words of a snake_case, CamelCase or SCREAMING name in lower case; a plural `s` goes.
fn words_of(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous = '_';
    for c in name.chars() {
        if c != '_' {
            if previous == '_' || (c.is_uppercase() && previous.is_lowercase()) {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        previous = c;
    }
    for word in &mut words {
        let singular = word.strip_suffix('s').filter(|w| SYNONYMS.contains(w)).map(str::to_owned);
        if let Some(singular) = singular {
            *word = singular;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_names_are_found_where_they_are_given() {
        let text = "//! x\nfn next_tick() {}\nstruct RowHandler;\nmod types;\nlet chunks = rows.chunks(2);\nfn info() {}\nstruct ClientInfo;";
        let file = SourceFile { path: "crates/x/src/lib.rs".into(), text: text.into() };
        let found = follow_the_glossary(&[file]).unwrap();
        let lines: Vec<&str> = found.iter().filter_map(|f| f.split(':').nth(1)).collect();
        assert_eq!(lines, ["2", "3", "4", "5"]);
    }
}
