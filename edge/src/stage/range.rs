//! Which part of a response is the client sent? RFC 9110 §14. The origin was asked for the whole.

use http::{HeaderMap, Method, StatusCode, header};
use pingora_http::ResponseHeader;
use pingora_proxy::{MultiRangeInfo, RangeType};
use semantics::preconditions::{self, Representation};
use semantics::range::{self, ByteRange, Wanted};
use std::ops::Range;

/// The type of a part's content where the response doesn't tell.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Decides which bytes are sent, and of how many. None for the whole: where no part is asked for, or where it isn't
/// known yet how long the whole is.
pub(crate) fn decide(
    method: &Method,
    request: &HeaderMap,
    stored: &Representation<'_>,
) -> Option<(Wanted, u64)> {
    if *method != Method::GET
        || stored.status != StatusCode::OK
        || !request.contains_key(header::RANGE)
        || !preconditions::range_applies(request, stored)
    {
        return None;
    }
    let length = stored.head.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    Some((range::wanted(request, length), length))
}

/// The head of the part that is wanted of `whole`, and what is to be sent after it.
pub(crate) fn cut(
    whole: &ResponseHeader,
    wanted: &Wanted,
    complete_length: u64,
) -> pingora_error::Result<(ResponseHeader, RangeType)> {
    let mut head = whole.clone();
    let sent = match wanted {
        Wanted::Whole => RangeType::None,
        Wanted::One(range) => {
            let bytes = positions(*range);
            head.insert_header(header::CONTENT_LENGTH, bytes.len())?;
            head.insert_header(
                header::CONTENT_RANGE,
                range::content_range(*range, complete_length),
            )?;
            RangeType::Single(bytes)
        }
        Wanted::Many(ranges) => RangeType::Multi(several(&mut head, ranges, complete_length)?),
        Wanted::Unsatisfiable => {
            head.insert_header(header::CONTENT_LENGTH, 0)?;
            head.insert_header(header::CONTENT_RANGE, range::unsatisfied_range(complete_length))?;
            head.remove_header(&header::CONTENT_TYPE);
            head.remove_header(&header::CONTENT_ENCODING);
            RangeType::Invalid
        }
    };
    head.set_status(match sent {
        RangeType::None => whole.status,
        RangeType::Single(_) | RangeType::Multi(_) => StatusCode::PARTIAL_CONTENT,
        RangeType::Invalid => StatusCode::RANGE_NOT_SATISFIABLE,
    })?;
    Ok((head, sent))
}

/// Makes the head that of a `multipart/byteranges` (RFC 9110 §14.6). Pingora writes the parts.
fn several(
    head: &mut ResponseHeader,
    ranges: &[ByteRange],
    complete_length: u64,
) -> pingora_error::Result<MultiRangeInfo> {
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let mut parts = MultiRangeInfo::new(ranges.iter().copied().map(positions).collect());
    parts.set_content_type(content_type.unwrap_or(UNKNOWN_TYPE).to_owned());
    parts.set_total_length(position(complete_length));
    head.insert_header(header::CONTENT_LENGTH, parts.calculate_multipart_length())?;
    let boundary = &parts.boundary;
    head.insert_header(header::CONTENT_TYPE, format!("multipart/byteranges; boundary={boundary}"))?;
    Ok(parts)
}

/// A range as Pingora counts it: in memory, its end excluded.
fn positions(range: ByteRange) -> Range<usize> {
    position(range.first())..position(range.last()).saturating_add(1)
}

fn position(byte: u64) -> usize {
    usize::try_from(byte).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing;
    use std::time::SystemTime;

    fn whole(status: u16) -> ResponseHeader {
        let mut head = ResponseHeader::build(status, None).unwrap();
        head.insert_header(header::CONTENT_LENGTH, 10).unwrap();
        head.insert_header(header::CONTENT_TYPE, "text/plain").unwrap();
        head
    }

    fn decided(
        method: &Method,
        request: &[(&'static str, &'static str)],
        status: u16,
    ) -> Option<Wanted> {
        let whole = whole(status);
        let response_time = SystemTime::UNIX_EPOCH;
        let stored = Representation { status: whole.status, head: &whole.headers, response_time };
        decide(method, &testing::fields(request), &stored).map(|(wanted, _)| wanted)
    }

    #[test]
    fn a_part_is_sent_of_a_200_to_get_alone() {
        let range = [("range", "bytes=-0")];
        assert_eq!(decided(&Method::GET, &range, 200), Some(Wanted::Unsatisfiable));
        assert_eq!(decided(&Method::HEAD, &range, 200), None);
        assert_eq!(decided(&Method::GET, &range, 404), None);
        assert_eq!(decided(&Method::GET, &[], 200), None);
        let other = [("range", "bytes=-0"), ("if-range", "\"v\"")];
        assert_eq!(decided(&Method::GET, &other, 200), None);
    }

    #[test]
    fn the_head_is_that_of_the_part() {
        let check = |value, status: u16, length: usize, content_range: Option<&str>| {
            let wanted = range::wanted(&testing::fields(&[("range", value)]), 10);
            let (head, _) = cut(&whole(200), &wanted, 10).unwrap();
            let field = |name| head.headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(
                (head.status.as_u16(), field("content-range")),
                (status, content_range),
                "{value}"
            );
            assert_eq!(field("content-length"), Some(length.to_string().as_str()), "{value}");
        };
        check("bytes=2-4", 206, 3, Some("bytes 2-4/10"));
        check("bytes=10-", 416, 0, Some("bytes */10"));
        check("bytes=4-2", 200, 10, None);
        // two parts of 20 + 26 + 31 + 2 + 1 bytes, and 24 at the end
        check("bytes=0-0,9-9", 206, 184, None);
    }
}
