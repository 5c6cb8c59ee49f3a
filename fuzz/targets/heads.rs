//! Whole heads: what says it isn't for a shared cache isn't stored, and what describes a body is never updated.
#![no_main]

use fuzz::{decide, head};
use http::{HeaderMap, StatusCode};
use libfuzzer_sys::fuzz_target;
use semantics::policy::CachePolicy;
use semantics::storing::Keep;
use semantics::update::{by_head, freshen, is_about};

const REQUEST: [&str; 5] = ["authorization", "cache-control", "cookie", "range", "accept-language"];
const RESPONSE: [&str; 16] = [
    "cache-control",
    "cdn-cache-control",
    "expires",
    "date",
    "age",
    "etag",
    "last-modified",
    "vary",
    "set-cookie",
    "connection",
    "content-length",
    "content-encoding",
    "content-type",
    "content-md5",
    "surrogate-control",
    "x",
];

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |&byte| byte == b'|');
    let mut next = |names| head(names, parts.next().unwrap_or_default());
    let (request, response, update) = (next(&REQUEST), next(&RESPONSE), next(&RESPONSE));
    let policy = CachePolicy::default();
    let targeted = response.contains_key("cdn-cache-control");
    let says = |word: &str| response.get_all("cache-control").iter().any(|line| line == word);
    let kept = decide(&request, &response, &policy);
    if let Keep::Store(stored) = &kept {
        assert!(targeted || !says("private"));
        assert!(targeted || !says("no-store") || mentions(&response, b"must-understand"));
        let opens: [&[u8]; 3] = [b"public", b"must-revalidate", b"s-maxage"];
        let opened = opens.iter().any(|word| mentions(&response, word));
        assert!(opened || !request.contains_key("authorization"));
        let omitted = stored.omit.iter().any(|name| name == "set-cookie");
        assert!(omitted || !response.contains_key("set-cookie"));
        assert!(response.get_all("vary").iter().all(|line| line != "*"));
        assert!(!stored.omit.iter().any(|name| name == "vary" && !mentions(&response, b"vary")));
    }
    let mut merged = response.clone();
    freshen(&mut merged, &update, &policy);
    for name in ["content-length", "content-encoding", "content-md5"] {
        assert!(merged.get_all(name).iter().eq(response.get_all(name)));
    }
    let mut again = merged.clone();
    freshen(&mut again, &update, &policy);
    assert_eq!(again, merged);
    is_about(&response, &update);
    by_head((StatusCode::OK, &response, 5), (StatusCode::OK, &update));
});

/// Whether a directive field says `word` anywhere.
fn mentions(response: &HeaderMap, word: &[u8]) -> bool {
    ["cache-control", "cdn-cache-control"].iter().any(|name| {
        response.get_all(*name).iter().any(|line| {
            line.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
        })
    })
}
