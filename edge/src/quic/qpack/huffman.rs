//! The code of strings in HPACK and QPACK: RFC 7541 §5.2 and Appendix B.
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and shorter ones come
//! first. So the lengths are all there is to know.

/// The end of a string, which is never in one.
const END: usize = 256;
/// The longest code.
const LENGTH_MAX: usize = 30;
/// The shortest one.
const LENGTH_MIN: usize = 5;

/// How many bits each symbol has: the 256 bytes, and the end.
#[rustfmt::skip]
const LENGTHS: [u8; END + 1] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// The codes of one length.
#[derive(Clone, Copy)]
struct Codes {
    /// The first of them.
    first: u32,
    count: u32,
    /// Where in [`SYMBOLS`] the first one's symbol is.
    place: usize,
}

const CODES: [Codes; LENGTH_MAX + 1] = codes();
const SYMBOLS: [u16; END + 1] = symbols();

/// Why bytes are no string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoString;

const fn codes() -> [Codes; LENGTH_MAX + 1] {
    let mut all = [Codes { first: 0, count: 0, place: 0 }; LENGTH_MAX + 1];
    let mut symbol = 0;
    while symbol <= END {
        all[LENGTHS[symbol] as usize].count += 1;
        symbol += 1;
    }
    let mut length = 1;
    while length <= LENGTH_MAX {
        let before = all[length - 1];
        all[length].first = (before.first + before.count) << 1;
        all[length].place = before.place + before.count as usize;
        length += 1;
    }
    all
}

/// All symbols, those with shorter codes first.
const fn symbols() -> [u16; END + 1] {
    let mut all = [0; END + 1];
    let (mut place, mut length) = (0, LENGTH_MIN);
    while length <= LENGTH_MAX {
        let mut symbol: u16 = 0;
        while symbol as usize <= END {
            if LENGTHS[symbol as usize] as usize == length {
                all[place] = symbol;
                place += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    all
}

/// Bits that are left of a string, the next one uppermost.
struct Bits<'b> {
    window: u64,
    held: usize,
    rest: &'b [u8],
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.held <= 56
            && let Some((byte, rest)) = self.rest.split_first()
        {
            self.window |= u64::from(*byte) << (56 - self.held);
            self.held += 8;
            self.rest = rest;
        }
    }

    /// The symbol of the next code, which is taken out; none where there is no whole code.
    fn symbol(&mut self) -> Option<u16> {
        for (length, codes) in CODES.iter().enumerate().skip(LENGTH_MIN) {
            let code = u32::try_from(self.window >> (64 - length)).ok()?;
            if code < codes.first + codes.count {
                if length > self.held {
                    return None;
                }
                self.window <<= length;
                self.held -= length;
                return SYMBOLS.get(codes.place + (code - codes.first) as usize).copied();
            }
        }
        None
    }
}

/// Decodes `coded` to the end of `out`.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), NoString> {
    let mut bits = Bits { window: 0, held: 0, rest: coded };
    loop {
        bits.fill();
        // what is left at the end is less than a byte, and the beginning of the code of the end: ones
        if bits.held < 8 && bits.window == !(u64::MAX >> bits.held) {
            return Ok(());
        }
        let symbol = bits.symbol().ok_or(NoString)?;
        out.push(u8::try_from(symbol).map_err(|_| NoString)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The code of each symbol, written out the slow way.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for byte in text {
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            let codes = CODES[length];
            let before = LENGTHS[..usize::from(*byte)].iter();
            let place = before.filter(|other| usize::from(**other) == length).count();
            bits += &format!("{:0length$b}", codes.first as usize + place);
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        let bytes = bits.as_bytes().chunks(8).map(|byte| std::str::from_utf8(byte).unwrap());
        bytes.map(|byte| u8::from_str_radix(byte, 2).unwrap()).collect()
    }

    #[test]
    fn the_examples_of_the_standard_are_decoded() {
        let check = |coded: &[u8], expected: Option<&str>| {
            let mut out = Vec::new();
            let decoded = decode(coded, &mut out).ok().map(|()| out);
            assert_eq!(decoded.as_deref(), expected.map(str::as_bytes), "{coded:x?}");
        };
        // RFC 7541 §C.4, §C.6
        check(b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", Some("www.example.com"));
        check(b"\xa8\xeb\x10\x64\x9c\xbf", Some("no-cache"));
        check(b"\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f", Some("custom-key"));
        check(b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", Some("custom-value"));
        check(b"\x64\x02", Some("302"));
        check(b"", Some(""));
        // padding of zeros, padding of a byte, the end inside
        check(b"\x1f", Some("a"));
        check(b"\x18", None);
        check(b"\x64\x02\xff", None);
        check(b"\xff\xff\xff\xff", None);
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_is_decoded(text: Vec<u8>) {
            let mut out = Vec::new();
            prop_assert_eq!(decode(&encode(&text), &mut out), Ok(()));
            prop_assert_eq!(out, text);
        }

        #[test]
        fn no_bytes_do_harm(coded: Vec<u8>) {
            let mut out = Vec::new();
            decode(&coded, &mut out).ok();
            prop_assert!(out.len() <= coded.len() * 8 / LENGTH_MIN);
        }
    }
}
