//! What is the client told, beside the response itself?

use crate::clock::Steady;
use crate::context::Context;
use crate::stage::lookup::Lookup;
use crate::stage::reuse::{Kept, Outcome};
use crate::stage::shield::{self, Asking};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pingora_cache::{CachePhase, NoCacheReason};
use pingora_http::ResponseHeader;
use semantics::cache_status::{self, CacheStatus, Forward};
use semantics::reuse::Reuse;
use semantics::storing::Reason;

/// Field of RFC 9211.
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why Pingora stores nothing of a response that is cut into slices while it passes.
pub(crate) const CUT: &str = "cut";

/// How the cache took part, as far as Pingora's state machine knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) phase: CachePhase,
    /// The request waited for another's fetch.
    pub(crate) waited: bool,
    /// A variant other than the first was looked for.
    pub(crate) varied: bool,
    /// What is kept beside the response that is stored now.
    pub(crate) stored: Option<Kept>,
}

impl Part {
    /// Whether the client is answered with what was fetched for it and is stored as well.
    pub(crate) const fn is_fetched(&self) -> bool {
        matches!(self.phase, CachePhase::Miss | CachePhase::Expired | CachePhase::Revalidated)
    }
}

/// What the cache did, in one word: for metrics and the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Handling {
    /// Answered here, without store or origin.
    #[default]
    Local,
    Hit,
    Stale,
    Collapsed,
    Revalidated,
    Miss,
    Bypass,
}

