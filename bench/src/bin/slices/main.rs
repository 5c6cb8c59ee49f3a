//! Ranges of a 10 GB file from many clients at once, in front of longshore-edge and of nginx with its slice module:
//! `slices RESULTS.json`, started by `slices.sh`.
//!
//! What counts is how much the origin is asked for beyond what clients want, the memory it takes, and how long a client
//! waits for the first byte. Every byte is compared.

mod measure;
mod origin;
#[path = "../../servers.rs"]
#[expect(dead_code, reason = "processor time and a floor are not measured here")]
mod servers;
#[path = "../../template.rs"]
mod template;

use anyhow::{Context, Result, bail};
use measure::{Crowd, crowd, peak_bytes, ranges};
use origin::{LENGTH, Origin};
use serde_json::{Value, json};
use servers::{Server, Setting};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

const SERVERS: [&str; 2] = ["longshore", "nginx"];
/// The same ranges twice: what was fetched for the first is there for the second.
const ROUNDS: [&str; 2] = ["first", "again"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let results = std::env::args_os().nth(1).context("usage: slices RESULTS.json")?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        finished = compare(Path::new(&results)) => finished,
        // dropping `compare` ends every process it started
        _interrupted = tokio::signal::ctrl_c() => bail!("interrupted"),
        _terminated = terminated.recv() => bail!("terminated"),
    }
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
async fn compare(results: &Path) -> Result<()> {
    let mut servers = Vec::new();
    println!(
        "{:<10} {:<6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "server", "round", "asked MB", "fetch MB", "fetches", "1st p50", "1st max", "peak MB"
    );
    for name in SERVERS {
        servers.push(measured(name).await?);
    }
    let record = json!({
        "kind": "slices",
        "file_bytes": LENGTH,
        "commit": std::env::var("BENCH_COMMIT").ok(),
        "versions": std::env::var("BENCH_VERSIONS").ok(),
        "load": std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
        "servers": servers,
    });
    std::fs::write(results, serde_json::to_string_pretty(&record)?)?;
    println!("raw results: {}", results.display());
    Ok(())
}

/// Both rounds in front of one server, alone.
#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
async fn measured(name: &str) -> Result<Value> {
    let (origin, directory) = (Origin::start().await?, TempDir::new()?);
    let setting = Setting {
        peers: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/slices"),
        directory: directory.path().to_owned(),
        origin: origin.address,
        access_log: false,
        values: Vec::new(),
        varnish_storage: String::new(),
    };
    let server = Server::start(name, &setting).await?;
    let ranges = ranges();
    let mut rounds = Vec::new();
    for round in ROUNDS {
        let crowd = crowd(&server, &origin, &ranges).await?;
        let peak_bytes = peak_bytes(&server.ids())?;
        let Crowd { asked_bytes, fetched_bytes, fetches, first_p50_ms, first_max_ms } = crowd;
        println!(
            "{name:<10} {round:<6} {:>9.1} {:>9.1} {fetches:>9} {first_p50_ms:>9.1} {first_max_ms:>9.1} {:>9.1}",
            megabytes(asked_bytes),
            megabytes(fetched_bytes),
            megabytes(peak_bytes)
        );
        rounds.push(json!({ "round": round, "peak_bytes": peak_bytes, "crowd": crowd.json() }));
    }
    server.stop().await;
    Ok(json!({ "server": name, "rounds": rounds }))
}

#[expect(clippy::cast_precision_loss, reason = "a number for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
