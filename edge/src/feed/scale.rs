//! What a hundred thousand sites cost. Ignored: figures, not a check; `cargo test --release -p edge feed::scale --
//! --ignored --nocapture`.

use super::adopted::Adopted;
use super::adopted::certificates::tests as certificates;
use super::entry::Entry;
use super::keep::{Journal, StateDirectory};
use super::testing::{Control, Directory, feed};
use crate::work::Work;
use api::feed::{Change, Hello, VERSION};
use api::id::{CertificateId, EdgeId, LogId, SiteId};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const SITES: usize = 100_000;

fn site_id(number: usize) -> SiteId {
    SiteId::from_ulid(&format!("01J9Z3K8Q4W5E6R7T8Y9{number:06}")).unwrap()
}

/// A site with two hosts, an origin, two rules and some caching.
fn text(seq: usize, number: usize) -> String {
    let site = json!({
        "name": format!("site-{number}"),
        "hosts": [format!("www.site-{number}.example"), format!("site-{number}.example")],
        "origins": [{"name": "main", "url": format!("https://origin-{number}.example")}],
        "cache": {"default_lifetime_seconds": 60, "stale_while_revalidate_seconds": 30},
        "rules": [
            {"paths": ["/api/*"], "cache": {"enabled": false}},
            {"paths": ["/static/*"], "cache": {"lifetime_seconds": 86400}},
        ],
    });
    let change = Change::SitePut { site_id: site_id(number), site };
    let seq = seq as u64;
    serde_json::to_string(&api::feed::Entry { version: VERSION, seq, change }).unwrap()
}

/// Bytes that this process has in memory, now and at most so far.
fn memory_kib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (of("VmRSS:"), of("VmHWM:"))
}

fn apply(adopted: &mut Adopted, text: &str) {
    adopted.apply(Entry::read(text, None).unwrap(), |_| true);
}

fn open(path: &Path) -> StateDirectory {
    StateDirectory::open(path, || EdgeId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap()).unwrap()
}

#[test]
#[ignore = "figures, to be read; takes seconds"]
fn a_change_and_a_start_with_many_sites() {
    let (directory, (before, _)) = (tempfile::tempdir().unwrap(), memory_kib());
    let log = LogId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
    let mut adopted = Adopted::default();
    adopted.greet(&Hello { version: VERSION, log, newest: 1, reset: true, key: None }, 1);
    let began = Instant::now();
    for number in 0..SITES {
        apply(&mut adopted, &text(number + 1, number));
    }
    adopted.catch_up(SITES as u64);
    println!("{SITES} sites applied in {:?}", began.elapsed());
    println!("KiB a site: {:.2}", (memory_kib().0 - before) as f64 / SITES as f64);
    let began = Instant::now();
    let journal = Journal::write_beside(directory.path(), &adopted).unwrap();
    journal.put_in_place(directory.path()).unwrap();
    println!("journal written in {:?}: {} MiB", began.elapsed(), journal.end() >> 20);
    let mut published = vec![adopted.snapshot()];
    let began = Instant::now();
    for change in 0..1_000 {
        apply(&mut adopted, &text(SITES + 1 + change, change * 97));
        published = vec![adopted.snapshot()];
        let _for_the_keeper = adopted.clone();
    }
    println!("a change: {:?}", began.elapsed() / 1_000);
    let snapshot = published.pop().unwrap();
    let hosts: Vec<String> =
        (0..1_000).map(|number| format!("site-{}.example", number * 97)).collect();
    let began = Instant::now();
    let found = hosts.iter().cycle().take(1_000_000).filter(|host| snapshot.site(host).is_some());
    let found = found.count();
    println!("a look-up: {:?}, {found} found", began.elapsed() / 1_000_000);
}

#[test]
#[ignore = "figures, to be read; takes seconds"]
fn a_cold_start_from_a_journal() {
    let directory = tempfile::tempdir().unwrap();
    let mut adopted = Adopted::default();
    let log = LogId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
    adopted.greet(&Hello { version: VERSION, log, newest: 1, reset: true, key: None }, 1);
    for number in 0..SITES {
        apply(&mut adopted, &text(number + 1, number));
    }
    adopted.catch_up(SITES as u64);
    Journal::write_beside(directory.path(), &adopted)
        .unwrap()
        .put_in_place(directory.path())
        .unwrap();
    drop(adopted);
    let (began, (before, _)) = (Instant::now(), memory_kib());
    let (adopted, _) = open(directory.path()).load().unwrap();
    println!("loaded in {:?}, {} applied", began.elapsed(), adopted.applied);
    let (after, most) = memory_kib();
    println!("RSS: {} MiB before, {} after, {} at most", before >> 10, after >> 10, most >> 10);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures, to be read; takes seconds"]
async fn a_cold_read_from_control() {
    let (control, directory) = (Control::start(true).await, Directory::new());
    for number in 0..SITES {
        control.push(number as u64 + 1, &text(number + 1, number));
    }
    let (before, _) = memory_kib();
    let began = Instant::now();
    let (work, _tasks) = Work::new();
    let running = feed(&control, &directory, None, Arc::new(work)).start().unwrap();
    let task = tokio::spawn(running.run());
    control.reported(|report| report.adopted == SITES as u64).await;
    println!("read, written and reported in {:?}", began.elapsed());
    let (after, most) = memory_kib();
    println!(
        "RSS with control: {} MiB before, {} after, {} at most",
        before >> 10,
        after >> 10,
        most >> 10
    );
    task.abort();
}

#[test]
#[ignore = "figures, to be read; takes seconds"]
fn a_start_with_many_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let mut adopted = Adopted::default();
    let log = LogId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
    let key = Some(api::feed::Key::new(&[3; 32]));
    adopted.greet(&Hello { version: VERSION, log, newest: 1, reset: true, key }, 1);
    let certificate_id = |number: usize| {
        CertificateId::from_ulid(&format!("01J9Z3K8Q4W5E6R7T8Y9{number:06}")).unwrap()
    };
    let began = Instant::now();
    for number in 0..SITES {
        let name = format!("site-{number}.example");
        let seq = number as u64 + 1;
        apply(&mut adopted, &certificates::put(seq, certificate_id(number), &name, 0, true));
    }
    println!("made and applied in {:?}", began.elapsed());
    let (before, _) = memory_kib();
    let journal = Journal::write_beside(directory.path(), &adopted).unwrap();
    adopted.catch_up(SITES as u64);
    drop(journal);
    let journal = Journal::write_beside(directory.path(), &adopted).unwrap();
    journal.put_in_place(directory.path()).unwrap();
    drop(adopted);
    let (began, (after, _)) = (Instant::now(), memory_kib());
    println!(
        "RSS: {} MiB with, {} MiB without, {} MiB journal",
        before >> 10,
        after >> 10,
        journal.end() >> 20
    );
    let (adopted, _) = open(directory.path()).load().unwrap();
    println!("loaded in {:?}, RSS {} MiB", began.elapsed(), memory_kib().0 >> 10);
    let certificates = adopted.snapshot().certificates;
    let names: Vec<String> = (0..SITES).map(|number| format!("site-{number}.example")).collect();
    for what in ["first", "later"] {
        let began = Instant::now();
        let found =
            names.iter().filter(|name| certificates.find(name, 1_000, |_| true).is_some()).count();
        let each = began.elapsed() / u32::try_from(SITES).unwrap();
        println!("{what} look-ups: {each:?}, {found} found, RSS {} MiB", memory_kib().0 >> 10);
    }
}
