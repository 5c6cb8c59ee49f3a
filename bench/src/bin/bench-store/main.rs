//! The store under measurement, beside nginx's and Varnish's: `bench-store WHAT RESULTS.json`, WHAT being `disk`, `flat`,
//! `resident`, `restart` or `trace`, started by the scripts of these names.
//!
//! Origin and client are parts of this program, and every byte that comes back is compared with what the origin has.

#[path = "../../cpu.rs"]
mod cpu;
mod disk;
mod ending;
mod flat;
mod load;
#[path = "../../machine.rs"]
mod machine;
mod object;
mod origin;
mod process;
mod resident;
mod restart;
mod rounds;
#[path = "../../servers.rs"]
#[expect(dead_code, reason = "the origin is this program's own")]
mod servers;
mod setup;
#[path = "../../template.rs"]
mod template;
mod tiers;
mod trace;
mod zipf;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use setup::Bench;
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: bench-store disk|flat|resident|restart|trace RESULTS.json";
    let what = arguments.next().context(usage)?;
    let results = arguments.next().context(usage)?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        finished = measure(&what, Path::new(&results)) => finished,
        // dropping `measure` ends every process it started
        _interrupted = tokio::signal::ctrl_c() => bail!("interrupted"),
        _terminated = terminated.recv() => bail!("terminated"),
    }
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
async fn measure(what: &str, results: &Path) -> Result<()> {
    let bench = Bench::new()?;
    let measured: Value = match what {
        "disk" => disk::run(&bench).await?,
        "flat" => flat::run(&bench).await?,
        "resident" => resident::run(&bench).await?,
        "restart" => restart::run(&bench).await?,
        "trace" => trace::run(&bench).await?,
        _ => bail!("`{what}` is nothing that is measured"),
    };
    let record = json!({ "kind": what, "machine": machine::machine(), "results": measured });
    std::fs::write(results, serde_json::to_string_pretty(&record)?)?;
    println!("raw results: {}", results.display());
    Ok(())
}
