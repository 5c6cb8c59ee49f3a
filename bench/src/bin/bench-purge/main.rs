//! What purges cost, and how soon they are in force: `bench-purge RESULTS.json`, started by `purge.sh`.
//!
//! One real control and real edges on this machine. First purges one after the other, each waited for at all edges;
//! then ten thousand selectors a second in batches, offered whatever becomes of them; then hits of one edge with more
//! and more live purges of tags.

#[path = "../../cpu.rs"]
mod cpu;
mod fleet;
mod hits;
mod offered;
mod one_by_one;
#[path = "../../client/wrk.rs"]
#[expect(dead_code, reason = "only how many requests there were is asked")]
mod wrk;

use anyhow::{Context, Result, bail};
use fleet::Fleet;
use serde_json::{Value, json};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let results = std::env::args_os().nth(1).context("usage: bench-purge RESULTS.json")?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        finished = measure(Path::new(&results)) => finished,
        // dropping `measure` ends every process it started
        _interrupted = tokio::signal::ctrl_c() => bail!("interrupted"),
        _terminated = terminated.recv() => bail!("terminated"),
    }
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
async fn measure(results: &Path) -> Result<()> {
    let edges = setting("PURGE_EDGES", 20)?;
    let fleet = Fleet::start(edges).await?;
    let one_by_one = one_by_one::measure(&fleet, setting("PURGE_COUNT", 1_000)?).await?;
    println!("one by one: {one_by_one}");
    let seconds = setting("PURGE_SECONDS", 15)?;
    let mut offered: Vec<Value> = Vec::new();
    for (batches, selectors) in [(100, 100), (10, 1_000)] {
        let shape = offered::Shape { batches_per_second: batches, selectors, seconds };
        let found = offered::measure(&fleet, shape).await?;
        println!("offered: {found}");
        offered.push(found);
    }
    drop(fleet);
    let hits = hits::measure(&[0, 1_000, setting("PURGE_LIVE", 1_000_000)?]).await?;
    for found in &hits {
        println!("hits: {found}");
    }
    let record = json!({
        "kind": "purge",
        "commit": std::env::var("BENCH_COMMIT").ok(),
        "load": std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
        "edges": edges,
        "one_by_one": one_by_one,
        "offered": offered,
        "hits": hits,
    });
    std::fs::write(results, serde_json::to_string_pretty(&record)?)?;
    println!("raw results: {}", results.display());
    Ok(())
}

/// A number of the environment.
fn setting(name: &str, default: usize) -> Result<usize> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} must be a number")),
        Err(_) => Ok(default),
    }
}

/// What `share` of the times is at most, in milliseconds.
fn percentile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a small count"
    )]
    let index = ((times.len() as f64 - 1.0) * share).ceil() as usize;
    times.get(index).copied().unwrap_or_default()
}
