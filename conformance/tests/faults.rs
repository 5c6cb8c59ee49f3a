//! An edge with a disk tier, killed and damaged for a few cycles. `LONGSHORE_FAULT_CYCLES` is how many, `LONGSHORE_SEED`
//! which ones; `conformance/faults/run.sh` goes through many more.
//!
//! Run `cargo build --workspace` first: these tests start the programs.

use conformance::faults::{Fault, NotPermitted, run, table};
use std::str::FromStr;

const CYCLES: u64 = 2;
const SEED: u64 = 4;

fn setting<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[expect(clippy::print_stderr, reason = "a test that can't be made is told of")]
async fn check(fault: Fault) {
    let cycles = setting("LONGSHORE_FAULT_CYCLES", CYCLES);
    let tally = run(fault, cycles, setting("LONGSHORE_SEED", SEED)).await;
    let tally = match tally {
        Err(error) if error.is::<NotPermitted>() => return eprintln!("skipped: {error}"),
        tally => tally.unwrap_or_else(|error| panic!("{error:#}")),
    };
    let rows = [(fault.to_string(), tally)];
    assert!(rows[0].1.is_clean(), "{}\n{}", table(&rows), rows[0].1.problems().join("\n"));
}

#[tokio::test]
async fn what_is_stored_outlasts_a_kill() {
    check(Fault::Kill).await;
}

#[tokio::test]
async fn a_kill_while_room_is_made_does_no_harm() {
    check(Fault::Crowded).await;
}

#[tokio::test]
async fn flipped_bits_are_never_served() {
    check(Fault::Flip).await;
}

#[tokio::test]
async fn damaged_files_are_never_served() {
    check(Fault::Cut).await;
}

#[tokio::test]
async fn directories_may_vanish() {
    check(Fault::Vanish).await;
}

#[tokio::test]
async fn devices_may_be_full() {
    check(Fault::Full).await;
}

#[tokio::test]
async fn calls_may_fail() {
    check(Fault::Errors).await;
}

#[tokio::test]
async fn devices_may_lie() {
    check(Fault::Lies).await;
}
