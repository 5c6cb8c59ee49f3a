//! HTTP-dates in `Expires` and `If-Modified-Since`: what another reader reads, we read as the same second.
#![no_main]

use fuzz::{NOW, freshness, now};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use libfuzzer_sys::fuzz_target;
use semantics::preconditions::{Representation, Verdict, evaluate};

fuzz_target!(|data: &[u8]| {
    // space at the ends is none of a value (RFC 9110 §5.5); the other reader takes it off
    let Ok(value) = HeaderValue::from_bytes(data.trim_ascii()) else { return };
    let mut stored = HeaderMap::new();
    stored.insert("date", HeaderValue::from_static(NOW));
    stored.insert("last-modified", HeaderValue::from_static(NOW));
    stored.insert("expires", value.clone());
    let lifetime = freshness(&stored).expect("it has a validator").lifetime().as_secs();
    let mut request = HeaderMap::new();
    request.insert("if-modified-since", value.clone());
    let representation =
        Representation { status: StatusCode::OK, head: &stored, response_time: now() };
    let held = evaluate(&Method::GET, &request, &representation) == Verdict::NotModified;
    assert!(held || lifetime == 0);
    // the RFC 850 form has a century that readers choose
    let text = value.to_str().unwrap_or_default();
    let (fixdate, asctime) = (text.get(3..4) == Some(","), text.len() == 24);
    if let (true, Ok(time)) = (fixdate || asctime, httpdate::parse_http_date(text)) {
        let expected = time.duration_since(now()).map_or(0, |after| after.as_secs());
        assert_eq!(lifetime, expected.min(1 << 31));
        assert_eq!(held, time >= now());
    }
});
