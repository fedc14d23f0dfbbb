//! The messages a client sends, read in place and checked: every length is held against the bytes that are there.

use thiserror::Error;

/// A message body that does not have the form its type demands.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MalformedMessage {
    #[error("insufficient data left in message")]
    Short,
    #[error("invalid message format: bytes are left over")]
    Long,
    #[error("invalid string in message: it has no end")]
    Unterminated,
    #[error("invalid byte sequence for encoding \"UTF8\"")]
    Encoding,
    #[error("invalid message format: {0}")]
    Value(&'static str),
}

/// Reads the fields of one message body.
#[derive(Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub fn bytes(&mut self, byte_count: usize) -> Result<&'a [u8], MalformedMessage> {
        let (bytes, rest) = self.rest.split_at_checked(byte_count).ok_or(MalformedMessage::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub fn u8(&mut self) -> Result<u8, MalformedMessage> {
        Ok(self.bytes(1)?[0])
    }

    pub fn u16(&mut self) -> Result<u16, MalformedMessage> {
        let bytes = self.bytes(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub fn i32(&mut self) -> Result<i32, MalformedMessage> {
        let bytes = self.bytes(4)?;
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A string that ends with a zero byte.
    pub fn text(&mut self) -> Result<&'a str, MalformedMessage> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(MalformedMessage::Unterminated)?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        std::str::from_utf8(text).map_err(|_| MalformedMessage::Encoding)
    }

    /// A value preceded by its length; −1 stands for NULL.
    pub fn value(&mut self) -> Result<Option<&'a [u8]>, MalformedMessage> {
        match self.i32()? {
            -1 => Ok(None),
            length => self.bytes(usize::try_from(length).map_err(|_| MalformedMessage::Short)?).map(Some),
        }
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Everything must have been read.
    pub fn end(&self) -> Result<(), MalformedMessage> {
        if self.rest.is_empty() { Ok(()) } else { Err(MalformedMessage::Long) }
    }
}

/// `Parse`: makes a prepared statement.
#[derive(Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    pub name: &'a str,
    pub query: &'a str,
    /// OID of each parameter's type; 0 where the server shall find it out.
    pub type_oids: Vec<u32>,
}

impl<'a> Parse<'a> {
    pub fn decode(body: &'a [u8]) -> Result<Self, MalformedMessage> {
        let mut fields = Fields::new(body);
        let (name, query) = (fields.text()?, fields.text()?);
        let type_count = usize::from(fields.u16()?);
        let type_oids = fields.bytes(type_count * 4)?;
        let type_oids = type_oids.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
        fields.end()?;
        Ok(Self { name, query, type_oids })
    }
}

/// `Bind`: makes a portal of a prepared statement and parameter values.
#[derive(Clone)]
pub struct Bind<'a> {
    pub portal: &'a str,
    pub statement: &'a str,
    pub parameter_formats: Formats<'a>,
    pub parameter_count: usize,
    /// The values, to be read with [`Fields::value`]; checked to hold `parameter_count` of them.
    pub parameters: Fields<'a>,
    pub result_formats: Formats<'a>,
}

impl<'a> Bind<'a> {
    pub fn decode(body: &'a [u8]) -> Result<Self, MalformedMessage> {
        let mut fields = Fields::new(body);
        let (portal, statement) = (fields.text()?, fields.text()?);
        let parameter_formats = Formats::decode(&mut fields)?;
        let parameter_count = usize::from(fields.u16()?);
        let parameters = fields.clone();
        for _ in 0..parameter_count {
            fields.value()?;
        }
        let result_formats = Formats::decode(&mut fields)?;
        fields.end()?;
        Ok(Self { portal, statement, parameter_formats, parameter_count, parameters, result_formats })
    }
}

/// Text or binary form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueFormat {
    Text,
    Binary,
}

/// Format codes of a `Bind`: none (all text), one for all, or one for each.
#[derive(Debug, Clone, Copy)]
pub struct Formats<'a> {
    codes: &'a [u8],
}

