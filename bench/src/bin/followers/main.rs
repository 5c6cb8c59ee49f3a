//! Many followers of one control service: how soon has each a change, and what does it cost?
//! `followers RESULTS.json`, started by `followers.sh`.
//!
//! Control is a process of its own; the followers are tasks of this one, each with a connection for the stream and one
//! for its acknowledgements. One more follows and reads nothing.

#[path = "../../cpu.rs"]
mod cpu;
mod follower;
#[path = "../../machine.rs"]
mod machine;
mod sites;
mod stream;

use anyhow::{Context, Result, bail};
use cpu::CpuTime;
use follower::{Follower, Setting};
use machine::{machine, number};
use serde_json::{Value, json};
use sites::Writer;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::{Client, Control};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

#[tokio::main]
async fn main() -> Result<()> {
    let results = std::env::args_os().nth(1).context("usage: followers RESULTS.json")?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        finished = measure(Path::new(&results)) => finished,
        // dropping `measure` ends control
        _interrupted = tokio::signal::ctrl_c() => bail!("interrupted"),
        _terminated = terminated.recv() => bail!("terminated"),
    }
}

/// What a run is asked for.
struct Sizes {
    sites: usize,
    followers: usize,
    /// Followers that begin with the whole log, all at once.
    cold: usize,
    changes: usize,
    seconds: u64,
    a_second: u64,
}

impl Sizes {
    fn read() -> Result<Self> {
        Ok(Self {
            sites: number("BENCH_SITES", 100_000)?,
            followers: number("BENCH_FOLLOWERS", 500)?,
            cold: number("BENCH_COLD", 50)?,
            changes: number("BENCH_CHANGES", 50)?,
            seconds: number("BENCH_SECONDS", 10)?,
            a_second: number("BENCH_CHANGES_A_SECOND", 10)?,
        })
    }
}

