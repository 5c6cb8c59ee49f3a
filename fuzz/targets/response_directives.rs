//! `Cache-Control`, `Expires` and their like: lines in any order say the same, and more of them never allow more.
#![no_main]

use fuzz::{and, decide, head, reversed};
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use semantics::policy::CachePolicy;
use semantics::storing::Keep;

const NAMES: [&str; 6] =
    ["cache-control", "expires", "etag", "last-modified", "pragma", "set-cookie"];

fuzz_target!(|data: &[u8]| {
    let (policy, request) = (CachePolicy::default(), HeaderMap::new());
    let response = head(&NAMES, data);
    let decide = |response: &HeaderMap| decide(&request, response, &policy);
    let before = decide(&response);
    let mut turned = response.clone();
    turned.remove("last-modified");
    assert_eq!(decide(&turned), decide(&reversed(&turned)));
    assert!(matches!(decide(&and(&response, "cache-control", "private")), Keep::Refuse(_)));
    if let Keep::Store(stored) = decide(&and(&response, "cache-control", "s-maxage=1")) {
        assert!(stored.freshness.lifetime().as_secs() <= 1);
        assert!(stored.freshness.forbids_stale() && stored.freshness.stale_if_error().is_zero());
    }
    if let (Keep::Store(before), Keep::Store(after)) =
        (before, decide(&and(&response, "cache-control", "max-age=0, no-cache, x")))
    {
        assert!(after.freshness.lifetime() <= before.freshness.lifetime());
        assert!(after.freshness.validates_always());
    }
});
