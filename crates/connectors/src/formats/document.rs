//! JSON documents in the one spelling that `jsonb` keeps.

use serde_json::Value;

/// Keys sorted by length and then by bytes, the last of equal keys kept, one space behind colons and commas.
pub fn normalised(text: &[u8]) -> Result<String, String> {
    let value: Value =
        serde_json::from_slice(text).map_err(|error| format!("invalid input syntax for type json: {error}"))?;
    let mut out = String::with_capacity(text.len());
    write(&value, &mut out);
    if has_nul(&value) {
        return Err("unsupported Unicode escape sequence: \\u0000 cannot be converted to text".to_owned());
    }
    Ok(out)
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(key, item)| key.contains('\0') || has_nul(item)),
        _ => false,
    }
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
            out.push('{');
            for (index, (key, item)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(": ");
                write(item, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_one_spelling() {
        let text = br#"{"bb":1,"a":[true,null,"x\n"],"bb":2, "c":{}}"#;
        assert_eq!(normalised(text).unwrap(), r#"{"a": [true, null, "x\n"], "c": {}, "bb": 2}"#);
        assert!(normalised(b"{").is_err());
        assert!(normalised(br#""\u0000""#).is_err());
        assert!(normalised(br#""\\u0000""#).is_ok());
        let deep = "[".repeat(10_000);
        assert!(normalised(deep.as_bytes()).is_err());
    }
}
