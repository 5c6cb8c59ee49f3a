//! What does a site's rule change of the standard behaviour? [`CachePolicy::default`] changes nothing.
//!
//! The edge resolves a rule into this type; nothing here is parsed. Lifetimes and windows count whole
//! seconds (a fraction is dropped) up to 2³¹, as `delta-seconds` do (RFC 9111 §1.2.2).

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;

use crate::list::MAX_DELTA;

/// The caching part of a site's rule, resolved.
///
/// No setting here overrides `no-store`, `private`, `no-cache` or the §3.5 rule for `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// Replaces the freshness lifetime of every cacheable response below status 400, whether the origin
    /// gave one or not.
    pub lifetime: Option<Duration>,
    /// Lifetime of a cacheable response below status 400 that gives none; comes before the heuristic.
    pub default_lifetime: Option<Duration>,
    /// Lifetime of a response of some statuses that gives none; comes before `default_lifetime`. Makes
    /// such responses storable that RFC 9111 §4.2.2 would not cache (403, 500, …).
    pub status_lifetimes: StatusLifetimes,
    /// Window for a response that has a positive lifetime and says nothing (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// Window for a response that has a lifetime and says nothing (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
    /// Use the heuristic of RFC 9111 §4.2.2: a tenth of the time since `Last-Modified`.
    pub heuristic: bool,
    /// Store responses that carry `Set-Cookie`, as RFC 9111 §7.3 allows. Off: they are refused.
    pub store_set_cookie: bool,
    /// Store a POST response whose `Content-Location` is its target (RFC 9110 §9.3.3), for GET.
    pub store_post: bool,
    /// Honour the client's `Cache-Control` and `Pragma`. Off: clients can't make this cache forward.
    pub honour_request_directives: bool,
    /// Read `Surrogate-Control` when no field of RFC 9213 applies.
    pub surrogate_control: bool,
}

impl CachePolicy {
    /// What the standard says, and nothing else.
    pub const STANDARD: Self = Self {
        lifetime: None,
        default_lifetime: None,
        status_lifetimes: StatusLifetimes::NONE,
        stale_while_revalidate: None,
        stale_if_error: None,
        heuristic: true,
        store_set_cookie: false,
        store_post: false,
        honour_request_directives: true,
        surrogate_control: false,
    };
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// Lifetimes by status, or by class of status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusLifetimes {
    /// Invariant: three digits for one status, the first of them for its class.
    by_digits: BTreeMap<u16, Duration>,
}

impl StatusLifetimes {
    /// No status has one.
    pub const NONE: Self = Self { by_digits: BTreeMap::new() };

    /// Gives one status a lifetime, whatever its class has.
    pub fn set(&mut self, status: StatusCode, lifetime: Duration) {
        self.by_digits.insert(status.as_u16(), lifetime);
    }

    /// Gives every status of the class of `first` (200, 300, …) a lifetime.
    pub fn set_class(&mut self, first: StatusCode, lifetime: Duration) {
        self.by_digits.insert(first.as_u16() / 100, lifetime);
    }

    /// That of the status itself, else that of its class.
    pub(crate) fn of(&self, status: StatusCode) -> Option<Duration> {
        let own = self.by_digits.get(&status.as_u16());
        own.or_else(|| self.by_digits.get(&(status.as_u16() / 100))).copied()
    }
}

/// `duration` as `delta-seconds`.
pub(crate) fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).map_or(MAX_DELTA, |seconds| seconds.min(MAX_DELTA))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_capped_like_delta_seconds() {
        let check = |duration, expected| assert_eq!(whole_seconds(duration), expected);
        check(Duration::from_millis(1999), 1);
        check(Duration::from_secs(1 << 31), MAX_DELTA);
        check(Duration::from_secs(1 << 40), MAX_DELTA);
    }

    #[test]
    fn a_status_goes_before_its_class() {
        let mut lifetimes = StatusLifetimes::default();
        lifetimes.set(StatusCode::NOT_FOUND, Duration::from_secs(10));
        lifetimes.set_class(StatusCode::BAD_REQUEST, Duration::from_secs(4));
        let check = |status, expected: Option<u64>| {
            let found = lifetimes.of(StatusCode::from_u16(status).unwrap());
            assert_eq!(found.map(|lifetime| lifetime.as_secs()), expected, "{status}");
        };
        check(404, Some(10));
        check(400, Some(4));
        check(499, Some(4));
        check(500, None);
        check(200, None);
    }
}
