//! Requests as a cache sees them: few objects are asked for often, many once; small ones are more than large ones.

use crate::object::{Object, fraction, mixed};

/// Bytes of the middle object, and the bounds of all.
const MIDDLE_BYTES: f64 = 8_192.0;
const LEAST_BYTES: f64 = 1_024.0;
const MOST_BYTES: f64 = 65_536.0;

/// Objects with a popularity: the one of rank r is asked for in proportion to 1 / r^alpha.
pub(crate) struct Zipf {
    /// Invariant: ascends to the sum of all.
    cumulative: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(count: u64, alpha: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=count).map(|rank| {
            sum += rank_weight(rank, alpha);
            sum
        });
        Self { cumulative: cumulative.collect() }
    }

    /// The number of an object, at random but the same for the same request.
    pub(crate) fn number(&self, request: u64) -> u64 {
        let sum = self.cumulative.last().copied().unwrap_or_default();
        // away from the seeds of lengths
        let point = fraction(request ^ 0x5bd1_e995_0000_0000) * sum;
        self.cumulative.partition_point(|&below| below <= point) as u64
    }
}

#[expect(clippy::cast_precision_loss, reason = "ranks are below 2^53")]
fn rank_weight(rank: u64, alpha: f64) -> f64 {
    (rank as f64).powf(-alpha)
}

/// The object of a number. Lengths are lognormal within their bounds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds")]
pub(crate) fn object(number: u64) -> Object {
    // Box and Muller's way from two uniform numbers to a normal one
    let (first, second) = (fraction(mixed(number)), fraction(mixed(number) ^ 1));
    let normal = (-2.0 * (1.0 - first).ln()).sqrt() * (std::f64::consts::TAU * second).cos();
    let length = (MIDDLE_BYTES * normal.exp()).clamp(LEAST_BYTES, MOST_BYTES);
    Object { number, length: length as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_asked_for_as_often_as_alpha_says() {
        let zipf = Zipf::new(1_000, 0.9);
        let mut counts = vec![0_u32; 1_000];
        for request in 0..200_000 {
            counts[usize::try_from(zipf.number(request)).unwrap()] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[9]);
        assert!((ratio / 10_f64.powf(0.9) - 1.0).abs() < 0.1, "{ratio}");
        assert!(counts[999] > 0);
    }

    #[test]
    fn lengths_lie_around_the_middle() {
        let mut lengths: Vec<usize> = (0..10_001).map(|number| object(number).length).collect();
        lengths.sort_unstable();
        assert!((7_800..8_600).contains(&lengths[5_000]), "{}", lengths[5_000]);
        assert!(lengths[0] == 1_024 && lengths[10_000] == 65_536);
    }
}
