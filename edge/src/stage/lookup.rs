//! May the store answer this request at all, and under which name?

use crate::context::Routed;
use crate::stage::forward;
use crate::stage::identify::{Identity, Scheme};
use crate::stage::slice::Slice;
use ::route::Host;
use api::id::SiteId;
use http::{HeaderMap, Method, Uri, header};
use purge::{Facts, Tags};
use semantics::cache_status::Forward;
use std::borrow::Cow;

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
    let caching = &routed.rule.caching;
    if !caching.enabled {
        return bypass(Forward::Bypass, None);
    }
    if *method != Method::GET && *method != Method::HEAD {
        return bypass(Forward::Method, None);
    }
    if let Some(had) = caching.bypass.reason(uri.query(), fields) {
        return bypass(Forward::Bypass, Some(had));
    }
    if forward::is_upgrade(method, fields) {
        return bypass(Forward::Bypass, Some("upgrade"));
    }
    // an origin may answer by the body, which is no part of the name
    if has_body(fields) {
        return bypass(Forward::Bypass, Some("request-body"));
    }
    Lookup::Named(name(uri, identity, &routed.served.site.id, &caching.key, epoch))
}

/// The path and query that the origin is asked for in a request that is looked up, where they aren't those it would be
/// asked for otherwise: what doesn't count in the name is not sent, so that it can't change what is stored under it.
pub(crate) fn target(uri: &Uri, routed: &Routed) -> Option<String> {
    let query = routed.rule.caching.key.query(uri.query());
    if query.as_deref() == uri.query() {
        return None;
    }
    let rewritten = routed.rewritten.as_deref().and_then(|target| target.split('?').next());
    let path = rewritten.unwrap_or_else(|| uri.path());
    Some(query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
}

/// Whether the response to a POST may be stored under the name of a GET: the origin was asked for what that GET would
/// ask for.
pub(crate) fn stores_post(uri: &Uri, fields: &HeaderMap, routed: &Routed) -> bool {
    let caching = &routed.rule.caching;
    caching.enabled
        && caching.policy.store_post
        && caching.bypass.reason(uri.query(), fields).is_none()
        && caching.key.query(uri.query()).as_deref() == uri.query()
}

fn has_body(fields: &HeaderMap) -> bool {
    let length = fields.get(header::CONTENT_LENGTH).map(http::HeaderValue::as_bytes);
    length.is_some_and(|length| length != b"0") || fields.contains_key(header::TRANSFER_ENCODING)
}

/// The name of a response to GET. `key` is that of the rule for the path.
pub(crate) fn name(
    uri: &Uri,
    identity: &Identity,
    site: &SiteId,
    key: &route::Key,
    epoch: u64,
) -> Vec<u8> {
    let query = key.query(uri.query());
    let (scheme, host) = (identity.scheme, &identity.host);
    let mut name = Vec::with_capacity(256);
    append_name(&mut name, uri.path(), query.as_deref(), scheme, host, site, epoch);
    name
}

/// Appends the name of a response to GET: everything it may depend on beside what `Vary` and the rule's key name, each
/// part behind its length, so that no two names are the same bytes. `query` is the part of it that counts.
pub(crate) fn append_name(
    name: &mut Vec<u8>,
    path: &str,
    query: Option<&str>,
    scheme: Scheme,
    host: &Host,
    site: &SiteId,
    epoch: u64,
) {
    let parts = [
        Some(site.as_str()),
        Some("GET"),
        Some(scheme.as_str()),
        Some(host.authority()),
        Some(path),
        query,
    ];
    name.extend_from_slice(&epoch.to_le_bytes());
    for part in parts {
        // an absent query is not an empty one
        let length =
            part.map_or(u32::MAX, |part| u32::try_from(part.len()).unwrap_or(u32::MAX - 1));
        name.extend_from_slice(&length.to_le_bytes());
        name.extend_from_slice(part.unwrap_or_default().as_bytes());
    }
}

/// A name that is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named<'n> {
    pub(crate) epoch: u64,
    /// The site's id.
    pub(crate) site: &'n str,
    scheme: &'n str,
    pub(crate) authority: &'n str,
    pub(crate) path: &'n str,
    pub(crate) query: Option<&'n str>,
    pub(crate) slice: Option<Slice>,
}

