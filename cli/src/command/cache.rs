//! `longshore cache`: stats, list, inspect.

mod inspect;
mod list;
mod stats;

use crate::args::Cache as Args;
use crate::edge::Edge;
use crate::failure::Failure;
use crate::output::Output;
use crate::settings::Given;
use api::cache::{State, Tier};

/// Asks one edge, and shows what it says.
pub(crate) async fn run(args: Args, given: Given, output: Output) -> Result<(), Failure> {
    match args {
        Args::Stats { at } => stats::run(&Edge::at(&at, &given)?, output).await,
        Args::List(list) => list::run(&list, &Edge::at(&list.at, &given)?, output).await,
        Args::Inspect(inspect) => {
            inspect::run(&inspect, &Edge::at(&inspect.at, &given)?, output).await
        }
    }
}

/// `memory`, `memory, disk`.
fn tiers(tiers: &[Tier]) -> String {
    let word = |tier: &Tier| match tier {
        Tier::Filling => "filling",
        Tier::Memory => "memory",
        Tier::Disk => "disk",
    };
    tiers.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn state(state: State) -> &'static str {
    match state {
        State::Fresh => "fresh",
        State::Stale => "stale",
        State::Purged => "purged",
        State::Unreachable => "unreachable",
    }
}
