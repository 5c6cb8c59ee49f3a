//! Which bytes of a connection are this request's? Frames a request's body (RFC 9112 §6, §7.1) before any other parser
//! sees it, so that whoever reads a request reads nothing of the next one.
//!
//! Chunked bodies are read strictly and leave as the plainest chunks: a size, its bytes, an end. Extensions and trailers
//! are read and left out. What two parsers could read in two ways is refused: signs, spaces and separators in a size,
//! more digits than a size can need, bare line feeds, a chunk that does not end where its size says.

use super::head::{Body, is_token};
use std::io;

/// Digits of a chunk's size, leading zeros included.
const SIZE_DIGITS_MAX: u32 = 16;
/// Bytes of all extensions and trailers of one body: they are read, and nobody gets them.
const ASIDE_MAX_BYTES: u32 = 16_384;

/// Where the request under way ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    state: State,
    /// Whether the request asks for another protocol: after a 101 every byte is its.
    upgrades: bool,
    /// What extensions and trailers have taken.
    aside: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No request is under way, or it was upgraded: every byte passes.
    Open,
    /// The request is whole; what follows is another's.
    Ended,
    /// So many bytes are to come.
    Length(u64),
    Chunks(Chunks),
    Wrong,
}

/// What the next byte of a chunked body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunks {
    /// A digit of a size, or what ends it.
    Size {
        size: u64,
        digits: u32,
    },
    /// Of an extension.
    Extension {
        size: u64,
        part: Part,
    },
    /// The line feed after a size.
    SizeEnd {
        size: u64,
    },
    /// One of so many of a chunk's content.
    Content {
        left: u64,
    },
    ContentCarriageReturn,
    ContentLineFeed,
    /// The first of a trailer field or of the last line.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
}

/// Where in an extension (RFC 9112 §7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Before the first of a name or of a value.
    Name,
    Value,
    /// In a name or in a value.
    InName,
    InValue,
    Quoted,
    /// After a backslash.
    Escaped,
    AfterQuoted,
}

/// What was made of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    /// How many, at the beginning, are now what the request's reader gets.
    pub(super) given: usize,
    /// How many were the request's. What follows is another's.
    pub(super) taken: usize,
}

/// What came is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chunked body is not as RFC 9112 §7.1 has it")]
pub(crate) struct Wrong;

impl From<Wrong> for io::Error {
    fn from(wrong: Wrong) -> Self {
        Self::new(io::ErrorKind::InvalidData, wrong)
    }
}

impl Fence {
    /// No request is under way.
    pub(super) const OPEN: Self = Self { state: State::Open, upgrades: false, aside: 0 };

    /// A request has come in full.
    pub(super) const ENDED: Self = Self { state: State::Ended, ..Self::OPEN };

    /// After a head that announces `body`.
    pub(super) const fn new(body: Body, upgrades: bool) -> Self {
        let state = match body {
            Body::None | Body::Length(0) => State::Ended,
            Body::Length(length) => State::Length(length),
            Body::Chunked => State::Chunks(Chunks::Size { size: 0, digits: 0 }),
        };
        Self { state, upgrades, aside: 0 }
    }

    /// Whether the request is whole.
    pub(super) fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether bytes of a body are awaited.
    pub(super) fn awaits(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Chunks(_))
    }

    /// Notes that the client was told 101. A client that wasn't asking for it is told nothing of the kind.
    pub(super) fn upgrade(&mut self) {
        if self.upgrades {
            self.state = State::Open;
        }
    }

    /// Takes the request's part of `bytes`, and puts what its reader gets to their beginning.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> Result<Passed, Wrong> {
        match self.state {
            State::Open => Ok(Passed { given: bytes.len(), taken: bytes.len() }),
            State::Ended => Ok(Passed { given: 0, taken: 0 }),
            State::Wrong => Err(Wrong),
            State::Length(left) => {
                let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                let left = left - taken as u64;
                self.state = if left == 0 { State::Ended } else { State::Length(left) };
                Ok(Passed { given: taken, taken })
            }
            State::Chunks(chunks) => self.pass_chunks(chunks, bytes).inspect_err(|Wrong| {
                self.state = State::Wrong;
            }),
        }
    }

    fn pass_chunks(&mut self, mut next: Chunks, bytes: &mut [u8]) -> Result<Passed, Wrong> {
        let (mut given, mut taken) = (0, 0);
        while let Some(byte) = bytes.get(taken).copied() {
            if let Chunks::Content { left } = next {
                let rest = bytes.len() - taken;
                let length = usize::try_from(left).map_or(rest, |left| left.min(rest));
                bytes.copy_within(taken..taken + length, given);
                (given, taken) = (given + length, taken + length);
                next = match left - length as u64 {
                    0 => Chunks::ContentCarriageReturn,
                    left => Chunks::Content { left },
                };
                continue;
            }
            let (after, is_given) = next.after(byte).ok_or(Wrong)?;
            taken += 1;
            if is_given {
                // never beyond what was taken
                if let Some(place) = bytes.get_mut(given) {
                    *place = byte;
                }
                given += 1;
            } else {
                self.aside += 1;
                if self.aside > ASIDE_MAX_BYTES {
                    return Err(Wrong);
                }
            }
            let Some(after) = after else {
                self.state = State::Ended;
                return Ok(Passed { given, taken });
            };
            next = after;
        }
        self.state = State::Chunks(next);
        Ok(Passed { given, taken })
    }
}

