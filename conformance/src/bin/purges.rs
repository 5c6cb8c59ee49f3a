//! Purges under load, with random timing: `purges [ROUNDS [SEED [ITEM…]]]`.
//!
//! Exit code 0 when nothing that was purged was served, and nothing else went wrong, else 1.

use anyhow::{Context, Result, bail};
use conformance::purges::{Item, run, table};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

const ROUNDS: u64 = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        finished = all() => finished,
        // dropping `all` ends every process it started
        _interrupted = tokio::signal::ctrl_c() => bail!("interrupted"),
        _terminated = terminated.recv() => bail!("terminated"),
    }
}

#[expect(clippy::print_stdout, reason = "the report of a command")]
async fn all() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| match arguments.next() {
        Some(text) => text.parse().with_context(|| format!("no number: {text}")),
        None => Ok(default),
    };
    let (rounds, seed) = (number(ROUNDS)?, number(u64::from(std::process::id()))?);
    let named: Vec<String> = arguments.collect();
    let is_named = |item: &Item| named.is_empty() || named.contains(&format!("{item:?}"));
    let items: Vec<Item> = Item::ALL.into_iter().filter(is_named).collect();
    println!("seed {seed}");
    let tallies = run(&items, rounds, seed).await?;
    println!("{}", table(&tallies));
    let is_clean = tallies.iter().all(|(_, tally)| tally.is_clean());
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
