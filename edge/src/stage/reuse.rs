//! May a stored response be used for this request, now?

use crate::clock::{Now, Steady};
use crate::stage::fail;
use pingora_error::Error;
use purge::Verdict;
use semantics::directives::RequestDirectives;
use semantics::freshness::Freshness;
use semantics::reuse::Reuse;
use std::time::Duration;

/// What is kept beside a stored response to decide its reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) freshness: Freshness,
    /// When it was received, or last validated: by the wall clock, for what is compared with dates of the origin, and by
    /// the steady one, for how long it has been here.
    pub(crate) received: Now,
    /// Its status tells of a failure of the origin.
    pub(crate) is_failure: bool,
    /// The sequence number its edge had applied when its fetch began.
    pub(crate) applied: u64,
    /// Whether its clients get `CDN-Cache-Control`, as the rule said when it was stored.
    pub(crate) forwards_cdn_cache_control: bool,
}

impl Kept {
    /// How long it has been here, whatever the wall clock was set to meanwhile.
    pub(crate) fn resident(&self, now: Steady) -> Duration {
        now.since(self.received.steady)
    }
}

/// What became of the store's answer to this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Outcome {
    /// Nothing was stored, or nothing asked.
    #[default]
    Nothing,
    /// Something was stored. How it may be used, and by which facts.
    Stored { reuse: Reuse, kept: Kept },
    /// Something was stored, and has been purged.
    Purged,
}

/// Decides whether a stored response is used.
pub(crate) fn decide(
    kept: Kept,
    asked: &RequestDirectives,
    verdict: Verdict,
    now: Steady,
) -> Outcome {
    if let Verdict::Gone(_) = verdict {
        return Outcome::Purged;
    }
    Outcome::Stored { reuse: kept.freshness.reuse(kept.resident(now), asked), kept }
}

/// What becomes of a request that was `received` before it waited for another's fetch. What that fetch brought is later
/// than this request, and so as good an answer to it, even where it is to be validated before each use (RFC 9111 §4).
pub(crate) fn after_waiting(outcome: Outcome, received: Steady) -> Outcome {
    match outcome {
        Outcome::Stored { reuse: Reuse::Validate, kept } if kept.received.steady > received => {
            Outcome::Stored { reuse: Reuse::Fresh, kept }
        }
        other => other,
    }
}

/// Whether a HEAD is forwarded as it is, where `outcome` is what there is for it.
pub(crate) const fn forwards_head(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Nothing | Outcome::Purged => true,
        Outcome::Stored { reuse, .. } => matches!(reuse, Reuse::Validate),
    }
}

/// Whether a stale response is used: while another request fetches a new one, or instead of an `error` that is the
/// origin's.
pub(crate) fn serves_stale(
    outcome: Outcome,
    asked: &RequestDirectives,
    error: Option<&Error>,
    now: Steady,
) -> bool {
    let Outcome::Stored { reuse, kept } = outcome else { return false };
    match error {
        None => reuse == Reuse::WhileRevalidating,
        Some(error) => {
            // a newer failure tells more than an older one
            fail::is_of_origin(error)
                && !kept.is_failure
                && kept.freshness.may_be_used_on_error(kept.resident(now), asked)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing::{self, STORED_AT, kept};
    use pingora_error::ErrorType;
    use semantics::policy::CachePolicy;

    fn later(seconds: u64) -> Steady {
        STORED_AT.after(Duration::from_secs(seconds)).steady
    }

    #[test]
    fn what_was_fetched_while_a_request_waited_answers_it() {
        let received = |seconds| {
            let now = Now::ZERO.after(Duration::from_secs(seconds));
            let kept = Kept { received: now, ..kept("max-age=60", 0) };
            Outcome::Stored { reuse: Reuse::Validate, kept }
        };
        let reuse = |outcome| match outcome {
            Outcome::Stored { reuse, .. } => Some(reuse),
            Outcome::Nothing | Outcome::Purged => None,
        };
        assert_eq!(reuse(after_waiting(received(2), later(1))), Some(Reuse::Fresh));
        assert_eq!(reuse(after_waiting(received(1), later(1))), Some(Reuse::Validate));
        assert_eq!(after_waiting(Outcome::Purged, later(1)), Outcome::Purged);
    }

    #[test]
    fn a_purge_reaches_what_was_fetched_before_it() {
        let decided = |verdict| {
            decide(kept("max-age=60", 4), &RequestDirectives::default(), verdict, later(0))
        };
        assert_eq!(decided(Verdict::Gone(5)), Outcome::Purged);
        let current = decided(Verdict::Current);
        assert!(matches!(current, Outcome::Stored { reuse: Reuse::Fresh, .. }));
    }

    #[test]
    fn head_is_forwarded_where_nothing_answers_it() {
        let check = |cache_control, seconds, request: &[(&'static str, &'static str)], expected| {
            let asked = RequestDirectives::read(&testing::fields(request), &CachePolicy::default());
            let now = later(seconds);
            let outcome = decide(kept(cache_control, 0), &asked, Verdict::Current, now);
            assert_eq!(forwards_head(outcome), expected, "{cache_control} {seconds}");
        };
        check("max-age=60", 30, &[], false);
        check("max-age=60", 90, &[], true);
        check("max-age=60", 30, &[("cache-control", "no-cache")], true);
        check("max-age=60", 90, &[("cache-control", "max-stale")], false);
        check("max-age=60, stale-while-revalidate=60", 90, &[], false);
        check("max-age=60, stale-if-error=60", 90, &[], true);
        assert!(forwards_head(Outcome::Purged));
    }

    #[test]
    fn stale_is_served_only_where_allowed() {
        let origin = Error::new_up(ErrorType::ConnectRefused);
        let client = Error::new_down(ErrorType::ReadError);
        let check = |cache_control, seconds, error: Option<&Error>, expected| {
            let asked = RequestDirectives::default();
            let now = later(seconds);
            let outcome = decide(kept(cache_control, 0), &asked, Verdict::Current, now);
            assert_eq!(
                serves_stale(outcome, &asked, error, now),
                expected,
                "{cache_control} {seconds} {error:?}"
            );
        };
        check("max-age=1, stale-while-revalidate=60", 30, None, true);
        check("max-age=1, stale-while-revalidate=60", 90, None, false);
        check("max-age=1, stale-while-revalidate=60", 30, Some(&origin), false);
        check("max-age=1, stale-if-error=60", 30, Some(&origin), true);
        check("max-age=1, stale-if-error=60", 30, Some(&client), false);
        check("max-age=1, stale-if-error=60, must-revalidate", 30, Some(&origin), false);
    }
}
