//! Compares whole servers on one machine: `side-by-side RESULTS.json`, started by `run.sh`.
//!
//! One origin for all. Each answer is checked before it is measured. What counts is the processor time a request
//! costs the server, from `/proc` and wrk's own count; requests a second and latencies depend on what else runs.

mod case;
mod client;
mod cpu;
mod machine;
mod measure;
mod servers;
mod table;
mod template;

use anyhow::{Context, Result, bail};
use machine::{machine, number};
use measure::{Effort, Run, rounds};
use serde_json::{Value, json};
use servers::{Server, Setting};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use testkit::Authority;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let results = std::env::args_os().nth(1).context("usage: side-by-side RESULTS.json")?;
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
    let directory = TempDir::new()?;
    let peers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers");
    let bodies = files(directory.path())?;
    let (_origin, origin) =
        servers::origin(&peers, directory.path(), &directory.path().join("files")).await?;
    let effort =
        Effort { seconds: number("BENCH_SECONDS", 3)?, rounds: number("BENCH_ROUNDS", 5)? };
    let mut tables = Vec::new();
    for access_log in [false, true] {
        let runs = with_log(directory.path(), &peers, origin, access_log, &bodies, effort).await?;
        println!("access log {}\n\n{}", if access_log { "on" } else { "off" }, table::table(&runs));
        let runs: Vec<Value> = runs.iter().map(Run::json).collect();
        tables.push(json!({ "access_log": access_log, "runs": runs }));
    }
    let record = json!({
        "machine": machine(),
        "seconds": effort.seconds,
        "rounds": effort.rounds,
        "tables": tables,
    });
    std::fs::write(results, serde_json::to_string_pretty(&record)?)?;
    println!("raw results: {}", results.display());
    Ok(())
}

async fn with_log(
    directory: &Path,
    peers: &Path,
    origin: SocketAddr,
    access_log: bool,
    bodies: &HashMap<usize, Vec<u8>>,
    effort: Effort,
) -> Result<Vec<Run>> {
    let directory = directory.join(if access_log { "logged" } else { "silent" });
    std::fs::create_dir(&directory)?;
    let values = certificate(&directory)?;
    let setting = Setting {
        peers: peers.to_owned(),
        directory,
        origin,
        access_log,
        values,
        varnish_storage: "malloc,256m".to_owned(),
    };
    let names = std::env::var("BENCH_SERVERS");
    let names = names.unwrap_or_else(|_| "floor longshore nginx varnish".to_owned());
    let mut servers = Vec::new();
    for name in names.split_whitespace() {
        servers.push(Server::start(name, &setting).await?);
    }
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("wrk.lua");
    let runs = rounds(&servers, bodies, &script, effort).await;
    for server in servers {
        server.stop().await;
    }
    runs
}

/// A certificate for every server, and where it and its key are.
fn certificate(directory: &Path) -> Result<Vec<(&'static str, String)>> {
    let issued = Authority::new().issue(&[servers::HOST, "127.0.0.1"]);
    let mut values = Vec::new();
    for (name, pem) in [("certificate", &issued.chain), ("key", &issued.key)] {
        let path = directory.join(name);
        std::fs::write(&path, pem)?;
        values.push((name, path.display().to_string()));
    }
    Ok(values)
}

/// Files named by their length, of bytes that don't compress.
fn files(directory: &Path) -> Result<HashMap<usize, Vec<u8>>> {
    let directory = directory.join("files");
    std::fs::create_dir(&directory)?;
    let mut bodies = HashMap::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for length in case::lengths() {
        let noise = std::iter::repeat_with(|| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[7]
        });
        let body: Vec<u8> = noise.take(length).collect();
        std::fs::write(directory.join(length.to_string()), &body)?;
        bodies.insert(length, body);
    }
    Ok(bodies)
}