/// The followers, and the control they follow.
struct Fleet {
    control: Control,
    followers: Vec<Follower>,
    tasks: JoinSet<Result<()>>,
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
async fn measure(results: &Path) -> Result<()> {
    let sizes = Sizes::read()?;
    let control = Control::start().await;
    let put = Instant::now();
    let writer = Writer::put(&control, sizes.sites).await?;
    let put = put.elapsed();
    println!("{} sites put in {:.1} s", sizes.sites, put.as_secs_f64());
    let token = control.token(&["edge"]).await;
    let setting = Setting { control: control.address(), token, place: None };
    let mut fleet = Fleet { control, followers: Vec::new(), tasks: JoinSet::new() };
    let cold = cold(&mut fleet, &setting, &sizes, &writer).await?;
    // it asks for everything and takes nothing
    let mut slow = Client::connect(setting.control).await;
    slow.send(stream::request(setting.control, &setting.token, None)).await;
    let single = single(&mut fleet, &writer, sizes.changes).await?;
    let steady = steady(&mut fleet, &writer, &sizes).await?;
    drop(slow);
    let record = json!({
        "kind": "followers",
        "machine": machine(),
        "sites": sizes.sites,
        "followers": sizes.followers,
        "put_seconds": put.as_secs_f64(),
        "cold": cold,
        "single": single,
        "steady": steady,
        "control_resident_bytes": resident(&fleet.control)?,
    });
    std::fs::write(results, serde_json::to_string_pretty(&record)?)?;
    println!("raw results: {}", results.display());
    Ok(())
}

/// Some begin with the whole log at once, the others with what is newest.
#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
async fn cold(
    fleet: &mut Fleet,
    setting: &Setting,
    sizes: &Sizes,
    writer: &Writer,
) -> Result<Value> {
    let newest = writer.newest();
    let before = cpu(&fleet.control)?;
    let began = Instant::now();
    for number in 0..sizes.cold.min(sizes.followers) {
        fleet.followers.push(Follower::start(number, setting.clone(), &mut fleet.tasks));
    }
    fleet.wait(newest).await?;
    let took = began.elapsed();
    let spent = cpu(&fleet.control)?.since(before);
    let each: u64 = fleet.followers.first().map_or(0, |follower| *follower.bytes.borrow());
    let log = stream::Stream::open(setting.control, &setting.token, None).await?.log;
    for number in fleet.followers.len()..sizes.followers {
        let setting = Setting { place: Some((log.clone(), newest)), ..setting.clone() };
        fleet.followers.push(Follower::start(number, setting, &mut fleet.tasks));
    }
    fleet.wait(newest).await?;
    println!(
        "{} begin with {} sites: {:.2} s, {:.1} MB each, control {:.2} s of CPU",
        sizes.cold.min(sizes.followers),
        sizes.sites,
        took.as_secs_f64(),
        each as f64 / 1e6,
        spent.user + spent.system,
    );
    Ok(json!({
        "followers": sizes.cold.min(sizes.followers),
        "seconds": took.as_secs_f64(),
        "bytes_each": each,
        "control_cpu_seconds": { "user": spent.user, "system": spent.system },
    }))
}

/// One change after the other, each when all have acknowledged the one before.
async fn single(fleet: &mut Fleet, writer: &Writer, changes: usize) -> Result<Value> {
    let (before, bytes) = (cpu(&fleet.control)?, fleet.bytes());
    let (mut adoption, mut all, mut acks) = (Vec::new(), Vec::new(), Vec::new());
    for change in 0..changes {
        let called = Instant::now();
        let seq = writer.change(change).await?;
        fleet.wait(seq).await?;
        let times = fleet.times(seq, called, Follower::heard_at);
        all.extend(times.iter().copied().max_by(f64::total_cmp));
        adoption.extend(times);
        let acknowledged = fleet.times(seq, called, Follower::acked_at);
        acks.extend(acknowledged.into_iter().max_by(f64::total_cmp));
    }
    let spent = cpu(&fleet.control)?.since(before);
    let sent = fleet.bytes() - bytes;
    show("one change: each follower has it", &mut adoption);
    show("one change: all have it", &mut all);
    show("one change: all are acknowledged", &mut acks);
    Ok(json!({
        "changes": changes,
        "adoption_ms": quantiles(&mut adoption),
        "all_ms": quantiles(&mut all),
        "acknowledged_ms": quantiles(&mut acks),
        "bytes_sent": sent,
        "bytes_a_change_and_follower": sent as f64 / (changes * fleet.followers.len()) as f64,
        "control_cpu_ms_a_change": (spent.user + spent.system) * 1e3 / changes as f64,
    }))
}

/// Changes at a rate.
async fn steady(fleet: &mut Fleet, writer: &Writer, sizes: &Sizes) -> Result<Value> {
    let (before, bytes) = (cpu(&fleet.control)?, fleet.bytes());
    let began = Instant::now();
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(sizes.a_second)?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut called = Vec::new();
    for change in 0..usize::try_from(sizes.seconds * sizes.a_second)? {
        ticks.tick().await;
        let at = Instant::now();
        called.push((writer.change(change).await?, at));
    }
    let last = called.last().map_or(0, |(seq, _)| *seq);
    fleet.wait(last).await?;
    let took = began.elapsed().as_secs_f64();
    let spent = cpu(&fleet.control)?.since(before);
    let mut adoption = Vec::new();
    for (seq, at) in &called {
        adoption.extend(fleet.times(*seq, *at, Follower::heard_at));
    }
    show("many changes: each follower has it", &mut adoption);
    Ok(json!({
        "changes": called.len(),
        "seconds": took,
        "adoption_ms": quantiles(&mut adoption),
        "bytes_sent": fleet.bytes() - bytes,
        "control_cpu": (spent.user + spent.system) / took,
    }))
}

impl Fleet {
    /// Waits until every follower has heard of `seq` and has acknowledged it.
    async fn wait(&mut self, seq: u64) -> Result<()> {
        let followers = self.followers.clone();
        let all = async {
            for mut follower in followers {
                follower.heard.wait_for(|heard| *heard >= seq).await?;
                follower.acked.wait_for(|acked| *acked >= seq).await?;
            }
            Ok(())
        };
        tokio::select! {
            all = all => all,
            Some(ended) = self.tasks.join_next() => ended?.and_then(|()| bail!("a follower ended")),
        }
    }

    /// Milliseconds from `called` until each follower was so far.
    fn times(
        &self,
        seq: u64,
        called: Instant,
        at: impl Fn(&Follower, u64) -> Option<Instant>,
    ) -> Vec<f64> {
        let at = self.followers.iter().filter_map(|follower| at(follower, seq));
        at.map(|at| at.saturating_duration_since(called).as_secs_f64() * 1e3).collect()
    }

    /// Bytes that all streams brought.
    fn bytes(&self) -> u64 {
        self.followers.iter().map(|follower| *follower.bytes.borrow()).sum()
    }
}

fn cpu(control: &Control) -> Result<CpuTime> {
    CpuTime::of(&[control.program.id().context("control ended")?])
}

fn resident(control: &Control) -> Result<Option<u64>> {
    let id = control.program.id().context("control ended")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kibibytes.map(|kibibytes| kibibytes << 10))
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn show(what: &str, times: &mut [f64]) {
    let quantiles = quantiles(times);
    println!(
        "{what:<36} p50 {:>8.1} ms  p99 {:>8.1} ms  max {:>8.1} ms",
        quantiles["p50"].as_f64().unwrap_or_default(),
        quantiles["p99"].as_f64().unwrap_or_default(),
        quantiles["max"].as_f64().unwrap_or_default(),
    );
}

fn quantiles(times: &mut [f64]) -> Value {
    times.sort_by(f64::total_cmp);
    let at = |hundredths: usize| times.get((times.len().max(1) - 1) * hundredths / 100);
    json!({ "p50": at(50), "p99": at(99), "max": times.last() })
}
