//! Many clients at once, each for another range of one file.

use crate::origin::{LENGTH, Origin, content};
use crate::servers::{HOST, Server};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::Client;
use tokio::task::JoinSet;

const CLIENTS: u64 = 50;
/// Bytes of a range: from this many to three times as many.
const RANGE_MIN_BYTES: u64 = 1_000_000;

/// A range, by its first byte and its length.
pub(crate) type Range = (u64, u64);

/// What one crowd saw, and cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) asked_bytes: u64,
    pub(crate) fetched_bytes: u64,
    pub(crate) fetches: u64,
    /// Until the first byte of the body.
    pub(crate) first_p50_ms: f64,
    pub(crate) first_max_ms: f64,
}

impl Crowd {
    pub(crate) fn json(&self) -> Value {
        let Self { asked_bytes, fetched_bytes, fetches, first_p50_ms, first_max_ms } = self;
        json!({
            "asked_bytes": asked_bytes,
            "fetched_bytes": fetched_bytes,
            "fetches": fetches,
            "first_byte_p50_ms": first_p50_ms,
            "first_byte_max_ms": first_max_ms,
        })
    }
}

/// Ranges all over the file, the same in every run (a linear congruential generator's).
pub(crate) fn ranges() -> Vec<Range> {
    let mut state = 4_u64;
    let mut next = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 16) % below
    };
    let range = |_| {
        let length = RANGE_MIN_BYTES + next(2 * RANGE_MIN_BYTES);
        (next(LENGTH - length), length)
    };
    (0..CLIENTS).map(range).collect()
}

/// One crowd in front of one server. Their connections stand before the first asks.
pub(crate) async fn crowd(server: &Server, origin: &Origin, ranges: &[Range]) -> Result<Crowd> {
    let (fetches_before, bytes_before) = origin.sent();
    let mut clients = Vec::new();
    for range in ranges {
        clients.push((server.connect().await, *range));
    }
    let mut asking = JoinSet::new();
    for (client, range) in clients {
        asking.spawn(ask(client, range));
    }
    let mut times = Vec::new();
    while let Some(asked) = asking.join_next().await {
        times.push(asked??);
    }
    times.sort();
    let (fetches, bytes) = origin.sent();
    let milliseconds =
        |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    Ok(Crowd {
        asked_bytes: ranges.iter().map(|(_, length)| length).sum(),
        fetched_bytes: bytes - bytes_before,
        fetches: fetches - fetches_before,
        first_p50_ms: milliseconds(times.get(times.len() / 2)),
        first_max_ms: milliseconds(times.last()),
    })
}

/// How long a client waited for the first byte of its range.
async fn ask(mut client: Client, (first, length): Range) -> Result<Duration> {
    let last = first + length - 1;
    let begun = Instant::now();
    client
        .send(format!("GET /file HTTP/1.1\r\nHost: {HOST}\r\nRange: bytes={first}-{last}\r\n\r\n"))
        .await;
    let answer = client.head().await?;
    ensure!(answer.status == 206, "{}", answer.head);
    let mut body = client.at_least(1).await?;
    let waited = begun.elapsed();
    body.extend(client.rest_of_body().await?);
    ensure!(body == content(first, length), "bytes from {first} on are wrong");
    Ok(waited)
}

/// The most memory that processes and their children have had resident, each for itself (proc(5), `VmHWM`).
pub(crate) fn peak_bytes(roots: &[u32]) -> Result<u64> {
    let (mut left, mut total) = (roots.to_vec(), 0);
    while let Some(id) = left.pop() {
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))
            .with_context(|| format!("process {id} ended"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        total += kibibytes.unwrap_or_default() * 1_024;
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        left.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(total)
}
