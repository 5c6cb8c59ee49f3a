//! Do all edges come to the same, whatever happens, and is nothing that was purged ever used as fresh by an edge that has
//! said that it adopted the purge?
//!
//! Several edges follow one control through networks that cut, lose, repeat and delay, and are killed with what they had
//! not flushed. What decides is real: [`Adopted`], its journal, [`purge::Purges`]. What is around it is modelled: control's
//! log with its compaction and retention, the store, the clock. Everything follows from a seed, which a failure tells.

mod control;
mod edge;

use api::purge::Mode;
use control::{Accepted, Control};
use edge::Edge;

const SEEDS: u64 = 1_000;
const STEPS: usize = 120;
const EDGES: usize = 3;

/// A sequence of numbers that follows from a seed (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % end
    }

    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(super) fn of<'t, T>(&mut self, choices: &'t [T]) -> &'t T {
        &choices[self.below(choices.len())]
    }
}

struct World {
    seed: u64,
    random: Random,
    /// Counts up with each step: what really was before what.
    now: u64,
    control: Control,
    edges: Vec<Edge>,
}

impl World {
    fn new(seed: u64) -> Self {
        let edges = (0..EDGES).map(|number| Edge::new(number, number % 2 == 0)).collect();
        Self { seed, random: Random(seed), now: 0, control: Control::new(), edges }
    }

    fn step(&mut self) {
        let Self { random, control, edges, .. } = self;
        self.now += 1;
        match random.below(24) {
            0 => control.put(random, edges),
            1 if random.one_in(3) => control.remove(random, edges),
            2..=4 => control.purge(self.now, random, edges),
            5 => control.retain(random),
            6 if random.one_in(20) => control.begin_anew(random, edges),
            _ => {}
        }
        let number = random.below(EDGES);
        let edge = &mut edges[number];
        match random.below(24) {
            0..=6 => edge.deliver(control, random),
            7 => edge.cut(),
            8 => edge.disturb(random),
            9..=11 => edge.begin_fetch(random, self.now),
            12..=14 => edge.end_fetch(random),
            15..=18 => edge.serve(random),
            19..=20 => edge.flush(),
            21 => edge.rewrite(),
            22 if random.one_in(3) => edge.kill(random),
            22 if random.one_in(8) => edge.lose_state(),
            23 => edge.coarsen(random),
            _ => {}
        }
        self.check();
    }

    /// No edge uses as fresh what was purged by what it has acknowledged.
    fn check(&self) {
        for edge in &self.edges {
            for Accepted { log, seq, at, matches, mode, region } in &self.control.accepted {
                let concerns = region.is_none() || edge.is_in_region;
                if !concerns
                    || edge.acknowledged.get(log).is_none_or(|acknowledged| acknowledged < seq)
                {
                    continue;
                }
                for stored in edge.usable().filter(|stored| stored.began < *at) {
                    let is_used = match mode {
                        Mode::Hard => stored.is_used_at_all,
                        Mode::Soft => stored.is_used_as_fresh,
                    };
                    assert!(
                        !is_used || !matches(&stored.what),
                        "seed {}: edge {} uses {stored:?}, purged by {seq}",
                        self.seed,
                        edge.number
                    );
                }
            }
        }
    }

    /// The network works again, and everything is delivered.
    fn settle(&mut self) {
        for edge in &mut self.edges {
            edge.cut();
            while edge.applied(&self.control.log) < Some(self.control.newest()) {
                edge.deliver(&self.control, &mut self.random);
            }
            edge.flush();
            let what = format!("seed {}, edge {}", self.seed, edge.number);
            assert_eq!(edge.sites(), self.control.sites(), "{what}");
            assert_eq!(edge.sites(), edge.restarted().sites(), "{what}");
        }
        self.check();
        for edge in &mut self.edges {
            // what is fetched from now on is used
            edge.forget_stored();
            for _ in 0..4 {
                edge.begin_fetch(&mut self.random, self.now);
            }
            edge.end_all_fetches();
            assert!(edge.usable().all(|stored| stored.is_used_as_fresh), "seed {}", self.seed);
        }
    }
}

#[test]
fn all_edges_converge_and_use_nothing_that_was_purged() {
    let only = std::env::var("SIMULATION_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = only.map_or(1..SEEDS + 1, |seed| seed..seed + 1);
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
    }
}
