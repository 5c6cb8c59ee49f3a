//! Which slices answer a request for a part of what is not stored whole? RFC 9110 §14, RFC 9111 §3.3, §3.4.
//!
//! A slice is the part of a representation from one multiple of the slice size to the next, fetched by a request of
//! its own and stored as a response of its own. Slices are put together only where they share a strong validator.

mod cut;

pub(crate) use cut::{cuttable, is_whole_of, whole};

use http::header::{self, HeaderMap, HeaderName};
use http::{Method, StatusCode};
use semantics::partial;
use semantics::preconditions::{self, Representation, Verdict};
use semantics::range::{self, ByteRange, Spec, Wanted};
use std::time::SystemTime;

/// Begins the part of a name that tells slices apart; longer than any other part can be.
const NAME_MARK: u32 = u32::MAX - 1;
/// Begins the part of a name under which it is stored what its slices are of.
const GROUP_MARK: u32 = u32::MAX - 2;

/// A slice, in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Counted from the beginning of the representation.
    pub(crate) index: u64,
    /// The size of every slice but the last.
    pub(crate) bytes: u64,
    pub(crate) group: u64,
}

/// What slices must agree on to be put together.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) complete_length: u64,
    /// The fields of a slice that tell of the whole: its range, its validators.
    fields: HeaderMap,
}

const TELLING: [HeaderName; 6] = [
    header::CONTENT_RANGE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::ETAG,
    header::LAST_MODIFIED,
    header::DATE,
];

impl Facts {
    /// Whether two slices are of one representation, byte for byte (RFC 9110 §15.3.7.3).
    pub(crate) fn agree(&self, other: &Self) -> bool {
        partial::continues(&self.representation(), &other.representation())
    }

    /// What is told of a representation by a slice of it, or by what was stored of one. None where that isn't enough.
    pub(crate) fn read(head: &HeaderMap) -> Option<Self> {
        let part = partial::part(StatusCode::PARTIAL_CONTENT, head, None).ok()?;
        let lines = head.iter().filter(|(name, _)| TELLING.contains(name));
        let fields = lines.map(|(name, value)| (name.clone(), value.clone())).collect();
        let facts = Self { complete_length: part.complete_length()?, fields };
        facts.agree(&facts).then_some(facts)
    }

    /// The fields that [`Self::read`] reads.
    pub(crate) fn fields(&self) -> &HeaderMap {
        &self.fields
    }

    fn representation(&self) -> Representation<'_> {
        // the time stands in for a missing Date, and without one no date is strong
        Representation {
            status: StatusCode::PARTIAL_CONTENT,
            head: &self.fields,
            response_time: SystemTime::UNIX_EPOCH,
        }
    }
}

/// What a request is answered with, now that one slice is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The bytes from the first to the last, both included.
    Bytes { first: u64, last: u64, wanted: Wanted },
    /// 416.
    Unsatisfiable,
    /// Something that slices are no good for: its condition fails, or it wants the whole after all.
    Other,
}

impl Slice {
    /// Position of its first byte.
    pub(crate) const fn first(self) -> u64 {
        self.index.saturating_mul(self.bytes)
    }

    const fn last(self) -> u64 {
        self.first().saturating_add(self.bytes - 1)
    }

    /// What the origin is asked for.
    pub(crate) fn range(self) -> String {
        format!("bytes={}-{}", self.first(), self.last())
    }

    /// Makes the name of a whole that of this slice.
    pub(crate) fn append_to(self, name: &mut Vec<u8>) {
        name.extend_from_slice(&NAME_MARK.to_le_bytes());
        for number in [self.index, self.bytes, self.group] {
            name.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// The slice that was appended to a name.
    pub(crate) fn read(appended: &[u8]) -> Option<Self> {
        let numbers: &[u8; 24] =
            appended.strip_prefix(&NAME_MARK.to_le_bytes())?.try_into().ok()?;
        let mut numbers = numbers.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number));
        Some(Self { index: numbers.next()?, bytes: numbers.next()?, group: numbers.next()? })
    }

    /// What a response to this slice's request says of the whole. None for any response that isn't exactly this slice
    /// of a representation with a strong validator.
    pub(crate) fn facts(self, status: StatusCode, head: &HeaderMap) -> Option<Facts> {
        let part = partial::part(status, head, None).ok()?;
        let asked = ByteRange::new(self.first(), self.last())?;
        // without a length, a body that broke off could be taken for the whole slice
        let is_whole = partial::answers(asked, part) && head.contains_key(header::CONTENT_LENGTH);
        is_whole.then(|| Facts::read(head)).flatten()
    }

    /// How many bytes it has of a representation of `complete_length` bytes.
    pub(crate) fn length(self, complete_length: u64) -> u64 {
        complete_length.saturating_sub(self.first()).min(self.bytes)
    }
}

/// Makes the name of a whole the one under which it is stored what its slices are of.
pub(crate) fn append_group_to(name: &mut Vec<u8>) {
    name.extend_from_slice(&GROUP_MARK.to_le_bytes());
}

/// The fields of a request that are about the client's answer.
pub(crate) const ABOUT_ANSWER: [HeaderName; 6] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

