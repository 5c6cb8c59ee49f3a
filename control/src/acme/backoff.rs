//! When is something that failed tried again? Later each time, never all at one moment, and not before somebody said.

use crate::clock::Moment;
use std::time::Duration;

/// DNS is looked at this often at least: who sets a record waits for it.
const VERIFICATION_MAX: Duration = Duration::from_secs(3_600);
/// An authority is asked this often at least.
const ORDER_MAX: Duration = Duration::from_secs(6 * 3_600);
/// The longest that a `Retry-After` is waited for.
const SAID_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// How long it is waited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delays {
    /// After the first failure. It doubles with each that follows.
    pub(crate) first: Duration,
}

/// What is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// To see in DNS whose a host is.
    Verification,
    /// To get a certificate.
    Order,
}

/// When to try again after `attempts` failures in a row: between three and five quarters of the delay, by `chance` from 0
/// up to 1, and not before `said`.
pub(crate) fn next_attempt(
    retry: Retry,
    attempts: u32,
    said: Option<Moment>,
    delays: &Delays,
    chance: f64,
    now: Moment,
) -> Moment {
    let most = match retry {
        Retry::Verification => VERIFICATION_MAX,
        Retry::Order => ORDER_MAX,
    };
    let doubled = delays.first.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    let delay = doubled.min(most).mul_f64(0.75 + 0.5 * chance);
    let said = said.map(|said| said.min(after(now, SAID_MAX)));
    after(now, delay).max(said.unwrap_or(now))
}

/// The moment `duration` later.
pub(crate) fn after(moment: Moment, duration: Duration) -> Moment {
    Moment(moment.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Moment = Moment(1_000_000);
    const DELAYS: Delays = Delays { first: Duration::from_secs(120) };

    #[test]
    fn delays_double_up_to_a_limit() {
        let check = |retry, attempts, said: Option<i64>, chance, expected: i64| {
            let said = said.map(|seconds| Moment(NOW.0 + seconds * 1_000));
            let next = next_attempt(retry, attempts, said, &DELAYS, chance, NOW);
            assert_eq!((next.0 - NOW.0) / 1_000, expected, "{attempts} {said:?} {chance}");
        };
        check(Retry::Order, 1, None, 0.5, 120);
        check(Retry::Order, 1, None, 0.0, 90);
        check(Retry::Order, 2, None, 0.5, 240);
        check(Retry::Order, 5, None, 0.5, 1_920);
        check(Retry::Order, 50, None, 0.5, 21_600);
        check(Retry::Verification, 50, None, 0.5, 3_600);
        check(Retry::Order, 1, Some(60), 0.5, 120);
        check(Retry::Order, 1, Some(7_200), 0.5, 7_200);
        check(Retry::Order, 1, Some(100 * 86_400), 0.5, 7 * 86_400);
        check(Retry::Order, 1, Some(-5), 0.5, 120);
    }

    proptest! {
        #[test]
        fn it_is_always_later_and_bounded(
            attempts in 0_u32.., said in proptest::option::of(any::<i64>()), chance in 0.0_f64..1.0,
        ) {
            for retry in [Retry::Verification, Retry::Order] {
                let next = next_attempt(retry, attempts, said.map(Moment), &DELAYS, chance, NOW);
                prop_assert!(next > NOW && next <= after(NOW, SAID_MAX.mul_f64(1.3)));
            }
        }
    }
}
