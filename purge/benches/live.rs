//! What do live purges of one site cost: bytes of memory, a hit, and whoever looks while more are applied?
//!
//! `cargo bench -p purge` prints a table. Times are this machine's; what counts is that they don't grow with the purges.
#![expect(clippy::print_stdout, reason = "the table is this program's answer")]
#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

use api::id::SiteId;
use api::purge::{Mode, Purge, Selector, Selectors};
use purge::{Compared, Facts, Purges, Tags, Verdict};
use std::borrow::Cow;
use std::fs;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Selectors of one purge: as many as a call may have.
const BATCH: u64 = 10_000;
const ROUNDS: u32 = 2_000_000;

fn main() {
    println!(
        "   tags  bytes each  peak each  remembered ns  compared ns  apply µs each  slowest batch"
    );
    for live in [0, 1_000, 100_000, 500_000, 1_000_000] {
        measure(live);
    }
    waiting();
}

fn measure(live: u64) {
    fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
    let before = status("VmRSS");
    let purges = Purges::default();
    let (took, slowest) = fill(&purges, live);
    let each = |bytes: u64| bytes.saturating_sub(before).checked_div(live).unwrap_or_default();
    let (held, peak) = (each(status("VmRSS")), each(status("VmHWM")));
    let tags = tags();
    let facts = Facts { authority: "www.example.com", path: "/a/b", query: None, tags: &tags };
    let remembered = Compared::with(purges.newest());
    let of_hit = time(|| purges.compare(black_box(&remembered), || Some(facts)));
    // fetched before all of them
    let of_first = time(|| purges.compare(black_box(&Compared::with(0)), || Some(facts)));
    let apply = took.as_nanos() as f64 / 1_000.0 / live.max(1) as f64;
    println!(
        "{live:>7}  {held:>10}  {peak:>9}  {of_hit:>13.1}  {of_first:>11.1}  {apply:>13.2}  {slowest:>13.1?}"
    );
}

/// How long others wait for an answer while a million tags are purged.
fn waiting() {
    let (purges, ended) = (Purges::default(), AtomicBool::new(false));
    let mut waits = thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let tags = tags();
            let facts = Facts { authority: "h", path: "/a/b", query: None, tags: &tags };
            let mut waits = Vec::with_capacity(100_000_000);
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                black_box(purges.verdict(0, &facts));
                waits.push(began.elapsed());
            }
            waits
        });
        fill(&purges, 1_000_000);
        ended.store(true, Ordering::Relaxed);
        waits.join().expect("it doesn't panic")
    });
    waits.sort_unstable();
    let at = |share: usize| waits[waits.len() / 10_000 * share];
    let [p50, p999, p9999] = [5_000, 9_990, 9_999].map(at);
    let max = waits.last().copied().unwrap_or_default();
    println!("while applied: p50 {p50:?}, p99.9 {p999:?}, p99.99 {p9999:?}, max {max:?}");
}

/// Five, as many responses have; none of them purged.
fn tags() -> Tags {
    Tags::read([&b"article-1 author-2 section-3 page all"[..]].into_iter(), 1_000)
}

/// Purges so many tags. How long that took, and the slowest of its batches.
fn fill(purges: &Purges, live: u64) -> (Duration, Duration) {
    let (mut took, mut slowest) = (Duration::ZERO, Duration::ZERO);
    for (batch, first) in
        (0..live).step_by(usize::try_from(BATCH).expect("it is small")).enumerate()
    {
        let last = (first + BATCH).min(live);
        let tags = (first..last).map(|number| format!("product-{number}")).collect();
        let selector = Selector::Any(Selectors { tags, ..Selectors::default() });
        let purge =
            Purge { site_id: site(), selector, mode: Mode::Hard, regions: Vec::new(), refetch: 0 };
        let began = Instant::now();
        purges.apply(&purge, batch as u64 + 1, |_, query| Some(Cow::Owned(query.to_owned())));
        took += began.elapsed();
        slowest = slowest.max(began.elapsed());
    }
    (took, slowest)
}

fn site() -> SiteId {
    SiteId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").expect("26 letters and digits")
}

/// Nanoseconds of one call.
fn time(mut call: impl FnMut() -> Verdict) -> f64 {
    let began = Instant::now();
    for _ in 0..ROUNDS {
        black_box(call());
    }
    began.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
}

/// Bytes, by a line of what the system says of this process.
fn status(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let value = status.lines().find_map(|own| own.strip_prefix(line)?.strip_prefix(':'));
    let number = value.and_then(|value| value.trim().split(' ').next()).expect("it is told");
    number.parse::<u64>().expect("it is a number") * 1_024
}
