//! May a stored response be used for this request, now?

use crate::clock::{Now, Steady};
use crate::stage::fail;
use crate::stage::shield::Asking;
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

/// Decides whether a stored response is used. One that was purged softly is used as if its lifetime had ended now.
pub(crate) fn decide(
    kept: Kept,
    asked: &RequestDirectives,
    verdict: Verdict,
    now: Steady,
) -> Outcome {
    let resident = kept.resident(now);
    let freshness = match verdict {
        Verdict::Gone(_) => return Outcome::Purged,
        Verdict::Stale(_) => kept.freshness.ended(resident),
        Verdict::Current => kept.freshness,
    };
    Outcome::Stored { reuse: freshness.reuse(resident, asked), kept: Kept { freshness, ..kept } }
}

/// The same where another edge asks. It would take what was purged softly for fresh, and for newer than the purge: so
/// that is validated, and isn't used where that fails.
pub(crate) fn decide_for(
    asking: &Asking,
    kept: Kept,
    asked: &RequestDirectives,
    verdict: Verdict,
    now: Steady,
) -> Outcome {
    let to_be_validated = asking.is_edge() && matches!(verdict, Verdict::Stale(_));
    let freshness = if to_be_validated { kept.freshness.to_be_validated() } else { kept.freshness };
    decide(Kept { freshness, ..kept }, asked, verdict, now)
}

/// What becomes of a request that was `received` before it waited for another's fetch. What that fetch brought is later
/// than this request, and so as good an answer to it, even where it is to be validated before each use (RFC 9111 §4),
/// unless it was purged: that fetch began before the purge, and this request may have come after it.
pub(crate) fn after_waiting(outcome: Outcome, verdict: Verdict, received: Steady) -> Outcome {
    let is_later = |kept: Kept| verdict == Verdict::Current && kept.received.steady > received;
    match outcome {
        Outcome::Stored { reuse: Reuse::Validate, kept } if is_later(kept) => {
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

    #[test]
    fn another_edge_gets_nothing_that_was_purged_softly() {
        let edge = Asking::Edge { answer: http::HeaderValue::from_static("x"), is_ahead: false };
        let check = |asking: &Asking, verdict, reuse: Reuse, on_error: bool| {
            let asked = RequestDirectives::default();
            let outcome = decide_for(asking, kept("max-age=60", 0), &asked, verdict, later(1));
            let Outcome::Stored { reuse: found, .. } = outcome else { panic!("{verdict:?}") };
            let error = Error::new_up(ErrorType::ConnectRefused);
            let serves = serves_stale(outcome, &asked, Some(&error), later(1));
            assert_eq!((found, serves), (reuse, on_error), "{asking:?} {verdict:?}");
        };
        check(&edge, Verdict::Stale(5), Reuse::Validate, false);
        check(&edge, Verdict::Current, Reuse::Fresh, true);
        check(&Asking::Client, Verdict::Stale(5), Reuse::WhileRevalidating, true);
    }

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
        let waited = |outcome, verdict| after_waiting(outcome, verdict, later(1));
        assert_eq!(reuse(waited(received(2), Verdict::Current)), Some(Reuse::Fresh));
        assert_eq!(reuse(waited(received(1), Verdict::Current)), Some(Reuse::Validate));
        assert_eq!(reuse(waited(received(2), Verdict::Stale(5))), Some(Reuse::Validate));
        assert_eq!(waited(Outcome::Purged, Verdict::Gone(5)), Outcome::Purged);
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
    fn a_soft_purge_ends_the_lifetime_and_no_more() {
        let check = |cache_control, seconds, request: &'static str, expected, on_error| {
            let request: &[_] =
                if request.is_empty() { &[] } else { &[("cache-control", request)] };
            let asked = RequestDirectives::read(&testing::fields(request), &CachePolicy::default());
            let now = later(seconds);
            let outcome = decide(kept(cache_control, 4), &asked, Verdict::Stale(5), now);
            let Outcome::Stored { reuse, .. } = outcome else { panic!("{outcome:?}") };
            let about = format!("{cache_control} {seconds} {request:?}");
            assert_eq!(reuse, expected, "{about}");
            let origin = Error::new_up(ErrorType::ConnectRefused);
            assert_eq!(serves_stale(outcome, &asked, Some(&origin), now), on_error, "{about}");
            let in_background = expected == Reuse::WhileRevalidating;
            assert_eq!(serves_stale(outcome, &asked, None, now), in_background, "{about}");
        };
        check("max-age=60", 0, "", Reuse::WhileRevalidating, true);
        check("max-age=60", 59, "", Reuse::WhileRevalidating, true);
        check("max-age=60", 60, "", Reuse::Validate, false);
        check("max-age=60, stale-while-revalidate=9", 65, "", Reuse::WhileRevalidating, false);
        check("max-age=60, stale-if-error=9", 65, "", Reuse::Validate, true);
        check("max-age=60, immutable", 30, "max-age=0", Reuse::Validate, true);
        for forbidding in ["must-revalidate", "proxy-revalidate", "s-maxage=60"] {
            let said: &'static str = format!("max-age=60, {forbidding}").leak();
            check(said, 30, "", Reuse::Validate, false);
            check(said, 30, "max-stale", Reuse::Validate, false);
            check(said, 30, "only-if-cached", Reuse::GatewayTimeout, false);
        }
        check("max-age=60", 30, "no-cache", Reuse::Validate, false);
        check("max-age=60", 30, "only-if-cached", Reuse::WhileRevalidating, true);
        check("max-age=60", 30, "max-age=50", Reuse::Validate, true);
        check("max-age=60", 30, "max-age=50, max-stale", Reuse::WhileRevalidating, true);
        check("max-age=60", 30, "min-fresh=1", Reuse::Validate, true);
        check("max-age=60", 70, "max-stale", Reuse::Stale, false);
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
