//! What does a site's rule change of the standard behaviour? [`CachePolicy::default`] changes nothing.
//!
//! The edge resolves a rule into this type; nothing here is parsed. Lifetimes and windows count whole
//! seconds (a fraction is dropped) up to 2³¹, as `delta-seconds` do (RFC 9111 §1.2.2).

use std::time::Duration;

use crate::list::MAX_DELTA;

/// The caching part of a site's rule, resolved.
///
/// No setting here overrides `no-store`, `private`, `no-cache` or the §3.5 rule for `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// Replaces the freshness lifetime of every cacheable response below status 400, whether the origin
    /// gave one or not.
    pub lifetime: Option<Duration>,
    /// Lifetime of a cacheable response below status 400 that gives none; comes before the heuristic.
    pub default_lifetime: Option<Duration>,
    /// Lifetime of a response of status 400 and above that gives none. Makes such responses storable
    /// that RFC 9111 §4.2.2 would not cache (403, 500, …).
    pub error_lifetime: Option<Duration>,
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

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            lifetime: None,
            default_lifetime: None,
            error_lifetime: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            heuristic: true,
            store_set_cookie: false,
            store_post: false,
            honour_request_directives: true,
            surrogate_control: false,
        }
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
}