impl<'n> Named<'n> {
    /// What [`append_name`] made, and the slice whose number may be behind it. None for anything else.
    pub(crate) fn read(name: &'n [u8]) -> Option<Self> {
        let (epoch, mut rest) = name.split_first_chunk()?;
        let mut part = || -> Option<Option<&'n str>> {
            let (length, after) = rest.split_first_chunk()?;
            let length = u32::from_le_bytes(*length);
            let bytes = if length == u32::MAX { 0 } else { usize::try_from(length).ok()? };
            let (part, after) = after.split_at_checked(bytes)?;
            rest = after;
            Some(if length == u32::MAX { None } else { Some(std::str::from_utf8(part).ok()?) })
        };
        let [site, _get, scheme, authority, path] =
            [part()??, part()??, part()??, part()??, part()??];
        let query = part()?;
        let slice = if rest.is_empty() { None } else { Some(Slice::read(rest)?) };
        let epoch = u64::from_le_bytes(*epoch);
        Some(Self { epoch, site, scheme, authority, path, query, slice })
    }

    /// What purges may select it by.
    pub(crate) fn facts(&self, tags: &'n Tags) -> Facts<'n> {
        let Self { authority, path, query, .. } = *self;
        Facts { authority, path, query, tags }
    }

    pub(crate) fn scheme(&self) -> Scheme {
        Scheme::named(self.scheme).unwrap_or(Scheme::Http)
    }

    /// What a client would ask for.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.target())
    }

    /// Path and query.
    pub(crate) fn target(&self) -> Cow<'n, str> {
        match self.query {
            Some(query) => format!("{}?{query}", self.path).into(),
            None => self.path.into(),
        }
    }
}

