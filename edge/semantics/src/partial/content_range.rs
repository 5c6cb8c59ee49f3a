//! Which bytes of which whole does `Content-Range` name? RFC 9110 §14.4.

use http::header::{CONTENT_RANGE, HeaderMap, HeaderName};

use crate::list::{exact_integer, trim};
use crate::range::ByteRange;

/// `Content-Range` in bytes (RFC 9110 §14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// `bytes 0-1/5`, or `bytes 0-1/*` where the complete length isn't known.
    Part(Part),
    /// `bytes */5`: of a 416.
    Unsatisfied {
        /// Length of the complete representation.
        complete_length: u64,
    },
}

/// The bytes of a representation that a 206 holds.
///
/// Invariant: the range ends before the complete length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    range: ByteRange,
    complete_length: Option<u64>,
}

impl Part {
    pub(super) fn new(range: ByteRange, complete_length: Option<u64>) -> Option<Self> {
        let inside = complete_length.is_none_or(|length| range.last() < length);
        inside.then_some(Self { range, complete_length })
    }

    /// Its bytes.
    pub fn range(self) -> ByteRange {
        self.range
    }

    /// How many they are. Never zero.
    pub fn length(self) -> u64 {
        // saturates only for 2⁶⁴ bytes, whose number no field can tell
        (self.range.last() - self.range.first()).saturating_add(1)
    }

    /// Length of the complete representation, where the origin tells it.
    pub fn complete_length(self) -> Option<u64> {
        self.complete_length
    }

    /// Whether it ends where the representation does.
    pub fn is_last(self) -> bool {
        self.complete_length.is_some_and(|length| self.range.last() + 1 == length)
    }
}

/// Reads `Content-Range`. `None` for a missing, repeated or malformed one, for another unit than bytes, and for
/// numbers that make no sense together (§14.4) or are more than a `u64` holds.
pub fn content_range(response: &HeaderMap) -> Option<ContentRange> {
    let value = single(response, &CONTENT_RANGE)?;
    let (unit, rest) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes ") {
        return None;
    }
    let slash = rest.iter().position(|&byte| byte == b'/')?;
    let (range, length) = (&rest[..slash], &rest[slash + 1..]);
    if range == b"*" {
        return Some(ContentRange::Unsatisfied { complete_length: exact_integer(length)? });
    }
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (exact_integer(&range[..dash])?, exact_integer(&range[dash + 1..])?);
    let complete_length = if length == b"*" { None } else { Some(exact_integer(length)?) };
    Part::new(ByteRange::new(first, last)?, complete_length).map(ContentRange::Part)
}

/// The value of a field that is there once.
pub(super) fn single<'a>(head: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = head.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then(|| trim(line.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::range;
    use crate::testing::head;

    fn of(first: u64, last: u64, complete_length: Option<u64>) -> Part {
        Part::new(ByteRange::new(first, last).unwrap(), complete_length).unwrap()
    }

    fn check_range(value: &str, expected: Option<ContentRange>) {
        assert_eq!(
            content_range(&head(&[&format!("content-range: {value}")])),
            expected,
            "{value}"
        );
    }

    #[test]
    fn content_range_tells_the_part_and_the_whole() {
        let part = |first, last, length| Some(ContentRange::Part(of(first, last, length)));
        check_range("bytes 0-1/5", part(0, 1, Some(5)));
        check_range("Bytes 4-4/5", part(4, 4, Some(5)));
        check_range("bytes 3-9/*", part(3, 9, None));
        check_range("bytes 0-18446744073709551615/*", part(0, u64::MAX, None));
        check_range("bytes */5", Some(ContentRange::Unsatisfied { complete_length: 5 }));
        check_range("bytes */0", Some(ContentRange::Unsatisfied { complete_length: 0 }));
    }

    #[test]
    fn a_doubtful_content_range_is_none() {
        let invalid = [
            "",
            "bytes",
            "bytes ",
            "bytes 0-1",
            "bytes 0-/5",
            "bytes -1/5",
            "bytes /5",
            "bytes */*",
            "bytes 0-5/5",
            "bytes 2-1/5",
            "bytes=0-1/5",
            "bytes  0-1/5",
            "bytes 0 - 1/5",
            "bytes 0-1/ 5",
            "bytes 0-1/5/6",
            "bytes 0-1-2/5",
            "bytes +0-1/5",
            "bytes 0-1/5, bytes 2-3/5",
            "items 0-1/5",
            "bytes 0-18446744073709551616/*",
            "bytes 0-1/99999999999999999999",
            "\u{fc}\u{fc}\u{fc}\u{fc}",
        ];
        for value in invalid {
            check_range(value, None);
        }
        assert_eq!(content_range(&head(&[])), None);
        let twice = &["content-range: bytes 0-1/5", "content-range: bytes 0-1/5"];
        assert_eq!(content_range(&head(twice)), None);
    }

    proptest! {
        #[test]
        fn what_we_write_is_read_back(first in any::<u64>(), more in 0_u64..1000, after in 1_u64..1000) {
            let last = first.saturating_add(more).min(u64::MAX - 1000);
            let (first, length) = (first.min(last), last + after);
            let range = ByteRange::new(first, last).unwrap();
            let written = head(&[&format!("content-range: {}", range::content_range(range, length))]);
            prop_assert_eq!(content_range(&written), Some(ContentRange::Part(of(first, last, Some(length)))));
            let written = head(&[&format!("content-range: {}", range::unsatisfied_range(length))]);
            prop_assert_eq!(
                content_range(&written), Some(ContentRange::Unsatisfied { complete_length: length })
            );
        }
    }
}
