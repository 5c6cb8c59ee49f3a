//! Entity tags and preconditions: `*` and the stored tag itself always match, and weak tags never strongly.
#![no_main]

use fuzz::{and, head, now};
use http::{HeaderMap, Method, StatusCode};
use libfuzzer_sys::fuzz_target;
use semantics::preconditions::{Representation, Verdict, evaluate, range_applies};

const STORED: [&str; 3] = ["etag", "last-modified", "date"];
const ASKED: [&str; 5] =
    ["if-none-match", "if-match", "if-modified-since", "if-unmodified-since", "if-range"];

fuzz_target!(|data: &[u8]| {
    let cut = data.iter().position(|&byte| byte == b'|').unwrap_or(data.len());
    let (stored, asked) =
        (head(&STORED, &data[..cut]), head(&ASKED, data.get(cut + 1..).unwrap_or_default()));
    let of = Representation { status: StatusCode::OK, head: &stored, response_time: now() };
    let get = |asked: &HeaderMap| evaluate(&Method::GET, asked, &of);
    let verdict = get(&asked);
    assert_eq!(verdict, evaluate(&Method::HEAD, &asked, &of));
    assert_ne!(evaluate(&Method::PUT, &asked, &of), Verdict::NotModified);
    assert_ne!(get(&and(&asked, "if-none-match", "*")), Verdict::Proceed);
    if !asked.contains_key("if-match") && !asked.contains_key("if-unmodified-since") {
        assert_ne!(verdict, Verdict::PreconditionFailed);
    }
    let Some(tag) = stored.get("etag") else { return };
    let mut held = asked.clone();
    held.insert("if-none-match", tag.clone());
    assert_ne!(get(&held), Verdict::Proceed);
    let mut ranged = HeaderMap::new();
    ranged.insert("if-range", tag.clone());
    ranged.insert("if-match", tag.clone());
    let strong = tag.as_bytes().starts_with(b"\"");
    if tag.as_bytes().starts_with(b"W/") {
        assert!(!range_applies(&ranged, &of) && get(&ranged) == Verdict::PreconditionFailed);
    } else if range_applies(&ranged, &of) && strong {
        assert_eq!(get(&ranged), Verdict::Proceed);
    }
});
