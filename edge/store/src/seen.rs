//! Was it read before, not long ago?

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is remembered; a power of two.
const PLACES: usize = 1 << 15;
/// One request may look for a response more than once, within so long.
const REQUEST: Duration = Duration::from_millis(20);

/// The responses that were read from the disk tier last, approximately: two share a place now and then. In 512 KiB.
pub(crate) struct Seen {
    places: Box<[Place]>,
    began: Instant,
}

/// What was seen last here. The two are changed one after the other: a mistake costs one copy into memory.
#[derive(Default)]
struct Place {
    number: AtomicU64,
    /// Nanoseconds since the store began.
    at: AtomicU64,
}

impl Default for Seen {
    fn default() -> Self {
        let places = (0..PLACES).map(|_| Place::default()).collect();
        Self { places, began: Instant::now() }
    }
}

impl Seen {
    /// Whether the response with this number was seen before, by another request; it is from now on.
    pub(crate) fn is_again(&self, number: u64) -> bool {
        self.is_again_at(number, self.began.elapsed())
    }

    fn is_again_at(&self, number: u64, elapsed: Duration) -> bool {
        // numbers of neighbours differ in their lowest bits
        let place = usize::try_from(number).unwrap_or_default() % PLACES;
        let Some(Place { number: seen, at }) = self.places.get(place) else { return false };
        let now = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let was_seen = seen.swap(number, Ordering::Relaxed) == number;
        let since = Duration::from_nanos(now.saturating_sub(at.load(Ordering::Relaxed)));
        if was_seen && since < REQUEST {
            return false;
        }
        at.store(now, Ordering::Relaxed);
        was_seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_request_has_seen_is_again() {
        let seen = Seen::default();
        let at = |milliseconds| Duration::from_millis(milliseconds);
        assert!(!seen.is_again_at(7, at(100)));
        assert!(!seen.is_again_at(7, at(119)), "the same request's");
        assert!(seen.is_again_at(7, at(120)));
        let other = 7 + PLACES as u64;
        assert!(!seen.is_again_at(other, at(200)));
        assert!(!seen.is_again_at(7, at(300)), "one place remembers one");
    }
}
