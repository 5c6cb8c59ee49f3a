//! May a line be written to the log about something that happens again and again?

use crate::clock::Steady;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Between two lines.
const PAUSE: Duration = Duration::from_mins(1);

/// When a line was written last.
pub(crate) struct Rarely(AtomicI64);

impl Rarely {
    /// Never.
    pub(crate) const fn new() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }

    /// Whether none was written for [`PAUSE`]. True for one of those who ask at once.
    pub(crate) fn is_time(&self, now: Steady) -> bool {
        let told = self.0.load(Ordering::Relaxed);
        now.since(Steady::from_nanoseconds(told)) >= PAUSE
            && self
                .0
                .compare_exchange(told, now.nanoseconds(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_once_in_a_while() {
        let rarely = Rarely::new();
        let at = |seconds: i64| Steady::from_nanoseconds(seconds * 1_000_000_000);
        assert!(rarely.is_time(at(0)) && !rarely.is_time(at(0)) && !rarely.is_time(at(59)));
        assert!(rarely.is_time(at(60)) && !rarely.is_time(at(61)));
    }
}
