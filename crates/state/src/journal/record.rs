//! The journal's bytes.
//!
//! A segment begins with a header of 40 bytes: `KEYFOLDJ`, version (u32, 1), zero (u32), the segment's number (u64),
//! the last epoch of the segments before it (u64), and the XXH3 of those. Records follow, each at a multiple of 8:
//!
//! | bytes | |
//! |---|---|
//! | 4 | `KFJR` for a record, `KFJE` for the end of a segment that is followed by another |
//! | 4 | length of the payload |
//! | 8 | epoch |
//! | 8 | how far the segment was synced when the record was written |
//! | 8 | XXH3 of the above and the payload, seeded with the segment's number |
//! | | payload, then zeros up to a multiple of 8 |
//!
//! Numbers are little-endian. The seed makes what a reused file held before invalid.

use changelog::Epoch;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

pub(super) const SEGMENT_HEADER_BYTES: usize = 40;
pub(super) const RECORD_HEADER_BYTES: usize = 32;
/// Records begin at multiples of this.
const ALIGNMENT: usize = 8;
const SEGMENT_MAGIC: &[u8; 8] = b"KEYFOLDJ";
const VERSION: u32 = 1;
const RECORD_MAGIC: [u8; 4] = *b"KFJR";
const END_MAGIC: [u8; 4] = *b"KFJE";

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u64,
    /// The last epoch of the segments before.
    pub(super) epoch_before: Epoch,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.epoch_before.0.to_le_bytes());
        let checksum = xxh3_64(&bytes[..32]);
        bytes[32..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `None` if these bytes are no header of this version.
    pub(super) fn decode(bytes: &[u8]) -> Option<SegmentHeader> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES)?;
        let word = |at: usize| bytes[at..].first_chunk::<8>().map(|word| u64::from_le_bytes(*word));
        let valid = bytes.starts_with(SEGMENT_MAGIC)
            && bytes[8..12] == VERSION.to_le_bytes()
            && word(32)? == xxh3_64(&bytes[..32]);
        if !valid {
            return None;
        }
        Some(SegmentHeader { number: word(16)?, epoch_before: Epoch(word(24)?) })
    }
}

/// Appends a record without its checksum, which depends on the segment; `seal` adds it.
pub(super) fn push_record(bytes: &mut Vec<u8>, epoch: Epoch, payload: &[u8]) {
    bytes.extend_from_slice(&RECORD_MAGIC);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&epoch.0.to_le_bytes());
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}

/// Completes pushed records for the segment `number`, which has been synced up to `synced`.
pub(super) fn seal(mut bytes: &mut [u8], number: u64, synced: u64) {
    while let Some(header) = bytes.first_chunk::<RECORD_HEADER_BYTES>() {
        let end = RECORD_HEADER_BYTES + payload_length(header);
        bytes[16..24].copy_from_slice(&synced.to_le_bytes());
        let checksum = checksum(&bytes[..end], number);
        bytes[24..32].copy_from_slice(&checksum.to_le_bytes());
        bytes = &mut bytes[end.next_multiple_of(ALIGNMENT)..];
    }
}

/// The mark that ends a segment.
pub(super) fn end_mark(number: u64, epoch: Epoch, synced: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_record(&mut bytes, epoch, &[]);
    bytes[..4].copy_from_slice(&END_MAGIC);
    seal(&mut bytes, number, synced);
    bytes
}

fn payload_length(header: &[u8; RECORD_HEADER_BYTES]) -> usize {
    header[4..].first_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length)) as usize
}

fn checksum(record: &[u8], number: u64) -> u64 {
    let mut hash = Xxh3::with_seed(number);
    hash.update(&record[..24]);
    hash.update(&record[RECORD_HEADER_BYTES..]);
    hash.digest()
}

/// What is at some offset of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A record, and where the next one begins.
    Record { epoch: Epoch, payload: &'a [u8], synced: u64, next: usize },
    /// The segment ends here and another follows.
    End,
    /// Nothing that was written whole.
    Nothing,
}

/// Reads what is at `offset` of the segment `number`.
pub(super) fn read_record(segment: &[u8], offset: usize, number: u64) -> Found<'_> {
    let Some(rest) = segment.get(offset..) else { return Found::Nothing };
    let Some(header) = rest.first_chunk::<RECORD_HEADER_BYTES>() else { return Found::Nothing };
    let is_end = header.starts_with(&END_MAGIC);
    if !is_end && !header.starts_with(&RECORD_MAGIC) {
        return Found::Nothing;
    }
    let word = |at: usize| header[at..].first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
    let end = RECORD_HEADER_BYTES + payload_length(header);
    let Some(record) = rest.get(..end) else { return Found::Nothing };
    if word(24) != checksum(record, number) {
        return Found::Nothing;
    }
    if is_end {
        return Found::End;
    }
    Found::Record {
        epoch: Epoch(word(8)),
        payload: &record[RECORD_HEADER_BYTES..],
        synced: word(16),
        next: offset + end.next_multiple_of(ALIGNMENT),
    }
}

/// Whether some record after `offset` was written when `offset` had been synced: then what cannot be read at
/// `offset` is not a torn end.
pub(super) fn was_synced(segment: &[u8], offset: usize, number: u64) -> bool {
    (offset.next_multiple_of(ALIGNMENT)..segment.len())
        .step_by(ALIGNMENT)
        .any(|at| matches!(read_record(segment, at, number), Found::Record { synced, .. } if synced > offset as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_bytes_stay_as_they_are() {
        let header = SegmentHeader { number: 3, epoch_before: Epoch(258) };
        let bytes = header.encode();
        assert_eq!(bytes[..32], *b"KEYFOLDJ\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0");
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
        let mut record = Vec::new();
        push_record(&mut record, Epoch(259), b"abc");
        seal(&mut record, 3, 40);
        assert_eq!(record[..24], *b"KFJR\x03\0\0\0\x03\x01\0\0\0\0\0\0\x28\0\0\0\0\0\0\0");
        assert_eq!(record[24..32], [100, 13, 143, 163, 157, 67, 209, 69]);
        assert_eq!(record[32..], *b"abc\0\0\0\0\0");
        let found = Found::Record { epoch: Epoch(259), payload: b"abc", synced: 40, next: 40 };
        assert_eq!(read_record(&record, 0, 3), found);
        assert_eq!(read_record(&record, 0, 4), Found::Nothing);
        assert_eq!(read_record(&end_mark(3, Epoch(259), 0), 0, 3), Found::End);
    }

    #[test]
    fn no_bit_may_change() {
        let mut record = Vec::new();
        push_record(&mut record, Epoch(1), b"payload");
        seal(&mut record, 1, 0);
        for bit in 0..(RECORD_HEADER_BYTES + 7) * 8 {
            let mut broken = record.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_record(&broken, 0, 1), Found::Nothing, "bit {bit}");
        }
        for end in 0..record.len() - 1 {
            assert_eq!(read_record(&record[..end], 0, 1), Found::Nothing, "cut at {end}");
        }
    }
}