/// The parts of a name, for people.
pub(crate) fn parts(name: &[u8]) -> Vec<String> {
    let mut rest = name.get(size_of::<u64>()..).unwrap_or_default();
    let mut parts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((part, after)) = after.split_at_checked(length) else { break };
        parts.push(String::from_utf8_lossy(part).into_owned());
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing;
    use proptest::prelude::*;
    use serde_json::{Value, json};

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
        let (site, key) = (&routed.served.site.id, &routed.rule.caching.key);
        let of = |uri: &str, epoch| name(&uri.parse().unwrap(), &identity, site, key, epoch);
        assert_ne!(of("/a", 0), of("/a?", 0));
        assert_ne!(of("/a", 0), of("/a", 1));
        assert_eq!(of("/a?b", 0), of("/a?b", 0));
    }

    #[test]
    fn a_name_is_read_as_it_was_made() {
        let (routed, identity) = (testing::routed(), testing::identity("a.example"));
        let (site, key) = (&routed.served.site.id, &routed.rule.caching.key);
        for uri in ["/a", "/a?", "/a?b=c", "/"] {
            let mut name = name(&uri.parse().unwrap(), &identity, site, key, 7);
            let named = Named::read(&name).unwrap();
            assert_eq!(named.url(), format!("http://a.example{uri}"));
            assert_eq!((named.epoch, named.site, named.slice), (7, site.as_str(), None));
            let slice = Slice { index: 3, bytes: 10, group: u64::MAX };
            slice.append_to(&mut name);
            let named = Named::read(&name).unwrap();
            assert_eq!((named.slice, named.url()), (Some(slice), format!("http://a.example{uri}")));
            for end in 0..name.len() {
                let is_whole = end + 28 == name.len();
                assert_eq!(Named::read(&name[..end]).is_some(), is_whole, "{uri} {end}");
            }
        }
    }

    #[test]
    fn what_a_rule_bypasses_is_not_looked_up() {
        let routed = testing::routed_by(&json!({"bypass": {"headers": ["x-p"], "query": ["p"]}}));
        let check =
            |method: Method, uri: &str, fields: &[(&'static str, &'static str)], expected| {
                let (fields, uri) = (testing::fields(fields), uri.parse().unwrap());
                let found = decide(&method, &uri, &fields, &testing::identity("a"), &routed, 0);
                let Lookup::Bypass { reason, detail } = found else { panic!("{uri} {fields:?}") };
                assert_eq!((reason, detail), expected, "{uri} {fields:?}");
            };
        check(Method::GET, "/?p=1", &[], (Forward::Bypass, Some("query")));
        check(Method::HEAD, "/", &[("x-p", "")], (Forward::Bypass, Some("header")));
        check(Method::POST, "/?p", &[], (Forward::Method, None));
    }

    #[test]
    fn the_origin_is_asked_for_what_the_name_says() {
        let check = |key: Value, uri: &str, rewritten: Option<&str>, expected: Option<&str>| {
            let mut routed = testing::routed_by(&json!({ "key": key }));
            routed.rewritten = rewritten.map(str::to_owned);
            let target = target(&uri.parse().unwrap(), &routed);
            assert_eq!(target.as_deref(), expected, "{uri}");
        };
        check(json!({}), "/a?b=1", None, None);
        check(json!({"query": "none"}), "/a", None, None);
        check(json!({"query": "none"}), "/a?", None, Some("/a"));
        check(json!({"query": "none"}), "/a?b=1", Some("/x/a?b=1"), Some("/x/a"));
        check(
            json!({"query": {"deny": ["b"]}}),
            "/a?b=1&c=2?",
            Some("/x?b=1&c=2?"),
            Some("/x?c=2?"),
        );
        check(json!({"sort_query": true}), "/a?b&a", None, Some("/a?a&b"));
        check(json!({"sort_query": true}), "/a?a&b", Some("/x?a&b"), None);
        check(json!({"query": "none"}), "http://a.example?b", None, Some("/"));
    }

    #[test]
    fn a_post_is_stored_only_where_the_origin_was_asked_for_what_the_name_says() {
        let check = |uri: &str, fields: &[(&'static str, &'static str)], expected| {
            let routed =
                testing::routed_by(&json!({"store_post": true, "key": {"query": {"deny": ["u"]}},
                "bypass": {"cookies": ["s"]}}));
            let stores = stores_post(&uri.parse().unwrap(), &testing::fields(fields), &routed);
            assert_eq!(stores, expected, "{uri} {fields:?}");
        };
        check("/a?b", &[], true);
        check("/a?b&u=1", &[], false);
        check("/a", &[("cookie", "s=1")], false);
        assert!(!stores_post(&"/a".parse().unwrap(), &testing::fields(&[]), &testing::routed()));
    }

    proptest! {
        /// Two requests get one name exactly if what counts of their targets is the same.
        #[test]
        fn names_are_the_same_exactly_if_what_is_keyed_is(one in "[ab=&]{0,6}", other in "[ab=&]{0,6}") {
            let routed = testing::routed_by(&json!({"key": {"query": {"deny": ["b"]}}}));
            let (site, key) = (&routed.served.site.id, &routed.rule.caching.key);
            let of = |query: &str| {
                let uri = format!("/x?{query}").parse().unwrap();
                name(&uri, &testing::identity("a.example"), site, key, 0)
            };
            let keyed = |query: &str| -> Vec<String> {
                let kept = query.split('&').filter(|parameter| parameter.split('=').next() != Some("b"));
                kept.map(str::to_owned).collect()
            };
            prop_assert_eq!(of(&one) == of(&other), keyed(&one) == keyed(&other));
        }

        #[test]
        fn different_targets_have_different_names(
            one in "/[a-c/]{0,4}(\\?[a-c]{0,3})?", other in "/[a-c/]{0,4}(\\?[a-c]{0,3})?",
            one_host in "[a-b.]{1,3}x", other_host in "[a-b.]{1,3}x",
        ) {
            let routed = testing::routed();
            let (site, key) = (&routed.served.site.id, &routed.rule.caching.key);
            let of = |uri: &str, host: &str| {
                let host = Host::parse(host, 80).ok()?;
                let identity = Identity { host, ..testing::identity("a") };
                Some((name(&uri.parse().ok()?, &identity, site, key, 0), identity.host.authority().to_owned()))
            };
            if let (Some((first, first_host)), Some((second, second_host))) = (of(&one, &one_host), of(&other, &other_host)) {
                prop_assert_eq!(first == second, one == other && first_host == second_host);
            }
        }
    }
}
