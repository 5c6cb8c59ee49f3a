use super::*;
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

mod cost;
mod failure;
mod model;
mod pause;
mod removal;
mod room;
mod strain;
mod threads;

/// A head that is its bytes.
pub(super) struct Text(Vec<u8>);

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

pub(super) type TestDisk = Arc<Disk<Text>>;

pub(super) const MIB: u64 = 1 << 20;

pub(super) fn options(paths: &[&Path]) -> DiskOptions {
    DiskOptions {
        witness: None,
        directories: paths
            .iter()
            .map(|path| DirectoryOptions { path: path.to_path_buf(), capacity_bytes: 16 * MIB })
            .collect(),
        index_max_bytes: MIB,
        queue_max_bytes: 64 * MIB,
        reading_max_bytes: 64 * MIB,
        read_timeout: Duration::from_secs(20),
        retry: Duration::from_millis(1),
        sweep_records_per_second: 1_000_000,
    }
}

pub(super) fn open(options: &DiskOptions) -> TestDisk {
    Disk::open(options, Box::new(|_| false))
}

/// Opened, and all that an earlier run left is found.
pub(super) fn reopen(options: &DiskOptions) -> TestDisk {
    let disk = open(options);
    until(|| disk.statistics().directories.iter().all(|one| one.recovery.is_some()));
    disk
}

/// Opened, and makes no segment while what is returned with it is locked.
fn gated(options: &DiskOptions) -> (TestDisk, Arc<Mutex<()>>) {
    let gate = Arc::new(Mutex::new(()));
    let own = Arc::clone(&gate);
    let allocate = Box::new(move |file: &std::fs::File, bytes: u64| {
        drop(own.lock());
        file.set_len(bytes)
    });
    let disk: TestDisk = Disk::open_with(options, Box::new(|_| false), allocate);
    until(|| disk.statistics().directories.iter().all(|one| one.recovery.is_some()));
    (disk, gate)
}

/// Waits for what other threads do.
pub(super) fn until(is_done: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_done() {
        assert!(began.elapsed() < Duration::from_secs(30), "it never came");
        std::thread::yield_now();
    }
}

/// How many variants of a name are stored.
fn variants(disk: &TestDisk, name: [u8; 16]) -> usize {
    disk.ages(name).len()
}

/// Waits for the queue.
pub(super) fn written(disk: &TestDisk) {
    until(|| disk.statistics().queue_bytes == 0);
}

pub(super) fn key(name: u64, variant: u8) -> Key {
    Key {
        name: u128::from(name + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c83_4ac5_1b2d)
            .to_le_bytes(),
        variant: [variant; 16],
    }
}

pub(super) fn name(name: u64) -> Vec<u8> {
    format!("/{name}").into_bytes()
}

/// Bytes that depend on `seed`.
pub(super) fn bytes(seed: u64, length: usize) -> Bytes {
    let words =
        (0..length as u64 / 8 + 1).map(|at| (at + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(length);
    bytes.into()
}

pub(super) fn put(disk: &TestDisk, number: u64, key: Key, of: u64, body: Bytes) {
    let (name, head) = (name(of).into(), Arc::new(Text(number.to_le_bytes().to_vec())));
    disk.put(Arc::new(Complete { number, key, name, head, body }));
}

/// A response as a caller sees it: its number by its head, and its body.
pub(super) type Seen = (u64, Bytes);

pub(super) async fn seen(stored: Stored<Text>) -> Seen {
    let (number, head, body) = match stored {
        Stored::Queued(complete) => {
            return (number_of(&complete.head), complete.body.clone());
        }
        Stored::Read { number, head, body } => (number, head, body),
    };
    assert_eq!(number, number_of(&head));
    let body = match body {
        StoredBody::Whole(body) => body,
        StoredBody::Streamed(body) => {
            let mut all = Vec::new();
            while all.len() < usize::try_from(body.length()).unwrap() {
                all.extend_from_slice(&body.read(all.len() as u64).await.unwrap());
            }
            all.into()
        }
    };
    (number, body)
}

fn number_of(head: &Text) -> u64 {
    u64::from_le_bytes(*head.0.first_chunk().unwrap())
}

pub(super) async fn find(disk: &TestDisk, key: Key, of: u64) -> Option<Seen> {
    let now = match disk.find_now(&key, &name(of)) {
        Now::Absent => None,
        Now::Found(stored) => Some(seen(stored).await),
        Now::Blocks => {
            let found = disk.find(&key, &name(of)).await;
            return match found {
                Some(stored) => Some(seen(stored).await),
                None => None,
            };
        }
    };
    let waited = match disk.find(&key, &name(of)).await {
        Some(stored) => Some(seen(stored).await),
        None => None,
    };
    assert_eq!(now, waited);
    now
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let mut segments: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|own| own == "segment")).collect();
    segments.sort();
    segments
}

