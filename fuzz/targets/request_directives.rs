//! A request's `Cache-Control` and `Pragma`: no wish makes a response younger, and none passes a prohibition.
#![no_main]

use fuzz::{and, freshness, head};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use semantics::directives::RequestDirectives;
use semantics::policy::CachePolicy;
use semantics::reuse::Reuse;
use std::time::Duration;

const STORED: [&str; 6] = [
    "max-age=60",
    "max-age=60, stale-while-revalidate=30, stale-if-error=30",
    "max-age=60, immutable, stale-while-revalidate=30",
    "max-age=60, must-revalidate, stale-while-revalidate=30",
    "s-maxage=60, stale-if-error=30",
    "max-age=60, no-cache",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, lines)) = data.split_first() else { return };
    let said = STORED[usize::from(*choice) % STORED.len()];
    let mut response = HeaderMap::new();
    response.append("etag", HeaderValue::from_static("\"a\""));
    let freshness = freshness(&and(&response, "cache-control", said)).expect("it has a validator");
    let request = head(&["cache-control", "pragma"], lines);
    let read = |request: &HeaderMap| RequestDirectives::read(request, &CachePolicy::default());
    let (asked, reload) = (read(&request), read(&and(&request, "cache-control", "no-cache")));
    let forbids = freshness.forbids_stale();
    let mut rank_before = 0;
    for age in [0, 1, 30, 59, 60, 61, 89, 90, 1000, 1 << 33].map(Duration::from_secs) {
        let reuse = freshness.reuse(age, &asked);
        assert!(rank(reuse) >= rank_before);
        rank_before = rank(reuse);
        assert!(reuse != Reuse::Fresh || age < freshness.lifetime());
        let stale = age >= freshness.lifetime();
        let on_error = freshness.may_be_used_on_error(age, &asked);
        assert!(!(forbids && stale) || (rank(reuse) == 2 && !on_error));
        assert_eq!(rank(freshness.reuse(age, &reload)), 2);
        assert!(!freshness.may_be_used_on_error(age, &reload));
    }
    let deaf = CachePolicy { honour_request_directives: false, ..CachePolicy::default() };
    assert!(RequestDirectives::read(&request, &deaf).are_absent());
});

fn rank(reuse: Reuse) -> u8 {
    match reuse {
        Reuse::Fresh => 0,
        Reuse::WhileRevalidating | Reuse::Stale => 1,
        Reuse::Validate | Reuse::GatewayTimeout => 2,
    }
}
