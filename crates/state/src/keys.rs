//! The stored keys: one kind per sort of row, each with a code that is never given to another kind.
//!
//! A key is its kind's code (one byte), then its fields in the order in which they are declared. Numbers are
//! big-endian, so that the order of the bytes is the order of the fields; only the last field has no fixed length.

use changelog::{KeyGroup, StateTableId};

/// Codes of kinds that existed once. A code gets here when its kind is given up, and is never used again.
pub const RETIRED_CODES: &[u8] = &[];

/// What a stored row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// An object of the catalog, by a name that the catalog chooses.
    Catalog = 0x01,
    /// What belongs to the checkpoint as a whole: its epoch, clock, source positions, the format's version.
    Meta = 0x02,
    /// A row of a state table.
    StateRow = 0x10,
}

/// A stored key, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    /// An object of the catalog.
    Catalog {
        /// The catalog's own key.
        name: &'a [u8],
    },
    /// A row about the checkpoint.
    Meta {
        /// Which one.
        name: &'a [u8],
    },
    /// A row of a state table.
    StateRow {
        /// The table.
        table: StateTableId,
        /// The key group of the row's key.
        key_group: KeyGroup,
        /// The table's own key.
        key: &'a [u8],
    },
}

impl KeyKind {
    /// All kinds, by code.
    pub const ALL: &'static [KeyKind] = &[KeyKind::Catalog, KeyKind::Meta, KeyKind::StateRow];

    /// The first byte of each key of this kind.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The prefix that all keys of this kind have, and no others.
    #[must_use]
    pub fn prefix(self) -> Vec<u8> {
        vec![self.code()]
    }
}

impl<'a> Key<'a> {
    /// What kind of row this is the key of.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self {
            Key::Catalog { .. } => KeyKind::Catalog,
            Key::Meta { .. } => KeyKind::Meta,
            Key::StateRow { .. } => KeyKind::StateRow,
        }
    }

    /// The stored bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Key::Catalog { name } | Key::Meta { name } => [&[self.kind().code()], *name].concat(),
            Key::StateRow { table, key_group, key } => {
                let mut bytes = state_table_prefix(*table);
                bytes.push(key_group.0);
                bytes.extend_from_slice(key);
                bytes
            }
        }
    }

    /// Takes stored bytes apart; `None` if they are no key of this version.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Key<'a>> {
        let (code, rest) = bytes.split_first()?;
        let kind = KeyKind::ALL.iter().find(|kind| kind.code() == *code)?;
        Some(match kind {
            KeyKind::Catalog => Key::Catalog { name: rest },
            KeyKind::Meta => Key::Meta { name: rest },
            KeyKind::StateRow => {
                let (table, rest) = rest.split_first_chunk::<8>()?;
                let (key_group, key) = rest.split_first()?;
                let table = StateTableId(u64::from_be_bytes(*table));
                Key::StateRow { table, key_group: KeyGroup(*key_group), key }
            }
        })
    }
}

/// The prefix of all rows of one state table.
#[must_use]
pub fn state_table_prefix(table: StateTableId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    bytes.push(KeyKind::StateRow.code());
    bytes.extend_from_slice(&table.0.to_be_bytes());
    bytes
}

/// The key of a state table's row. `below` is the key group's byte, then the table's own key.
#[must_use]
pub fn state_row_key(table: StateTableId, below: &[u8]) -> Vec<u8> {
    let mut bytes = state_table_prefix(table);
    bytes.extend_from_slice(below);
    bytes
}

/// The key of a catalog row.
#[must_use]
pub fn catalog_key(name: &[u8]) -> Vec<u8> {
    Key::Catalog { name }.encode()
}

/// The key of a row about the checkpoint.
#[must_use]
pub fn meta_key(name: &str) -> Vec<u8> {
    Key::Meta { name: name.as_bytes() }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stored_bytes_stay_as_they_are() {
        assert_eq!(catalog_key(b"table/16384"), b"\x01table/16384");
        assert_eq!(meta_key("epoch"), b"\x02epoch");
        let key = Key::StateRow { table: StateTableId(0x0102_0304_0506_0708), key_group: KeyGroup(200), key: b"k" };
        assert_eq!(key.encode(), [0x10, 1, 2, 3, 4, 5, 6, 7, 8, 200, b'k']);
        assert_eq!(state_row_key(StateTableId(0x0102_0304_0506_0708), &[200, b'k']), key.encode());
    }

    #[test]
    fn no_code_is_used_twice() {
        let mut codes: Vec<u8> = KeyKind::ALL.iter().map(|k| k.code()).chain(RETIRED_CODES.iter().copied()).collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn other_bytes_are_no_key() {
        for bytes in [&b""[..], b"\x00", b"\x03x", b"\x10\0\0\0\0\0\0\0\0"] {
            assert_eq!(Key::decode(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn order_and_content_survive(
            a in (0..3u8, any::<u64>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..5)),
            b in (0..3u8, any::<u64>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..5)),
        ) {
            fn key(part: &(u8, u64, u8, Vec<u8>)) -> Key<'_> {
                match part.0 {
                    0 => Key::Catalog { name: &part.3 },
                    1 => Key::Meta { name: &part.3 },
                    _ => Key::StateRow { table: StateTableId(part.1), key_group: KeyGroup(part.2), key: &part.3 },
                }
            }
            let (x, y) = (key(&a), key(&b));
            let encoded = x.encode();
            prop_assert_eq!(Key::decode(&encoded), Some(x));
            prop_assert_eq!(x.encode().cmp(&y.encode()), x.cmp(&y));
        }
    }
}