impl<'a> Formats<'a> {
    fn decode(fields: &mut Fields<'a>) -> Result<Self, MalformedMessage> {
        let code_count = usize::from(fields.u16()?);
        let codes = fields.bytes(code_count * 2)?;
        match codes.chunks_exact(2).all(|code| matches!(code, [0, 0 | 1])) {
            true => Ok(Self { codes }),
            false => Err(MalformedMessage::Value("unsupported format code")),
        }
    }

    pub fn code_count(&self) -> usize {
        self.codes.len() / 2
    }

    /// The format of the value at `index`.
    pub fn format(&self, index: usize) -> ValueFormat {
        let code = match self.codes {
            [] => 0,
            [_, only] => *only,
            codes => codes.get(index * 2 + 1).copied().unwrap_or(0),
        };
        if code == 0 { ValueFormat::Text } else { ValueFormat::Binary }
    }
}

/// What `Describe` and `Close` are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    Statement(&'a str),
    Portal(&'a str),
}

impl<'a> Target<'a> {
    pub fn decode(body: &'a [u8]) -> Result<Self, MalformedMessage> {
        let mut fields = Fields::new(body);
        let target = match fields.u8()? {
            b'S' => Self::Statement(fields.text()?),
            b'P' => Self::Portal(fields.text()?),
            _ => return Err(MalformedMessage::Value("neither a statement nor a portal")),
        };
        fields.end()?;
        Ok(target)
    }
}

/// `Execute`: runs a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    pub portal: &'a str,
    /// `None`: all that are left.
    pub row_max: Option<usize>,
}

impl<'a> Execute<'a> {
    pub fn decode(body: &'a [u8]) -> Result<Self, MalformedMessage> {
        let mut fields = Fields::new(body);
        let (portal, row_max) = (fields.text()?, fields.i32()?);
        fields.end()?;
        Ok(Self { portal, row_max: usize::try_from(row_max).ok().filter(|max| *max > 0) })
    }
}

/// The only field of `Query` and `CopyFail`.
pub fn decode_text(body: &[u8]) -> Result<&str, MalformedMessage> {
    let mut fields = Fields::new(body);
    let text = fields.text()?;
    fields.end()?;
    Ok(text)
}

/// Messages without fields.
pub fn decode_empty(body: &[u8]) -> Result<(), MalformedMessage> {
    Fields::new(body).end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_message() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02hi\xff\xff\xff\xff\0\0";
        let mut bind = Bind::decode(body).expect("a good message");
        assert_eq!((bind.portal, bind.statement, bind.parameter_count), ("p", "s", 2));
        assert_eq!(bind.parameters.value(), Ok(Some(b"hi".as_slice())));
        assert_eq!(bind.parameters.value(), Ok(None));
        assert_eq!(bind.parameter_formats.format(1), ValueFormat::Binary);
        assert_eq!(bind.result_formats.format(0), ValueFormat::Text);
        // Cut anywhere, it is refused.
        for length in 0..body.len() {
            assert!(Bind::decode(&body[..length]).is_err(), "{length}");
        }
        assert!(Bind::decode(b"p\0s\0\0\0\0\x01\x7f\xff\xff\xff\0\0").is_err());
    }

    #[test]
    fn other_messages_are_refused_when_cut_or_longer() {
        let parse = b"n\0select\0\0\x01\0\0\0\x17";
        assert_eq!(Parse::decode(parse), Ok(Parse { name: "n", query: "select", type_oids: vec![23] }));
        for length in 0..parse.len() {
            assert!(Parse::decode(&parse[..length]).is_err(), "{length}");
        }
        assert_eq!(decode_text(b"a\0b\0"), Err(MalformedMessage::Long));
        assert_eq!(decode_text(b"\xff\0"), Err(MalformedMessage::Encoding));
        assert_eq!(Execute::decode(b"\0\0\0\0\x05"), Ok(Execute { portal: "", row_max: Some(5) }));
        assert!(Execute::decode(b"\0\0\0\0").is_err());
        assert_eq!(Target::decode(b"Sx\0"), Ok(Target::Statement("x")));
        assert!(Target::decode(b"Zx\0").is_err());
    }
}
