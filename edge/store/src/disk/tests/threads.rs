//! Many at once, while room is made and directories go out and come back.

use super::*;
use std::sync::atomic::AtomicBool;

const THREADS: u64 = 4;
const NAMES: u64 = 40;
const STEPS: u64 = 600;

/// Puts, renews, removes and finds under names of its own. Returns how often it found something, and what it put last.
async fn work(disk: &TestDisk, thread: u64) -> (u64, Vec<Option<Seen>>) {
    let mut newest = vec![None; usize::try_from(NAMES).unwrap()];
    let mut found = 0;
    for step in 0..STEPS {
        let random = record::checksum(&(step << 8 | thread).to_le_bytes());
        let place = usize::try_from(random % NAMES).unwrap();
        let (of, number) = (thread * NAMES + random % NAMES, step + 1);
        let key = key(of, 0);
        match (random >> 8) % 8 {
            0 => {
                disk.remove(&key);
                newest[place] = None;
            }
            1 => {
                if let Some((was, body)) = newest[place].take() {
                    disk.put_head(renewed(number, key, of, key, was));
                    newest[place] = Some((number, body));
                }
            }
            2..5 => {
                let body = bytes(random, usize::try_from((random >> 16) % 60_000).unwrap());
                put(disk, number, key, of, body.clone());
                newest[place] = Some((number, body));
            }
            _ => {}
        }
        let stored = match disk.find_now(&key, &name(of)) {
            Now::Absent => None,
            Now::Found(stored) => Some(stored),
            Now::Blocks => disk.find(&key, &name(of)).await,
        };
        if step % 50 == 0 {
            // so that most of it is written, and read from disk
            written(disk);
        }
        if let Some(stored) = stored {
            assert_eq!(Some(seen(stored).await), newest[place], "thread {thread}, step {step}");
            found += 1;
        }
    }
    (found, newest)
}

fn run(disk: &TestDisk, disturb: impl Fn() + Sync) -> (u64, Vec<Option<Seen>>) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread();
                    let runtime = { runtime }.enable_time().build().unwrap();
                    runtime.block_on(work(disk, thread))
                })
            })
            .collect();
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                disturb();
                std::thread::yield_now();
            }
        });
        let worked: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        ended.store(true, Ordering::Relaxed);
        let (found, newest): (Vec<_>, Vec<_>) =
            worked.into_iter().map(|worked| worked.unwrap()).unzip();
        (found.iter().sum(), newest.concat())
    })
}

/// Now and after a restart, what was removed is absent, and what is there is what was put last.
async fn check_newest(disk: TestDisk, options: &DiskOptions, newest: &[Option<Seen>]) {
    let check = async |disk: &TestDisk| {
        for (of, newest) in (0..).zip(newest) {
            let found = find(disk, key(of, 0), of).await;
            assert!(found.is_none() || found == *newest, "{of}: {:?}", found.map(|found| found.0));
        }
    };
    let is_in = |one: &Place<Text>| one.directory.is_in();
    until(|| disk.places.iter().all(is_in) && disk.statistics().queue_bytes == 0);
    check(&disk).await;
    disk.close();
    drop(disk);
    check(&reopen(options)).await;
}

#[tokio::test]
async fn what_many_find_at_once_is_what_each_put_last() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let options = options(&[directories[0].path(), directories[1].path()]);
    let disk = open(&options);
    let (found, newest) = run(&disk, || {});
    let statistics = disk.statistics();
    assert!(found > THREADS * STEPS / 4, "{found}: {statistics:?}");
    assert!(newest.iter().any(Option::is_none));
    check_newest(disk, &options, &newest).await;
}

#[tokio::test]
async fn directories_that_come_and_go_cost_no_more_than_what_they_had() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let options = options(&[directories[0].path(), directories[1].path()]);
    let disk = open(&options);
    let turn = AtomicU64::new(0);
    let (_, newest) = run(&disk, || {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        let directory = &disk.places[usize::try_from(turn % 2).unwrap()].directory;
        until(|| directory.is_in());
        if turn.is_multiple_of(3) {
            directory.fail("as a test wants".to_owned());
        }
    });
    check_newest(disk, &options, &newest).await;
}

#[test]
fn what_is_removed_while_it_is_written_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(&options(&[directory.path()]));
    for round in 0..800 {
        let names = round * 30..(round + 1) * 30;
        for of in names.clone() {
            put(&disk, of + 1, key(of, 0), of, bytes(of, 10));
        }
        // towards the thread that writes, so that they meet at one of them
        names.clone().rev().for_each(|of| disk.remove(&key(of, 0)));
        written(&disk);
        assert_eq!(names.clone().find(|of| disk.contains(&key(*of, 0))), None);
    }
}
