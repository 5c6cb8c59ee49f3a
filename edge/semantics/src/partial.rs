//! Which part of a representation does a 206 hold, and may it be put together with others?
//! RFC 9110 §14.4, §15.3.7; RFC 9111 §3.3, §3.4.
//!
//! For a store that fetches a large representation in slices, each asked for with `Range`. What comes is a
//! [`part`]; it is kept if it [`answers`] what was asked, and put together with others that it [`continues`].
//! Everything doubtful is refused: a wrong byte can't be seen later.

mod content_range;

use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};

use self::content_range::single;
pub use self::content_range::{ContentRange, Part, content_range};
use crate::list::{exact_integer, trim};
use crate::preconditions::Representation;
use crate::range::ByteRange;

/// Why a response isn't one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The status is not 206.
    Status,
    /// `multipart/byteranges`: several parts, each with a range of its own.
    Multipart,
    /// No `Content-Range`, more than one, or one that isn't valid.
    ContentRange,
    /// `Content-Length` or the body is of another length than the range.
    Length,
}

/// The part that a response holds. Ask with `body_length` where the body is complete, and without as
/// soon as the head is there; a 206 whose body breaks off is not to be kept.
pub fn part(
    status: StatusCode,
    response: &HeaderMap,
    body_length: Option<u64>,
) -> Result<Part, Fault> {
    if status != StatusCode::PARTIAL_CONTENT {
        return Err(Fault::Status);
    }
    if is_multipart(response) {
        return Err(Fault::Multipart);
    }
    let Some(ContentRange::Part(part)) = content_range(response) else {
        return Err(Fault::ContentRange);
    };
    let told = !response.contains_key(CONTENT_LENGTH)
        || single(response, &CONTENT_LENGTH).and_then(exact_integer) == Some(part.length());
    let whole = body_length.is_none_or(|length| length == part.length());
    if told && whole { Ok(part) } else { Err(Fault::Length) }
}

/// Whether `part` is what was asked with `Range`.
///
/// It is from the first byte asked for to the last, or to the end of a representation that ends before.
/// An origin may send less (§15.3.7), which isn't taken for an answer.
pub fn answers(asked: ByteRange, part: Part) -> bool {
    let range = part.range();
    let whole = range.last() == asked.last() || (range.last() < asked.last() && part.is_last());
    range.first() == asked.first() && whole
}

/// Whether two responses hold the same representation byte for byte, so that their parts may be combined:
/// they share a strong validator (§15.3.7.3), and are coded alike.
///
/// That is the strong entity tag. Where neither has any, it is a `Last-Modified` at least a second before
/// `Date` in both (§8.8.2.2); not where one has a weak tag, which says that the date isn't all.
fn may_combine(one: &Representation<'_>, other: &Representation<'_>) -> bool {
    let coded_alike =
        one.head.get_all(CONTENT_ENCODING).iter().eq(other.head.get_all(CONTENT_ENCODING));
    let same = match (one.head.contains_key(ETAG), other.head.contains_key(ETAG)) {
        (true, true) => {
            let single = [one, other].iter().all(|of| single(of.head, &ETAG).is_some());
            let tags = one.etag().zip(other.etag());
            single && tags.is_some_and(|(one, other)| one.is_strongly(other))
        }
        (false, false) => {
            let modified = one.strong_modification_date();
            modified.is_some() && modified == other.strong_modification_date()
        }
        _ => false,
    };
    same && coded_alike
}

/// Whether `next` holds a further part of the representation that `first` holds a part of: it is one
/// part, both tell the same complete length, and they may be combined.
pub fn continues(first: &Representation<'_>, next: &Representation<'_>) -> bool {
    let length = |response: &Representation<'_>| {
        part(response.status, response.head, None).ok()?.complete_length()
    };
    let first_length = length(first);
    first_length.is_some() && first_length == length(next) && may_combine(first, next)
}

