//! Devices and processes with too much to do: slow reads, writes that hang, too few descriptors, readers that stay.

use super::*;

fn is_in(disk: &TestDisk, at: usize) -> bool {
    disk.places[at].directory.is_in()
}

/// Has all threads that read a directory do nothing else until `done` says so.
fn occupy(directory: &directory::Directory, done: impl Fn() + Clone + Send + 'static) {
    let pool = directory.pool.as_ref().unwrap();
    let started = Arc::new(AtomicU64::new(0));
    let ask = |_| {
        let (started, done) = (Arc::clone(&started), done.clone());
        let read = move || {
            started.fetch_add(1, Ordering::Relaxed);
            done();
        };
        pool.ask(read).unwrap()
    };
    let answers: Vec<_> = (0..4).map(ask).collect();
    until(|| started.load(Ordering::Relaxed) == 4);
    // what has begun goes on without
    drop(answers);
}

fn wait_until(moment: Instant) {
    let left = moment.saturating_duration_since(Instant::now());
    signal::Signal::default().wait(Some(left));
}

#[tokio::test]
async fn a_read_that_only_waited_for_others_is_a_miss_and_takes_no_directory_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.read_timeout = Duration::from_millis(100);
    options.retry = Duration::from_secs(60);
    let disk = reopen(&options);
    let gate = Arc::new(AtomicU64::new(0));
    let opened = Arc::clone(&gate);
    occupy(&disk.places[0].directory, move || until(|| opened.load(Ordering::Relaxed) > 0));
    assert_eq!(disk.places[0].directory.wait_for(|_| ()).await, None);
    assert!(is_in(&disk, 0));
    gate.store(1, Ordering::Relaxed);
}

#[tokio::test]
async fn a_read_that_begins_late_has_its_own_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.read_timeout = Duration::from_secs(2);
    options.retry = Duration::from_secs(60);
    let disk = reopen(&options);
    let asked = Instant::now();
    // when it was asked for two seconds ago, it has taken one
    occupy(&disk.places[0].directory, move || wait_until(asked + Duration::from_secs(1)));
    let slow =
        move |_: &Arc<directory::Directory>| wait_until(asked + Duration::from_millis(2_200));
    disk.places[0].directory.wait_for(slow).await;
    assert!(is_in(&disk, 0));
}

#[test]
fn a_listing_of_a_slow_device_goes_on_where_its_time_was_over() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(&options(&[directory.path()]));
    (0..40).for_each(|of| put(&disk, of, key(of, 0), of, bytes(of, 10)));
    written(&disk);
    let (mut cursor, mut found) = (Cursor::decode(0), 0);
    while cursor.directory == 0 {
        let piece = listing::piece_until(Instant::now(), &disk.places[0].directory, cursor);
        assert!(piece.rows == 1 && piece.candidates.len() <= 1);
        (cursor, found) = (piece.next, found + piece.candidates.len());
    }
    assert_eq!(found, 40);
}

#[test]
fn a_mark_that_no_run_of_a_store_writes_keeps_nothing_from_starting() {
    for number in ["18446744073709551615", "16777216", "16777215"] {
        let directory = tempfile::tempdir().unwrap();
        let mark = format!("longshore-store 1 {number} 0\n");
        std::fs::write(directory.path().join("run"), mark).unwrap();
        let disk = reopen(&options(&[directory.path()]));
        assert_eq!(disk.first_number(), 1 << NUMBER_BITS);
        assert!(is_in(&disk, 0));
    }
}

/// A store of two directories of which the first hangs when it makes a segment, as long as `gate` is locked.
fn hanging(options: &mut DiskOptions, gate: &Arc<Mutex<()>>) -> TestDisk {
    options.directories[0].capacity_bytes = 32 * MIB;
    options.queue_max_bytes = 4 * MIB;
    options.retry = Duration::from_secs(60);
    let gate = Arc::clone(gate);
    let allocate = Box::new(move |file: &std::fs::File, bytes: u64| {
        if bytes == 8 * MIB {
            drop(locked(&gate));
        }
        file.set_len(bytes)
    });
    let disk: TestDisk = Disk::open_with(options, Box::new(|_| false), allocate);
    until(|| disk.statistics().directories.iter().all(|one| one.recovery.is_some()));
    disk
}

