//! May a stored response be used for this request, now? RFC 9111 §4, §4.2.4, §5.2.1; RFC 5861; RFC 8246.
//!
//! What a request asks is advice (§5.2.1). Its `max-age`, which browsers send to reload a page, is not
//! taken against a fresh response that says `immutable`; its `no-cache`, a forced reload, and `min-fresh` are.
//!
//! The variant has been chosen ([`crate::vary`]) and purges compared by the caller. `resident` is the
//! time since the response was received or last validated; a clock set back makes it zero.

use std::time::Duration;

use http::StatusCode;

use crate::directives::RequestDirectives;
use crate::freshness::Freshness;
use crate::list::MAX_DELTA;

/// What to do with a stored response that matches the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Fresh: use it.
    Fresh,
    /// Stale, but the client takes it so (`max-stale`): use it.
    Stale,
    /// Stale within `stale-while-revalidate`: use it, and validate it in the background.
    WhileRevalidating,
    /// Validate it before use. If the origin fails, ask [`Freshness::may_be_used_on_error`].
    Validate,
    /// `only-if-cached`, and it can't be used as it is: answer 504 (§5.2.1.7).
    GatewayTimeout,
}

impl Freshness {
    /// Decides reuse `resident` after the response was received. Fresh only while lifetime > age
    /// (§4.2).
    pub fn reuse(&self, resident: Duration, asked: &RequestDirectives) -> Reuse {
        let age = self.age_milliseconds(resident);
        let by_response = self.by_response(age);
        if asked.are_absent() {
            return by_response;
        }
        match self.by_request(age, asked, by_response) {
            Reuse::Validate if asked.only_if_cached => Reuse::GatewayTimeout,
            decided => decided,
        }
    }

    /// Whether to use the response, fresh or stale, now that validating it has failed: the origin
    /// couldn't be reached, broke off, or answered a status [`is_origin_failure`] accepts. The
    /// request's `max-age` and `min-fresh` don't prevent it (RFC 5861 §4); either's `no-cache` does.
    pub fn may_be_used_on_error(&self, resident: Duration, asked: &RequestDirectives) -> bool {
        if self.validates_always() || asked.no_cache {
            return false;
        }
        let age = self.age_milliseconds(resident);
        if self.lifetime_milliseconds() > age {
            return true;
        }
        let asked = if self.forbids_stale() { 0 } else { asked.stale_if_error.unwrap_or(0) };
        let window = self.stale_if_error().max(seconds(asked));
        self.staleness(age) < window.as_millis()
    }

    fn by_response(&self, age: u64) -> Reuse {
        if self.validates_always() {
            Reuse::Validate
        } else if self.lifetime_milliseconds() > age {
            Reuse::Fresh
        } else if self.staleness(age) < self.stale_while_revalidate().as_millis() {
            Reuse::WhileRevalidating
        } else {
            Reuse::Validate
        }
    }

    fn by_request(&self, age: u64, asked: &RequestDirectives, by_response: Reuse) -> Reuse {
        let remaining = u128::from(self.lifetime_milliseconds().saturating_sub(age));
        let settled = self.is_immutable() && by_response == Reuse::Fresh;
        let too_old =
            !settled && asked.max_age.is_some_and(|max| u128::from(age) > seconds(max).as_millis());
        let too_short = asked.min_fresh.is_some_and(|min| remaining < seconds(min).as_millis());
        if asked.no_cache || too_old || too_short {
            return Reuse::Validate;
        }
        let tolerated = !self.forbids_stale()
            && asked.max_stale.is_some_and(|max| {
                max == MAX_DELTA || self.staleness(age) <= seconds(max).as_millis()
            });
        match by_response {
            Reuse::Validate if tolerated => Reuse::Stale,
            // §5.2.1.1: `max-age` alone also means "not stale".
            Reuse::WhileRevalidating if asked.max_age.is_some() && !tolerated => Reuse::Validate,
            decided => decided,
        }
    }

