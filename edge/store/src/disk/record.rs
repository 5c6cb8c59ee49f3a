//! How one stored response is laid out in a segment.
//!
//! A header, the name, the encoded head, a checksum of each block of the body, and the body. The header's checksum
//! covers that of what follows it up to the body, so each byte of a record is covered by one that was verified before.
//! Numbers are little-endian.

use crate::Key;
use twox_hash::XxHash3_64;

pub(super) const HEADER_BYTES: usize = 96;
/// What of a body has a checksum of its own.
pub(super) const BLOCK_BYTES: usize = 128 << 10;
/// Records begin at multiples of this.
pub(super) const UNIT_BYTES: u64 = 8;
const MAGIC: u32 = u32::from_le_bytes(*b"LsR1");
/// No body is larger: what says so is damaged.
const BODY_MAX_BYTES: u64 = 1 << 40;
const CHECKED_BYTES: usize = HEADER_BYTES - 8;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A response.
    Whole,
    /// A response whose body is in a record written before.
    Head,
    /// Nothing is stored under the key any more. Of the variant, the first four bytes count.
    Removal,
    /// Nothing is stored under the key's name any more.
    NameRemoval,
}

impl Kind {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Whole => 1,
            Self::Head => 2,
            Self::Removal => 3,
            Self::NameRemoval => 4,
        }
    }

    pub(super) const fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Whole),
            2 => Some(Self::Head),
            3 => Some(Self::Removal),
            4 => Some(Self::NameRemoval),
            _ => None,
        }
    }
}

/// The part of fixed length at the beginning of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) key: Key,
    /// The segment the record is in.
    pub(super) segment: u32,
    pub(super) name_bytes: u32,
    pub(super) head_bytes: u32,
    pub(super) body_bytes: u64,
    /// Of [`Kind::Head`]: where the body's bytes are.
    pub(super) body_segment: u32,
    pub(super) body_offset: u64,
    /// Checksum of what lies between header and body.
    pub(super) meta_checksum: u64,
}

/// What lies between header and body, verified.
pub(super) struct Meta<'a> {
    pub(super) name: &'a [u8],
    /// Where the head is in the bytes after the header.
    pub(super) head: std::ops::Range<usize>,
    pub(super) checksums: Vec<u64>,
}

impl Header {
    /// A header with nothing behind it.
    pub(super) const fn new(kind: Kind, number: u64, key: Key, segment: u32) -> Self {
        Self {
            kind,
            number,
            key,
            segment,
            name_bytes: 0,
            head_bytes: 0,
            body_bytes: 0,
            body_segment: 0,
            body_offset: 0,
            meta_checksum: 0,
        }
    }

    const fn blocks(&self) -> u64 {
        self.body_bytes.div_ceil(BLOCK_BYTES as u64)
    }

    /// Bytes between header and body.
    pub(super) const fn meta_bytes(&self) -> u64 {
        self.name_bytes as u64 + self.head_bytes as u64 + 8 * self.blocks()
    }

    /// Bytes before the body.
    pub(super) const fn before_body_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.meta_bytes()
    }

    /// Bytes of the record, up to where the next one begins.
    pub(super) fn record_bytes(&self) -> u64 {
        let body = if self.kind == Kind::Whole { self.body_bytes } else { 0 };
        (self.before_body_bytes() + body).next_multiple_of(UNIT_BYTES)
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4] = self.kind.code();
        out[8..16].copy_from_slice(&self.number.to_le_bytes());
        out[16..32].copy_from_slice(&self.key.name);
        out[32..48].copy_from_slice(&self.key.variant);
        out[48..52].copy_from_slice(&self.segment.to_le_bytes());
        out[52..56].copy_from_slice(&self.name_bytes.to_le_bytes());
        out[56..60].copy_from_slice(&self.head_bytes.to_le_bytes());
        out[60..64].copy_from_slice(&self.body_segment.to_le_bytes());
        out[64..72].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[72..80].copy_from_slice(&self.body_offset.to_le_bytes());
        out[80..88].copy_from_slice(&self.meta_checksum.to_le_bytes());
        let checksum = checksum(&out[..CHECKED_BYTES]);
        out[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The header at the beginning of `bytes`, whatever they are; none where it isn't exactly what was encoded.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        if number32(bytes, 0)? != MAGIC
            || number64(bytes, CHECKED_BYTES)? != checksum(&bytes[..CHECKED_BYTES])
        {
            return None;
        }
        let header = Self {
            kind: Kind::of(bytes[4])?,
            number: number64(bytes, 8)?,
            key: Key { name: *bytes[16..].first_chunk()?, variant: *bytes[32..].first_chunk()? },
            segment: number32(bytes, 48)?,
            name_bytes: number32(bytes, 52)?,
            head_bytes: number32(bytes, 56)?,
            body_segment: number32(bytes, 60)?,
            body_bytes: number64(bytes, 64)?,
            body_offset: number64(bytes, 72)?,
            meta_checksum: number64(bytes, 80)?,
        };
        (header.body_bytes <= BODY_MAX_BYTES && header.body_offset <= BODY_MAX_BYTES)
            .then_some(header)
    }

    /// Reads what lies between header and body, from the bytes after the header.
    pub(super) fn meta<'a>(&self, bytes: &'a [u8]) -> Option<Meta<'a>> {
        let bytes = bytes.get(..usize::try_from(self.meta_bytes()).ok()?)?;
        if checksum(bytes) != self.meta_checksum {
            return None;
        }
        let name_end = usize::try_from(self.name_bytes).ok()?;
        let head_end = name_end + usize::try_from(self.head_bytes).ok()?;
        let checksums = bytes[head_end..].as_chunks().0.iter();
        let checksums = checksums.map(|checksum| u64::from_le_bytes(*checksum)).collect();
        Some(Meta { name: &bytes[..name_end], head: name_end..head_end, checksums })
    }
}

