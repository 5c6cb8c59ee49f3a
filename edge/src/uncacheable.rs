//! Which names had a response of late that was not to be stored, and why?
//!
//! A table of fixed size, for what is remembered of URLs that are asked for once each must cost next to nothing. A name
//! has one place, by its hash, and the name that came last has the place. Names are told apart by 32 further bits of the
//! hash: where those are the same too, one in four thousand million, two names share what is remembered, and a request
//! doesn't wait that might have.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Reasons that are told apart; there are fewer.
const REASONS_MAX: usize = 64;
/// Seconds are counted in so many bits, and around: 194 days.
const SECONDS_BITS: u32 = 24;
const SECONDS_MASK: u64 = (1 << SECONDS_BITS) - 1;

/// The table.
pub(crate) struct Uncacheable {
    /// Invariant: as many as a power of two. Each is zero, or a name's mark (32 bits), until when it counts (24 bits), and
    /// the number of its reason, from one (8 bits).
    places: Box<[AtomicU64]>,
    reasons: [OnceLock<&'static str>; REASONS_MAX],
    lifetime_seconds: u64,
    started: Instant,
}

impl Uncacheable {
    /// Remembers nothing yet; later at least `names` names, if their places are different ones, for `lifetime` each.
    pub(crate) fn new(names: usize, lifetime: Duration) -> Self {
        let places = names.next_power_of_two();
        Self {
            places: (0..places).map(|_| AtomicU64::new(0)).collect(),
            reasons: [const { OnceLock::new() }; REASONS_MAX],
            lifetime_seconds: lifetime.as_secs().clamp(1, SECONDS_MASK / 2),
            started: Instant::now(),
        }
    }

    /// Remembers why a response of the name with this hash, to a request with or without Authorization, was not stored.
    /// What is known already is forgotten when it would have been.
    pub(crate) fn remember(&self, hash: [u8; 16], authorized: bool, reason: &'static str) {
        self.remember_at(hash, authorized, reason, self.now());
    }

    /// Why the last response of the name with this hash, to a request with or without Authorization, was not stored.
    pub(crate) fn reason(&self, hash: [u8; 16], authorized: bool) -> Option<&'static str> {
        self.reason_at(hash, authorized, self.now())
    }

    /// Forgets a name.
    pub(crate) fn forget(&self, hash: [u8; 16], authorized: bool) {
        let (place, mark) = self.place(hash, authorized);
        let held = place.load(Ordering::Relaxed);
        if held >> 32 == mark {
            // another name may have taken the place meanwhile, and keeps it
            place.compare_exchange(held, 0, Ordering::Relaxed, Ordering::Relaxed).ok();
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    fn remember_at(&self, hash: [u8; 16], authorized: bool, reason: &'static str, now: u64) {
        if self.reason_at(hash, authorized, now).is_some() {
            return;
        }
        let Some(number) = self.number(reason) else { return };
        let (place, mark) = self.place(hash, authorized);
        let until = (now + self.lifetime_seconds) & SECONDS_MASK;
        place.store(mark << 32 | until << 8 | number, Ordering::Relaxed);
    }

    fn reason_at(&self, hash: [u8; 16], authorized: bool, now: u64) -> Option<&'static str> {
        let (place, mark) = self.place(hash, authorized);
        let held = place.load(Ordering::Relaxed);
        let number = usize::try_from(held & 0xff).ok()?.checked_sub(1)?;
        let left = (held >> 8 & SECONDS_MASK).wrapping_sub(now) & SECONDS_MASK;
        let counts = held >> 32 == mark && (1..=self.lifetime_seconds).contains(&left);
        self.reasons.get(number).filter(|_| counts)?.get().copied()
    }

    /// A name's place, and the mark by which it knows the name.
    fn place(&self, hash: [u8; 16], authorized: bool) -> (&AtomicU64, u64) {
        let bits = u128::from_le_bytes(hash);
        let which = u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        let index = usize::try_from(which).unwrap_or_default() & (self.places.len() - 1);
        let mark = u64::try_from(bits >> 96).unwrap_or_default() ^ u64::from(authorized);
        (&self.places[index], mark)
    }

    /// The number of a reason, from one; a new one where it has none.
    fn number(&self, reason: &'static str) -> Option<u64> {
        let known = |place: &OnceLock<_>| *place.get_or_init(|| reason) == reason;
        let number = self.reasons.iter().position(known)?;
        u64::try_from(number + 1).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIFETIME: u64 = 60;

    fn table(names: usize) -> Uncacheable {
        Uncacheable::new(names, Duration::from_secs(LIFETIME))
    }

    #[test]
    fn a_name_is_remembered_for_its_time_and_no_longer() {
        let table = table(8);
        for began in [0, SECONDS_MASK - 30, SECONDS_MASK + 1_000, 3 * SECONDS_MASK] {
            table.remember_at([1; 16], false, "private", began);
            let check = |after, expected| {
                assert_eq!(
                    table.reason_at([1; 16], false, began + after),
                    expected,
                    "{began} {after}"
                );
            };
            check(0, Some("private"));
            check(LIFETIME - 1, Some("private"));
            check(LIFETIME, None);
            check(10 * LIFETIME, None);
        }
    }

    #[test]
    fn what_is_known_is_forgotten_when_it_would_have_been() {
        let table = table(8);
        table.remember_at([1; 16], false, "private", 0);
        table.remember_at([1; 16], false, "no-store", 30);
        assert_eq!(table.reason_at([1; 16], false, 59), Some("private"));
        assert_eq!(table.reason_at([1; 16], false, 60), None);
        table.remember_at([1; 16], false, "no-store", 60);
        assert_eq!(table.reason_at([1; 16], false, 60), Some("no-store"));
        table.forget([1; 16], false);
        assert_eq!(table.reason_at([1; 16], false, 60), None);
    }

    #[test]
    fn authorization_is_remembered_apart() {
        let table = table(8);
        table.remember([1; 16], true, "authorization");
        assert_eq!(table.reason([1; 16], true), Some("authorization"));
        assert_eq!(table.reason([1; 16], false), None);
        table.forget([1; 16], false);
        assert_eq!(table.reason([1; 16], true), Some("authorization"));
    }

    #[test]
    fn more_reasons_than_there_are_numbers_are_not_remembered() {
        let table = table(256);
        for number in 0..=REASONS_MAX {
            let reason: &'static str = Box::leak(number.to_string().into_boxed_str());
            let hash = [u8::try_from(number).unwrap(); 16];
            table.remember(hash, false, reason);
            let expected = (number < REASONS_MAX).then_some(reason);
            assert_eq!(table.reason(hash, false), expected);
        }
    }

    proptest! {
        #[test]
        fn names_are_told_apart_wherever_they_are(
            names in proptest::collection::vec((any::<[u8; 16]>(), any::<bool>()), 1..50),
            other: [u8; 16],
        ) {
            let table = table(4);
            names.iter().for_each(|(name, authorized)| table.remember(*name, *authorized, "private"));
            let (last, authorized) = names.last().unwrap();
            prop_assert_eq!(table.reason(*last, *authorized), Some("private"));
            prop_assume!(names.iter().all(|(name, _)| name[12..] != other[12..]));
            prop_assert_eq!(table.reason(other, false), None);
        }
    }
}
