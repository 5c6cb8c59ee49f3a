//! Which wholes are cut into slices, and what is the head of each? RFC 9110 §14.4, §15.3.7.

use super::{ABOUT_ANSWER, Facts, Slice};
use crate::cache::content_length;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use pingora_http::ResponseHeader;

/// A response is cut into slices while it passes from this many on. Smaller ones are stored whole.
const CUT_FROM_SLICES: u64 = 8;

impl Facts {
    /// What a whole tells of its first slice.
    fn of_whole(head: &HeaderMap, complete_length: u64, bytes: u64) -> Option<Self> {
        let mut head = head.clone();
        for (name, value) in (Slice { index: 0, bytes, group: 0 }).cut_fields(complete_length)? {
            head.insert(name, value);
        }
        Self::read(&head)
    }
}

impl Slice {
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
}
