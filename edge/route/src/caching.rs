//! How a rule caches: what the operator wrote, with every default filled in.

mod device;
mod key;

use api::site::cache::{Bypass as WrittenBypass, Cache, NamePattern, Statuses};
pub use device::Device;
use http::{HeaderMap, HeaderName, header};
pub use key::Key;
use semantics::policy::{CachePolicy, StatusLifetimes};
use std::time::Duration;

/// Field that tells an origin the class of the client's device, where a rule's key says so.
pub const DEVICE: HeaderName = HeaderName::from_static("longshore-device");
/// Field that tells an origin the client's country, where a rule's key says so.
pub const COUNTRY: HeaderName = HeaderName::from_static("longshore-country");

/// The caching part of a rule.
#[derive(Debug)]
pub struct Caching {
    /// Whether responses are stored and reused at all.
    pub enabled: bool,
    /// What differs from the standard's behaviour.
    pub policy: CachePolicy,
    /// Whether clients get `CDN-Cache-Control` (RFC 9213 §3.1).
    pub forwards_cdn_cache_control: bool,
    /// Whether a range of what is not stored is fetched in slices.
    pub slices: bool,
    /// Requests that are forwarded.
    pub bypass: Bypass,
    /// What selects a stored response.
    pub key: Key,
}

/// Requests that the store has nothing to do with: those that have any of these.
#[derive(Debug, Default)]
pub struct Bypass {
    headers: Box<[HeaderName]>,
    cookies: Box<[NamePattern]>,
    query: Box<[NamePattern]>,
}

impl Caching {
    /// None only for caching that its own check refuses.
    pub(crate) fn resolve(written: &Cache) -> Option<Self> {
        Some(Self {
            enabled: written.enabled.unwrap_or(true),
            policy: policy(written)?,
            slices: written.slices.unwrap_or(true),
            forwards_cdn_cache_control: written.forward_cdn_cache_control.unwrap_or(false),
            bypass: match &written.bypass {
                Some(bypass) => Bypass::resolve(bypass)?,
                None => Bypass::default(),
            },
            key: match &written.key {
                Some(key) => Key::resolve(key)?,
                None => Key::default(),
            },
        })
    }

    /// Whether a request's fields decide which stored response answers it, beside what `Vary` names.
    #[must_use]
    pub fn reads_fields(&self) -> bool {
        !self.bypass.is_empty() || self.key.selects()
    }
}

fn policy(written: &Cache) -> Option<CachePolicy> {
    let seconds = |seconds: Option<u32>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
    Some(CachePolicy {
        lifetime: seconds(written.lifetime_seconds),
        default_lifetime: seconds(written.default_lifetime_seconds),
        status_lifetimes: status_lifetimes(written)?,
        stale_while_revalidate: seconds(written.stale_while_revalidate_seconds),
        stale_if_error: seconds(written.stale_if_error_seconds),
        heuristic: written.heuristic.unwrap_or(true),
        store_set_cookie: written.store_set_cookie.unwrap_or(false),
        store_post: written.store_post.unwrap_or(false),
        honour_request_directives: written.honour_request_directives.unwrap_or(true),
        surrogate_control: written.surrogate_control.unwrap_or(false),
    })
}

fn status_lifetimes(written: &Cache) -> Option<StatusLifetimes> {
    let mut lifetimes = StatusLifetimes::default();
    for (statuses, seconds) in written.status_lifetimes_seconds.iter().flatten() {
        let lifetime = Duration::from_secs((*seconds).into());
        match Statuses::parse(statuses).ok()? {
            Statuses::One(status) => lifetimes.set(status, lifetime),
            Statuses::Class(first) => lifetimes.set_class(first, lifetime),
        }
    }
    Some(lifetimes)
}

impl Bypass {
    fn resolve(written: &WrittenBypass) -> Option<Self> {
        let patterns = |names: &Option<Vec<String>>| {
            names.iter().flatten().map(|name| NamePattern::parse(name)).collect()
        };
        Some(Self {
            headers: names(written.headers.as_ref())?,
            cookies: patterns(&written.cookies),
            query: patterns(&written.query),
        })
    }

    fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.cookies.is_empty() && self.query.is_empty()
    }

    /// What a request has that makes it one of these, in a word.
    #[must_use]
    pub fn reason(&self, query: Option<&str>, fields: &HeaderMap) -> Option<&'static str> {
        if self.is_empty() {
            return None;
        }
        let listed = |patterns: &[NamePattern], name: &[u8]| {
            patterns.iter().any(|pattern| pattern.matches(name))
        };
        let mut parameters = query.into_iter().flat_map(key::parameters);
        if self.headers.iter().any(|name| fields.contains_key(name)) {
            Some("header")
        } else if cookies(fields).any(|(name, _)| listed(&self.cookies, name)) {
            Some("cookie")
        } else if parameters.any(|parameter| listed(&self.query, key::name_of(parameter))) {
            Some("query")
        } else {
            None
        }
    }
}

/// Field names, as they are compared.
fn names(written: Option<&Vec<String>>) -> Option<Box<[HeaderName]>> {
    let names = written.map(Vec::as_slice).unwrap_or_default().iter();
    names.map(|name| HeaderName::try_from(name.as_str()).ok()).collect()
}

/// Names and values of a request's cookies, in order (RFC 6265 §4.2.1). One without `=` is a name.
fn cookies(fields: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = fields.get_all(header::COOKIE).into_iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()).map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = pair.split_at(end.unwrap_or(pair.len()));
        (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii())
    })
}

#[cfg(test)]
mod tests;