fn is_multipart(response: &HeaderMap) -> bool {
    let media_type = response.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let media_type = media_type.split(|&byte| byte == b';').next().map(trim);
    media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case(b"multipart/byteranges"))
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_RANGE;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{date, head, now};

    fn of(first: u64, last: u64, complete_length: Option<u64>) -> Part {
        Part::new(ByteRange::new(first, last).unwrap(), complete_length).unwrap()
    }

    fn check(lines: &[&str], body_length: Option<u64>, expected: Result<Part, Fault>) {
        let found = part(StatusCode::PARTIAL_CONTENT, &head(lines), body_length);
        assert_eq!(found, expected, "{lines:?} {body_length:?}");
    }

    #[test]
    fn a_part_is_a_206_with_as_many_bytes_as_it_says() {
        let (lines, part_of) = (&["content-range: bytes 2-4/9"], Ok(of(2, 4, Some(9))));
        check(lines, None, part_of);
        check(lines, Some(3), part_of);
        check(lines, Some(2), Err(Fault::Length));
        check(&["content-range: bytes 2-4/9", "content-length: 3"], None, part_of);
        for length in ["4", "x", "", "3, 3"] {
            let length = format!("content-length: {length}");
            check(&["content-range: bytes 2-4/9", &length], None, Err(Fault::Length));
        }
        check(&[], None, Err(Fault::ContentRange));
        check(&["content-range: bytes */9"], None, Err(Fault::ContentRange));
        let several = "content-type: Multipart/ByteRanges ; boundary=x";
        check(&[several, "content-range: bytes 2-4/9"], None, Err(Fault::Multipart));
        for status in [StatusCode::OK, StatusCode::RANGE_NOT_SATISFIABLE] {
            assert_eq!(part(status, &head(lines), None), Err(Fault::Status));
        }
    }

    #[test]
    fn a_part_answers_what_was_asked_or_what_there_is_of_it() {
        let check = |part, expected| {
            assert_eq!(answers(ByteRange::new(10, 19).unwrap(), part), expected, "{part:?}");
        };
        check(of(10, 19, Some(100)), true);
        check(of(10, 19, None), true);
        check(of(10, 14, Some(15)), true);
        check(of(10, 14, Some(100)), false);
        check(of(10, 14, None), false);
        check(of(10, 20, Some(100)), false);
        check(of(9, 19, Some(100)), false);
        check(of(11, 19, Some(100)), false);
    }

    fn check_continues(one: &[&str], other: &[&str], expected: bool) {
        let (mut one, mut other) = (head(one), head(other));
        one.append(CONTENT_RANGE, HeaderValue::from_static("bytes 0-9/20"));
        other.append(CONTENT_RANGE, HeaderValue::from_static("bytes 10-19/20"));
        let of = |head| Representation {
            status: StatusCode::PARTIAL_CONTENT,
            head,
            response_time: now(),
        };
        assert_eq!(continues(&of(&one), &of(&other)), expected, "{one:?} {other:?}");
        assert_eq!(continues(&of(&other), &of(&one)), expected, "either way");
    }

    #[test]
    fn parts_continue_each_other_by_one_strong_validator() {
        let check = check_continues;
        check(&["etag: \"a\""], &["etag: \"a\""], true);
        check(&["etag: \"a\""], &["etag: \"b\""], false);
        check(&["etag: W/\"a\""], &["etag: W/\"a\""], false);
        check(&["etag: \"a\""], &["etag: W/\"a\""], false);
        check(&["etag: \"a\""], &[], false);
        check(&["etag: a"], &["etag: a"], false);
        check(&["etag: \"a\"", "etag: \"b\""], &["etag: \"a\"", "etag: \"b\""], false);
        check(&[], &[], false);
        check(&["etag: \"a\"", "content-encoding: gzip"], &["etag: \"a\""], false);
        check(&["etag: \"a\"", "content-range: bytes 0-9/20"], &["etag: \"a\""], false);
    }

    #[test]
    fn a_date_is_strong_where_it_is_older_than_the_answer() {
        let lines = |modified, dated| {
            [format!("last-modified: {}", date(modified)), format!("date: {}", date(dated))]
        };
        let check = |one: [String; 2], other: [String; 2], expected| {
            let [one, other] = [&one, &other].map(|lines| [lines[0].as_str(), lines[1].as_str()]);
            check_continues(&one, &other, expected);
        };
        check(lines(-60, 0), lines(-60, 5), true);
        check(lines(-60, 0), lines(-59, 5), false);
        check(lines(-60, -59), lines(-60, 0), true);
        check(lines(-60, -60), lines(-60, 0), false);
        let [modified, dated] = lines(-60, 0);
        let tagged = &["etag: W/\"a\"", &modified, &dated];
        check_continues(tagged, tagged, false);
        check_continues(&[&lines(-60, 0)[0]], &[&lines(-60, 0)[0]], false);
    }

    #[test]
    fn parts_of_one_representation_agree_about_its_length() {
        let check_with = |first: &str, status, range: &str, expected| {
            let first = head(&["etag: \"a\"", &format!("content-range: {first}")]);
            let next = head(&["etag: \"a\"", &format!("content-range: {range}")]);
            let status = StatusCode::from_u16(status).unwrap();
            let of = |status, head| Representation { status, head, response_time: now() };
            let first = of(StatusCode::PARTIAL_CONTENT, &first);
            assert_eq!(continues(&first, &of(status, &next)), expected, "{status} {range}");
        };
        check_with("bytes 0-9/*", 206, "bytes 10-19/*", false);
        check_with("bytes 0-9/*", 206, "bytes 10-19/20", false);
        let check = |status, range, expected| {
            check_with("bytes 0-9/20", status, range, expected);
        };
        check(206, "bytes 10-19/20", true);
        check(206, "bytes 10-19/21", false);
        check(206, "bytes 10-19/*", false);
        check(206, "bytes */20", false);
        check(200, "bytes 10-19/20", false);
    }

    proptest! {
        #[test]
        fn a_part_is_inside_the_whole(value in "(bytes )?[0-9*/-]{0,12}") {
            let part = part(StatusCode::PARTIAL_CONTENT, &head(&[&format!("content-range: {value}")]), None);
            if let Ok(part) = part {
                prop_assert!(part.length() > 0 && part.range().first() <= part.range().last());
                prop_assert!(part.complete_length().is_none_or(|length| part.range().last() < length));
            }
        }
    }
}
