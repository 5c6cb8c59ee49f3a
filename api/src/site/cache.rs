//! Caching, as an operator sets it for a site or for the paths of one rule.

mod bypass;
mod key;
mod statuses;

use crate::check::{Check, Problems};
pub use bypass::{Bypass, NamePattern};
pub use key::{Key, Query};
use serde::{Deserialize, Serialize};
pub use statuses::{Statuses, StatusesError};
use std::collections::BTreeMap;

const YEAR_SECONDS: u64 = 31_536_000;
const STATUS_LIFETIMES_MAX: u64 = 32;

/// How responses are cached. A field left out of a rule's is taken from the site's, and left out there too, from the
/// default given here. By default the origin's response fields decide, as RFC 9111 says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cache {
    /// Whether responses are stored and reused. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Seconds a response is fresh, whatever the origin says of lifetimes. `no-store` and `private` still hold.
    /// 0 to 31536000. Default: the origin decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
    /// Seconds a response is fresh that says nothing of its lifetime. 0 to 31536000.
    /// Default: a tenth of the time since Last-Modified (RFC 9111 §4.2.2), or not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_lifetime_seconds: Option<u32>,
    /// Seconds a response is fresh that says nothing of its lifetime, by its status (`404`) or the class of that
    /// (`5xx`); a status goes before its class, and both before `default_lifetime_seconds`. Such responses are stored
    /// whatever their status. At most 32, each 0 to 31536000. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_lifetimes_seconds: Option<BTreeMap<String, u32>>,
    /// Whether a response that says nothing of its lifetime, and gets none here, is fresh for a tenth of the time since
    /// Last-Modified (RFC 9111 §4.2.2). Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heuristic: Option<bool>,
    /// Seconds a stale response may be used while a new one is fetched (RFC 5861 §3), where the response says
    /// nothing. 0 to 31536000. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate_seconds: Option<u32>,
    /// Seconds a stale response may be used when the origin fails (RFC 5861 §4), where the response says nothing.
    /// 0 to 31536000. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_if_error_seconds: Option<u32>,
    /// Whether a response with Set-Cookie may be stored; the cookie is then given to every client. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_set_cookie: Option<bool>,
    /// Whether the response to a POST is stored for GET, where its Content-Location is its own URL and it gives a
    /// lifetime (RFC 9110 §9.3.3). What was posted is then no part of the name. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_post: Option<bool>,
    /// Whether a client's own Cache-Control (`no-cache`, `max-age`, …; RFC 9111 §5.2.1) is followed. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub honour_request_directives: Option<bool>,
    /// Whether Surrogate-Control (`max-age`, `no-store`) goes before Cache-Control, where no field of RFC 9213 does.
    /// Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surrogate_control: Option<bool>,
    /// Whether clients get CDN-Cache-Control too, for CDNs behind this one (RFC 9213 §3.1). Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_cdn_cache_control: Option<bool>,
    /// Whether a range of what is not stored is fetched and stored in slices. Off: the whole is fetched. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slices: Option<bool>,
    /// Requests that are forwarded, and whose responses are not stored. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bypass: Option<Bypass>,
    /// What of a request selects a stored response, beside its URL and what `Vary` names. Default: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
}

impl Cache {
    /// What holds when `self` is asked first and `fallback` second.
    #[must_use]
    pub fn or(&self, fallback: &Self) -> Self {
        let (own, other) = (self.clone(), fallback.clone());
        Self {
            enabled: own.enabled.or(other.enabled),
            lifetime_seconds: own.lifetime_seconds.or(other.lifetime_seconds),
            default_lifetime_seconds: own
                .default_lifetime_seconds
                .or(other.default_lifetime_seconds),
            status_lifetimes_seconds: own
                .status_lifetimes_seconds
                .or(other.status_lifetimes_seconds),
            heuristic: own.heuristic.or(other.heuristic),
            stale_while_revalidate_seconds: own
                .stale_while_revalidate_seconds
                .or(other.stale_while_revalidate_seconds),
            stale_if_error_seconds: own.stale_if_error_seconds.or(other.stale_if_error_seconds),
            store_set_cookie: own.store_set_cookie.or(other.store_set_cookie),
            store_post: own.store_post.or(other.store_post),
            honour_request_directives: own
                .honour_request_directives
                .or(other.honour_request_directives),
            surrogate_control: own.surrogate_control.or(other.surrogate_control),
            slices: own.slices.or(other.slices),
            forward_cdn_cache_control: own
                .forward_cdn_cache_control
                .or(other.forward_cdn_cache_control),
            bypass: merged(own.bypass, other.bypass, Bypass::or),
            key: merged(own.key, other.key, Key::or),
        }
    }

