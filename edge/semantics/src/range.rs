//! Which bytes does a request want of a complete response? RFC 9110 §14.1.2, §14.2, §14.4.
//!
//! Ask `If-Range` first ([`crate::preconditions::range_applies`]). A range we don't like is ignored,
//! which is always allowed (§14.2): the answer is then the whole.

use http::header::{HeaderMap, RANGE};

use crate::list::{integer, trim};

/// More ranges than this in a request are ignored.
const RANGES_MAX: usize = 16;

/// Bytes `first` to `last`, both included. Invariant: `first` ≤ `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    first: u64,
    last: u64,
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it, with 200.
    Whole,
    /// One range, with 206.
    One(ByteRange),
    /// Two or more, with 206 and `multipart/byteranges`: ascending, none overlapping.
    Many(Vec<ByteRange>),
    /// None that is there: 416 with `Content-Range: bytes */length`.
    Unsatisfiable,
}

impl ByteRange {
    /// Bytes `first` to `last`; `None` where that is backwards.
    pub fn new(first: u64, last: u64) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The first byte's position.
    pub fn first(self) -> u64 {
        self.first
    }

    /// The last byte's position.
    pub fn last(self) -> u64 {
        self.last
    }
}

/// What a GET with these fields wants of a 200 of `complete_length` bytes.
pub fn wanted(request: &HeaderMap, complete_length: u64) -> Wanted {
    let mut lines = request.get_all(RANGE).into_iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => select(line.as_bytes(), complete_length).unwrap_or(Wanted::Whole),
        _ => Wanted::Whole,
    }
}

/// `None` for a value to ignore.
fn select(value: &[u8], complete_length: u64) -> Option<Wanted> {
    let equals = value.iter().position(|&byte| byte == b'=')?;
    let (unit, set) = (trim(&value[..equals]), &value[equals + 1..]);
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let specs = set.split(|&byte| byte == b',').map(trim).filter(|spec| !spec.is_empty());
    let (mut first, mut further, mut asked) = (None, Vec::new(), 0);
    for spec in specs {
        asked += 1;
        match (Spec::read(spec)?.within(complete_length), first) {
            (None, _) => {}
            (range, None) => first = range,
            (Some(range), Some(_)) => further.push(range),
        }
        if asked > RANGES_MAX {
            return None;
        }
    }
    match (first, further.is_empty()) {
        (Some(range), true) => Some(Wanted::One(range)),
        (Some(range), false) => {
            further.insert(0, range);
            ascend(&further).then_some(Wanted::Many(further))
        }
        // An empty response has no bytes to send, and none to refuse either.
        (None, _) if asked > 0 && complete_length > 0 => Some(Wanted::Unsatisfiable),
        (None, _) => None,
    }
}

/// Whether the ranges ascend without overlapping, so that one pass over the response sends them all.
fn ascend(ranges: &[ByteRange]) -> bool {
    ranges.windows(2).all(|pair| matches!(pair, [one, next] if one.last < next.first))
}

/// A range as asked, before it is known how many bytes there are (§14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spec {
    /// From this byte to the end.
    From(u64),
    /// From the first byte to the second, both included. Invariant: they ascend.
    Between(u64, u64),
    /// So many bytes at the end.
    Suffix(u64),
}

/// The one range that a request asks for. `None` for any other number of them, and for a field to ignore.
pub fn alone(request: &HeaderMap) -> Option<Spec> {
    let mut lines = request.get_all(RANGE).into_iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let (unit, set) = line.to_str().ok()?.split_once('=')?;
    let is_bytes = trim(unit.as_bytes()).eq_ignore_ascii_case(b"bytes");
    Spec::read(trim(set.as_bytes())).filter(|_| is_bytes)
}

