//! What the edge's memory comes to with millions of small responses, stored and then replaced by as many others.

use crate::machine::number;
use crate::object::Object;
use crate::process::{Resident, resident};
use crate::servers::Server;
use crate::setup::{Bench, Shape, TIER_OFF_BYTES};
use crate::tiers::Tiers;
use anyhow::Result;
use serde_json::{Value, json};

const LENGTH: usize = 200;
/// Requests between two looks at the process.
const STEP: u64 = 100_000;
const GIB: u64 = 1 << 30;
/// Bytes that such a response may take on disk.
const RECORD_BYTES: u64 = 1_000;

pub(crate) async fn run(bench: &Bench) -> Result<Value> {
    let count = number("RESIDENT_COUNT", 5_000_000_u64)?;
    let capacity = number("RESIDENT_CAPACITY_BYTES", GIB)?;
    // the disk has room for the responses once, the index for somewhat more
    let least = Shape::new(TIER_OFF_BYTES, count * RECORD_BYTES, count + count / 2);
    let full = Shape { capacity_bytes: Some(capacity), ..least };
    print_heading();
    let mut measured = vec![one(bench, "full", &full, count).await?];
    if least.edge_disk {
        measured.push(one(bench, "least", &least, count).await?);
    }
    Ok(json!(measured))
}

/// One edge, filled and churned.
async fn one(bench: &Bench, name: &str, shape: &Shape, count: u64) -> Result<Value> {
    let shape = Shape { threads: 2, ..*shape };
    let setting = bench.setting(name, &shape)?;
    let server = Server::start("longshore", &setting).await?;
    let before = resident(&server)?;
    let mut samples = Vec::new();
    let filled = fill(bench, &server, 0..count, &mut samples).await?;
    let churned = fill(bench, &server, count..2 * count, &mut samples).await?;
    let mut rows = Vec::new();
    for (what, held) in [("stored", filled), ("churned", churned)] {
        rows.push(held.over(name, what, before, shape.memory_bytes()));
    }
    server.stop().await;
    bench.clear(&setting)?;
    Ok(json!({ "setting": name, "capacity_bytes": shape.memory_bytes(), "asked": 2 * count,
        "started_bytes": before.now, "rows": rows, "resident_bytes": samples }))
}

/// What an edge held after a pass.
struct Held {
    resident: Resident,
    seconds: f64,
    tiers: Tiers,
}

async fn fill(
    bench: &Bench,
    server: &Server,
    mut numbers: std::ops::Range<u64>,
    samples: &mut Vec<u64>,
) -> Result<Held> {
    let mut seconds = 0.0;
    while !numbers.is_empty() {
        let step = numbers.start..numbers.end.min(numbers.start + STEP);
        numbers.start = step.end;
        let objects = step.map(|number| Object { number, length: LENGTH });
        seconds += bench.load(server).in_bulk().run(objects).await?.seconds;
        samples.push(resident(server)?.now);
    }
    let tiers = Tiers::of(server).await.unwrap_or_default();
    Ok(Held { resident: resident(server)?, seconds, tiers })
}

impl Held {
    #[expect(clippy::cast_precision_loss, reason = "bytes are below 2^53")]
    fn over(&self, setting: &str, what: &str, before: Resident, capacity: u64) -> Value {
        let Self { resident, seconds, tiers } = self;
        let (memory, disk) = (tiers.memory_responses, tiers.disk_responses);
        let ratio = resident.highest as f64 / capacity as f64;
        let index = tiers.index_bytes / disk;
        let growth = resident.now.saturating_sub(before.now) as f64 / disk;
        print_row(setting, what, resident, ratio, [memory, disk, index, growth, *seconds]);
        json!({ "after": what, "seconds": seconds,
            "resident_bytes": resident.now, "highest_bytes": resident.highest,
            "highest_over_capacity": ratio, "memory_responses": memory, "disk_responses": disk,
            "dropped_responses": tiers.dropped_responses,
            "index_bytes_per_response": index, "growth_bytes_per_response": growth })
    }
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn print_heading() {
    println!(
        "{:<9} {:<8} {:>8} {:>8} {:>14} {:>10} {:>10} {:>11} {:>12} {:>8}",
        "setting",
        "after",
        "RSS MiB",
        "highest",
        "over capacity",
        "in memory",
        "on disk",
        "index B/r",
        "growth B/r",
        "seconds"
    );
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn print_row(setting: &str, what: &str, resident: &Resident, ratio: f64, numbers: [f64; 5]) {
    let [memory, disk, index, growth, seconds] = numbers;
    println!(
        "{setting:<9} {what:<8} {:>8} {:>8} {ratio:>14.3} {memory:>10} {disk:>10} {index:>11.1} {growth:>12.1} {seconds:>8.0}",
        resident.now >> 20,
        resident.highest >> 20,
    );
}
