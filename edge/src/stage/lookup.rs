//! May the store answer this request at all, and under which name?

use crate::context::Routed;
use crate::stage::forward;
use crate::stage::identify::{Identity, Scheme};
use ::route::Host;
use api::id::SiteId;
use http::{HeaderMap, Method, Uri, header};
use semantics::cache_status::Forward;
use semantics::policy::CachePolicy;
use std::time::Duration;

/// What the store has to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Nothing: the request is forwarded. The reason, and its detail, as Cache-Status tells them.
    Bypass { reason: Forward, detail: Option<&'static str> },
    /// It is asked for a response of this name.
    Named(Vec<u8>),
}

impl Default for Lookup {
    fn default() -> Self {
        Self::Bypass { reason: Forward::Bypass, detail: None }
    }
}

/// Decides whether a request is looked up. `epoch` is the snapshot's.
pub(crate) fn decide(
    method: &Method,
    uri: &Uri,
    fields: &HeaderMap,
    identity: &Identity,
    routed: &Routed,
    epoch: u64,
) -> Lookup {
    let bypass = |reason, detail| Lookup::Bypass { reason, detail };
    if routed.rule.cache.enabled == Some(false) {
        return bypass(Forward::Bypass, None);
    }
    if *method != Method::GET && *method != Method::HEAD {
        return bypass(Forward::Method, None);
    }
    if forward::is_upgrade(method, fields) {
        return bypass(Forward::Bypass, Some("upgrade"));
    }
    // an origin may answer by the body, which is no part of the name
    if has_body(fields) {
        return bypass(Forward::Bypass, Some("request-body"));
    }
    Lookup::Named(name(uri, identity, routed, epoch))
}

fn has_body(fields: &HeaderMap) -> bool {
    let length = fields.get(header::CONTENT_LENGTH).map(http::HeaderValue::as_bytes);
    length.is_some_and(|length| length != b"0") || fields.contains_key(header::TRANSFER_ENCODING)
}

/// The name of a response to GET.
pub(crate) fn name(uri: &Uri, identity: &Identity, routed: &Routed, epoch: u64) -> Vec<u8> {
    name_of(uri.path(), uri.query(), identity.scheme, &identity.host, &routed.served.site.id, epoch)
}

/// The name of a response to GET: everything it may depend on beside what `Vary` names, each part behind its length,
/// so that no two names are the same bytes.
pub(crate) fn name_of(
    path: &str,
    query: Option<&str>,
    scheme: Scheme,
    host: &Host,
    site: &SiteId,
    epoch: u64,
) -> Vec<u8> {
    let parts = [
        Some(site.as_str()),
        Some("GET"),
        Some(scheme.as_str()),
        Some(host.authority()),
        Some(path),
        query,
    ];
    let bytes: usize = parts.iter().flatten().map(|part| part.len()).sum();
    let mut name = Vec::with_capacity(bytes + 8 + 4 * parts.len());
    name.extend_from_slice(&epoch.to_le_bytes());
    for part in parts {
        // an absent query is not an empty one
        let length =
            part.map_or(u32::MAX, |part| u32::try_from(part.len()).unwrap_or(u32::MAX - 1));
        name.extend_from_slice(&length.to_le_bytes());
        name.extend_from_slice(part.unwrap_or_default().as_bytes());
    }
    name
}

/// The policy of a rule.
pub(crate) fn policy(cache: &api::site::cache::Cache) -> CachePolicy {
    let seconds = |seconds: Option<u32>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
    CachePolicy {
        lifetime: seconds(cache.lifetime_seconds),
        default_lifetime: seconds(cache.default_lifetime_seconds),
        stale_while_revalidate: seconds(cache.stale_while_revalidate_seconds),
        stale_if_error: seconds(cache.stale_if_error_seconds),
        store_set_cookie: cache.store_set_cookie.unwrap_or(false),
        honour_request_directives: cache.honour_request_directives.unwrap_or(true),
        ..CachePolicy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing;
    use proptest::prelude::*;

    fn check(method: &Method, fields: &[(&'static str, &'static str)], named: bool) {
        let routed = testing::routed();
        let identity = testing::identity("a.example");
        let fields = testing::fields(fields);
        let lookup = decide(method, &"/a?b".parse().unwrap(), &fields, &identity, &routed, 0);
        assert_eq!(matches!(lookup, Lookup::Named(_)), named, "{method} {fields:?} {lookup:?}");
    }

    #[test]
    fn get_and_head_without_a_body_are_looked_up() {
        check(&Method::GET, &[], true);
        check(&Method::HEAD, &[("content-length", "0")], true);
        check(&Method::POST, &[], false);
        check(&Method::GET, &[("content-length", "5")], false);
        check(&Method::GET, &[("transfer-encoding", "chunked")], false);
        check(&Method::GET, &[("upgrade", "websocket"), ("connection", "upgrade")], false);
        check(&Method::GET, &[("upgrade", "x")], true);
    }

    #[test]
    fn an_empty_query_is_another_name() {
        let (routed, identity) = (testing::routed(), testing::identity("a.example"));
        let of = |uri: &str, epoch| name(&uri.parse().unwrap(), &identity, &routed, epoch);
        assert_ne!(of("/a", 0), of("/a?", 0));
        assert_ne!(of("/a", 0), of("/a", 1));
        assert_eq!(of("/a?b", 0), of("/a?b", 0));
    }

    proptest! {
        #[test]
        fn different_targets_have_different_names(
            one in "/[a-c/]{0,4}(\\?[a-c]{0,3})?", other in "/[a-c/]{0,4}(\\?[a-c]{0,3})?",
            one_host in "[a-b.]{1,3}x", other_host in "[a-b.]{1,3}x",
        ) {
            let routed = testing::routed();
            let of = |uri: &str, host: &str| {
                let host = Host::parse(host, 80).ok()?;
                let identity = Identity { host, ..testing::identity("a") };
                Some((name(&uri.parse().ok()?, &identity, &routed, 0), identity.host.authority().to_owned()))
            };
            if let (Some((first, first_host)), Some((second, second_host))) = (of(&one, &one_host), of(&other, &other_host)) {
                prop_assert_eq!(first == second, one == other && first_host == second_host);
            }
        }
    }
}
