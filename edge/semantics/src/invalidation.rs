//! What does a request make stale by succeeding? RFC 9111 §4.4.

use http::header::{CONTENT_LOCATION, HeaderMap, LOCATION};
use http::{Method, StatusCode, Uri};

use crate::reference::{resolve, same_origin};

/// Whether a method may change the target; those we don't know may (§4.4).
pub fn is_unsafe(method: &Method) -> bool {
    let safe = ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "REPORT", "SEARCH"];
    !safe.contains(&method.as_str())
}

/// The URIs whose stored responses are no longer to be used without validation.
///
/// They are the target, and where `Location` and `Content-Location` point on the same origin; none
/// unless the method is unsafe and the answer 2xx or 3xx. Give `target` in absolute form: in origin form
/// only relative references count.
pub fn invalidated(
    method: &Method,
    target: &Uri,
    status: StatusCode,
    response: &HeaderMap,
) -> Vec<Uri> {
    if !is_unsafe(method) || !(status.is_success() || status.is_redirection()) {
        return Vec::new();
    }
    let mut uris = vec![target.clone()];
    for value in [LOCATION, CONTENT_LOCATION].iter().filter_map(|name| response.get(name)) {
        let uri = value.to_str().ok().and_then(|reference| resolve(target, reference));
        if let Some(uri) = uri.filter(|uri| same_origin(target, uri) && !uris.contains(uri)) {
            uris.push(uri);
        }
    }
    uris
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::head;

    fn check(method: &str, status: u16, lines: &[&str], expected: &[&str]) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let target: Uri = "https://a/b/c".parse().unwrap();
        let found = invalidated(&method, &target, status, &head(lines));
        let found: Vec<_> = found.iter().map(Uri::to_string).collect();
        assert_eq!(found, expected, "{method} {status} {lines:?}");
    }

    #[test]
    fn a_successful_unsafe_method_invalidates_its_target() {
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
            check(method, 200, &[], &["https://a/b/c"]);
            check(method, 303, &[], &["https://a/b/c"]);
            check(method, 500, &[], &[]);
            check(method, 404, &[], &[]);
        }
        for method in ["GET", "HEAD", "OPTIONS", "PROPFIND"] {
            check(method, 200, &[], &[]);
        }
    }

    #[test]
    fn locations_count_on_the_same_origin() {
        let lines = &["location: /x", "content-location: d?e"];
        check("POST", 201, lines, &["https://a/b/c", "https://a/x", "https://a/b/d?e"]);
        let lines = &["location: https://other/x", "content-location: https://A:443/y"];
        check("POST", 201, lines, &["https://a/b/c", "https://A:443/y"]);
        check("POST", 201, &["location: http://a/x", "content-location:"], &["https://a/b/c"]);
    }
}
