//! Caching, as an operator sets it for a site or for the paths of one rule.

use crate::check::{Check, Problems};
use serde::{Deserialize, Serialize};

const YEAR_SECONDS: u64 = 31_536_000;

/// How responses are cached. A field left out of a rule's is taken from the site's, and left out there too, from the
/// default given here. By default the origin's response fields decide, as RFC 9111 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Whether a client's own Cache-Control (`no-cache`, `max-age`, …; RFC 9111 §5.2.1) is followed. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub honour_request_directives: Option<bool>,
}

impl Cache {
    /// What holds when `self` is asked first and `fallback` second.
    #[must_use]
    pub fn or(self, fallback: Self) -> Self {
        Self {
            enabled: self.enabled.or(fallback.enabled),
            lifetime_seconds: self.lifetime_seconds.or(fallback.lifetime_seconds),
            default_lifetime_seconds: self
                .default_lifetime_seconds
                .or(fallback.default_lifetime_seconds),
            stale_while_revalidate_seconds: self
                .stale_while_revalidate_seconds
                .or(fallback.stale_while_revalidate_seconds),
            stale_if_error_seconds: self.stale_if_error_seconds.or(fallback.stale_if_error_seconds),
            store_set_cookie: self.store_set_cookie.or(fallback.store_set_cookie),
            honour_request_directives: self
                .honour_request_directives
                .or(fallback.honour_request_directives),
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
    }
}