    fn check_status_lifetimes(&self, problems: &mut Problems) {
        let Some(lifetimes) = &self.status_lifetimes_seconds else { return };
        problems.within(lifetimes.len() as u64, 0..=STATUS_LIFETIMES_MAX, "statuses and classes");
        for (statuses, seconds) in lifetimes {
            problems.at(statuses, |problems| {
                if let Err(error) = Statuses::parse(statuses) {
                    problems.add(error.to_string(), Some(statuses));
                }
                problems.within((*seconds).into(), 0..=YEAR_SECONDS, "seconds");
            });
        }
    }
}

impl Check for Cache {
    fn check(&self, problems: &mut Problems) {
        for (field, seconds) in [
            ("lifetime_seconds", self.lifetime_seconds),
            ("default_lifetime_seconds", self.default_lifetime_seconds),
            ("stale_while_revalidate_seconds", self.stale_while_revalidate_seconds),
            ("stale_if_error_seconds", self.stale_if_error_seconds),
        ] {
            if let Some(seconds) = seconds {
                problems.at(field, |problems| {
                    problems.within(seconds.into(), 0..=YEAR_SECONDS, "seconds");
                });
            }
        }
        problems.at("status_lifetimes_seconds", |problems| self.check_status_lifetimes(problems));
        if let Some(bypass) = &self.bypass {
            problems.at("bypass", |problems| bypass.check(problems));
        }
        if let Some(key) = &self.key {
            problems.at("key", |problems| key.check(problems));
        }
    }
}

/// Both together where both are there.
fn merged<T>(own: Option<T>, fallback: Option<T>, or: impl FnOnce(T, T) -> T) -> Option<T> {
    match (own, fallback) {
        (Some(own), Some(fallback)) => Some(or(own, fallback)),
        (own, fallback) => own.or(fallback),
    }
}

/// Names of fields, cookies or parameters in one list.
const NAMES_MAX: u64 = 32;
const NAME_MAX_BYTES: usize = 256;

/// Checks a list of names that is a member of the current place.
fn check_names(
    member: &str,
    names: Option<&Vec<String>>,
    problems: &mut Problems,
    check: impl Fn(&str, &mut Problems),
) {
    let names = names.map(Vec::as_slice).unwrap_or_default();
    problems.at(member, |problems| problems.within(names.len() as u64, 0..=NAMES_MAX, "names"));
    problems.each(member, names, |problems, name| {
        if name.len() > NAME_MAX_BYTES {
            problems.add(format!("must be at most {NAME_MAX_BYTES} bytes long"), Some(name));
        } else {
            check(name, problems);
        }
    });
}

fn check_field(name: &str, problems: &mut Problems) {
    if http::HeaderName::try_from(name).is_err() {
        problems.add("must be a field name (RFC 9110 §5.1)", Some(&name));
    }
}

/// A cookie's name is a token (RFC 6265 §4.1.1), which is what a field's name is.
fn check_cookie(name: &str, problems: &mut Problems) {
    if http::HeaderName::try_from(name).is_err() {
        problems.add("must be a cookie's name (RFC 6265 §4.1.1)", Some(&name));
    }
}

fn check_parameter(name: &str, problems: &mut Problems) {
    let right = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'&' | b'=' | b'#');
    if name.is_empty() || !name.bytes().all(right) {
        let detail = "must be a parameter's name as it stands in a URL, without `&`, `=` and `#`";
        problems.add(detail, Some(&name));
    }
}

#[cfg(test)]
mod tests;