#[tokio::test]
async fn what_is_put_is_found_while_it_waits_after_it_is_written_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let lengths = [0, 1, 4_096, 128 << 10, (128 << 10) + 1, 1 << 20, 3 << 20];
    let disk = open(&options);
    let first = disk.first_number();
    for (of, length) in (0..).zip(lengths) {
        put(&disk, first + of, key(of, 0), of, bytes(of, length));
        assert_eq!(find(&disk, key(of, 0), of).await, Some((first + of, bytes(of, length))));
    }
    written(&disk);
    let check = async |disk: &TestDisk| {
        for (of, length) in (0..).zip(lengths) {
            assert_eq!(find(disk, key(of, 0), of).await, Some((first + of, bytes(of, length))));
            assert!(disk.contains(&key(of, 0)));
        }
        assert!(find(disk, key(99, 0), 99).await.is_none());
    };
    check(&disk).await;
    disk.close();
    drop(disk);
    let disk = reopen(&options);
    assert!(disk.first_number() > first + 1_000);
    check(&disk).await;
    drop(disk);
    check(&reopen(&options)).await;
}

#[tokio::test]
async fn another_name_under_the_same_key_is_not_found_and_takes_nothing_away() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(&options(&[directory.path()]));
    put(&disk, 1, key(1, 0), 1, bytes(1, 10));
    assert!(find(&disk, key(1, 0), 2).await.is_none());
    written(&disk);
    assert!(find(&disk, key(1, 0), 2).await.is_none());
    assert!(find(&disk, key(1, 0), 1).await.is_some());
}

#[tokio::test]
async fn what_is_removed_is_gone_after_a_restart_too() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = open(&options);
    for (of, variant) in [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (3, 0)] {
        put(&disk, of, key(of, variant), of, bytes(of, 100));
    }
    written(&disk);
    disk.remove(&key(1, 0));
    disk.remove(&key(2, 1));
    put(&disk, 9, key(3, 0), 3, bytes(9, 100));
    disk.remove(&key(3, 0));
    let check = async |disk: &TestDisk| {
        for (of, variant) in [(1, 0), (1, 1), (1, 2), (2, 1), (3, 0)] {
            assert_eq!(find(disk, key(of, variant), of).await, None, "{of} {variant}");
        }
        assert!(find(disk, key(2, 0), 2).await.is_some());
    };
    check(&disk).await;
    written(&disk);
    drop(disk);
    let disk = reopen(&options);
    check(&disk).await;
    disk.close();
    drop(disk);
    check(&reopen(&options)).await;
}

fn renewed(number: u64, key: Key, of: u64, from: Key, was: u64) -> Renewed<Text> {
    let (name, head) = (name(of).into(), Arc::new(Text(number.to_le_bytes().to_vec())));
    Renewed { number, key, name, head, from, was }
}

#[tokio::test]
async fn a_new_head_goes_with_the_body_that_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.directories[0].capacity_bytes = 64 * MIB;
    let disk = open(&options);
    let lengths = [100, 100_000, 2 << 20];
    for waits in [true, false] {
        written(&disk);
        let before = disk.statistics().directories[0].written_bytes_total;
        for (of, length) in (0..).zip(lengths) {
            put(&disk, 1, key(of, 0), of, bytes(of, length));
        }
        for number in 2..5 {
            if !waits {
                written(&disk);
            }
            for (of, length) in (0..).zip(lengths) {
                disk.put_head(renewed(number, key(of, 0), of, key(of, 0), number - 1));
                let expected = Some((number, bytes(of, length)));
                assert_eq!(find(&disk, key(of, 0), of).await, expected, "{waits} {number}");
            }
        }
        written(&disk);
        let bytes = disk.statistics().directories[0].written_bytes_total - before;
        assert!(waits || bytes < 3 * MIB, "bodies are written once: {bytes}");
    }
    drop(disk);
    let disk = reopen(&options);
    for (of, length) in (0..).zip(lengths) {
        assert_eq!(find(&disk, key(of, 0), of).await, Some((4, bytes(of, length))));
    }
}

