//! Text of bytea and uuid.

use crate::PgError;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes bytes as `\x` and two hexadecimal digits each.
pub fn write_bytea(bytes: &[u8], out: &mut String) {
    out.push_str("\\x");
    write_hex(bytes, out);
}

/// Writes two lower-case hexadecimal digits for each byte.
pub(crate) fn write_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// Bytes from their hexadecimal form (`\x…`) or the older form with `\\` and `\ooo`.
///
/// # Errors
/// 22023 for wrong hexadecimal digits, 22P02 for a wrong escape.
pub fn parse_bytea(text: &str) -> Result<Vec<u8>, PgError> {
    if let Some(hex) = text.strip_prefix("\\x") {
        return parse_hex(hex);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = after;
            }
            _ => return Err(PgError::new(b"22P02", "invalid input syntax for type bytea")),
        }
    }
    Ok(bytes)
}

/// Bytes from hexadecimal digits; white space may stand between the pairs.
pub(crate) fn parse_hex(hex: &str) -> Result<Vec<u8>, PgError> {
    let mut bytes = Vec::with_capacity(hex.len() / 2);
    let mut high = None;
    for c in hex.chars() {
        if high.is_none() && matches!(c, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let digit =
            c.to_digit(16).ok_or_else(|| PgError::invalid_parameter(format!("invalid hexadecimal digit: \"{c}\"")))?
                as u8;
        match high.take() {
            None => high = Some(digit << 4),
            Some(high) => bytes.push(high | digit),
        }
    }
    match high {
        None => Ok(bytes),
        Some(_) => Err(PgError::invalid_parameter("invalid hexadecimal data: odd number of digits")),
    }
}

/// Writes a uuid as 8-4-4-4-12 hexadecimal digits.
pub fn write_uuid(bytes: &[u8], out: &mut String) {
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        write_hex(&[*byte], out);
    }
}

/// A uuid from 32 hexadecimal digits, with hyphens after any group of four and braces around it if wished.
///
/// # Errors
/// 22P02 for any other text.
pub fn parse_uuid(text: &str) -> Result<[u8; 16], PgError> {
    let wrong = || PgError::invalid_input("uuid", text);
    let inner = match text.strip_prefix('{') {
        Some(inner) => inner.strip_suffix('}').ok_or_else(wrong)?,
        None => text,
    };
    let mut uuid = [0u8; 16];
    let mut digits = 0;
    let mut after_hyphen = true;
    for c in inner.chars() {
        if c == '-' {
            if after_hyphen || digits % 4 != 0 || digits == 32 {
                return Err(wrong());
            }
            after_hyphen = true;
            continue;
        }
        after_hyphen = false;
        let digit = c.to_digit(16).ok_or_else(wrong)? as u8;
        let byte = uuid.get_mut(digits / 2).ok_or_else(wrong)?;
        *byte = (*byte << 4) | digit;
        digits += 1;
    }
    if digits == 32 { Ok(uuid) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytea_in_both_forms() {
        assert_eq!(parse_bytea("\\xDE ad"), Ok(vec![0xde, 0xad]));
        assert_eq!(parse_bytea("a\\\\b\\001"), Ok(vec![b'a', b'\\', b'b', 1]));
        assert!(parse_bytea("\\x1").is_err());
        assert!(parse_bytea("\\9").is_err());
    }

    #[test]
    fn uuid_in_every_form() {
        let plain = parse_uuid("a0eebc999c0b4ef8bb6d6bb9bd380a11");
        assert_eq!(plain, parse_uuid("{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"));
        assert_eq!(plain, parse_uuid("a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11"));
        assert!(plain.is_ok());
        assert!(parse_uuid("a0eebc99-9c0b4ef8-bb6d6bb9bd380a1").is_err());
        assert!(parse_uuid("a0e-ebc999c0b4ef8bb6d6bb9bd380a11").is_err());
    }
}