impl Chunks {
    /// What comes after `byte`, and whether it is passed on; none where it is wrong here. Nothing comes after the end.
    const fn after(self, byte: u8) -> Option<(Option<Self>, bool)> {
        let (next, is_given) = match (self, byte) {
            (
                Self::Size { digits: 1.., size }
                | Self::Extension { size, part: Part::InName | Part::InValue | Part::AfterQuoted },
                b'\r',
            ) => (Self::SizeEnd { size }, true),
            (Self::Size { digits: 1.., size }, b';') => {
                (Self::Extension { size, part: Part::Name }, false)
            }
            (Self::Size { size, digits: 0..SIZE_DIGITS_MAX }, _) => match self.digit(byte) {
                // below 2^56, so that no parser of an origin's has it overflow
                Some(digit) if size >> 52 == 0 => (digit, true),
                _ => return None,
            },
            (Self::Extension { size, part }, _) => match part.after(byte) {
                Some(part) => (Self::Extension { size, part }, false),
                None => return None,
            },
            (Self::SizeEnd { size: 0 }, b'\n') => (Self::TrailerStart, true),
            (Self::SizeEnd { size }, b'\n') => (Self::Content { left: size }, true),
            (Self::ContentCarriageReturn, b'\r') => (Self::ContentLineFeed, true),
            (Self::ContentLineFeed, b'\n') => (Self::Size { size: 0, digits: 0 }, true),
            (Self::TrailerStart, b'\r') => (Self::LastLineFeed, true),
            (Self::TrailerStart | Self::TrailerName, _) if is_token(byte) => {
                (Self::TrailerName, false)
            }
            (Self::TrailerName, b':') => (Self::TrailerValue, false),
            (Self::TrailerValue, b'\r') => (Self::TrailerLineFeed, false),
            (Self::TrailerValue, _) if is_text(byte) => (self, false),
            (Self::TrailerLineFeed, b'\n') => (Self::TrailerStart, false),
            (Self::LastLineFeed, b'\n') => return Some((None, true)),
            _ => return None,
        };
        Some((Some(next), is_given))
    }

    const fn digit(self, byte: u8) -> Option<Self> {
        let Self::Size { size, digits } = self else { return None };
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return None,
        };
        Some(Self::Size { size: size << 4 | digit as u64, digits: digits + 1 })
    }
}

impl Part {
    const fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::InName | Self::InValue | Self::AfterQuoted, b';') => Self::Name,
            (Self::InName, b'=') => Self::Value,
            (Self::Value, b'"') => Self::Quoted,
            (Self::Name | Self::InName, _) if is_token(byte) => Self::InName,
            (Self::Value | Self::InValue, _) if is_token(byte) => Self::InValue,
            (Self::Quoted, b'"') => Self::AfterQuoted,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, _) if is_text(byte) => Self::Quoted,
            _ => return None,
        })
    }
}

