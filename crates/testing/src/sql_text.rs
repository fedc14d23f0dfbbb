//! SQL as text: where a statement ends, what it is, which statements stand in a Markdown page.

/// Splits a text at the semicolons that end statements; comments stay, empty statements go.
#[must_use]
pub fn split_statements(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let (mut statements, mut start, mut i) = (Vec::new(), 0, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'\'' | b'"' => i = skip_quoted(bytes, i),
            b'-' if bytes[i..].starts_with(b"--") => i = find(bytes, i, b"\n").unwrap_or(bytes.len()),
            b'/' if bytes[i..].starts_with(b"/*") => i = find(bytes, i + 2, b"*/").map_or(bytes.len(), |p| p + 2),
            b'$' => i = skip_dollar_quoted(bytes, i),
            b';' => {
                statements.push(&text[start..i]);
                i += 1;
                start = i;
            }
            _ => i += 1,
        }
    }
    statements.push(&text[start.min(text.len())..]);
    statements.into_iter().filter(|s| !words(s, 1).is_empty()).map(|s| s.trim().to_owned()).collect()
}

fn skip_quoted(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut i = start + 1;
    while i < bytes.len() {
        if bytes[i] == quote {
            if bytes.get(i + 1) != Some(&quote) {
                return i + 1;
            }
            i += 1;
        }
        i += 1;
    }
    i
}

fn skip_dollar_quoted(bytes: &[u8], start: usize) -> usize {
    let mut end = start + 1;
    while end < bytes.len() && (bytes[end].is_ascii_alphabetic() || bytes[end] == b'_') {
        end += 1;
    }
    if bytes.get(end) != Some(&b'$') {
        return start + 1;
    }
    let tag = &bytes[start..=end];
    find(bytes, end + 1, tag).map_or(bytes.len(), |p| p + tag.len())
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes[from.min(bytes.len())..].windows(what.len()).position(|w| w == what).map(|p| p + from)
}

/// The first words of a statement in lower case, without leading comments.
#[must_use]
pub fn words(statement: &str, count: usize) -> Vec<String> {
    let mut rest = statement.trim_start();
    loop {
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after).trim_start();
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after).trim_start();
        } else {
            break;
        }
    }
    rest.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|w| !w.is_empty())
        .take(count)
        .map(str::to_lowercase)
        .collect()
}

/// Name and query of a `CREATE MATERIALIZED VIEW name [(columns)] AS query`.
#[must_use]
pub fn materialized_view(statement: &str) -> Option<(String, String)> {
    let start: Vec<String> = words(statement, 6);
    if start.get(..3)? != ["create", "materialized", "view"] {
        return None;
    }
    let lower = statement.to_lowercase();
    let after = lower.find("view")? + 4;
    let after = match lower[after..].find("exists") {
        Some(p) if start[3] == "if" => after + p + 6,
        _ => after,
    };
    let name_and_rest = statement[after..].trim_start();
    let mut quoted = false;
    let name_end = name_and_rest.find(|c: char| {
        quoted ^= c == '"';
        !quoted && (c.is_whitespace() || c == '(')
    })?;
    let rest = &name_and_rest[name_end..];
    let at = rest.to_lowercase().split_whitespace().next().map(|_| find_word(rest, "as"))??;
    let query = rest[at + 2..].trim().trim_end_matches(';');
    let query = query.strip_suffix("WITH DATA").unwrap_or(query);
    Some((name_and_rest[..name_end].to_owned(), query.trim().to_owned()))
}

fn find_word(text: &str, word: &str) -> Option<usize> {
    let lower = text.to_lowercase();
    let boundary = |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
    lower
        .match_indices(word)
        .find(|(p, w)| boundary(lower[..*p].chars().next_back()) && boundary(lower[p + w.len()..].chars().next()))
        .map(|(p, _)| p)
}

/// The statements in a Markdown page: those of ```` ```sql ```` blocks, and what stands behind a psql prompt
/// (`keyfold=>`, continued by indented lines up to the semicolon) in other blocks.
#[must_use]
pub fn statements_of_markdown(page: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut block: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut block, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => block = Some((language.trim().to_owned(), String::new())),
            (Some((language, text)), Some(_)) => {
                if language == "sql" {
                    statements.extend(split_statements(text));
                } else {
                    statements.extend(statements_of_session(text));
                }
                block = None;
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    statements
}

fn statements_of_session(text: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let typed = line.split_once("=> ").map(|(_, typed)| typed).or_else(|| line.split_once("-> ").map(|(_, t)| t));
        match (&mut open, typed) {
            (None, Some(typed)) if !typed.trim_start().starts_with('\\') => open = Some(typed.to_owned()),
            (Some(statement), Some(typed)) => {
                statement.push('\n');
                statement.push_str(typed);
            }
            (Some(statement), None) => {
                statement.push('\n');
                statement.push_str(line);
            }
            _ => {}
        }
        if let Some(statement) = open.take() {
            match statement.split_once(';') {
                Some((whole, _)) => statements.push(whole.trim().to_owned()),
                None => open = Some(statement),
            }
        }
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes() {
        let text = "SELECT ';' || \"a;b\"; -- no; end\nSELECT $x$;$x$ /* ; */ ; ;\n-- nothing\n";
        assert_eq!(split_statements(text), ["SELECT ';' || \"a;b\"", "-- no; end\nSELECT $x$;$x$ /* ; */"]);
    }

    #[test]
    fn a_view_is_taken_apart() {
        let (name, query) =
            materialized_view("CREATE MATERIALIZED VIEW IF NOT EXISTS s.v (a, b) AS\nSELECT 1 AS a;").unwrap();
        assert_eq!((name.as_str(), query.as_str()), ("s.v", "SELECT 1 AS a"));
        let (name, _) = materialized_view("CREATE MATERIALIZED VIEW s.\"a \"\"b\" AS SELECT 1").unwrap();
        assert_eq!(name, "s.\"a \"\"b\"");
        assert_eq!(materialized_view("CREATE VIEW v AS SELECT 1"), None);
    }

    #[test]
    fn sessions_in_markdown_are_read() {
        let page = "x\n```\nkeyfold=> SELECT 1\n            + 1;  -- why\n keyfold=> \\q\n```\n```sql\nSELECT 2; SELECT 3;\n```\n";
        assert_eq!(statements_of_markdown(page), ["SELECT 1\n            + 1", "SELECT 2", "SELECT 3"]);
    }
}
