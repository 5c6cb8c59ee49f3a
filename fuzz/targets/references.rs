//! `Location` and `Content-Location`: only what is of the target's origin is made stale.
#![no_main]

use fuzz::head;
use http::{Method, StatusCode, Uri};
use libfuzzer_sys::fuzz_target;
use semantics::invalidation::invalidated;

fuzz_target!(|data: &[u8]| {
    let response = head(&["location", "content-location"], data);
    for target in ["https://example.test/a/b/c?d", "http://example.test:8080", "/a/b"] {
        let target = Uri::from_static(target);
        let found = invalidated(&Method::POST, &target, StatusCode::CREATED, &response);
        assert_eq!(found.first(), Some(&target));
        assert!(found.len() <= 3);
        for uri in found {
            assert_eq!(uri.scheme(), target.scheme());
            let hosts =
                [&uri, &target].map(|uri| uri.host().unwrap_or_default().to_ascii_lowercase());
            assert_eq!(hosts[0], hosts[1]);
            let port = |uri: &Uri| {
                uri.port_u16().or_else(|| (uri.scheme_str()? == "https").then_some(443))
            };
            assert_eq!(port(&uri), port(&target));
            assert!(uri.path().is_empty() || uri.path().starts_with('/'));
        }
    }
    assert!(
        invalidated(&Method::GET, &Uri::from_static("/"), StatusCode::OK, &response).is_empty()
    );
});
