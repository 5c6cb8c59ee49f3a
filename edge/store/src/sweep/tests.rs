use super::*;
use crate::{DirectoryOptions, DiskOptions, Limits};
use bytes::Bytes;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A head that is its bytes.
struct Text(Vec<u8>);

impl Head for Text {
    fn weight(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.to_vec()))
    }
}

/// Removes what has one of these heads, and notes what it met.
#[derive(Default)]
struct Picky {
    unwanted: Vec<&'static [u8]>,
    met: Vec<(Tier, Box<[u8]>, bool)>,
    removed: usize,
}

impl Visitor<Text> for Picky {
    fn removes(&mut self, met: &Met<'_, Text>) -> bool {
        self.met.push((met.tier, met.name.into(), met.is_in_memory_too));
        self.unwanted.contains(&&*met.head.0)
    }

    fn removed(&mut self, _: &Met<'_, Text>) {
        self.removed += 1;
    }
}

const LIMITS: Limits = Limits {
    memory_bytes: 1 << 20,
    response_max_bytes: 1 << 20,
    filling_max_bytes: 8 << 20,
    variants_max: 4,
};

fn options(path: &Path) -> DiskOptions {
    DiskOptions {
        witness: None,
        directories: vec![DirectoryOptions { path: path.to_owned(), capacity_bytes: 64 << 20 }],
        index_max_bytes: 1 << 20,
        queue_max_bytes: 64 << 20,
        reading_max_bytes: 8 << 20,
        read_timeout: Duration::from_secs(20),
        retry: Duration::from_millis(1),
        sweep_records_per_second: 1_000_000,
    }
}

fn open(path: &Path) -> Store<Text> {
    let store = Store::with_disk(LIMITS, &options(path));
    while store.statistics().disk.directories[0].recovery.is_none() {
        std::thread::yield_now();
    }
    store
}

fn written(store: &Store<Text>) {
    while store.statistics().disk.queue_bytes > 0 {
        std::thread::yield_now();
    }
}

fn key(of: u16) -> Key {
    let [low, high] = of.to_le_bytes();
    // names are hashes: their first bytes differ
    Key {
        name: [low, high, low ^ 0x5a, high, low, high, low, high, low, 1, 2, 3, 4, 5, 6, 7],
        variant: [0; 16],
    }
}

fn name(of: u16) -> Box<[u8]> {
    format!("/{of}").into_bytes().into()
}

fn put(store: &Store<Text>, of: u16, head: &[u8], bytes: usize) {
    let mut fill = store.fill(key(of), name(of), Text(head.to_vec()), store.moment());
    fill.write(Bytes::from(vec![7; bytes])).unwrap();
    fill.complete().unwrap();
}

/// Larger than what memory takes at once.
const HEAVY: usize = 100_000;

fn segments(path: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
    let mut segments: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|own| own == "segment")).collect();
    segments.sort();
    segments
}

#[test]
fn what_is_unwanted_in_memory_goes_unless_something_newer_is_there() {
    let store = Store::new(LIMITS);
    for of in 0..3 {
        put(&store, of, b"old", 1);
    }
    put(&store, 1, b"new", 1);
    let mut picky = Picky { unwanted: vec![b"old"], ..Picky::default() };
    store.sweep_memory(&mut picky);
    assert_eq!((picky.met.len(), picky.removed), (3, 2));
    assert!(store.find_now(&key(1), b"/1").is_some() && !store.holds(&key(0)));
}

#[tokio::test]
async fn what_is_on_disk_is_met_once_and_goes_from_all_tiers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    put(&store, 1, b"old", HEAVY);
    put(&store, 2, b"old", 10);
    put(&store, 3, b"new", 10);
    written(&store);
    let mut picky = Picky { unwanted: vec![b"old"], ..Picky::default() };
    assert!(store.sweep_directory(0, &mut picky).await);
    picky.met.sort();
    let expected = [(1, false), (2, true), (3, true)];
    let expected = expected.map(|(of, in_memory)| (Tier::Disk, name(of), in_memory));
    assert_eq!((picky.met.as_slice(), picky.removed), (expected.as_slice(), 2));
    assert_eq!([1, 2, 3].map(|of| store.holds(&key(of))), [false, false, true]);
    assert!(store.sync().await);
    drop(store);
    let store = open(directory.path());
    assert_eq!(
        [1, 2, 3].map(|of| store.holds(&key(of))),
        [false, false, true],
        "nor after a crash"
    );
}

#[tokio::test]
async fn what_is_removed_does_not_come_back_by_a_read_that_began_before() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    put(&store, 1, b"old", HEAVY);
    written(&store);
    // the first read has it remembered; the second takes it into memory
    let first = store.find(&key(1), b"/1").await.unwrap();
    let since = store.moment();
    let mut picky = Picky { unwanted: vec![b"old"], ..Picky::default() };
    assert!(store.sweep_directory(0, &mut picky).await);
    assert!(store.inner.under_way().is_stored(&key(1).name, since));
    assert!(!store.remove_found(&first.was(key(1))), "it is gone");
}

