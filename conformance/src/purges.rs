//! Purges under load, with random timing: is what was purged ever served after every edge has said that it has it?
//!
//! The origin counts the versions of each page and says in each body which one it is. A purge that every edge has
//! confirmed raises the floor of the pages it selects; a response to a request that was sent later, with a version below
//! the floor, is a violation. Each [`Item`] is one way in which caches are known to get this wrong.

mod clock;
mod items;
mod load;
mod origin;
mod world;

use crate::differential::Random;
use anyhow::Result;
use std::fmt::Write as _;
use world::World;

/// What is tried in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// By each kind of selector, at edges with and without a disk tier.
    Selectors,
    /// A fill that began before the purge and ends after it.
    InFlight,
    /// All variants of a URL.
    Variants,
    /// A large body in slices.
    Slices,
    /// A response with several tags, by any of them.
    SeveralTags,
    /// Two purges at the same moment.
    TwoAtOnce,
    /// A soft purge: renewed soon, and not taken for fresh meanwhile.
    Soft,
    /// The wall clock of the edges jumps.
    ClockJump,
    /// An edge is killed at any moment after the purge was accepted.
    EdgeKilled,
    /// An edge is away while there are many purges, and comes back.
    EdgeAway,
    /// Control is killed at any moment of the purge.
    ControlKilled,
    /// What another site has stored, under the same paths and tags, is not reached.
    OtherTenant,
}

impl Item {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Selectors,
        Self::InFlight,
        Self::Variants,
        Self::Slices,
        Self::SeveralTags,
        Self::TwoAtOnce,
        Self::Soft,
        Self::ClockJump,
        Self::EdgeKilled,
        Self::EdgeAway,
        Self::ControlKilled,
        Self::OtherTenant,
    ];
}

/// What came of the rounds of one item.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Rounds made.
    pub rounds: u64,
    /// Responses that were held against a floor.
    pub checked: u64,
    /// What was purged and served all the same.
    pub violations: Vec<String>,
    /// Anything else that went wrong.
    pub failures: Vec<String>,
}

impl Tally {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.failures.is_empty()
    }
}

/// Makes rounds of each of the items, whose timing follows from `seed`, beside a load on every edge.
///
/// # Errors
/// When a program can't be started.
pub async fn run(items: &[Item], rounds: u64, seed: u64) -> Result<Vec<(Item, Tally)>> {
    let mut random = Random::new(seed);
    let mut world = World::start().await?;
    let mut tallies = Vec::new();
    for &item in items {
        world.begin();
        let load = load::start(&world, &mut random);
        for _ in 0..rounds {
            items::round(item, &mut world, &mut random).await?;
        }
        drop(load);
        tallies.push((item, Tally { rounds, ..world.tally() }));
    }
    Ok(tallies)
}

/// A line for each item.
#[must_use]
pub fn table(tallies: &[(Item, Tally)]) -> String {
    let mut text = format!(
        "{:<14} {:>7} {:>9} {:>11} {:>9}\n",
        "", "rounds", "checked", "violations", "failures"
    );
    for (item, tally) in tallies {
        let (name, Tally { rounds, checked, violations, failures }) = (format!("{item:?}"), tally);
        let (violations, failures) = (violations.len(), failures.len());
        // writing to a string cannot fail
        let _written =
            writeln!(text, "{name:<14} {rounds:>7} {checked:>9} {violations:>11} {failures:>9}");
    }
    for (item, tally) in tallies {
        for problem in tally.violations.iter().chain(&tally.failures) {
            let _written = writeln!(text, "{item:?}: {problem}");
        }
    }
    text
}
