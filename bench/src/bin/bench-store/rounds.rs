//! Rounds of requests over a set of objects, and the processor time they cost a server.

use crate::cpu::CpuTime;
use crate::load::Load;
use crate::object::{Object, fraction};
use crate::servers::Server;
use crate::tiers::Tiers;
use anyhow::Result;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Passes over a set after which what isn't a hit yet won't be one.
const PASSES_MAX: usize = 5;

/// One server asked for some seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    pub(crate) requests_per_second: f64,
    /// Shares of the requests, and of the hits.
    pub(crate) hits: f64,
    pub(crate) from_disk: f64,
}

impl Round {
    pub(crate) fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "user_us": self.user_us, "system_us": self.system_us,
            "requests_per_second": self.requests_per_second,
            "hits": self.hits, "from_disk": self.from_disk,
        })
    }
}

/// Asks for each of `objects` until all are hits, or more passes don't help. Returns the share of hits.
pub(crate) async fn stored(load: &Load, objects: &Arc<Vec<Object>>) -> Result<f64> {
    let mut hits = 0.0;
    for pass in 0..PASSES_MAX {
        let all = Arc::clone(objects);
        let all = (0..).map_while(move |index| all.get(index).copied());
        let tally = if pass == 0 { load.clone().in_bulk() } else { load.clone() }.run(all).await?;
        hits = share(tally.hits, tally.requests);
        if tally.hits == tally.requests {
            break;
        }
    }
    Ok(hits)
}

/// Asks for objects at random.
#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
pub(crate) async fn round(
    server: &Server,
    load: Load,
    objects: &Arc<Vec<Object>>,
    seconds: u64,
) -> Result<Round> {
    let (objects, begun) = (Arc::clone(objects), Instant::now());
    let random = (0..).map_while(move |number| objects.get(chosen(number, objects.len())).copied());
    let random = random.take_while(move |_| begun.elapsed() < Duration::from_secs(seconds));
    let ids = server.ids();
    let (tiers, before) = (Tiers::of(server).await, CpuTime::of(&ids)?);
    let tally = load.run(random).await?;
    let spent = CpuTime::of(&ids)?.since(before);
    let from_disk = match (Tiers::of(server).await, tiers) {
        (Some(after), Some(before)) => after.disk_share_since(&before),
        _ => f64::NAN,
    };
    let requests = tally.requests as f64;
    Ok(Round {
        user_us: spent.user * 1e6 / requests,
        system_us: spent.system * 1e6 / requests,
        requests_per_second: requests / tally.seconds,
        hits: share(tally.hits, tally.requests),
        from_disk,
    })
}

/// A number below `count`, at random but the same for the same number.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction of a count is a count"
)]
pub(crate) fn chosen(number: u64, count: usize) -> usize {
    (fraction(number) * count as f64) as usize
}

/// `part` of `whole`, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The middle one of numbers; of an even count the higher of two.
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Medians of every number on its own.
pub(crate) fn middle(rounds: &[Round]) -> Round {
    let of = |number: fn(&Round) -> f64| median(rounds.iter().map(number));
    let user_us = of(|round| round.user_us);
    Round {
        user_us,
        system_us: of(Round::cpu_us) - user_us,
        requests_per_second: of(|round| round.requests_per_second),
        hits: of(|round| round.hits),
        from_disk: of(|round| round.from_disk),
    }
}

/// The processor time of each round over that of the same round of another server.
pub(crate) fn ratios(rounds: &[Round], others: &[Round]) -> Vec<f64> {
    rounds.iter().zip(others).map(|(own, other)| own.cpu_us() / other.cpu_us()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_round() {
        let round = |user_us| Round {
            user_us,
            system_us: 1.0,
            requests_per_second: 1.0,
            hits: 1.0,
            from_disk: 1.0,
        };
        let rounds = [round(1.0), round(3.0), round(5.0)];
        assert_eq!(ratios(&rounds, &[round(0.0), round(1.0), round(5.0)]), [2.0, 2.0, 1.0]);
        assert_eq!((middle(&rounds).user_us, middle(&rounds).cpu_us()), (3.0, 4.0));
    }

    #[test]
    fn every_object_is_chosen() {
        let mut seen = [false; 50];
        (0..1_000).for_each(|number| seen[chosen(number, 50)] = true);
        assert!(seen.iter().all(|seen| *seen));
    }
}
