//! What is left of what was stored after the server ended, cleanly or not, and how soon it answers again.

use crate::ending;
use crate::machine::number;
use crate::object::{Object, fraction};
use crate::process::runs;
use crate::rounds::share;
use crate::servers::{HOST, Server};
use crate::setup::{Bench, Shape, wanted};
use crate::tiers::Tiers;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::time::{interval, timeout};

const MIB: u64 = 1 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long an index may take. nginx waits for a minute before it begins.
const INDEX_PATIENCE: Duration = Duration::from_secs(240);
const HIT_PATIENCE: Duration = Duration::from_secs(60);

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// SIGTERM, after everything was stored.
    Clean,
    /// SIGKILL, at once after the last answer.
    KilledAfter,
    /// SIGKILL, with half of the answers given and requests under way.
    KilledFilling,
}

const ENDINGS: [(Ending, &str); 3] = [
    (Ending::Clean, "clean stop"),
    (Ending::KilledAfter, "kill -9 after"),
    (Ending::KilledFilling, "kill -9 in the fill"),
];

/// What was measured.
struct Restart {
    answered: u64,
    stop_seconds: f64,
    first_hit_seconds: f64,
    /// Requests until one was a hit.
    first_hit_requests: u64,
    index_seconds: Option<f64>,
    hits: f64,
    fetched: u64,
}

pub(crate) async fn run(bench: &Bench) -> Result<Value> {
    let count = number("RESTART_COUNT", 100_000_u64)?;
    let bytes: u64 = (0..count).map(|number| object(number).length as u64).sum();
    // room for all, with what belongs to them
    let shape = Shape::new(64 * MIB, bytes + count * 4_096 + 512 * MIB, count * 2);
    print_heading(count, bytes);
    let mut measured = Vec::new();
    for name in wanted(&["longshore", "nginx"]) {
        for (ending, words) in ENDINGS {
            let restart = one(bench, name, &shape, ending, count).await?;
            restart.print(name, words);
            measured.push(restart.json(name, words));
        }
    }
    Ok(json!({ "responses": count, "bytes": bytes, "restarts": measured }))
}

/// From 1 to 64 KiB, as many from 1 to 2 as from 32 to 64.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds")]
fn object(number: u64) -> Object {
    Object { number, length: (1_024.0 * 64_f64.powf(fraction(number))) as usize }
}

async fn one(
    bench: &Bench,
    name: &str,
    shape: &Shape,
    ending: Ending,
    count: u64,
) -> Result<Restart> {
    let setting = bench.setting(&format!("{name}-{ending:?}"), shape)?;
    let mut server = Server::start(name, &setting).await?;
    let numbers = fill(bench, &mut server, ending, count).await?;
    let stopping = Instant::now();
    match ending {
        Ending::Clean => ending::terminate(&mut server).await,
        Ending::KilledAfter => ending::kill(&mut server).await?,
        Ending::KilledFilling => {}
    }
    let stop_seconds = stopping.elapsed().as_secs_f64();
    let begun = Instant::now();
    let server = ending::start_again(server, &setting).await?;
    let hit = timeout(HIT_PATIENCE, first_hit(&server, &numbers)).await;
    let first_hit_requests = hit.context("no hit after the start")??;
    let first_hit_seconds = begun.elapsed().as_secs_f64();
    // nginx serves all the same, and takes minutes: once is enough
    let index_seconds = match name == "longshore" || ending == Ending::Clean {
        true => Some(whole_index(&server, begun).await?),
        false => None,
    };
    let (answered, before) = (numbers.len() as u64, bench.origin.fetched());
    let tally = bench.load(&server).run(numbers.into_iter().map(object)).await?;
    let fetched = bench.origin.fetched().since(before).requests;
    server.stop().await;
    bench.clear(&setting)?;
    let hits = share(tally.hits, tally.requests);
    Ok(Restart {
        answered,
        stop_seconds,
        first_hit_seconds,
        first_hit_requests,
        index_seconds,
        hits,
        fetched,
    })
}

/// Has the server store the objects, and ends it meanwhile if that is how it ends. Returns the numbers of those that
/// were answered.
async fn fill(bench: &Bench, server: &mut Server, ending: Ending, count: u64) -> Result<Vec<u64>> {
    let load = bench.load(server).in_bulk();
    if ending != Ending::KilledFilling {
        let tally = load.run_to_the_end((0..count).map(object), true).await?;
        return tally.numbers.filter(|_| tally.broken == 0).context("the server broke connections");
    }
    let answered = load.answered.clone();
    let kill = async {
        let mut ticks = interval(LOOK_EVERY);
        while answered.load(Ordering::Relaxed) < count / 2 {
            ticks.tick().await;
        }
        ending::kill(server).await
    };
    let (tally, killed) = tokio::join!(load.run_to_the_end((0..count).map(object), true), kill);
    killed?;
    tally?.numbers.context("the numbers were to be kept")
}

/// Asks for what was stored, one after the other, from all over the fill. Returns how many requests it took.
async fn first_hit(server: &Server, numbers: &[u64]) -> Result<u64> {
    let mut client = server.connect().await;
    for request in 0..numbers.len() as u64 {
        let index = crate::rounds::chosen(request, numbers.len());
        let Object { number, length } = object(numbers.get(index).copied().unwrap_or_default());
        let answer = client.get(HOST, &format!("/{number}/{length}")).await;
        if answer.cache_status().to_ascii_lowercase().contains("; hit") {
            return Ok(request + 1);
        }
    }
    bail!("no hit in {} requests", numbers.len())
}

/// Waits until the server knows all it has on disk. Returns the seconds since `begun`.
async fn whole_index(server: &Server, begun: Instant) -> Result<f64> {
    let mut ticks = interval(LOOK_EVERY);
    while begun.elapsed() < INDEX_PATIENCE {
        ticks.tick().await;
        let whole = match Tiers::of(server).await {
            Some(tiers) => tiers.whole,
            None => !runs(server, "cache loader")?,
        };
        if whole {
            return Ok(begun.elapsed().as_secs_f64());
        }
    }
    bail!("no whole index in {} s", INDEX_PATIENCE.as_secs())
}

impl Restart {
    fn json(&self, server: &str, ending: &str) -> Value {
        json!({ "server": server, "ending": ending, "answered": self.answered,
            "stop_seconds": self.stop_seconds, "first_hit_seconds": self.first_hit_seconds,
            "first_hit_requests": self.first_hit_requests, "index_seconds": self.index_seconds,
            "hits": self.hits, "fetched": self.fetched })
    }

    #[expect(clippy::print_stdout, reason = "the table is this program's answer")]
    fn print(&self, server: &str, ending: &str) {
        let index = self.index_seconds.map(|seconds| format!("{seconds:.3}"));
        println!(
            "{server:<10} {ending:<20} {:>9} {:>8.2} {:>12.3} {:>9} {:>12} {:>8.3} {:>8}",
            self.answered,
            self.stop_seconds,
            self.first_hit_seconds,
            self.first_hit_requests,
            index.unwrap_or_default(),
            self.hits * 100.0,
            self.fetched,
        );
    }
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn print_heading(count: u64, bytes: u64) {
    println!("{count} responses, {} MiB", bytes >> 20);
    println!(
        "{:<10} {:<20} {:>9} {:>8} {:>12} {:>9} {:>12} {:>8} {:>8}",
        "server",
        "ending",
        "answered",
        "stop s",
        "first hit s",
        "requests",
        "index s",
        "hits %",
        "fetched"
    );
}