impl Spec {
    fn read(spec: &[u8]) -> Option<Self> {
        let dash = spec.iter().position(|&byte| byte == b'-')?;
        match (&spec[..dash], &spec[dash + 1..]) {
            ([], length) => Some(Self::Suffix(integer(length)?)),
            (first, []) => Some(Self::From(integer(first)?)),
            (first, last) => {
                let (first, last) = (integer(first)?, integer(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// The bytes there are of it.
    fn within(self, complete_length: u64) -> Option<ByteRange> {
        let end = complete_length.checked_sub(1)?;
        let (first, last) = match self {
            Self::From(first) => (first, end),
            Self::Between(first, last) => (first, last.min(end)),
            Self::Suffix(length) => (complete_length.saturating_sub(length), end),
        };
        (first <= last).then_some(ByteRange { first, last })
    }
}

/// The `Content-Range` of a 206: `bytes 0-1/5`.
pub fn content_range(range: ByteRange, complete_length: u64) -> String {
    format!("bytes {}-{}/{complete_length}", range.first, range.last)
}

/// The `Content-Range` of a 416: `bytes */5`.
pub fn unsatisfied_range(complete_length: u64) -> String {
    format!("bytes */{complete_length}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::head;

    fn range(first: u64, last: u64) -> ByteRange {
        ByteRange { first, last }
    }

    fn check(value: &str, complete_length: u64, expected: &Wanted) {
        let request = head(&[&format!("range: {value}")]);
        assert_eq!(wanted(&request, complete_length), *expected, "{value} of {complete_length}");
    }

    #[test]
    fn one_range_is_cut_to_what_is_there() {
        let one = |first, last| Wanted::One(range(first, last));
        check("bytes=0-1", 11, &one(0, 1));
        check("Bytes=1-", 11, &one(1, 10));
        check("bytes=-1", 11, &one(10, 10));
        check("bytes=-99", 11, &one(0, 10));
        check("bytes=5-99999999999999999999999", 11, &one(5, 10));
        check("bytes=, 0-1 ,", 11, &one(0, 1));
        check("bytes=0-0,20-30", 11, &one(0, 0));
    }

    #[test]
    fn several_ranges_ascend() {
        let many = |ranges: &[(u64, u64)]| {
            Wanted::Many(ranges.iter().map(|&(first, last)| range(first, last)).collect())
        };
        check("bytes=0-1,4-5", 11, &many(&[(0, 1), (4, 5)]));
        check("bytes=0-1, -2", 11, &many(&[(0, 1), (9, 10)]));
        check("bytes=-2, 0-1", 11, &Wanted::Whole);
        let sixteen: Vec<(u64, u64)> = (0..16).map(|n| (n * 2, n * 2)).collect();
        let value: Vec<String> = sixteen.iter().map(|(at, _)| format!("{at}-{at}")).collect();
        check(&format!("bytes={}", value.join(",")), 100, &many(&sixteen));
    }

    #[test]
    fn wasteful_ranges_are_ignored() {
        check("bytes=0-5,3-7", 11, &Wanted::Whole);
        check("bytes=0-,0-", 11, &Wanted::Whole);
        let many = (0..20).map(|n| format!("{0}-{0}", n * 2)).collect::<Vec<_>>().join(",");
        check(&format!("bytes={many}"), 100, &Wanted::Whole);
        check(&format!("bytes={}", "500-,".repeat(50)), 100, &Wanted::Whole);
    }

    #[test]
    fn malformed_ranges_are_ignored() {
        for value in ["", "bytes", "bytes=", "items=0-1", "bytes=1-0", "bytes=a-b", "bytes=--1"] {
            check(value, 11, &Wanted::Whole);
        }
        check("bytes=0-1, x", 11, &Wanted::Whole);
        check("bytes=+0-1", 11, &Wanted::Whole);
        assert_eq!(wanted(&head(&[]), 11), Wanted::Whole);
        assert_eq!(wanted(&head(&["range: bytes=0-1", "range: bytes=0-1"]), 11), Wanted::Whole);
    }

    #[test]
    fn ranges_beyond_the_end_are_unsatisfiable() {
        check("bytes=11-", 11, &Wanted::Unsatisfiable);
        check("bytes=-0", 11, &Wanted::Unsatisfiable);
        check("bytes=20-30,40-50", 11, &Wanted::Unsatisfiable);
        check("bytes=0-", 0, &Wanted::Whole);
        check("bytes=-5", 0, &Wanted::Whole);
    }

    #[test]
    fn content_range_tells_the_complete_length() {
        assert_eq!(content_range(range(4, 9), 10), "bytes 4-9/10");
        assert_eq!(unsatisfied_range(11), "bytes */11");
    }

    proptest! {
        #[test]
        fn what_is_wanted_is_there(value in "bytes=[0-9, -]{0,30}", length in 0_u64..200) {
            let ranges = match wanted(&head(&[&format!("range: {value}")]), length) {
                Wanted::Whole | Wanted::Unsatisfiable => Vec::new(),
                Wanted::One(range) => vec![range],
                Wanted::Many(ranges) => ranges,
            };
            prop_assert!(ranges.iter().all(|range| range.first <= range.last && range.last < length));
            prop_assert!(ranges.iter().map(|range| range.last - range.first + 1).sum::<u64>() <= length);
        }

        #[test]
        fn any_bytes_can_be_read(value in proptest::collection::vec(any::<u8>(), 0..40), length: u64) {
            let _ = select(&value, length);
        }
    }
}