    fn staleness(&self, age: u64) -> u128 {
        u128::from(age.saturating_sub(self.lifetime_milliseconds()))
    }
}

/// Whether a status from the origin counts as an error of RFC 5861 §4, so that stale may be used.
pub fn is_origin_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::directives::ResponseDirectives;
    use crate::policy::CachePolicy;
    use crate::testing::head;

    /// Received fresh from the origin with this `Cache-Control`, whose `max-age` is the lifetime.
    fn freshness(cache_control: &str) -> Freshness {
        let policy = CachePolicy::default();
        let head = head(&[&format!("cache-control: {cache_control}")]);
        let directives = ResponseDirectives::read(&head, &policy);
        Freshness::new(&directives, &policy, directives.max_age, Duration::ZERO)
    }

    fn asked(cache_control: &str) -> RequestDirectives {
        let head = head(&[&format!("cache-control: {cache_control}")]);
        RequestDirectives::read(&head, &CachePolicy::default())
    }

    fn check(response: &str, request: &str, age: u64, expected: Reuse) {
        let reuse = freshness(response).reuse(Duration::from_secs(age), &asked(request));
        assert_eq!(reuse, expected, "{response:?} asked {request:?} at {age}");
    }

    #[test]
    fn a_response_is_fresh_while_its_lifetime_exceeds_its_age() {
        check("max-age=60", "", 0, Reuse::Fresh);
        check("max-age=60", "", 59, Reuse::Fresh);
        check("max-age=60", "", 60, Reuse::Validate);
        check("max-age=0", "", 0, Reuse::Validate);
        check("max-age=60, no-cache", "", 0, Reuse::Validate);
    }

    #[test]
    fn a_stale_response_is_used_while_it_is_revalidated() {
        check("max-age=60, stale-while-revalidate=30", "", 60, Reuse::WhileRevalidating);
        check("max-age=60, stale-while-revalidate=30", "", 89, Reuse::WhileRevalidating);
        check("max-age=60, stale-while-revalidate=30", "", 90, Reuse::Validate);
        check("max-age=60, stale-while-revalidate=30, must-revalidate", "", 60, Reuse::Validate);
        check("max-age=60, stale-while-revalidate=30", "max-age=600", 70, Reuse::Validate);
        check("max-age=60, stale-while-revalidate=30", "no-store", 70, Reuse::WhileRevalidating);
        check(
            "max-age=60, stale-while-revalidate=30",
            "max-age=600, max-stale",
            70,
            Reuse::WhileRevalidating,
        );
    }

    #[test]
    fn a_request_narrows_or_widens_reuse() {
        check("max-age=60", "no-cache", 0, Reuse::Validate);
        check("max-age=60", "no-store", 10, Reuse::Fresh);
        check("max-age=60", "max-age=10", 10, Reuse::Fresh);
        check("max-age=60", "max-age=10", 11, Reuse::Validate);
        check("max-age=60", "max-age=0", 1, Reuse::Validate);
        check("max-age=60", "max-age=10, max-stale=99", 11, Reuse::Validate);
        check("max-age=60", "min-fresh=50", 10, Reuse::Fresh);
        check("max-age=60", "min-fresh=50", 11, Reuse::Validate);
        check("max-age=60", "max-stale=10", 70, Reuse::Stale);
        check("max-age=60", "max-stale=10", 71, Reuse::Validate);
        check("max-age=60", "max-stale", 1 << 40, Reuse::Stale);
        check("max-age=60", "max-stale, no-cache", 70, Reuse::Validate);
    }

    #[test]
    fn a_reload_does_not_validate_what_is_immutable_while_it_is_fresh() {
        check("max-age=60, immutable", "max-age=0", 10, Reuse::Fresh);
        check("max-age=60, immutable", "max-age=5", 59, Reuse::Fresh);
        check("max-age=60, immutable", "max-age=0", 60, Reuse::Validate);
        check("max-age=60, immutable", "max-age=0, max-stale", 61, Reuse::Validate);
        check("max-age=60, immutable", "max-age=0, no-cache", 10, Reuse::Validate);
        check("max-age=60, immutable", "min-fresh=55", 10, Reuse::Validate);
        check("max-age=60, immutable, no-cache", "max-age=0", 10, Reuse::Validate);
        check("max-age=60, immutable, stale-while-revalidate=9", "max-age=0", 60, Reuse::Validate);
    }

    #[test]
    fn max_stale_stops_at_prohibitions() {
        for forbidding in ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"] {
            check(&format!("max-age=60, {forbidding}"), "max-stale", 60, Reuse::Validate);
        }
    }

    #[test]
    fn only_if_cached_never_forwards() {
        check("max-age=60", "only-if-cached", 0, Reuse::Fresh);
        check("max-age=60", "only-if-cached", 60, Reuse::GatewayTimeout);
        check("max-age=60", "only-if-cached, no-cache", 0, Reuse::GatewayTimeout);
        check("max-age=60", "only-if-cached, max-stale", 60, Reuse::Stale);
    }

    #[test]
    fn some_statuses_are_failures_of_the_origin() {
        for status in 100..1000 {
            let failure = is_origin_failure(StatusCode::from_u16(status).unwrap());
            assert_eq!(failure, [500, 502, 503, 504].contains(&status), "{status}");
        }
    }

    #[test]
    fn stale_survives_an_origin_error_only_in_its_window() {
        let check = |response: &str, request: &str, age, expected| {
            let freshness = freshness(response);
            let may = freshness.may_be_used_on_error(Duration::from_secs(age), &asked(request));
            assert_eq!(may, expected, "{response:?} asked {request:?} at {age}");
        };
        check("max-age=60", "", 60, false);
        check("max-age=60, stale-if-error=30", "", 60, true);
        check("max-age=60, stale-if-error=30", "", 90, false);
        check("max-age=60", "stale-if-error=30", 70, true);
        check("max-age=60, must-revalidate", "stale-if-error=30", 70, false);
        check("max-age=60, stale-if-error=30, s-maxage=60", "", 70, false);
        check("max-age=60, stale-if-error=30", "max-age=0", 70, true);
        check("max-age=60", "max-age=0", 10, true);
        check("max-age=60", "no-cache", 10, false);
        check("max-age=60, no-cache", "", 10, false);
    }

    fn rank(reuse: Reuse) -> u8 {
        match reuse {
            Reuse::Fresh => 0,
            Reuse::WhileRevalidating | Reuse::Stale => 1,
            Reuse::Validate | Reuse::GatewayTimeout => 2,
        }
    }

    proptest! {
        #[test]
        fn reuse_never_improves_with_time(
            lifetime in 0_u32..100, window in 0_u32..100, immutable in "(, immutable)?",
            asked in "((max-age|min-fresh|max-stale)=[0-9]{1,2}(, )?|no-cache, ){0,3}",
            first in 0_u64..300, later in 0_u64..300,
        ) {
            let cache_control = format!("max-age={lifetime}, stale-while-revalidate={window}{immutable}");
            let (freshness, asked) = (freshness(&cache_control), self::asked(&asked));
            let at = |seconds| freshness.reuse(Duration::from_secs(seconds), &asked);
            prop_assert!(rank(at(first)) <= rank(at(first + later)));
        }

        #[test]
        fn a_prohibition_is_never_passed(
            forbidding in "must-revalidate|proxy-revalidate|s-maxage=9|no-cache",
            asked in "((max-stale|stale-if-error|max-age)=[0-9]{1,9}, |max-stale, ){0,3}",
            age in 60_u64..10_000,
        ) {
            let said = format!("max-age=60, stale-while-revalidate=99, stale-if-error=99, {forbidding}");
            let (freshness, asked) = (freshness(&said), self::asked(&asked));
            let resident = Duration::from_secs(age);
            prop_assert_eq!(freshness.reuse(resident, &asked), Reuse::Validate);
            prop_assert!(!freshness.may_be_used_on_error(resident, &asked));
        }
    }
}
