//! Which slices answer a request for a part of what is not stored whole? RFC 9110 §14, RFC 9111 §3.3, §3.4.
//!
//! A slice is the part of a representation from one multiple of the slice size to the next, fetched by a request of
//! its own and stored as a response of its own. Slices are put together only where they share a strong validator.

use crate::cache::content_length;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use pingora_http::ResponseHeader;
use semantics::partial;
use semantics::preconditions::{self, Representation, Verdict};
use semantics::range::{self, ByteRange, Spec, Wanted};
use std::time::SystemTime;

/// Begins the part of a name that tells slices apart; longer than any other part can be.
const NAME_MARK: u32 = u32::MAX - 1;
/// Begins the part of a name under which it is stored what its slices are of.
const GROUP_MARK: u32 = u32::MAX - 2;
/// A response is cut into slices while it passes from this many on. Smaller ones are stored whole.
const CUT_FROM_SLICES: u64 = 8;

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

    /// What a whole tells of its first slice.
    fn of_whole(head: &HeaderMap, complete_length: u64, bytes: u64) -> Option<Self> {
        let mut head = head.clone();
        for (name, value) in (Slice { index: 0, bytes, group: 0 }).cut_fields(complete_length)? {
            head.insert(name, value);
        }
        Self::read(&head)
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

    /// The head of this slice, cut from a whole with these fields.
    pub(crate) fn cut(
        self,
        whole: &ResponseHeader,
        complete_length: u64,
    ) -> Option<ResponseHeader> {
        let mut head = whole.clone();
        head.set_status(StatusCode::PARTIAL_CONTENT).ok()?;
        let fields = self.cut_fields(complete_length)?;
        for (name, value) in fields {
            head.insert_header(name, value).ok()?;
        }
        Some(head)
    }

    fn cut_fields(self, complete_length: u64) -> Option<[(HeaderName, HeaderValue); 2]> {
        let length = self.length(complete_length);
        let last = self.first().checked_add(length.checked_sub(1)?)?;
        let range = format!("bytes {}-{last}/{complete_length}", self.first());
        Some([
            (header::CONTENT_RANGE, HeaderValue::try_from(range).ok()?),
            (header::CONTENT_LENGTH, length.into()),
        ])
    }
}

/// Makes the name of a whole the one under which it is stored what its slices are of.
pub(crate) fn append_group_to(name: &mut Vec<u8>) {
    name.extend_from_slice(&GROUP_MARK.to_le_bytes());
}

/// What a response to a request for the whole tells of slices of `bytes` each that it can be cut into. None where it is
/// small, or can't be; where a request has a condition or a range, the answer may be another than the whole.
pub(crate) fn cuttable(
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    bytes: u64,
) -> Option<Facts> {
    let takes_ranges = response
        .get(header::ACCEPT_RANGES)
        .is_none_or(|ranges| !ranges.as_bytes().eq_ignore_ascii_case(b"none"));
    let asks_for_whole = !ABOUT_ANSWER.iter().any(|name| request.contains_key(name));
    let length = content_length(response)?;
    let is_large = length / CUT_FROM_SLICES >= bytes && length > bytes * CUT_FROM_SLICES;
    if status != StatusCode::OK || !takes_ranges || !asks_for_whole || !is_large {
        return None;
    }
    Facts::of_whole(response, length, bytes)
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

/// Whether a 200 that came instead of a slice is the whole of what slices are of: an origin may leave `Range` aside
/// (RFC 9110 §14.2).
pub(crate) fn is_whole_of(status: StatusCode, response: &HeaderMap, facts: &Facts) -> bool {
    if status != StatusCode::OK {
        return false;
    }
    let whole =
        content_length(response).and_then(|length| Facts::of_whole(response, length, length));
    whole.is_some_and(|whole| facts.agree(&whole))
}

/// The head of the whole, by that of one slice (RFC 9110 §15.3.7).
pub(crate) fn whole(
    slice: &ResponseHeader,
    complete_length: u64,
) -> pingora_error::Result<ResponseHeader> {
    let mut head = slice.clone();
    head.set_status(StatusCode::OK)?;
    head.remove_header(&header::CONTENT_RANGE);
    head.insert_header(header::CONTENT_LENGTH, complete_length)?;
    Ok(head)
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
    fn a_large_whole_with_a_strong_validator_is_cut() {
        let check = |request: &[(&'static str, &'static str)], status: u16, response, expected| {
            let (request, response) = (fields(request), fields(response));
            let status = StatusCode::from_u16(status).unwrap();
            let found = cuttable(&request, status, &response, 10);
            assert_eq!(found.map(|facts| facts.complete_length), expected, "{response:?}");
        };
        let large: &[_] = &[("content-length", "81"), ("etag", "\"a\"")];
        check(&[], 200, large, Some(81));
        check(&[], 203, large, None);
        check(&[("range", "bytes=0-")], 200, large, None);
        check(&[("if-none-match", "\"a\"")], 200, large, None);
        check(&[], 200, &[("content-length", "80"), ("etag", "\"a\"")], None);
        check(&[], 200, &[("content-length", "81"), ("etag", "W/\"a\"")], None);
        check(&[], 200, &[("etag", "\"a\"")], None);
        let refusing = &[("content-length", "81"), ("etag", "\"a\""), ("accept-ranges", "none")];
        check(&[], 200, refusing, None);
        let huge = &[("content-length", "18446744073709551615"), ("etag", "\"a\"")];
        check(&[], 200, huge, Some(u64::MAX));
    }

    #[test]
    fn slices_are_cut_to_their_size_wherever_they_are() {
        let mut whole = ResponseHeader::build(200, None).unwrap();
        whole.insert_header(header::ETAG, "\"a\"").unwrap();
        let check = |index, bytes, complete_length, expected: &str, length: &str| {
            let slice = Slice { index, bytes, group: 0 };
            let head = slice.cut(&whole, complete_length).unwrap();
            assert_eq!(head.headers[header::CONTENT_RANGE], expected);
            assert_eq!(head.headers[header::CONTENT_LENGTH], length);
            let facts = slice.facts(head.status, &head.headers).unwrap();
            assert_eq!(facts.complete_length, complete_length);
        };
        check(0, 10, 25, "bytes 0-9/25", "10");
        check(2, 10, 25, "bytes 20-24/25", "5");
        let all = u64::MAX;
        check(
            1 << 43,
            1 << 20,
            all,
            "bytes 9223372036854775808-9223372036855824383/18446744073709551615",
            "1048576",
        );
        check(
            (1 << 44) - 1,
            1 << 20,
            all,
            "bytes 18446744073708503040-18446744073709551614/18446744073709551615",
            "1048575",
        );
        assert!(Slice { index: 3, bytes: 10, group: 0 }.cut(&whole, 25).is_none());
    }

    #[test]
    fn the_whole_instead_of_a_slice_is_told_by_its_validator() {
        let slice = fields(&[
            ("content-range", "bytes 0-9/25"),
            ("content-length", "10"),
            ("etag", "\"a\""),
        ]);
        let facts = Facts::read(&slice).unwrap();
        let check = |status: u16, length, tag, expected| {
            let head = fields(&[("content-length", length), ("etag", tag)]);
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_whole_of(status, &head, &facts), expected, "{length} {tag}");
        };
        check(200, "25", "\"a\"", true);
        check(200, "25", "\"b\"", false);
        check(200, "24", "\"a\"", false);
        check(206, "25", "\"a\"", false);
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
