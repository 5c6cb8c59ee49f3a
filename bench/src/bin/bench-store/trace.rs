//! How much of a trace is hits, and how many bytes are written for it, in as many bytes for every server.
//!
//! What counts is what reaches the origin. A scan's requests are for something new each time, and so no cache can
//! answer them; they are taken out of both numbers.

use crate::machine::number;
use crate::object::Object;
use crate::origin::Fetched;
use crate::process;
use crate::rounds::share;
use crate::servers::Server;
use crate::setup::{Bench, Shape, TIER_OFF_BYTES, wanted};
use crate::tiers::Tiers;
use crate::zipf::{Zipf, object};
use anyhow::Result;
use serde_json::{Value, json};
use std::sync::Arc;

const ALPHA: f64 = 0.9;

/// Requests in a row, by popularity and for something new, which alternate if there are both.
#[derive(Debug, Clone, Copy)]
struct Phase {
    name: &'static str,
    popular: u64,
    new: u64,
}

/// What all servers get.
struct Trace {
    name: &'static str,
    phases: Vec<Phase>,
}

pub(crate) async fn run(bench: &Bench) -> Result<Value> {
    let objects = number("TRACE_OBJECTS", 200_000_u64)?;
    let requests = number("TRACE_REQUESTS", 1_000_000_u64)?;
    let zipf = Arc::new(Zipf::new(objects, ALPHA));
    let bytes: u64 = (0..objects).map(|number| object(number).length as u64).sum();
    let capacity = bytes / 10;
    print_heading(bytes, capacity);
    let mut measured = Vec::new();
    for trace in traces(objects, requests) {
        for (label, name, shape) in servers(capacity, bytes / objects) {
            measured.push(one(bench, &trace, &zipf, (label, name, shape)).await?);
        }
    }
    Ok(json!({ "objects": objects, "alpha": ALPHA, "bytes": bytes, "capacity_bytes": capacity,
        "traces": measured }))
}

fn traces(objects: u64, requests: u64) -> Vec<Trace> {
    let phase = |name, popular, new| Phase { name, popular, new };
    let (half, quarter) = (requests / 2, requests / 4);
    vec![
        Trace { name: "zipf", phases: vec![phase("cold", half, 0), phase("warm", half, 0)] },
        Trace {
            name: "scan then zipf",
            phases: vec![
                phase("cold", half, 0),
                phase("scan", 0, objects),
                phase("after", quarter, 0),
            ],
        },
        Trace {
            name: "scan beside zipf",
            phases: vec![phase("cold", half, 0), phase("beside", objects, objects)],
        },
    ]
}

/// The servers of `BENCH_SERVERS`: label, name, and size. What is counted is room for responses: the edge's index and
/// buffers come on top, as do nginx's zone and Varnish's workspaces.
fn servers(capacity: u64, mean: u64) -> Vec<(&'static str, &'static str, Shape)> {
    // nginx looks at max_size once in 10 s when it was met before; its zone bounds it at once. A file has a head of
    // nginx's, and half a block on the average is lost.
    let peers = Shape::new(capacity, capacity, capacity / (mean + 2_500));
    let peers = Shape { nginx_open_files: false, ..peers };
    let ours = |tier, disk| Shape::new(tier, disk, capacity / 4_096);
    let memory = capacity / 8;
    let both = ours(memory, capacity - memory);
    // the configuration wants some memory for responses: less is left for the disk
    let least = ours(TIER_OFF_BYTES, capacity);
    let least = Shape { disk_bytes: capacity.saturating_sub(least.edge_tier_bytes()), ..least };
    let mut servers = Vec::new();
    for name in wanted(&["longshore", "nginx", "varnish"]) {
        match name {
            "longshore" => {
                if both.edge_disk {
                    servers.push(("longshore both", name, both));
                    servers.push(("longshore disk", name, least));
                }
                let memory = Shape::in_memory(capacity, capacity / 4_096);
                servers.push(("longshore memory", name, memory));
            }
            _ => servers.push((name, name, peers)),
        }
    }
    servers
}

