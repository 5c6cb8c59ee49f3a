//! How heads are written in HTTP/3: QPACK, RFC 9204, without the dynamic table.
//!
//! This edge offers none to clients and uses none of theirs. A dynamic table saves a few bytes of a head, and costs both
//! ends memory, state that streams share, and what an attacker makes of that.

mod huffman;
mod table;

use bytes::{BufMut, BytesMut};
use std::borrow::Cow;
use table::Known;

/// Why a field section can't be decoded: `QPACK_DECOMPRESSION_FAILED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the field section can't be decoded")]
pub(super) struct Undecodable;

impl From<huffman::NoString> for Undecodable {
    fn from(_: huffman::NoString) -> Self {
        Self
    }
}

/// The field lines of a section, in their order.
pub(super) struct Fields<'b> {
    rest: &'b [u8],
}

/// A name or a value; borrowed where it isn't in Huffman code.
pub(super) type Text<'b> = Cow<'b, [u8]>;

impl<'b> Fields<'b> {
    /// Those of an encoded field section (RFC 9204 §4.5).
    pub(super) fn new(section: &'b [u8]) -> Result<Self, Undecodable> {
        let mut rest = section;
        let (_, required) = integer(&mut rest, 8)?;
        let (_, _base) = integer(&mut rest, 7)?;
        // nothing can be required of a table that has no room
        if required == 0 { Ok(Self { rest }) } else { Err(Undecodable) }
    }

    fn read(&mut self, first: u8) -> Result<(Text<'b>, Text<'b>), Undecodable> {
        let rest = &mut self.rest;
        match first {
            0b1100_0000.. => {
                let (_, index) = integer(rest, 6)?;
                let (name, value) = table::field(index).ok_or(Undecodable)?;
                Ok((Cow::Borrowed(name.as_bytes()), Cow::Borrowed(value.as_bytes())))
            }
            0b0101_0000..=0b0101_1111 | 0b0111_0000..=0b0111_1111 => {
                let (_, index) = integer(rest, 4)?;
                let (name, _) = table::field(index).ok_or(Undecodable)?;
                Ok((Cow::Borrowed(name.as_bytes()), string(rest, 7)?))
            }
            0b0010_0000..=0b0011_1111 => Ok((string(rest, 3)?, string(rest, 7)?)),
            // the rest is of the dynamic table
            _ => Err(Undecodable),
        }
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(Text<'b>, Text<'b>), Undecodable>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read(*self.rest.first()?);
        if read.is_err() {
            self.rest = &[];
        }
        Some(read)
    }
}

/// An integer with a prefix of `bits` (RFC 7541 §5.1), and the bits before it.
fn integer(rest: &mut &[u8], bits: u32) -> Result<(u8, u64), Undecodable> {
    let mut next = || -> Result<u8, Undecodable> {
        let (byte, after) = rest.split_first().ok_or(Undecodable)?;
        *rest = after;
        Ok(*byte)
    };
    let first = next()?;
    let mask = u8::try_from((1_u16 << bits) - 1).unwrap_or(u8::MAX);
    let (before, mut value) = (first & !mask, u64::from(first & mask));
    if value < u64::from(mask) {
        return Ok((before, value));
    }
    // no number here is larger than a head: 28 bits are more than enough
    for shift in [0, 7, 14, 21] {
        let byte = next()?;
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((before, value));
        }
    }
    Err(Undecodable)
}

/// A string whose length has a prefix of `bits`; the bit before tells whether it is in Huffman code.
fn string<'b>(rest: &mut &'b [u8], bits: u32) -> Result<Text<'b>, Undecodable> {
    let (before, length) = integer(rest, bits)?;
    let length = usize::try_from(length).map_err(|_| Undecodable)?;
    let (bytes, after) = rest.split_at_checked(length).ok_or(Undecodable)?;
    *rest = after;
    if before & (1 << bits) == 0 {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut decoded = Vec::with_capacity(length * 2);
    huffman::decode(bytes, &mut decoded)?;
    Ok(Cow::Owned(decoded))
}

/// Begins a field section.
pub(super) fn begin(out: &mut BytesMut) {
    out.put_slice(&[0, 0]);
}

/// Adds a field to a section. `name` is in lower case.
pub(super) fn append(out: &mut BytesMut, name: &str, value: &[u8]) {
    match table::find(name, value) {
        Known::Field(index) => return append_integer(out, 0b1100_0000, 6, index),
        Known::Name(index) => append_integer(out, 0b0101_0000, 4, index),
        Known::Nothing => {
            append_integer(out, 0b0010_0000, 3, name.len());
            out.put_slice(name.as_bytes());
        }
    }
    append_integer(out, 0, 7, value.len());
    out.put_slice(value);
}

fn append_integer(out: &mut BytesMut, before: u8, bits: u32, value: usize) {
    let most = (1_usize << bits) - 1;
    let small = |value: usize| u8::try_from(value).unwrap_or(u8::MAX);
    if value < most {
        return out.put_u8(before | small(value));
    }
    out.put_u8(before | small(most));
    let mut left = value - most;
    while left >= 0x80 {
        out.put_u8(0x80 | small(left & 0x7f));
        left >>= 7;
    }
    out.put_u8(small(left));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(section: &[u8]) -> Result<Vec<(String, String)>, Undecodable> {
        let text = |text: Text<'_>| String::from_utf8_lossy(&text).into_owned();
        Fields::new(section)?
            .map(|field| field.map(|(name, value)| (text(name), text(value))))
            .collect()
    }

    fn check(section: &[u8], expected: Option<&[(&str, &str)]>) {
        let expected = expected.map(|fields| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            fields.iter().map(owned).collect()
        });
        assert_eq!(decoded(section).ok(), expected, "{section:x?}");
    }

    #[test]
    fn sections_are_decoded() {
        // RFC 9204 §B.1
        check(b"\0\0\x51\x0b/index.html", Some(&[(":path", "/index.html")]));
        check(b"\0\0\xd1\xd7", Some(&[(":method", "GET"), (":scheme", "https")]));
        check(b"\0\0\xff\x23", Some(&[("x-frame-options", "sameorigin")]));
        check(b"\0\0\x5f\x50\x03app", Some(&[("user-agent", "app")]));
        check(b"\0\0\x23a-b\x01c", Some(&[("a-b", "c")]));
        check(b"\0\0\x23a-b\x82\x64\x02", Some(&[("a-b", "302")]));
        check(b"\0\0", Some(&[]));
    }

    #[test]
    fn what_refers_to_a_table_that_is_not_there_is_no_section() {
        // a required insert count, dynamic references of each kind, an index beyond the static table
        for section in [
            &b"\x02\0\x80"[..],
            b"\0\0\x80",
            b"\0\0\x40\x01a",
            b"\0\0\x10",
            b"\0\0\x00\x01a",
            b"\0\0\xff\x24",
            b"\0\0\x5f\x60\x01a",
            // cut short, and a number that never ends
            b"",
            b"\0",
            b"\0\0\x51\x0b/index",
            b"\0\0\x23a-",
            b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            check(section, None);
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            fields in prop::collection::vec(("[a-z-]{1,30}", "[ -~]{0,300}"), 0..20),
        ) {
            let mut section = BytesMut::new();
            begin(&mut section);
            for (name, value) in &fields {
                append(&mut section, name, value.as_bytes());
            }
            prop_assert_eq!(decoded(&section), Ok(fields));
        }

        #[test]
        fn no_bytes_do_harm(section: Vec<u8>) {
            decoded(&section).ok();
        }
    }
}
