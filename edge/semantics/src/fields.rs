//! Which fields end at this hop, or at this cache? RFC 9110 §7.6.1, §7.6.3; RFC 9111 §3.1.
//!
//! Names are told, never removed: the caller owns the head.

use http::Version;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VARY,
    VIA,
};

use crate::list::all_members;

/// Directives for Longshore only (RFC 9213 §2).
pub const LONGSHORE_CDN_CACHE_CONTROL: HeaderName =
    HeaderName::from_static("longshore-cdn-cache-control");
/// Directives for CDN caches (RFC 9213 §3.1).
pub const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
/// The older field of the same purpose, from the Edge Architecture Specification.
pub const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// Fields that carry purge tags.
pub static TAG_FIELDS: [HeaderName; 3] = [
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("xkey"),
];

/// Fields meant for us: stored (a 304 may lack them), and not sent to clients.
pub static CONSUMED_FIELDS: [HeaderName; 6] = [
    CDN_CACHE_CONTROL,
    LONGSHORE_CDN_CACHE_CONTROL,
    SURROGATE_CONTROL,
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("xkey"),
];

/// Those of [`CONSUMED_FIELDS`] that end here: all, or all but `CDN-Cache-Control` where CDNs behind this
/// one are to follow it too (RFC 9213 §3.1).
pub fn consumed(forwards_cdn_cache_control: bool) -> &'static [HeaderName] {
    let [_cdn_cache_control, others @ ..] = &CONSUMED_FIELDS;
    if forwards_cdn_cache_control { others } else { &CONSUMED_FIELDS }
}

/// Removed at every hop, named by `Connection` or not.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removed only from what is stored: they are between a client and one proxy (RFC 9111 §3.1).
const PROXY_FIELDS: [HeaderName; 3] =
    [PROXY_AUTHENTICATE, HeaderName::from_static("proxy-authentication-info"), PROXY_AUTHORIZATION];

/// Never hop-by-hop, so `Connection` can't take them away (RFC 9110 §7.6.1: a sender mustn't try).
const END_TO_END: [HeaderName; 6] = [AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, HOST, VARY, VIA];

/// Whether a field ends at this hop whatever `Connection` says.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Whether RFC 9111 §3.1 keeps a field out of stored responses, `Connection` aside.
pub(crate) fn is_never_stored(name: &HeaderName) -> bool {
    is_hop_by_hop(name) || PROXY_FIELDS.contains(name)
}

/// The fields `Connection` names (options such as `close` among them), those excepted that a message
/// can't do without.
pub fn connection_nominated(message: &HeaderMap) -> impl Iterator<Item = HeaderName> + '_ {
    all_members(message.get_all(CONNECTION))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !END_TO_END.contains(name))
}

/// The fields of `message` to remove before forwarding it: hop-by-hop and nominated ones that are there.
pub fn removed_when_forwarding(message: &HeaderMap) -> Vec<HeaderName> {
    let nominated = connection_nominated(message).filter(|name| !is_hop_by_hop(name));
    HOP_BY_HOP.into_iter().chain(nominated).filter(|name| message.contains_key(name)).collect()
}

/// The `Via` member for a message received as `version` by `pseudonym`, to be appended as a line.
/// A pseudonym that can't be in a field value gives `None`.
pub fn via(version: Version, pseudonym: &str) -> Option<HeaderValue> {
    let received = match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    };
    HeaderValue::try_from(format!("{received} {pseudonym}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::head;

    #[test]
    fn hop_by_hop_and_nominated_fields_are_removed_when_forwarding() {
        let check = |lines: &[&str], expected: &[&str]| {
            let removed = removed_when_forwarding(&head(lines));
            let removed: Vec<_> = removed.iter().map(HeaderName::as_str).collect();
            assert_eq!(removed, expected, "{lines:?}");
        };
        check(&["a: 1"], &[]);
        check(&["connection: close"], &["connection"]);
        check(&["connection: a, B,", "a: 1", "b: 2", "c: 3"], &["connection", "a", "b"]);
        check(&["connection: keep-alive", "keep-alive: x"], &["connection", "keep-alive"]);
        check(&["te: trailers", "transfer-encoding: chunked"], &["te", "transfer-encoding"]);
        check(&["connection: host, cache-control", "host: a", "cache-control: x"], &["connection"]);
    }

    #[test]
    fn cdn_cache_control_alone_may_go_on() {
        assert_eq!(consumed(false), CONSUMED_FIELDS);
        assert!(!consumed(true).contains(&CDN_CACHE_CONTROL) && consumed(true).len() == 5);
    }

    #[test]
    fn via_tells_the_version_received() {
        let check = |version, expected: &str| {
            assert_eq!(via(version, "longshore").unwrap(), expected);
        };
        check(Version::HTTP_10, "1.0 longshore");
        check(Version::HTTP_11, "1.1 longshore");
        check(Version::HTTP_2, "2 longshore");
        check(Version::HTTP_3, "3 longshore");
        assert_eq!(via(Version::HTTP_11, "a\nb"), None);
    }
}
