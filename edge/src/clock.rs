//! The one place where this program reads clocks.
//!
//! The wall clock tells what others are told, and what RFC 9111 §4.2.3 compares with their Date. It can be set to any
//! time, at any time. What lasts here is measured by a clock that nobody sets: Linux's `CLOCK_BOOTTIME`, which goes on
//! while the machine sleeps.

use rustix::time::{ClockId, clock_gettime};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

/// Where Linux tells which start of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// How long something has been here that was received in the future, by the wall clock of another start of the machine:
/// longer than anything is fresh, and may be used stale after that (RFC 9111 §1.2.2: 2^31 seconds each).
const UNKNOWN: Duration = Duration::from_secs(1 << 32);

/// A time on the clock that nobody sets, in nanoseconds since the machine started. Negative for what was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Steady(i64);

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) wall: SystemTime,
    pub(crate) steady: Steady,
}

/// A start of the machine, by a hash of the name that Linux gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Boot(pub(crate) u64);

impl Steady {
    /// When the machine started.
    pub(crate) const BOOT: Self = Self(0);

    pub(crate) const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    pub(crate) const fn nanoseconds(self) -> i64 {
        self.0
    }

    /// Time from `earlier` to this; zero where that is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let nanoseconds = i128::from(self.0) - i128::from(earlier.0);
        u64::try_from(nanoseconds).map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// This time less `duration`.
    pub(crate) fn before(self, duration: Duration) -> Self {
        let nanoseconds = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(nanoseconds))
    }
}

impl Now {
    /// When what was received at this time, in the start `then` of the machine, was received by the clocks as they are in
    /// the start `boot`, at `now`. Where the steady clock has begun anew, the wall clock tells how long ago that was.
    pub(crate) fn carried_over(self, then: Option<Boot>, boot: Option<Boot>, now: Self) -> Self {
        if then.is_some() && then == boot && self.steady <= now.steady {
            return self;
        }
        let Ok(resident) = now.wall.duration_since(self.wall) else {
            return Self { steady: now.steady.before(UNKNOWN), ..self };
        };
        let steady = now.steady.before(resident);
        let is_earlier = then.is_some() && boot.is_some();
        Self { steady: if is_earlier { steady.min(Steady::BOOT) } else { steady }, ..self }
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

/// The start of the machine that [`steady`] counts from; none where the system doesn't tell.
pub(crate) fn boot() -> Option<Boot> {
    static BOOT: LazyLock<Option<Boot>> = LazyLock::new(|| {
        let id = std::fs::read(BOOT_ID).ok()?;
        let mut hash = [0; 8];
        blake3::Hasher::new().update(&id).finalize_xof().fill(&mut hash);
        Some(Boot(u64::from_le_bytes(hash)))
    });
    *BOOT
}

#[cfg(test)]
impl Now {
    /// The beginning of both clocks.
    pub(crate) const ZERO: Self = Self { wall: SystemTime::UNIX_EPOCH, steady: Steady::BOOT };

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
        assert_eq!(early.before(Duration::MAX), Steady(i64::MIN));
    }

    #[test]
    fn the_steady_clock_runs_and_has_a_beginning() {
        let first = steady();
        assert!(first > Steady::BOOT && steady() >= first);
        assert!(boot().is_some());
    }
}
