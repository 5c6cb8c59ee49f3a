//! What does a hit cost with more and more live purges of its site?

use crate::fleet::{Fleet, HOST};
use crate::wrk;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::{Barrier, Client};
use tokio::time::{Instant, sleep};

const PAGES: usize = 64;
/// Of each round.
const SECONDS: u64 = 3;
const ROUNDS: usize = 3;
/// Tags of one purge.
const BATCH: usize = 10_000;
/// Between the last purge and the hits: what the edge does about purges by itself is over.
const SETTLED: Duration = Duration::from_secs(2);

/// For each of these numbers of live purges, in rising order.
pub(crate) async fn measure(live: &[usize]) -> Result<Vec<Value>> {
    let fleet = Fleet::start(1).await?;
    let edge = fleet.edges.first().context("one edge")?;
    let mut client = edge.connect().await;
    // as long as a fetch that began before a purge is under way, the purge is not forgotten
    let (held, mut holding) = (Barrier::new(), edge.connect().await);
    fleet.origin.on("/held").wait(&held).respond(204);
    holding.send(format!("GET /held HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    fleet.origin.arrived("/held", 1).await;
    let (mut purged, mut found) = (0, Vec::new());
    for &number in live {
        for page in 0..PAGES {
            client.get(HOST, &format!("/page{page}")).await;
        }
        // control closes connections that are idle for long
        let mut control = Client::connect(fleet.control.address()).await;
        let began = Instant::now();
        while purged < number {
            let tags: Vec<String> =
                (purged..number.min(purged + BATCH)).map(|tag| format!("live-{tag}")).collect();
            purged += tags.len();
            let body = json!({"tags": tags, "wait": "all", "timeout_ms": 60_000});
            let (status, answer) =
                Fleet::purge(&mut control, fleet.control.admin_token(), &body).await?;
            ensure!(status == 200, "{status} {answer}");
        }
        let purging = began.elapsed();
        sleep(SETTLED).await;
        found.push(hits(&fleet, number, purging).await?);
    }
    Ok(found)
}

async fn hits(fleet: &Fleet, live: usize, purging: Duration) -> Result<Value> {
    let edge = fleet.edges.first().context("one edge")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("wrk.lua");
    let url = format!("http://{}/page1", edge.http());
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let before = fleet.cpu()?.1;
        let counts = wrk::run(&script, &url, HOST, SECONDS).await?;
        let used = fleet.cpu()?.1.since(before);
        rounds.push((used.user + used.system) * 1e6 / counts.requests);
    }
    let id = fleet.edges.first().and_then(|edge| edge.program.id()).context("an edge runs")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    Ok(json!({
        "live_purges": live,
        "purging_s": purging.as_secs_f64(),
        "cpu_us_per_hit": rounds,
        "edge_resident_kib": resident,
        "edge_holds": fleet.edges.first().context("one edge")?.metrics().await.sum("longshore_edge_purges", &[]),
    }))
}
