//! Just enough of Rust's lexical structure: identifiers with what stands around them, no comments, no literals.

/// An identifier in a source text.
#[derive(Debug, PartialEq, Eq)]
pub struct Identifier<'a> {
    /// Its text.
    pub text: &'a str,
    /// Its line, from 1.
    pub line: usize,
    /// The identifier or keyword before it, if nothing but spaces stands between.
    pub before: &'a str,
    /// The first character after it that is no space.
    pub after: char,
    /// Whether the character after that makes it a path (`a::b`).
    pub is_path: bool,
}

/// The identifiers of a source text, comments and literals left out.
#[must_use]
pub fn identifiers(text: &str) -> Vec<Identifier<'_>> {
    let bytes = text.as_bytes();
    let (mut found, mut line, mut i) = (Vec::<Identifier<'_>>::new(), 1, 0);
    let mut previous_end = None;
    while i < bytes.len() {
        let from = i;
        match bytes[i] {
            b'/' if bytes[i..].starts_with(b"//") => i = position(bytes, i, b"\n"),
            b'/' if bytes[i..].starts_with(b"/*") => i = (position(bytes, i, b"*/") + 2).min(bytes.len()),
            b'r' | b'b' if raw_string_start(bytes, i).is_some() => i = raw_string_end(bytes, i),
            b'"' => i = string_end(bytes, i),
            b'\'' => i = quote_end(text, i),
            c if c.is_ascii_alphabetic() || c == b'_' => {
                while i < bytes.len() && (bytes[i].is_ascii_alphanumeric() || bytes[i] == b'_') {
                    i += 1;
                }
                let rest = text[i..].trim_start();
                let before = match previous_end {
                    Some(end) if text[end..from].trim().is_empty() => found.last().map_or("", |p| p.text),
                    _ => "",
                };
                found.push(Identifier {
                    text: &text[from..i],
                    line,
                    before,
                    after: rest.chars().next().unwrap_or(' '),
                    is_path: rest.starts_with("::"),
                });
                previous_end = Some(i);
            }
            _ => i += 1,
        }
        line += bytes[from..i.min(bytes.len())].iter().filter(|b| **b == b'\n').count();
    }
    found
}

fn position(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    bytes[from..].windows(what.len()).position(|w| w == what).map_or(bytes.len(), |p| p + from)
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut i = start + 1;
    while i < bytes.len() && bytes[i] != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

/// The number of `#` if a raw string begins here.
fn raw_string_start(bytes: &[u8], start: usize) -> Option<usize> {
    let mut i = start + 1;
    if bytes[start] == b'b' && bytes.get(i) == Some(&b'r') {
        i += 1;
    } else if bytes[start] == b'b' {
        return None;
    }
    let hashes = bytes[i..].iter().take_while(|b| **b == b'#').count();
    (bytes.get(i + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw_string_end(bytes: &[u8], start: usize) -> usize {
    let hashes = raw_string_start(bytes, start).unwrap_or(0);
    let open = position(bytes, start, b"\"");
    let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    (position(bytes, open + 1, &end) + end.len()).min(bytes.len())
}

/// Past a character literal, or past the quote of a lifetime.
fn quote_end(text: &str, start: usize) -> usize {
    let mut rest = text[start + 1..].chars();
    match rest.next() {
        Some('\\') => position(text.as_bytes(), start + 3, b"'") + 1,
        Some(c) if rest.next() == Some('\'') => start + 2 + c.len_utf8(),
        _ => start + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_hold_no_identifiers() {
        let text = "fn a<'x>(b: &'x str) { /* c */ \"d\\\"e\"; r#\"f\"g\"#; 'h'; '\\''; i::j(); } // k";
        let names: Vec<&str> = identifiers(text).iter().map(|i| i.text).collect();
        assert_eq!(names, ["fn", "a", "x", "b", "x", "str", "i", "j"]);
        assert_eq!(identifiers(text)[1].before, "fn");
        assert_eq!(identifiers(text)[3].after, ':');
        assert!(identifiers(text)[6].is_path);
    }
}
