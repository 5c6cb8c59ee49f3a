//! When is a certificate replaced by the one that follows it? When a third of its life is left, or when its authority
//! says so (RFC 9773).

use super::backoff::after;
use crate::clock::Moment;
use std::time::Duration;

/// The part of a certificate's life by which renewals are spread, before the last third.
const SPREAD: f64 = 0.05;
/// How often an authority is asked at least and at most when it wants a certificate replaced (RFC 9773 §4.3).
const ASK: (Duration, Duration) = (Duration::from_secs(3_600), Duration::from_secs(24 * 3_600));

/// When an authority wants a certificate replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: Moment,
    pub(crate) end: Moment,
}

/// When a certificate is to be replaced: in the authority's window where it gave one, else when a third of its life is
/// left or a little before. `chance` is from 0 up to 1.
pub(crate) fn renew_at(
    not_before: Moment,
    not_after: Moment,
    window: Option<Window>,
    chance: f64,
) -> Moment {
    let between = |start: Moment, end: Moment, part: f64| {
        let length = Duration::from_millis(end.since(start));
        after(start, length.mul_f64(part))
    };
    let third = between(not_before, not_after, 2.0 / 3.0 - SPREAD * chance);
    match window {
        // a window that is none, or that ends after the certificate, is not one to follow (RFC 9773 §4.2)
        Some(Window { start, end }) if start < end && end <= not_after => {
            between(start, end, chance)
        }
        _ => third,
    }
}

/// When the authority is to be asked next, which said to come again in `said`.
pub(crate) fn ask_again(said: Duration, now: Moment) -> Moment {
    after(now, said.clamp(ASK.0, ASK.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn a_third_of_the_life_is_left_or_the_window_has_come() {
        let check = |days: i64, window: Option<(i64, i64)>, chance: f64, expected: f64| {
            let window = window
                .map(|(start, end)| Window { start: Moment(start * DAY), end: Moment(end * DAY) });
            let at = renew_at(Moment(0), Moment(days * DAY), window, chance);
            #[expect(clippy::cast_possible_truncation, reason = "a number of days")]
            let expected = (expected * DAY as f64) as i64;
            assert!((at.0 - expected).abs() <= 1, "{days} {window:?} {chance}: {at:?}");
        };
        check(90, None, 0.0, 60.0);
        check(90, None, 1.0, 55.5);
        check(6, None, 0.0, 4.0);
        check(90, Some((50, 52)), 0.5, 51.0);
        check(90, Some((50, 50)), 0.0, 60.0);
        check(90, Some((52, 50)), 0.0, 60.0);
        check(90, Some((100, 101)), 0.0, 60.0);
        check(90, Some((0, 1)), 0.0, 0.0);
    }

    #[test]
    fn the_authority_is_asked_neither_often_nor_seldom() {
        let check = |said: u64, expected: i64| {
            let next = ask_again(Duration::from_secs(said), Moment(0));
            assert_eq!(next.0, expected * 1_000);
        };
        check(0, 3_600);
        check(21_600, 21_600);
        check(864_000, 86_400);
    }
}