impl Handling {
    pub(crate) const ALL: [Self; 7] = [
        Self::Local,
        Self::Hit,
        Self::Stale,
        Self::Collapsed,
        Self::Revalidated,
        Self::Miss,
        Self::Bypass,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Collapsed => "collapsed",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// Decides what Cache-Status says (RFC 9211 §2).
pub(crate) fn decide(
    part: Part,
    context: &Context,
    now: Steady,
) -> (Handling, CacheStatus<'static>) {
    let ttl = |kept: Kept| kept.freshness.ttl(kept.resident(now));
    let found = match context.outcome {
        Outcome::Stored { kept, .. } => Some(kept),
        Outcome::Nothing | Outcome::Purged => None,
    };
    let hit =
        |detail| CacheStatus { ttl: found.map(ttl), detail, ..cache_status::Outcome::Hit.into() };
    let forward = |reason| CacheStatus::from(cache_status::Outcome::Forward(reason));
    let stored = part.stored.map(ttl);
    let reason = forwarded_because(part, context);
    match part.phase {
        CachePhase::Hit if part.waited => (
            Handling::Collapsed,
            CacheStatus { collapsed: true, ttl: found.map(ttl), ..forward(reason) },
        ),
        CachePhase::Hit => (Handling::Hit, hit(None)),
        CachePhase::Stale => (Handling::Stale, hit(Some("stale-if-error"))),
        CachePhase::StaleUpdating => (Handling::Stale, hit(Some("stale-while-revalidate"))),
        CachePhase::Revalidated => {
            let forward_status = Some(StatusCode::NOT_MODIFIED);
            (
                Handling::Revalidated,
                CacheStatus { forward_status, stored: true, ttl: stored, ..forward(reason) },
            )
        }
        CachePhase::RevalidatedNoCache(_) => {
            let forward_status = Some(StatusCode::NOT_MODIFIED);
            (
                Handling::Revalidated,
                CacheStatus { forward_status, detail: context.refused, ..forward(reason) },
            )
        }
        CachePhase::Miss
        | CachePhase::Expired
        | CachePhase::Disabled(NoCacheReason::Custom(CUT)) => {
            (Handling::Miss, CacheStatus { stored: true, ttl: stored, ..forward(reason) })
        }
        CachePhase::Bypass => {
            (Handling::Bypass, CacheStatus { detail: context.remembered, ..forward(reason) })
        }
        CachePhase::Disabled(NoCacheReason::NeverEnabled)
        | CachePhase::Uninit
        | CachePhase::CacheKey => {
            // of a POST, the response may be stored all the same, and a HEAD may have freshened what is stored
            let (handling, detail) = match context.lookup {
                Lookup::Bypass { detail, .. } => (Handling::Bypass, detail),
                Lookup::Named(_) => {
                    (Handling::Miss, stored.is_none().then(|| Reason::Method.token()))
                }
            };
            let told =
                CacheStatus { stored: stored.is_some(), ttl: stored, detail, ..forward(reason) };
            (handling, told)
        }
        CachePhase::Disabled(disabled) => {
            let detail = Some(context.refused.unwrap_or_else(|| disabled_detail(disabled)));
            (Handling::Miss, CacheStatus { detail, ..forward(reason) })
        }
    }
}

/// Decides what Cache-Status says of a request that failed. `token` is what Proxy-Status calls the failure.
pub(crate) fn failed(part: Part, context: &Context, token: &'static str) -> CacheStatus<'static> {
    let outcome = match context.forward.began {
        Some(_) => cache_status::Outcome::Forward(forwarded_because(part, context)),
        None => cache_status::Outcome::Local,
    };
    CacheStatus { detail: Some(token), ..outcome.into() }
}

fn forwarded_because(part: Part, context: &Context) -> Forward {
    match (&context.lookup, context.outcome) {
        (Lookup::Bypass { reason, .. }, _) => *reason,
        (_, Outcome::Purged) => Forward::UriMiss,
        (_, Outcome::Stored { reuse: Reuse::Validate, kept }) => {
            let fresh = kept.freshness.ttl(kept.resident(context.received.steady)) > 0;
            if fresh && !context.asked.are_absent() { Forward::Request } else { Forward::Stale }
        }
        (_, Outcome::Stored { .. }) if !part.waited => Forward::Stale,
        _ if part.varied => Forward::VaryMiss,
        _ => Forward::UriMiss,
    }
}

const fn disabled_detail(reason: NoCacheReason) -> &'static str {
    match reason {
        NoCacheReason::ResponseTooLarge | NoCacheReason::PredictedResponseTooLarge => "too-large",
        NoCacheReason::CacheLockTimeout | NoCacheReason::CacheLockRetryLimit => "wait-timeout",
        NoCacheReason::CacheLockGiveUp => "not-collapsed",
        NoCacheReason::StorageError => "store",
        NoCacheReason::UpstreamError => "origin",
        NoCacheReason::Custom(detail) => detail,
        NoCacheReason::NeverEnabled
        | NoCacheReason::OriginNotCache
        | NoCacheReason::InternalError
        | NoCacheReason::Deferred
        | NoCacheReason::DeclinedToUpstream => "not-stored",
    }
}

/// Takes out what is for caches, adds Cache-Status after those of caches nearer the origin, and applies the rule's
/// changes. Another edge that asks is told that it was understood.
pub(crate) fn write(
    header: &mut ResponseHeader,
    status: &CacheStatus<'_>,
    context: &Context,
) -> pingora_error::Result<()> {
    for name in context.consumed {
        header.remove_header(name);
    }
    if let Asking::Edge { answer, .. } = &context.asking {
        header.insert_header(shield::FIELD, answer)?;
    }
    let key = context.hash.as_ref().map(KeyText::of);
    let status = CacheStatus { key: key.as_ref().map(KeyText::as_str), ..*status };
    header.append_header(CACHE_STATUS, value_of(&status))?;
    if let Some(changes) = context.response_changes() {
        for name in &changes.remove {
            header.remove_header(name);
        }
        for (name, value) in &changes.set {
            header.insert_header(name.clone(), value.clone())?;
        }
    }
    if let Some(hsts) = context.hsts() {
        header.insert_header(header::STRICT_TRANSPORT_SECURITY, hsts)?;
    }
    Ok(())
}

/// Gives the client for which a response was fetched the fields that aren't stored.
pub(crate) fn add_withheld(
    header: &mut ResponseHeader,
    withheld: &HeaderMap,
) -> pingora_error::Result<()> {
    for name in withheld.keys() {
        header.remove_header(name);
    }
    for (name, value) in withheld {
        header.append_header(name, value)?;
    }
    Ok(())
}

/// The `key` of Cache-Status: the beginning of a name's hash, in hexadecimal.
pub(crate) struct KeyText([u8; 16]);

impl KeyText {
    pub(crate) fn of(hash: &[u8; 16]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 16];
        for (digits, byte) in text.chunks_exact_mut(2).zip(hash) {
            digits
                .copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        // digits are ASCII
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The field's value.
pub(crate) fn value_of(status: &CacheStatus<'_>) -> HeaderValue {
    let mut value = Vec::with_capacity(64);
    status.append_to(&mut value);
    HeaderValue::from_maybe_shared(bytes::Bytes::from(value))
        .unwrap_or_else(|_| HeaderValue::from_static("longshore"))
}

/// Turns the 304 that stands for a failed precondition into the 412 it is (RFC 9110 §13.1.1).
pub(crate) fn precondition_failed(header: &mut ResponseHeader) -> pingora_error::Result<()> {
    header.set_status(StatusCode::PRECONDITION_FAILED)?;
    header.insert_header(header::CONTENT_LENGTH, 0)
}