#[tokio::test]
async fn what_a_request_found_is_removed_once_and_nothing_newer() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for (of, bytes) in [(1, HEAVY), (2, 10)] {
        put(&store, of, b"old", bytes);
        written(&store);
        let (key, name) = (key(of), name(of));
        let was = store.find(&key, &name).await.unwrap().was(key);
        assert!(store.remove_found(&was));
        assert!(!store.remove_found(&was) && !store.holds(&key));
        put(&store, of, b"old", bytes);
        let was = store.find(&key, &name).await.unwrap().was(key);
        put(&store, of, b"new", bytes);
        assert!(!store.remove_found(&was) && store.holds(&key));
    }
}

#[tokio::test]
async fn all_that_stays_is_met_while_segments_go_and_records_move() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let most = 300;
    for of in 0..most {
        put(&store, of, b"kept", HEAVY);
        written(&store);
    }
    let disk = store.inner.disk.as_ref().unwrap();
    let mut walk = Walk::new(0);
    let (mut met, mut next) = (std::collections::HashSet::new(), 1_000);
    while let Some(some) = disk.walk_on(&mut walk).await {
        met.extend(some.into_iter().map(|found| found.key));
        // asked for, so that it is written again when its segment goes
        for of in (0..most).step_by(40) {
            store.find(&key(of), &name(of)).await;
        }
        for _ in 0..100 {
            if next < 2_000 {
                put(&store, next, b"later", HEAVY);
                next += 1;
                written(&store);
            }
        }
    }
    assert!(walk.is_whole());
    let left: Vec<_> = (0..most).filter(|of| disk.contains(&key(*of))).collect();
    assert!(!left.is_empty() && left.len() < usize::from(most), "{left:?}");
    assert!(left.iter().all(|of| met.contains(&key(*of))), "{left:?}");
    let statistics = &store.statistics().disk.directories[0];
    assert!(statistics.reinserted_total > 0 && statistics.evicted_for_room_total > 0);
}

#[tokio::test]
async fn what_cannot_be_read_goes_and_stays_away() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for of in 0..20 {
        put(&store, of, b"kept", HEAVY);
    }
    written(&store);
    let segment = segments(directory.path()).remove(0);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(segment).unwrap();
    // in the name of the first record
    file.write_all_at(b"???", 4_096 + 96).unwrap();
    let mut picky = Picky::default();
    assert!(store.sweep_directory(0, &mut picky).await);
    assert_eq!((picky.met.len(), store.statistics().disk.directories[0].responses), (19, 19));
    store.close();
    drop(store);
    assert_eq!(open(directory.path()).statistics().disk.directories[0].responses, 19);
}

#[tokio::test]
async fn the_room_of_what_was_removed_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for of in 0..400 {
        put(&store, of, if of % 50 == 0 { b"kept" } else { b"gone" }, HEAVY);
        if of % 50 == 0 {
            written(&store);
        }
    }
    written(&store);
    let before = store.statistics().disk.directories[0].disk_bytes;
    let mut picky = Picky { unwanted: vec![b"gone"], ..Picky::default() };
    assert!(store.sweep_directory(0, &mut picky).await);
    assert_eq!(picky.removed, 392);
    while store.statistics().disk.directories[0].disk_bytes > before / 2 {
        std::thread::yield_now();
    }
    for of in (0..400).step_by(50) {
        assert!(store.find(&key(of), &name(of)).await.is_some(), "{of}");
    }
}

#[tokio::test]
async fn a_directory_that_is_out_has_nothing_to_be_met() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(directory.path());
    options.retry = Duration::from_secs(3_600);
    let store = Store::<Text>::with_disk(LIMITS, &options);
    put(&store, 1, b"kept", 10);
    written(&store);
    let disk = Arc::clone(store.inner.disk.as_ref().unwrap());
    disk.fail_for_test(0);
    let mut picky = Picky::default();
    assert!(store.sweep_directory(0, &mut picky).await && picky.met.is_empty());
    assert!(store.sync().await, "there is none to be waited for");
}

/// Has something newer stored under each key just before what it met is to be removed.
struct Late(Store<Text>);

impl Visitor<Text> for Late {
    fn removes(&mut self, met: &Met<'_, Text>) -> bool {
        let is_old = met.head.0 == b"old";
        if is_old {
            put(&self.0, 1, b"new", HEAVY);
        }
        is_old
    }

    fn removed(&mut self, _: &Met<'_, Text>) {
        panic!("what was met isn't there any more");
    }
}

#[tokio::test]
async fn what_is_replaced_while_it_is_looked_at_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let is_new = async |store: &Store<Text>| {
        let found = store.find(&key(1), b"/1").await;
        found.is_some_and(|found| found.head.0 == b"new")
    };
    put(&store, 1, b"old", HEAVY);
    // waiting to be written, or written
    assert!(store.sweep_directory(0, &mut Late(store.clone())).await && is_new(&store).await);
    put(&store, 1, b"old", HEAVY);
    written(&store);
    assert!(store.sweep_directory(0, &mut Late(store.clone())).await && is_new(&store).await);
    put(&store, 1, b"old", 10);
    store.sweep_memory(&mut Late(store.clone()));
    assert!(is_new(&store).await);
}