#[test]
fn a_directory_whose_writes_hang_leaves_the_others_their_share_of_the_queue() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut options = options(&[directories[0].path(), directories[1].path()]);
    let gate = Arc::default();
    let hangs = locked(&gate);
    let disk = hanging(&mut options, &gate);
    let (mut of, places) = (0, &disk.places);
    while disk.statistics().directories[0].dropped_total == 0 {
        put(&disk, of, key(of, 0), of, bytes(of, 100_000));
        until(|| places[1].queue.find(&key(of, 0)).is_none());
        of += 1;
    }
    let statistics = disk.statistics();
    assert!(statistics.queue_bytes <= 2 * MIB, "{statistics:?}");
    assert_eq!(statistics.directories[1].dropped_total, 0);
    places[0].directory.fail("a read takes too long".to_owned());
    assert!(!is_in(&disk, 0));
    until(|| disk.statistics().queue_bytes < MIB);
    drop(hangs);
    written(&disk);
}

#[test]
fn a_directory_whose_writes_hang_is_out() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut options = options(&[directories[0].path(), directories[1].path()]);
    options.read_timeout = Duration::from_millis(300);
    let gate = Arc::default();
    let hangs = locked(&gate);
    let disk = hanging(&mut options, &gate);
    let mut of = 0;
    while is_in(&disk, 0) {
        of += 1;
        put(&disk, of, key(of, 0), of, bytes(of, 100));
        until(|| disk.places[1].queue.find(&key(of, 0)).is_none());
    }
    put(&disk, of, key(of, 0), of, bytes(of, 100));
    assert!(disk.contains(&key(of, 0)));
    assert!(is_in(&disk, 1) && !disk.is_behind());
    drop(hangs);
}

#[test]
fn what_is_larger_than_a_directorys_share_of_the_queue_waits_alone() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut options = options(&[directories[0].path(), directories[1].path()]);
    options.queue_max_bytes = 4 * MIB;
    let disk = reopen(&options);
    put(&disk, 1, key(1, 0), 1, bytes(1, 3 << 20));
    assert!(disk.contains(&key(1, 0)));
    written(&disk);
    assert!(disk.contains(&key(1, 0)));
}

/// More than there is room for behind 3 MiB in a segment of 4 MiB.
const REMOVALS: u64 = 9_000;

/// A store that gets this error where it makes its `at`th segment, counted from zero.
fn short(options: &DiskOptions, at: u64, errno: i32) -> TestDisk {
    let turn = AtomicU64::new(0);
    let allocate = Box::new(move |file: &std::fs::File, bytes: u64| {
        if turn.fetch_add(1, Ordering::Relaxed) == at {
            return Err(std::io::Error::from_raw_os_error(errno));
        }
        file.set_len(bytes)
    });
    let disk: TestDisk = Disk::open_with(options, Box::new(|_| false), allocate);
    until(|| disk.statistics().directories[0].recovery.is_some());
    disk
}

#[tokio::test]
async fn a_process_short_of_descriptors_keeps_what_it_has_and_writes_on_when_it_can() {
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
        let directory = tempfile::tempdir().unwrap();
        let disk = short(&options(&[directory.path()]), 1, errno);
        put(&disk, 1, key(1, 0), 1, bytes(1, 3 << 20));
        written(&disk);
        let mut of = 2;
        while disk.statistics().directories[0].segments < 2 {
            put(&disk, of, key(of, 0), of, bytes(of, 3 << 20));
            written(&disk);
            of += 1;
        }
        let statistics = disk.statistics().directories.remove(0);
        assert_eq!(statistics.write_errors_total, 1, "reported: {statistics:?}");
        assert!(statistics.dropped_total > 0, "{statistics:?}");
        assert!(find(&disk, key(1, 0), 1).await.is_some());
        assert!(find(&disk, key(of - 1, 0), of - 1).await.is_some());
    }
}

