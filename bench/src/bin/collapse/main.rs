//! Many clients at once for one response, and early hints, in front of longshore-edge, nginx and Varnish:
//! `collapse RESULTS.json`, started by `collapse.sh`.
//!
//! What counts is how often the origin is asked, and how long the clients wait; the origin's own time is known.

mod measure;
mod origin;
#[path = "../../servers.rs"]
#[expect(dead_code, reason = "processor time and a floor are not measured here")]
mod servers;
#[path = "../../template.rs"]
mod template;

use anyhow::{Context, Result, bail};
use measure::{CASES, Crowd, HINTED, HINTS, crowd, hints};
use origin::Origin;
use serde_json::{Value, json};
use servers::{Server, Setting};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

const SERVERS: [&str; 3] = ["longshore", "nginx", "varnish"];
const ROUNDS: usize = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let results = std::env::args_os().nth(1).context("usage: collapse RESULTS.json")?;
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
    let origin = Origin::start().await?;
    let mut servers = Vec::new();
    println!("{:<40} {:<10} {:>8} {:>9} {:>9}", "case", "server", "fetches", "p50 ms", "max ms");
    for name in SERVERS {
        servers.push(measured(name, &origin).await?);
    }
    let record = json!({
        "kind": "collapse",
        "rounds": ROUNDS,
        "commit": std::env::var("BENCH_COMMIT").ok(),
        "versions": std::env::var("BENCH_VERSIONS").ok(),
        "load": std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
        "servers": servers,
    });
    std::fs::write(results, serde_json::to_string_pretty(&record)?)?;
    println!("raw results: {}", results.display());
    Ok(())
}

/// Every case in front of one server, alone.
#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
async fn measured(name: &str, origin: &Origin) -> Result<Value> {
    let directory = TempDir::new()?;
    let setting = Setting {
        peers: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/collapse"),
        directory: directory.path().to_owned(),
        origin: origin.address,
        access_log: false,
        values: Vec::new(),
        varnish_storage: "malloc,256m".to_owned(),
    };
    let server = Server::start(name, &setting).await?;
    let mut cases = Vec::new();
    for case in CASES {
        let mut crowds = Vec::new();
        for round in 0..ROUNDS {
            crowds.push(crowd(case, &server, origin, round).await?);
        }
        let Crowd { fetches, p50_ms, max_ms } = worst(&crowds);
        println!("{:<40} {name:<10} {fetches:>8} {p50_ms:>9.1} {max_ms:>9.1}", case.name);
        let crowds: Vec<Value> = crowds.iter().map(Crowd::json).collect();
        cases.push(json!({ "case": case.name, "rounds": crowds }));
    }
    for (label, kind) in HINTS {
        let seen = hints(&server, kind).await;
        println!("{label:<40} {name:<10} {:>2} of {HINTED}, {} answered", seen.seen, seen.answered);
        cases.push(json!({ "case": label, "seen": seen.seen, "answered": seen.answered }));
    }
    server.stop().await;
    Ok(json!({ "server": name, "cases": cases }))
}

/// The worst of each number over the rounds.
fn worst(crowds: &[Crowd]) -> Crowd {
    let none = Crowd { fetches: 0, p50_ms: 0.0, max_ms: 0.0 };
    crowds.iter().fold(none, |worst, crowd| Crowd {
        fetches: worst.fetches.max(crowd.fetches),
        p50_ms: worst.p50_ms.max(crowd.p50_ms),
        max_ms: worst.max_ms.max(crowd.max_ms),
    })
}