/// One trace in front of one server, which begins empty.
async fn one(
    bench: &Bench,
    trace: &Trace,
    zipf: &Arc<Zipf>,
    (label, name, shape): (&str, &'static str, Shape),
) -> Result<Value> {
    let setting = bench.setting(&format!("{label} {}", trace.name).replace(' ', "-"), &shape)?;
    let server = Server::start(name, &setting).await?;
    let (started, before) = (process::written(&server)?, bench.origin.fetched());
    let (mut popular_done, mut new_done) = (0, 0);
    let mut phases = Vec::new();
    for phase in &trace.phases {
        let fetched = bench.origin.fetched();
        let objects = requests(*phase, zipf, popular_done, new_done);
        let tally = bench.load(&server).run(objects).await?;
        let rate =
            Rate::of(*phase, zipf, popular_done, bench.origin.fetched().since(fetched), new_done);
        (popular_done, new_done) = (popular_done + phase.popular, new_done + phase.new);
        print_rate(trace.name, label, phase.name, &rate, tally.seconds);
        phases.push(json!({ "phase": phase.name, "hits": rate.hits, "hit_bytes": rate.hit_bytes,
            "requests": tally.requests, "seconds": tally.seconds }));
    }
    let written = Written {
        bytes: process::written(&server)? - started,
        fetched: bench.origin.fetched().since(before),
        tiers: Tiers::of(&server).await,
        held: process::files_bytes(&setting.directory)?,
    };
    print_written(trace.name, label, &written);
    server.stop().await;
    bench.clear(&setting)?;
    Ok(json!({ "trace": trace.name, "server": label, "phases": phases, "written": written.json() }))
}

/// The objects of a phase, of which so many were asked for before.
fn requests(
    phase: Phase,
    zipf: &Arc<Zipf>,
    popular_done: u64,
    new_done: u64,
) -> impl Iterator<Item = Object> + Send + use<> {
    let zipf = Arc::clone(zipf);
    let mut popular = popular_done..popular_done + phase.popular;
    let mut new = new_done..new_done + phase.new;
    let mut turn = 0_u64;
    std::iter::from_fn(move || {
        turn += 1;
        let of_new = match (popular.is_empty(), new.is_empty()) {
            (false, false) => turn.is_multiple_of(2),
            (empty, _) => empty,
        };
        match of_new {
            true => new.next().map(one_time),
            false => popular.next().map(|request| object(zipf.number(request))),
        }
    })
}

/// An object that is asked for once.
fn one_time(number: u64) -> Object {
    object((1 << 40) + number)
}

/// The hits among the requests by popularity.
struct Rate {
    hits: f64,
    hit_bytes: f64,
}

impl Rate {
    fn of(phase: Phase, zipf: &Zipf, popular_done: u64, fetched: Fetched, new_done: u64) -> Self {
        let popular = popular_done..popular_done + phase.popular;
        let popular_bytes: u64 =
            popular.map(|request| object(zipf.number(request)).length as u64).sum();
        let new = new_done..new_done + phase.new;
        let new_bytes: u64 = new.map(|number| one_time(number).length as u64).sum();
        let missed = fetched.requests.saturating_sub(phase.new);
        let missed_bytes = fetched.bytes.saturating_sub(new_bytes);
        if phase.popular == 0 {
            return Self { hits: f64::NAN, hit_bytes: f64::NAN };
        }
        Self {
            hits: 1.0 - share(missed, phase.popular),
            hit_bytes: 1.0 - share(missed_bytes, popular_bytes),
        }
    }
}

/// What a server wrote, and what for.
struct Written {
    /// As the system counts.
    bytes: u64,
    fetched: Fetched,
    tiers: Option<Tiers>,
    /// What is in its files at the end.
    held: u64,
}

impl Written {
    fn over_fetched(&self) -> f64 {
        share(self.bytes, self.fetched.bytes)
    }

    /// As the edge counts.
    fn amplification(&self) -> Option<f64> {
        self.tiers
            .filter(|tiers| tiers.put_bytes > 0.0)
            .map(|tiers| tiers.written_bytes / tiers.put_bytes)
    }

    fn json(&self) -> Value {
        json!({ "bytes": self.bytes, "fetched_bytes": self.fetched.bytes,
            "over_fetched": self.over_fetched(), "files_bytes": self.held,
            "put_bytes": self.tiers.map(|tiers| tiers.put_bytes),
            "written_bytes": self.tiers.map(|tiers| tiers.written_bytes),
            "dropped_responses": self.tiers.map(|tiers| tiers.dropped_responses),
            "amplification": self.amplification() })
    }
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn print_heading(bytes: u64, capacity: u64) {
    println!("objects of {} MiB, room for {} MiB", bytes >> 20, capacity >> 20);
    println!(
        "{:<18} {:<18} {:<8} {:>8} {:>12} {:>9}",
        "trace", "server", "phase", "hits %", "hit bytes %", "seconds"
    );
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn print_rate(trace: &str, server: &str, phase: &str, rate: &Rate, seconds: f64) {
    let (hits, bytes) = (rate.hits * 100.0, rate.hit_bytes * 100.0);
    println!("{trace:<18} {server:<18} {phase:<8} {hits:>8.2} {bytes:>12.2} {seconds:>9.1}");
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn print_written(trace: &str, server: &str, written: &Written) {
    let amplification = written.amplification().map(|own| format!(", {own:.2} of what was put"));
    println!(
        "{trace:<18} {server:<18} wrote {} MiB: {:.2} of what was fetched{}; has {} MiB in files",
        written.bytes >> 20,
        written.over_fetched(),
        amplification.unwrap_or_default(),
        written.held >> 20,
    );
}