#[tokio::test]
async fn a_removal_waits_for_descriptors() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = short(&options, 1, libc::EMFILE);
    put(&disk, 1, key(1, 0), 1, bytes(1, 3 << 20));
    written(&disk);
    put(&disk, 2, key(2, 0), 2, bytes(2, 3 << 20));
    for _ in 0..REMOVALS {
        disk.places[0].remove(&key(1, 0));
    }
    written(&disk);
    assert!(is_in(&disk, 0));
    assert_eq!(disk.statistics().directories[0].segments, 2);
    drop(disk);
    let disk = reopen(&options);
    assert!(!disk.contains(&key(1, 0)));
}

#[test]
fn what_takes_a_descriptor_is_tried_again_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.retry = Duration::from_secs(60);
    let disk = reopen(&options);
    let check = |errno: i32, turns: u32| {
        let mut turn = 0;
        let done = disk.places[0].directory.patiently(|| {
            turn += 1;
            if turn < 3 { Err(std::io::Error::from_raw_os_error(errno)) } else { Ok(()) }
        });
        assert_eq!((done.is_ok(), turn), (turns == 3, turns), "{errno}");
    };
    check(libc::EMFILE, 3);
    check(libc::EIO, 1);
}

#[tokio::test]
async fn a_quota_is_a_full_device() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.retry = Duration::from_secs(60);
    let disk = short(&options, 2, libc::EDQUOT);
    for of in 0..8 {
        put(&disk, of, key(of, 0), of, bytes(of, 3 << 20));
        written(&disk);
        assert!(find(&disk, key(of, 0), of).await.is_some());
    }
    let statistics = disk.statistics().directories.remove(0);
    assert_eq!((statistics.dropped_total, statistics.write_errors_total), (0, 1));
    assert_eq!(statistics.state, DirectoryState::In);
}

#[tokio::test]
async fn readers_of_what_was_removed_take_no_directory_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.retry = Duration::from_secs(60);
    let disk = reopen(&options);
    let one = || disk.statistics().directories.remove(0);
    let (mut readers, mut of) = (Vec::new(), 0);
    while one().dropped_total == 0 {
        put(&disk, of, key(of, 0), of, bytes(of, 3 << 20));
        written(&disk);
        readers.extend(disk.find(&key(of, 0), &name(of)).await);
        of += 1;
    }
    for _ in 0..REMOVALS {
        disk.places[0].remove(&key(of, 0));
    }
    written(&disk);
    let statistics = one();
    assert!(statistics.disk_bytes <= 20 * MIB, "beyond by one segment: {statistics:?}");
    assert_eq!(statistics.state, DirectoryState::In);
    // what is put meanwhile takes none of that
    put(&disk, of, key(of, 0), of, bytes(of, 10));
    written(&disk);
    assert!(!disk.contains(&key(of, 0)));
    readers.clear();
    until(|| one().disk_bytes <= 16 * MIB);
    until(|| {
        put(&disk, of, key(of, 0), of, bytes(of, 10));
        disk.contains(&key(of, 0))
    });
    written(&disk);
    assert!(disk.contains(&key(of, 0)));
}

#[tokio::test]
async fn restarts_leave_few_segments_and_all_that_was_stored() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    for of in 0..60 {
        let disk = reopen(&options);
        put(&disk, of + 1, key(of, 0), of, bytes(of, 10));
        written(&disk);
        disk.close();
    }
    let disk = reopen(&options);
    let statistics = disk.statistics().directories.remove(0);
    assert!(statistics.segments <= 8, "{statistics:?}");
    for of in 0..60 {
        assert_eq!(find(&disk, key(of, 0), of).await, Some((of + 1, bytes(of, 10))));
    }
}