/// Whether a byte may be in an extension or in a field's value.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader gets of `bytes`, and what is left for another request, when they come in pieces of `piece` bytes.
    fn passed(fence: &mut Fence, bytes: &str, piece: usize) -> Result<(String, String), Wrong> {
        let (mut given, mut left) = (Vec::new(), Vec::new());
        for piece in bytes.as_bytes().chunks(piece) {
            let mut piece = piece.to_vec();
            let passed = fence.pass(&mut piece)?;
            assert!(passed.given <= passed.taken && passed.taken <= piece.len());
            given.extend_from_slice(&piece[..passed.given]);
            left.extend_from_slice(&piece[passed.taken..]);
        }
        Ok((String::from_utf8(given).unwrap(), String::from_utf8(left).unwrap()))
    }

    fn check(body: Body, bytes: &str, expected: Option<(&str, &str)>) {
        for piece in [1, 2, 3, 7, 1_000] {
            let mut fence = Fence::new(body, false);
            let found = passed(&mut fence, bytes, piece).ok();
            let found = found.as_ref().map(|(given, left)| (given.as_str(), left.as_str()));
            assert_eq!(found, expected, "{bytes:?} in pieces of {piece}");
        }
    }

    #[test]
    fn a_length_is_kept_to_the_byte() {
        check(Body::None, "GET", Some(("", "GET")));
        check(Body::Length(0), "GET", Some(("", "GET")));
        check(Body::Length(3), "abcGET", Some(("abc", "GET")));
        check(Body::Length(4), "abc", Some(("abc", "")));
    }

    #[test]
    fn chunks_leave_without_what_others_read_differently() {
        let check = |bytes, expected| check(Body::Chunked, bytes, Some(expected));
        check("3\r\nabc\r\n0\r\n\r\nGET", ("3\r\nabc\r\n0\r\n\r\n", "GET"));
        check("0a\r\n0123456789\r\n000\r\n\r\n", ("0a\r\n0123456789\r\n000\r\n\r\n", ""));
        check("3;a=b;c=\"d; \\\" \"\r\nabc\r\n0;x\r\n\r\nGET", ("3\r\nabc\r\n0\r\n\r\n", "GET"));
        check("0\r\nA: b\r\nc:\r\n\r\nGET", ("0\r\n\r\n", "GET"));
        check("0\r\nContent-Length: 5\r\n\r\nGET", ("0\r\n\r\n", "GET"));
        check("2\r\n\r\n\r\n0\r\n\r\n", ("2\r\n\r\n\r\n0\r\n\r\n", ""));
        check("3\r\na", ("3\r\na", ""));
    }

    #[test]
    fn chunks_that_others_read_differently_are_refused() {
        for bytes in [
            "\r\n",
            "x\r\n",
            "0x3\r\nabc",
            "+3\r\nabc",
            "-3\r\nabc",
            " 3\r\nabc",
            "3 \r\nabc",
            "3 ;a\r\nabc",
            "3\t\r\nabc",
            "3_0\r\n",
            "3\nabc",
            "3;a\nabc",
            "3;a\rb\r\n",
            "3;\0\r\n",
            "3;\r\nabc",
            "3; a\r\nabc",
            "3;a=\r\nabc",
            "3;a=\"b\r\nabc",
            "3;a=\"b\"c\r\nabc",
            "3;a=b c\r\nabc",
            "3\r\rabc",
            "3\r\nabcd\r\n",
            "3\r\nab\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            ";a\r\n",
            "00000000000000003\r\n",
            "10000000000000000\r\n",
            "fffffffffffffffff\r\n",
            "0\r\n a: b\r\n",
            "0\r\n: b\r\n",
            "0\r\na : b\r\n",
            "0\r\na b\r\n",
            "0\r\na: b\n\r\n",
            "0\r\na: b\r\n c\r\n",
            "0\r\n\n",
            "0\n\r\n",
        ] {
            check(Body::Chunked, bytes, None);
        }
        let long = format!("0;{}", "x".repeat(ASIDE_MAX_BYTES as usize));
        check(Body::Chunked, &long, None);
    }

    #[test]
    fn only_a_request_that_asked_for_it_is_upgraded() {
        for (upgrades, expected) in [(false, ("", "raw")), (true, ("raw", ""))] {
            let mut fence = Fence::new(Body::None, upgrades);
            assert_eq!(passed(&mut fence, "early", 9).unwrap().0, "", "held back until the 101");
            fence.upgrade();
            let (given, left) = passed(&mut fence, "raw", 9).unwrap();
            assert_eq!((given.as_str(), left.as_str()), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_framed_comes_back(
            chunks in prop::collection::vec("[a-z\r\n0]{1,40}", 0..8),
            extension in "(;[a-z]{1,5}(=[a-z]{1,3})?)?",
            piece in 1_usize..50,
        ) {
            let mut bytes = String::new();
            let mut plain = String::new();
            for chunk in &chunks {
                bytes += &format!("{:x}{extension}\r\n{chunk}\r\n", chunk.len());
                plain += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
            }
            bytes += "0\r\n\r\nGET";
            plain += "0\r\n\r\n";
            let mut fence = Fence::new(Body::Chunked, false);
            let found = passed(&mut fence, &bytes, piece).unwrap();
            prop_assert_eq!(found, (plain, "GET".to_owned()));
            prop_assert!(fence.has_ended());
        }

        #[test]
        fn no_bytes_panic_and_pieces_make_no_difference(bytes in "[0-3a;\r\n:x ]{0,60}", piece in 1_usize..20) {
            let whole = passed(&mut Fence::new(Body::Chunked, false), &bytes, bytes.len().max(1));
            let pieces = passed(&mut Fence::new(Body::Chunked, false), &bytes, piece);
            prop_assert_eq!(whole, pieces);
        }
    }
}