/// Writes a record up to its body. `header` says all but the lengths of name and head and the checksum.
pub(super) fn encode(
    out: &mut Vec<u8>,
    mut header: Header,
    name: &[u8],
    encode_head: impl FnOnce(&mut Vec<u8>),
    checksums: impl Iterator<Item = u64>,
) -> Header {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out.extend_from_slice(name);
    let head_start = out.len();
    encode_head(out);
    // what doesn't fit into 32 bits is no head or name: the record is larger than any segment, and not written
    header.name_bytes = u32::try_from(name.len()).unwrap_or(u32::MAX);
    header.head_bytes = u32::try_from(out.len() - head_start).unwrap_or(u32::MAX);
    checksums.for_each(|checksum| out.extend_from_slice(&checksum.to_le_bytes()));
    header.meta_checksum = checksum(&out[start + HEADER_BYTES..]);
    out[start..start + HEADER_BYTES].copy_from_slice(&header.encode());
    header
}

/// The checksum of each block of a body.
pub(super) fn checksums(body: &[u8]) -> impl Iterator<Item = u64> {
    body.chunks(BLOCK_BYTES).map(checksum)
}

/// Whether `body`, from a block's beginning on, is what the checksums were made of.
pub(super) fn is_intact(body: &[u8], expected: &[u64]) -> bool {
    checksums(body).eq(expected.iter().copied())
}

pub(super) fn checksum(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

pub(super) fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

pub(super) fn number64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(name: &[u8], head: &[u8], body: &[u8]) -> (Header, Vec<u8>) {
        let key = Key { name: [7; 16], variant: [9; 16] };
        let mut header = Header::new(Kind::Whole, 42, key, 3);
        header.body_bytes = body.len() as u64;
        let mut out = Vec::new();
        let encode_head = |out: &mut Vec<u8>| out.extend_from_slice(head);
        let header = encode(&mut out, header, name, encode_head, checksums(body));
        out.extend_from_slice(body);
        (header, out)
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(
            name in prop::collection::vec(any::<u8>(), 0..300),
            head in prop::collection::vec(any::<u8>(), 0..300),
            body in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let (header, bytes) = record(&name, &head, &body);
            prop_assert_eq!(Header::decode(&bytes), Some(header.clone()));
            prop_assert_eq!(header.record_bytes(), (bytes.len() as u64).next_multiple_of(8));
            let rest = &bytes[HEADER_BYTES..];
            let meta = header.meta(rest).unwrap();
            prop_assert_eq!(meta.name, &name);
            prop_assert_eq!(&rest[meta.head], &head);
            prop_assert!(is_intact(&bytes[bytes.len() - body.len()..], &meta.checksums));
        }

        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Some(header) = Header::decode(&bytes) {
                header.meta(&bytes);
            }
        }

        #[test]
        fn a_flipped_bit_is_seen_wherever_it_is(
            body in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let (_, mut bytes) = record(b"name", b"head", &body);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let is_whole = Header::decode(&bytes).is_some_and(|header| {
                let meta = header.meta(&bytes[HEADER_BYTES..]);
                meta.is_some_and(|meta| is_intact(&bytes[bytes.len() - body.len()..], &meta.checksums))
            });
            prop_assert!(!is_whole);
        }

        #[test]
        fn what_says_anything_about_its_lengths_is_read_without_harm(
            lengths in any::<(u32, u32, u64, u64)>(),
            rest in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut header = Header::new(Kind::Head, 1, Key { name: [1; 16], variant: [0; 16] }, 1);
            (header.name_bytes, header.head_bytes, header.body_bytes, header.body_offset) = lengths;
            let mut bytes = header.encode().to_vec();
            bytes.extend(rest);
            if let Some(header) = Header::decode(&bytes) {
                header.record_bytes();
                header.meta(&bytes[HEADER_BYTES..]);
            }
        }
    }
}
