//! Purges under load, for a few rounds. `LONGSHORE_PURGE_ROUNDS` is how many, `LONGSHORE_SEED` which ones;
//! `conformance/purges/run.sh` makes many more.
//!
//! Run `cargo build --workspace` first: these tests start the programs.

use conformance::purges::{Item, run, table};
use std::str::FromStr;

const ROUNDS: u64 = 2;
const SEED: u64 = 5;

fn setting<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn what_was_purged_is_not_served() {
    let (rounds, seed) =
        (setting("LONGSHORE_PURGE_ROUNDS", ROUNDS), setting("LONGSHORE_SEED", SEED));
    let tallies = run(&Item::ALL, rounds, seed).await.unwrap_or_else(|error| panic!("{error:#}"));
    assert!(tallies.iter().all(|(_, tally)| tally.is_clean()), "{}", table(&tallies));
}
