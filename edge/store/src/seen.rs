//! Was it read before, not long ago?

use std::sync::atomic::{AtomicU64, Ordering};

/// What is remembered; a power of two.
const PLACES: usize = 1 << 15;

/// The responses that were read from the disk tier last, approximately: two share a place now and then. In 256 KiB.
pub(crate) struct Seen {
    numbers: Box<[AtomicU64]>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { numbers: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Seen {
    /// Whether the response with this number was seen before; it is from now on.
    pub(crate) fn is_again(&self, number: u64) -> bool {
        // numbers of neighbours differ in their lowest bits
        let place = usize::try_from(number).unwrap_or_default() % PLACES;
        let place = self.numbers.get(place);
        place.is_some_and(|place| place.swap(number, Ordering::Relaxed) == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_is_again() {
        let seen = Seen::default();
        assert!(!seen.is_again(7) && seen.is_again(7));
        let other = 7 + PLACES as u64;
        assert!(!seen.is_again(other) && !seen.is_again(7), "one place remembers one");
    }
}
