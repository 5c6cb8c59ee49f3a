//! What a hit costs with few and with many responses stored, for the memory tier and for the disk tier.
//!
//! One edge for each count, filled first; then they take turns, each asked for a part of its responses, at random: for
//! a thousand of those in memory, and for ten times as many of those on disk as the memory tier above has room for.

use crate::machine::number;
use crate::object::Object;
use crate::rounds::{Round, median, middle, ratios, round, stored};
use crate::servers::{Server, Setting};
use crate::setup::{Bench, Shape, TIER_OFF_BYTES, flush};
use crate::tiers::Tiers;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::sync::Arc;

const MIB: u64 = 1 << 20;
/// Bytes of a response that is asked for, and of the others.
const LENGTH: usize = 1 << 10;
const OTHERS_LENGTH: usize = 64;
/// Bytes that one of the others may take in memory and on disk, with what belongs to it.
const MEMORY_ROOM_BYTES: u64 = 2_600;
const DISK_ROOM_BYTES: u64 = 1_000;
/// Bytes that one of those asked for takes in the memory tier.
const TIER_ROOM_BYTES: u64 = 1_300;

pub(crate) async fn run(bench: &Bench) -> Result<Value> {
    let mut tiers = Vec::new();
    print_heading();
    for tier in ["memory", "disk"] {
        if tier == "disk" && !Shape::new(TIER_OFF_BYTES, MIB, 1).edge_disk {
            continue;
        }
        tiers.push(of_tier(bench, tier).await?);
    }
    Ok(json!(tiers))
}

/// An edge with a number of responses, and those of them that are asked for.
struct Filled {
    server: Server,
    setting: Setting,
    count: u64,
    subset: Arc<Vec<Object>>,
    fill_seconds: f64,
    rounds: Vec<Round>,
}

async fn of_tier(bench: &Bench, tier: &str) -> Result<Value> {
    let mut edges = Vec::new();
    for count in counts()? {
        if tier == "memory" && count * MEMORY_ROOM_BYTES > available_bytes()? / 10 * 8 {
            print_skipped(count);
            continue;
        }
        edges.push(filled(bench, tier, count).await?);
    }
    flush().await?;
    for round_number in 0..=number("BENCH_ROUNDS", 5)? {
        for edge in &mut edges {
            let seconds = if round_number == 0 { 1 } else { number("BENCH_SECONDS", 3)? };
            let load = bench.load(&edge.server);
            let round = round(&edge.server, load, &edge.subset, seconds).await?;
            if round_number > 0 {
                edge.rounds.push(round);
            }
        }
    }
    let fewest = edges.first().map(|edge| edge.rounds.clone()).unwrap_or_default();
    let mut measured = Vec::new();
    for edge in edges {
        measured.push(edge.over(tier, &fewest).await);
        bench.clear(&edge.setting)?;
        edge.server.stop().await;
    }
    Ok(json!({ "tier": tier, "counts": measured }))
}

async fn filled(bench: &Bench, tier: &str, count: u64) -> Result<Filled> {
    let shape = match tier {
        "memory" => Shape::in_memory(count * MEMORY_ROOM_BYTES + 64 * MIB, count),
        _ => on_disk(count),
    };
    let setting = bench.setting(&format!("{tier}-{count}"), &shape)?;
    let server = Server::start("longshore", &setting).await?;
    let subset = match tier {
        "memory" => number("FLAT_SUBSET", 1_000)?.min(count),
        _ => (10 * shape.edge_tier_bytes() / TIER_ROOM_BYTES).clamp(1, count),
    };
    let step = count / subset;
    let object = move |number: u64| {
        let asked = number.is_multiple_of(step);
        Object { number, length: if asked { LENGTH } else { OTHERS_LENGTH } }
    };
    let fill = bench.load(&server).in_bulk().run((0..count).map(object)).await?;
    let subset = Arc::new((0..subset).map(|index| object(index * step)).collect());
    stored(&bench.load(&server), &subset).await?;
    let rounds = Vec::new();
    Ok(Filled { server, setting, count, subset, fill_seconds: fill.seconds, rounds })
}

/// A disk tier for so many, below a memory tier as small as the configuration allows.
fn on_disk(count: u64) -> Shape {
    let buffer_bytes = (count * 64).clamp(MIB / 5, 16 * MIB);
    let shape = Shape::new(TIER_OFF_BYTES, count * DISK_ROOM_BYTES + 64 * MIB, count * 2);
    Shape { buffer_bytes, ..shape }
}

impl Filled {
    async fn over(&self, tier: &str, fewest: &[Round]) -> Value {
        let ratios = ratios(&self.rounds, fewest);
        let round = middle(&self.rounds);
        let tiers = Tiers::of(&self.server).await.unwrap_or_default();
        let held = if tier == "disk" { tiers.disk_responses } else { tiers.memory_responses };
        print_row(tier, self.count, held, &round, &ratios);
        let rounds: Vec<Value> = self.rounds.iter().map(Round::json).collect();
        json!({ "asked": self.count, "subset": self.subset.len(), "dropped_responses": tiers.dropped_responses, "stored": held, "fill_seconds": self.fill_seconds,
            "rounds": rounds, "ratios": ratios })
    }
}

fn counts() -> Result<Vec<u64>> {
    let text = std::env::var("FLAT_COUNTS").unwrap_or_else(|_| "1000 100000 5000000".to_owned());
    let parse = |word: &str| word.parse().ok().with_context(|| format!("FLAT_COUNTS: {word}"));
    text.split_whitespace().map(parse).collect()
}

/// Memory that processes can still take.
fn available_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kibibytes.context("no MemAvailable in /proc/meminfo")? << 10)
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn print_heading() {
    println!(
        "{:<8} {:>9} {:>9} {:>9} {:>8} {:>8} {:>10} {:>7} {:>10} {:>22}",
        "tier",
        "asked",
        "stored",
        "CPU µs",
        "user",
        "system",
        "requests/s",
        "hits %",
        "of disk %",
        "over fewest (worst)"
    );
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn print_skipped(count: u64) {
    println!("{:<8} {count:>9} left out: not enough memory here", "memory");
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn print_row(tier: &str, count: u64, held: f64, round: &Round, ratios: &[f64]) {
    let worst = ratios.iter().copied().fold(f64::NAN, f64::max);
    println!(
        "{tier:<8} {count:>9} {held:>9} {:>9.1} {:>8.1} {:>8.1} {:>10.0} {:>7.1} {:>10.1} {:>13.2} ({worst:>6.2})",
        round.cpu_us(),
        round.user_us,
        round.system_us,
        round.requests_per_second,
        round.hits * 100.0,
        round.from_disk * 100.0,
        median(ratios.iter().copied()),
    );
}
