//! What a segment says of itself: a block at its beginning, and, once it is sealed, a table of its records at its end.

use crate::Key;
use crate::disk::record::{Header, Kind, UNIT_BYTES, checksum, number32, number64};

/// Bytes before the first record.
pub(super) const START_BYTES: u64 = 4096;
pub(super) const ROW_BYTES: usize = 48;
pub(super) const TRAILER_BYTES: usize = 64;
/// The format of segments. Another one's are not read.
pub(super) const VERSION: u32 = 1;
/// The largest record a row can tell of.
pub(super) const RECORD_MAX_BYTES: u64 = (1 << 24) * UNIT_BYTES - UNIT_BYTES;
const START_MAGIC: u64 = u64::from_le_bytes(*b"LsSegmnt");
const TRAILER_MAGIC: u64 = u64::from_le_bytes(*b"LsSealed");
const START_CHECKED_BYTES: usize = 24;
const TRAILER_CHECKED_BYTES: usize = TRAILER_BYTES - 8;

/// One record of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) key: Key,
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Row {
    pub(super) fn new(header: &Header, offset: u64) -> Self {
        let (kind, key, number) = (header.kind, header.key, header.number);
        Self { kind, key, number, offset, bytes: header.record_bytes() }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let units = |bytes: u64| u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX);
        let length = units(self.bytes) | u32::from(self.kind.code()) << 24;
        out.extend_from_slice(&self.key.name);
        out.extend_from_slice(&self.key.variant);
        out.extend_from_slice(&units(self.offset).to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
    }

    fn decode(bytes: &[u8; ROW_BYTES]) -> Option<Self> {
        let length = number32(bytes, 36)?;
        Some(Self {
            kind: Kind::of(length.to_le_bytes()[3])?,
            key: Key { name: *bytes.first_chunk()?, variant: *bytes[16..].first_chunk()? },
            number: number64(bytes, 40)?,
            offset: u64::from(number32(bytes, 32)?) * UNIT_BYTES,
            bytes: u64::from(length & 0xff_ffff) * UNIT_BYTES,
        })
    }
}

/// The rows in `bytes`, up to the first that is none.
pub(super) fn rows(bytes: &[u8]) -> Vec<Row> {
    bytes.as_chunks().0.iter().map_while(Row::decode).collect()
}

/// Who a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) segment: u32,
    /// The run that wrote it.
    pub(super) run: u64,
}

impl Identity {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = START_MAGIC.to_le_bytes().to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.run.to_le_bytes());
        let checksum = checksum(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let is_ours = number64(bytes, 0)? == START_MAGIC
            && number32(bytes, 8)? == VERSION
            && number64(bytes, START_CHECKED_BYTES)? == checksum(&bytes[..START_CHECKED_BYTES]);
        let identity = Self { segment: number32(bytes, 12)?, run: number64(bytes, 16)? };
        is_ours.then_some(identity)
    }
}

/// The last bytes of a sealed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) identity: Identity,
    pub(super) rows: u32,
    /// Where the table begins; it ends where the trailer does.
    pub(super) table_offset: u64,
    pub(super) table_checksum: u64,
}

impl Trailer {
    pub(super) const fn table_bytes(&self) -> u64 {
        self.rows as u64 * ROW_BYTES as u64
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = TRAILER_MAGIC.to_le_bytes().to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.identity.segment.to_le_bytes());
        out.extend_from_slice(&self.identity.run.to_le_bytes());
        out.extend_from_slice(&u64::from(self.rows).to_le_bytes());
        out.extend_from_slice(&self.table_offset.to_le_bytes());
        out.extend_from_slice(&self.table_checksum.to_le_bytes());
        out.resize(TRAILER_CHECKED_BYTES, 0);
        let checksum = checksum(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The trailer that `bytes` are, whatever they are; none where it isn't exactly what was encoded.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; TRAILER_BYTES] = bytes.first_chunk()?;
        if number64(bytes, 0)? != TRAILER_MAGIC
            || number32(bytes, 8)? != VERSION
            || number64(bytes, TRAILER_CHECKED_BYTES)? != checksum(&bytes[..TRAILER_CHECKED_BYTES])
        {
            return None;
        }
        Some(Self {
            identity: Identity { segment: number32(bytes, 12)?, run: number64(bytes, 16)? },
            rows: u32::try_from(number64(bytes, 24)?).ok()?,
            table_offset: number64(bytes, 32)?,
            table_checksum: number64(bytes, 40)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(seed: u64, kind: u8) -> Row {
        let byte = seed.to_le_bytes()[0];
        Row {
            kind: Kind::of(kind).unwrap(),
            key: Key { name: [byte; 16], variant: [kind; 16] },
            number: seed,
            offset: (seed % (1 << 20)) * UNIT_BYTES,
            bytes: (seed % (1 << 24)) * UNIT_BYTES,
        }
    }

    proptest! {
        #[test]
        fn a_table_is_read_as_it_was_written(
            seeds in prop::collection::vec((any::<u64>(), 1_u8..5), 0..20),
        ) {
            let written: Vec<_> = seeds.into_iter().map(|(seed, kind)| row(seed, kind)).collect();
            let mut bytes = Vec::new();
            written.iter().for_each(|row| row.encode(&mut bytes));
            prop_assert_eq!(rows(&bytes), written);
        }

        #[test]
        fn a_flipped_bit_of_a_trailer_or_a_start_is_seen(
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let identity = Identity { segment: 7, run: 9 };
            let trailer = Trailer { identity, rows: 3, table_offset: 8, table_checksum: 1 };
            let mut bytes = trailer.encode();
            prop_assert_eq!(Trailer::decode(&bytes), Some(trailer));
            let place = at.index(bytes.len());
            bytes[place] ^= 1 << bit;
            prop_assert_eq!(Trailer::decode(&bytes), None);
            let mut bytes = identity.encode();
            prop_assert_eq!(Identity::decode(&bytes), Some(identity));
            let place = at.index(bytes.len());
            bytes[place] ^= 1 << bit;
            prop_assert_eq!(Identity::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            rows(&bytes);
            prop_assert_eq!(Trailer::decode(&bytes), None);
            prop_assert_eq!(Identity::decode(&bytes), None);
        }
    }
}