#[tokio::test]
async fn a_new_head_can_move_a_response_to_another_key() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = open(&options);
    for (of, waits) in [(1, true), (2, false)] {
        put(&disk, 1, key(of, 7), of, bytes(of, 9_000));
        if !waits {
            written(&disk);
        }
        disk.put_head(renewed(2, key(of, 0), of, key(of, 7), 1));
    }
    let check = async |disk: &TestDisk| {
        for of in [1, 2] {
            assert_eq!(find(disk, key(of, 7), of).await, None);
            assert_eq!(find(disk, key(of, 0), of).await, Some((2, bytes(of, 9_000))));
            assert_eq!(variants(disk, key(of, 0).name), 1);
        }
    };
    check(&disk).await;
    written(&disk);
    check(&disk).await;
    disk.close();
    drop(disk);
    check(&reopen(&options)).await;
}

#[tokio::test]
async fn a_new_head_for_what_is_gone_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(&options(&[directory.path()]));
    put(&disk, 1, key(1, 0), 1, bytes(1, 9_000));
    written(&disk);
    disk.put_head(renewed(3, key(1, 0), 1, key(1, 0), 2));
    disk.put_head(renewed(3, key(2, 0), 2, key(2, 0), 2));
    written(&disk);
    assert_eq!(find(&disk, key(1, 0), 1).await, None);
    assert_eq!(find(&disk, key(2, 0), 2).await, None);
}

#[tokio::test]
async fn a_new_head_for_what_was_replaced_leaves_what_is_newer() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(&options(&[directory.path()]));
    for (of, waits) in [(1, true), (2, false)] {
        put(&disk, 1, key(of, 0), of, bytes(1, 9_000));
        put(&disk, 2, key(of, 0), of, bytes(2, 9_000));
        if !waits {
            written(&disk);
        }
        disk.put_head(renewed(3, key(of, 0), of, key(of, 0), 1));
        written(&disk);
        assert_eq!(find(&disk, key(of, 0), of).await, Some((2, bytes(2, 9_000))));
    }
}

#[tokio::test]
async fn a_crowded_name_loses_the_variants_stored_longest_ago() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = open(&options);
    for variant in 0..20 {
        put(&disk, 1, key(1, variant), 1, bytes(1, 100));
        if variant == 15 {
            written(&disk);
        }
    }
    put(&disk, 1, key(1, 3), 1, bytes(1, 100));
    assert_eq!(variants(&disk, key(1, 0).name), 20);
    written(&disk);
    disk.crowd_out(key(1, 0).name, 4);
    assert_eq!(variants(&disk, key(1, 0).name), 4);
    written(&disk);
    drop(disk);
    let disk = reopen(&options);
    for variant in 0..20 {
        let is_there = find(&disk, key(1, variant), 1).await.is_some();
        assert_eq!(is_there, [0, 3, 18, 19].contains(&variant), "{variant}");
    }
}

#[tokio::test]
async fn a_listing_has_each_response_once_whatever_its_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(&options(&[directory.path()]));
    for of in 0..700 {
        put(&disk, of, key(of, 0), of, bytes(of, 10));
    }
    put(&disk, 700, key(5, 0), 5, bytes(5, 20));
    disk.remove(&key(6, 0));
    written(&disk);
    let (mut all, mut after) = (Vec::new(), Some(0));
    while let Some(from) = after {
        let (listed, next) = disk.list(from, 90, |name| name != b"/7").await;
        all.extend(listed);
        after = next;
    }
    let mut names: Vec<_> = all.iter().map(|listed| listed.name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!((all.len(), names.len()), (698, 698));
    let listed = all.iter().find(|listed| *listed.name == *b"/5").unwrap();
    assert_eq!((listed.number, listed.body_bytes, listed.key), (700, 20, key(5, 0)));
    assert_eq!(number_of(&listed.head), 700);
}
