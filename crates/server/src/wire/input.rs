//! Reads messages from a socket: one type byte, four bytes of length, the body.
//!
//! A message is handed out as a slice of the read buffer, which grows only as bytes arrive, never by the
//! length that a client announces.

use std::io;

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest start-up packet, as in PostgreSQL.
pub const STARTUP_BYTES_MAX: usize = 10_000;
/// The longest password message, as in PostgreSQL.
pub const PASSWORD_BYTES_MAX: usize = 65_535;
/// The longest message of the types that carry no user text.
const SMALL_MESSAGE_BYTES_MAX: usize = 10_000;
/// The longest message of the types that do: 1 GiB − 1.
const LARGE_MESSAGE_BYTES_MAX: usize = 0x3fff_ffff;
/// Room for reading that is always there.
const READ_BYTES: usize = 16 * 1024;
/// A read buffer that grew above this for one message is given back after it.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Why no message could be read.
#[derive(Debug, Error)]
pub enum InputError {
    #[error("the client closed the connection")]
    Closed,
    #[error("the client closed the connection in the middle of a message")]
    ClosedInMessage,
    #[error("invalid message length")]
    Length,
    #[error("invalid frontend message type {0}")]
    Type(u8),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One message, still in the read buffer.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub kind: u8,
    pub body: &'a [u8],
    /// The type of the message after it, if that has begun to arrive.
    pub next_kind: Option<u8>,
}

/// The reading half of a connection.
pub struct Input<R> {
    socket: R,
    buffer: BytesMut,
    /// Bytes at the front of the buffer that belong to the message handed out last.
    taken_bytes: usize,
}

impl<R: AsyncRead + Unpin> Input<R> {
    pub fn new(socket: R) -> Self {
        Self { socket, buffer: BytesMut::with_capacity(READ_BYTES), taken_bytes: 0 }
    }

    /// Whether the client has sent more than what has been handed out.
    pub fn has_unread(&self) -> bool {
        self.buffer.len() > self.taken_bytes
    }

    /// Whether a whole further message is in the buffer: then an answer may wait for its answer.
    pub fn has_frame(&self) -> bool {
        let rest = &self.buffer[self.taken_bytes..];
        match rest {
            [_, a, b, c, d, ..] => {
                let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                rest.len() > length
            }
            _ => false,
        }
    }

    /// The next message of the normal phase. Cancel safe.
    pub async fn frame(&mut self) -> Result<Frame<'_>, InputError> {
        self.frame_limited(length_max).await
    }

    /// The next message while the client proves who it is.
    pub async fn password_frame(&mut self) -> Result<Frame<'_>, InputError> {
        self.frame_limited(|kind| match kind {
            b'p' => Ok(PASSWORD_BYTES_MAX),
            kind => Err(InputError::Type(kind)),
        })
        .await
    }

    async fn frame_limited(
        &mut self,
        length_max: impl Fn(u8) -> Result<usize, InputError>,
    ) -> Result<Frame<'_>, InputError> {
        self.release();
        self.fill(5).await?;
        let kind = self.buffer[0];
        let length = be_u32(&self.buffer[1..5]) as usize;
        if length < 4 || length > length_max(kind)? {
            return Err(InputError::Length);
        }
        self.fill(length + 1).await?;
        self.taken_bytes = length + 1;
        Ok(Frame { kind, body: &self.buffer[5..length + 1], next_kind: self.buffer.get(length + 1).copied() })
    }

    /// The body of the next start-up packet, which has no type byte. Cancel safe.
    pub async fn startup_packet(&mut self) -> Result<&[u8], InputError> {
        self.release();
        self.fill(4).await?;
        let length = be_u32(&self.buffer[..4]) as usize;
        if !(8..=STARTUP_BYTES_MAX).contains(&length) {
            return Err(InputError::Length);
        }
        self.fill(length).await?;
        self.taken_bytes = length;
        Ok(&self.buffer[4..length])
    }

    fn release(&mut self) {
        self.buffer.advance(self.taken_bytes);
        self.taken_bytes = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = BytesMut::with_capacity(READ_BYTES);
        }
    }

    /// Reads until the buffer holds `byte_count` bytes.
    async fn fill(&mut self, byte_count: usize) -> Result<(), InputError> {
        while self.buffer.len() < byte_count {
            // Doubling, bounded by what is asked for: memory follows the bytes that really came.
            let missing_bytes = byte_count - self.buffer.len();
            self.buffer.reserve(missing_bytes.min(self.buffer.len()).max(READ_BYTES / 2));
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(match self.buffer.is_empty() {
                    true => InputError::Closed,
                    false => InputError::ClosedInMessage,
                });
            }
        }
        Ok(())
    }
}

fn be_u32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn length_max(kind: u8) -> Result<usize, InputError> {
    match kind {
        b'Q' | b'P' | b'B' | b'd' | b'F' => Ok(LARGE_MESSAGE_BYTES_MAX),
        b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f' | b'p' => Ok(SMALL_MESSAGE_BYTES_MAX),
        kind => Err(InputError::Type(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_out_one_by_one() {
        let bytes = b"S\0\0\0\x04Q\0\0\0\x07ab\0H\0\0\0".as_slice();
        let mut input = Input::new(bytes);
        let frame = input.frame().await.expect("a frame");
        assert_eq!((frame.kind, frame.body), (b'S', b"".as_slice()));
        assert!(input.has_frame());
        let frame = input.frame().await.expect("a frame");
        assert_eq!((frame.kind, frame.body), (b'Q', b"ab\0".as_slice()));
        assert!(input.has_unread() && !input.has_frame());
        assert!(matches!(input.frame().await, Err(InputError::ClosedInMessage)));
    }

    #[tokio::test]
    async fn lengths_are_checked_before_memory_is_taken() {
        for bytes in [b"S\0\0\0\x03".as_slice(), b"S\xff\xff\xff\xff", b"S\0\x01\0\0", b"Q\x40\0\0\0"] {
            let mut input = Input::new(bytes);
            assert!(matches!(input.frame().await, Err(InputError::Length)), "{bytes:?}");
        }
        // A long message that never comes costs no more than what came.
        let mut input = Input::new(b"Q\x3f\xff\xff\xffabc".as_slice());
        assert!(matches!(input.frame().await, Err(InputError::ClosedInMessage)));
        assert!(input.buffer.capacity() < 1 << 20);
        assert!(matches!(Input::new(b"z\0\0\0\x04".as_slice()).frame().await, Err(InputError::Type(b'z'))));
    }

    #[tokio::test]
    async fn startup_packets_are_short() {
        let mut input = Input::new(b"\0\0\0\x08abcd".as_slice());
        assert_eq!(input.startup_packet().await.expect("a packet"), b"abcd");
        for bytes in [b"\0\0\0\x07".as_slice(), b"\0\0\x27\x11", b"Q\0\0\0\x04"] {
            assert!(matches!(Input::new(bytes).startup_packet().await, Err(InputError::Length)));
        }
    }
}
