//! The one place where this program reads clocks.
//!
//! The wall clock tells what others are told, and what RFC 9111 §4.2.3 compares with their Date. It can be set to any
//! time, at any time. What lasts here is measured by a clock that nobody sets: Linux's `CLOCK_BOOTTIME`, which goes on
//! while the machine sleeps.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// A time on the clock that nobody sets, in nanoseconds since the machine started. Negative for what was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Steady(i64);

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) wall: SystemTime,
    pub(crate) steady: Steady,
}

impl Steady {
    /// Time from `earlier` to this; zero where that is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let nanoseconds = i128::from(self.0) - i128::from(earlier.0);
        u64::try_from(nanoseconds).map_or(Duration::ZERO, Duration::from_nanos)
    }
}

/// Both clocks.
pub(crate) fn now() -> Now {
    Now { wall: wall(), steady: steady() }
}

/// The wall clock.
pub(crate) fn wall() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "everything else takes `now` as an argument")]
    SystemTime::now()
}

/// The clock that nobody sets.
pub(crate) fn steady() -> Steady {
    let time = clock_gettime(ClockId::Boottime);
    Steady(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
}

#[cfg(test)]
impl Now {
    /// The beginning of both clocks.
    pub(crate) const ZERO: Self = Self { wall: SystemTime::UNIX_EPOCH, steady: Steady(0) };

    /// Later by `duration`, by both clocks.
    pub(crate) fn after(self, duration: Duration) -> Self {
        let nanoseconds = i64::try_from(duration.as_nanos()).unwrap();
        Self { wall: self.wall + duration, steady: Steady(self.steady.0 + nanoseconds) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_later_is_no_time_ago() {
        let (early, late) = (Steady(-5), Steady(7));
        assert_eq!(late.since(early), Duration::from_nanos(12));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Steady(i64::MAX).since(Steady(i64::MIN)), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn the_steady_clock_runs_and_has_a_beginning() {
        let first = steady();
        assert!(first > Steady(0) && steady() >= first);
    }
}
