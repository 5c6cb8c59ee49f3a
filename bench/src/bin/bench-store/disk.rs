//! Hits from disk, whose pages the system holds: sets many times larger than the memory tier, which is as small as the
//! configuration allows.

use crate::machine::number;
use crate::object::Object;
use crate::rounds::{Round, median, middle, ratios, round, stored};
use crate::servers::Server;
use crate::setup::{Bench, Shape, TIER_OFF_BYTES, flush, wanted};
use anyhow::Result;
use serde_json::{Value, json};
use std::sync::Arc;

/// Name, bytes, and how many different ones.
const CASES: [(&str, usize, u64); 4] = [
    ("14000 of 1 KiB", 1 << 10, 14_000),
    ("4000 of 16 KiB", 16 << 10, 4_000),
    ("600 of 128 KiB", 128 << 10, 600),
    ("200 of 1 MiB", 1 << 20, 200),
];

pub(crate) async fn run(bench: &Bench) -> Result<Value> {
    let shape = Shape { varnish_file: true, ..Shape::new(TIER_OFF_BYTES, 2 << 30, 20_000) };
    let mut servers = Vec::new();
    for name in wanted(&["longshore", "nginx", "varnish"]) {
        servers.push(Server::start(name, &bench.setting(name, &shape)?).await?);
    }
    print_heading(&shape);
    let mut cases = Vec::new();
    for (index, (name, length, count)) in (1_u64..).zip(CASES) {
        let first = index * 1_000_000;
        let objects = (first..first + count).map(|number| Object { number, length }).collect();
        cases.push(case(bench, &servers, name, &Arc::new(objects)).await?);
    }
    for server in servers {
        server.stop().await;
    }
    Ok(json!({ "memory_bytes": shape.memory_bytes(), "tier_bytes": shape.edge_tier_bytes(),
        "disk": shape.edge_disk, "cases": cases }))
}

/// One case on every server, the servers taking turns so that a slow moment of the machine meets all of them.
async fn case(
    bench: &Bench,
    servers: &[Server],
    name: &str,
    objects: &Arc<Vec<Object>>,
) -> Result<Value> {
    for server in servers {
        stored(&bench.load(server), objects).await?;
    }
    flush().await?;
    let mut rounds = vec![Vec::new(); servers.len()];
    for number in 0..=number("BENCH_ROUNDS", 5)? {
        for (server, rounds) in servers.iter().zip(&mut rounds) {
            // the first round warms up
            let seconds = if number == 0 { 1 } else { self::number("BENCH_SECONDS", 3)? };
            let round = round(server, bench.load(server), objects, seconds).await?;
            if number > 0 {
                rounds.push(round);
            }
        }
    }
    let mut of_servers = Vec::new();
    for (server, own) in servers.iter().zip(&rounds) {
        // the edge is the first, if it is measured at all
        let ours =
            rounds.first().filter(|_| servers.iter().any(|server| server.name == "longshore"));
        let ratios = ours.map(|ours| ratios(ours, own)).unwrap_or_default();
        print_row(name, server.name, &middle(own), &ratios);
        let own: Vec<Value> = own.iter().map(Round::json).collect();
        of_servers.push(json!({ "server": server.name, "rounds": own, "ratios": ratios }));
    }
    Ok(json!({ "case": name, "servers": of_servers }))
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn print_heading(shape: &Shape) {
    println!("memory tier of {} KiB", shape.edge_tier_bytes() >> 10);
    println!(
        "{:<16} {:<10} {:>9} {:>8} {:>8} {:>10} {:>7} {:>10} {:>25}",
        "case",
        "server",
        "CPU µs",
        "user",
        "system",
        "requests/s",
        "hits %",
        "of disk %",
        "longshore/server (worst)"
    );
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn print_row(case: &str, server: &str, round: &Round, ratios: &[f64]) {
    let worst = ratios.iter().copied().fold(f64::NAN, f64::max);
    println!(
        "{case:<16} {server:<10} {:>9.1} {:>8.1} {:>8.1} {:>10.0} {:>7.1} {:>10.1} {:>16.2} ({worst:>6.2})",
        round.cpu_us(),
        round.user_us,
        round.system_us,
        round.requests_per_second,
        round.hits * 100.0,
        round.from_disk * 100.0,
        median(ratios.iter().copied()),
    );
}
