//! `Range` and `Content-Range`: what is wanted is there, once, and what we write we read.
#![no_main]

use fuzz::{field, now};
use http::{HeaderMap, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use semantics::partial::{ContentRange, answers, content_range, continues, part};
use semantics::preconditions::Representation;
use semantics::range::{self, ByteRange, Wanted, wanted};

fuzz_target!(|data: &[u8]| {
    let Some((length, value)) = data.split_first_chunk::<8>() else { return };
    let length = u64::from_le_bytes(*length) >> (value.len() % 64);
    let ranges = match wanted(&field("range", value), length) {
        Wanted::Whole | Wanted::Unsatisfiable => Vec::new(),
        Wanted::One(range) => vec![range],
        Wanted::Many(ranges) => ranges,
    };
    let mut next = 0;
    for range in ranges {
        assert!(next <= range.first() && range.first() <= range.last() && range.last() < length);
        next = range.last() + 1;
        is_read_back(range, length);
    }
    let response = field("content-range", value);
    let Ok(part) = part(StatusCode::PARTIAL_CONTENT, &response, None) else { return };
    assert!(
        part.length() > 0 && part.complete_length().is_none_or(|all| part.range().last() < all)
    );
    assert!(answers(part.range(), part));
    assert!(
        part.range().first() == 0 || !answers(ByteRange::new(0, u64::MAX).expect("it is"), part)
    );
    let tagged = fuzz::and(&response, "etag", "\"a\"");
    let of =
        |head| Representation { status: StatusCode::PARTIAL_CONTENT, head, response_time: now() };
    assert!(!continues(&of(&response), &of(&response)));
    assert_eq!(continues(&of(&tagged), &of(&tagged)), part.complete_length().is_some());
});

fn is_read_back(range: ByteRange, length: u64) {
    let mut head = HeaderMap::new();
    let written = range::content_range(range, length);
    head.insert("content-range", HeaderValue::try_from(written).expect("it is visible ASCII"));
    let Some(ContentRange::Part(part)) = content_range(&head) else { panic!("it is valid") };
    assert_eq!((part.range(), part.complete_length()), (range, Some(length)));
}