/// The range that slices could answer. None for requests that want something else; the whole counts as a range where
/// the request says nothing of ranges.
pub(crate) fn asked(method: &Method, fields: &HeaderMap) -> Option<Spec> {
    if *method != Method::GET {
        return None;
    }
    if fields.contains_key(header::RANGE) { range::alone(fields) } else { Some(Spec::From(0)) }
}

/// The slice to begin with, as far as it can be told.
pub(crate) fn first_index(asked: Spec, bytes: u64, complete_length: Option<u64>) -> u64 {
    match asked {
        Spec::From(first) | Spec::Between(first, _) => first / bytes,
        Spec::Suffix(length) => complete_length.map_or(0, |all| all.saturating_sub(length) / bytes),
    }
}

/// Decides the answer, by the head of one slice.
pub(crate) fn decide(
    request: &HeaderMap,
    slice: &HeaderMap,
    facts: &Facts,
    response_time: SystemTime,
) -> Answer {
    let stored = Representation { status: StatusCode::OK, head: slice, response_time };
    let holds = preconditions::evaluate(&Method::GET, request, &stored) == Verdict::Proceed;
    if !holds || !preconditions::range_applies(request, &stored) {
        return Answer::Other;
    }
    let wanted = range::wanted(request, facts.complete_length);
    match wanted {
        Wanted::One(range) => Answer::Bytes { first: range.first(), last: range.last(), wanted },
        Wanted::Whole if !request.contains_key(header::RANGE) => {
            Answer::Bytes { first: 0, last: facts.complete_length - 1, wanted }
        }
        Wanted::Unsatisfiable => Answer::Unsatisfiable,
        Wanted::Whole | Wanted::Many(_) => Answer::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing::fields;

    const SLICE: Slice = Slice { index: 1, bytes: 10, group: 0 };

    #[test]
    fn a_slice_is_exactly_what_was_asked_for() {
        assert_eq!(SLICE.range(), "bytes=10-19");
        let check = |status: u16, content_range, length, tag, expected: Option<u64>| {
            let head = fields(&[
                ("content-range", content_range),
                ("content-length", length),
                ("etag", tag),
            ]);
            let facts = SLICE.facts(StatusCode::from_u16(status).unwrap(), &head);
            assert_eq!(facts.map(|facts| facts.complete_length), expected, "{content_range}");
        };
        check(206, "bytes 10-19/25", "10", "\"a\"", Some(25));
        check(206, "bytes 10-14/15", "5", "\"a\"", Some(15));
        check(206, "bytes 10-14/25", "5", "\"a\"", None);
        check(206, "bytes 10-19/*", "10", "\"a\"", None);
        check(206, "bytes 0-9/25", "10", "\"a\"", None);
        check(206, "bytes 10-19/25", "9", "\"a\"", None);
        check(206, "bytes 10-19/25", "10", "W/\"a\"", None);
        check(200, "bytes 10-19/25", "10", "\"a\"", None);
    }

    #[test]
    fn the_answer_is_by_the_request() {
        let slice = fields(&[("etag", "\"a\"")]);
        let facts = Facts { complete_length: 25, fields: HeaderMap::new() };
        let check = |request: &[(&'static str, &'static str)], expected: Option<(u64, u64)>| {
            let found = decide(&fields(request), &slice, &facts, SystemTime::UNIX_EPOCH);
            let found = match found {
                Answer::Bytes { first, last, .. } => Some((first, last)),
                Answer::Unsatisfiable | Answer::Other => None,
            };
            assert_eq!(found, expected, "{request:?}");
        };
        check(&[("range", "bytes=5-6")], Some((5, 6)));
        check(&[("range", "bytes=5-99")], Some((5, 24)));
        check(&[("range", "bytes=-5")], Some((20, 24)));
        check(&[], Some((0, 24)));
        check(&[("range", "bytes=25-")], None);
        check(&[("range", "bytes=5-6"), ("if-range", "\"b\"")], None);
        check(&[("range", "bytes=5-6"), ("if-none-match", "\"a\"")], None);
        check(&[("range", "bytes=5-6"), ("if-match", "\"b\"")], None);
        check(&[("range", "lines=5-6")], None);
    }

    #[test]
    fn the_first_slice_is_where_the_range_begins() {
        assert_eq!(first_index(Spec::From(25), 10, None), 2);
        assert_eq!(first_index(Spec::Between(9, 90), 10, None), 0);
        assert_eq!(first_index(Spec::Suffix(5), 10, None), 0);
        assert_eq!(first_index(Spec::Suffix(5), 10, Some(25)), 2);
        assert_eq!(first_index(Spec::Suffix(50), 10, Some(25)), 0);
        assert_eq!(Slice { index: u64::MAX / 10, ..SLICE }.range().len(), 6 + 20 + 1 + 20);
    }

    #[test]
    fn slices_have_names_of_their_own() {
        let name = |slice: Slice| {
            let mut name = b"whole".to_vec();
            slice.append_to(&mut name);
            name
        };
        assert_ne!(name(SLICE), name(Slice { index: 2, ..SLICE }));
        assert_ne!(name(SLICE), name(Slice { group: 1, ..SLICE }));
        assert_ne!(name(SLICE), name(Slice { bytes: 11, ..SLICE }));
    }
}
