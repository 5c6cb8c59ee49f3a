//! Directories that can't be used, devices that are full, files that are not what was written.

use super::*;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

fn states(disk: &TestDisk) -> Vec<DirectoryState> {
    disk.statistics().directories.into_iter().map(|one| one.state).collect()
}

fn is_out(disk: &TestDisk, at: usize) -> bool {
    matches!(states(disk)[at], DirectoryState::Out(_))
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

#[tokio::test]
async fn what_cannot_be_used_is_out_and_nothing_refuses_to_start() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    File::create(&file).unwrap();
    let nowhere = parent.path().join("no/where");
    let used = parent.path().join("used");
    let new = parent.path().join("new");
    let other = open(&options(&[&used]));
    put(&other, 1, key(1, 0), 1, bytes(1, 100));
    let disk = open(&options(&[&file, &nowhere, &used, &new]));
    until(|| [0, 1, 2].into_iter().all(|at| is_out(&disk, at)));
    until(|| states(&disk)[3] == DirectoryState::In);
    for of in 0..20 {
        put(&disk, of, key(of, 0), of, bytes(of, 100));
        assert!(find(&disk, key(of, 0), of).await.is_some());
    }
    // none is taken from another process
    assert!(find(&other, key(1, 0), 1).await.is_some());
    drop(other);
    until(|| states(&disk)[2] == DirectoryState::In);
    assert!(!disk.statistics().directories[2].path.join("no").exists());
}

#[tokio::test]
async fn a_directory_that_fails_is_served_around_and_comes_back_empty() {
    let parent = tempfile::tempdir().unwrap();
    let paths = [parent.path().join("one"), parent.path().join("two")];
    let mut options = options(&[&paths[0], &paths[1]]);
    options.retry = Duration::from_millis(50);
    let disk = open(&options);
    until(|| states(&disk) == [DirectoryState::In, DirectoryState::In]);
    for of in 0..100 {
        put(&disk, of, key(of, 0), of, bytes(of, 100));
    }
    written(&disk);
    let shares: Vec<_> = disk.statistics().directories.iter().map(|one| one.responses).collect();
    assert!(shares.iter().all(|share| *share > 20), "{shares:?}");
    // the first segment is full one day, and the next can't be made
    std::fs::rename(&paths[0], parent.path().join("away")).unwrap();
    File::create(&paths[0]).unwrap();
    let mut of = 100;
    while !is_out(&disk, 0) {
        put(&disk, of, key(of, 0), of, bytes(of, 60_000));
        of += 1;
        written(&disk);
    }
    assert_eq!(disk.statistics().directories[0].responses, 0);
    put(&disk, 7, key(7, 0), 7, bytes(77, 100));
    assert_eq!(find(&disk, key(7, 0), 7).await, Some((7, bytes(77, 100))));
    std::fs::remove_file(&paths[0]).unwrap();
    std::fs::rename(parent.path().join("away"), &paths[0]).unwrap();
    until(|| states(&disk) == [DirectoryState::In, DirectoryState::In]);
    assert!(segments(&paths[0]).is_empty());
    assert_eq!(find(&disk, key(7, 0), 7).await, Some((7, bytes(77, 100))));
    for of in 0..100 {
        put(&disk, 1_000 + of, key(of, 0), of, bytes(of, 100));
    }
    written(&disk);
    drop(disk);
    let disk = reopen(&options);
    for of in 0..100 {
        assert_eq!(find(&disk, key(of, 0), of).await, Some((1_000 + of, bytes(of, 100))));
    }
}

#[tokio::test]
async fn a_directory_that_was_away_for_a_run_is_emptied() {
    let parent = tempfile::tempdir().unwrap();
    let paths = [parent.path().join("one"), parent.path().join("two")];
    let both = options(&[&paths[0], &paths[1]]);
    let disk = open(&both);
    for of in 0..100 {
        put(&disk, of, key(of, 0), of, bytes(of, 100));
    }
    disk.close();
    drop(disk);
    let disk = reopen(&options(&[&paths[1]]));
    (0..100).for_each(|of| disk.remove(&key(of, 0)));
    disk.close();
    drop(disk);
    let disk = reopen(&both);
    for of in 0..100 {
        assert_eq!(find(&disk, key(of, 0), of).await, None, "{of}");
    }
}

#[tokio::test]
async fn another_version_of_a_directory_is_emptied_or_left_alone() {
    for (version, is_kept) in [(0, false), (9, true)] {
        let directory = tempfile::tempdir().unwrap();
        let options = options(&[directory.path()]);
        std::fs::write(directory.path().join("00000001.segment"), b"of another time").unwrap();
        std::fs::write(directory.path().join("run"), format!("longshore-store {version} 7 a b"))
            .unwrap();
        let disk = open(&options);
        until(|| if is_kept { is_out(&disk, 0) } else { states(&disk)[0] == DirectoryState::In });
        assert_eq!(directory.path().join("00000001.segment").exists(), is_kept);
        put(&disk, 1, key(1, 0), 1, bytes(1, 100));
        assert_eq!(find(&disk, key(1, 0), 1).await.is_some(), !is_kept);
    }
}

#[tokio::test]
async fn a_damaged_byte_is_a_miss_wherever_it_is() {
    for at in [4_096, 4_106, 4_096 + 90, 4_096 + 97, 4_096 + 120, 200_000, 304_000] {
        let directory = tempfile::tempdir().unwrap();
        let disk = open(&options(&[directory.path()]));
        put(&disk, 1, key(1, 0), 1, bytes(1, 300_000));
        put(&disk, 2, key(2, 0), 2, bytes(2, 300_000));
        written(&disk);
        assert!(find(&disk, key(1, 0), 1).await.is_some());
        flip(&segments(directory.path())[0], at);
        assert_eq!(find(&disk, key(1, 0), 1).await, None, "{at}");
        assert!(!disk.contains(&key(1, 0)));
        assert_eq!(disk.statistics().directories[0].checksum_failures_total, 1);
        assert_eq!(find(&disk, key(2, 0), 2).await, Some((2, bytes(2, 300_000))));
        put(&disk, 3, key(1, 0), 1, bytes(3, 10));
        written(&disk);
        assert_eq!(find(&disk, key(1, 0), 1).await, Some((3, bytes(3, 10))));
    }
}

/// A device with room for so many bytes of segments.
fn small_device(directory: &Path, room_bytes: u64) -> segment::Allocate {
    let directory = directory.to_owned();
    Box::new(move |file, bytes| {
        let used: u64 =
            segments(&directory).iter().map(|path| path.metadata().unwrap().len()).sum();
        if used + bytes > room_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        segment::allocate(file, bytes)
    })
}

#[tokio::test]
async fn a_full_device_makes_do_with_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.directories[0].capacity_bytes = 64 * MIB;
    options.retry = Duration::from_secs(60);
    let device = small_device(directory.path(), 40 * MIB);
    let disk: TestDisk = Disk::open_with(&options, Box::new(|_| false), device);
    for of in 0..1_500 {
        put(&disk, of, key(of, 0), of, bytes(of, 60_000));
        if of % 50 == 0 {
            written(&disk);
        }
        assert_eq!(find(&disk, key(of, 0), of).await, Some((of, bytes(of, 60_000))));
    }
    let statistics = disk.statistics().directories.remove(0);
    assert_eq!((statistics.state, statistics.dropped_total), (DirectoryState::In, 0));
    assert!(statistics.write_errors_total > 0 && statistics.evicted_for_room_total > 500);
}

#[tokio::test]
async fn a_device_without_room_for_two_segments_is_out_until_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let device = small_device(directory.path(), 3 * MIB);
    let disk: TestDisk = Disk::open_with(&options, Box::new(|_| false), device);
    put(&disk, 1, key(1, 0), 1, bytes(1, 100));
    until(|| disk.statistics().directories[0].write_errors_total > 1);
    assert_eq!(find(&disk, key(1, 0), 1).await, None);
}

#[tokio::test]
async fn a_directory_that_hangs_is_out_until_it_answers() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut options = options(&[directories[0].path(), directories[1].path()]);
    options.read_timeout = Duration::from_millis(500);
    let disk = open(&options);
    until(|| states(&disk) == [DirectoryState::In, DirectoryState::In]);
    let (release, released) = std::sync::mpsc::channel::<()>();
    let hangs = move |_: &Arc<directory::Directory>| released.recv().ok();
    assert_eq!(disk.places[0].directory.wait_for(hangs).await, None);
    let DirectoryStatistics { read_errors_total, .. } = disk.statistics().directories[0];
    assert_eq!(read_errors_total, 1);
    until(|| states(&disk)[0] == DirectoryState::In);
    drop(release);
    for of in 0..20 {
        put(&disk, of, key(of, 0), of, bytes(of, 100));
        assert!(disk.contains(&key(of, 0)));
    }
}

#[tokio::test]
async fn reads_that_fail_one_after_another_take_a_directory_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.retry = Duration::from_secs(60);
    let disk = reopen(&options);
    let failing = &disk.places[0].directory;
    let error = io::Error::other("the device is gone");
    for is_out_now in [false, false] {
        failing.read_failed(&error);
        assert_eq!(is_out(&disk, 0), is_out_now);
    }
    failing.read_succeeded();
    (0..2).for_each(|_| failing.read_failed(&error));
    assert!(!is_out(&disk, 0));
    failing.read_failed(&error);
    assert!(is_out(&disk, 0));
}

/// Overwrites what lies between a segment's beginning and its table, or the end of its last record.
fn overwrite(path: &Path, from: u64, to: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0x55; usize::try_from(to - from).unwrap()], from).unwrap();
}

#[tokio::test]
async fn recovery_reads_tables_and_no_records() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = open(&options);
    for of in 0..10 {
        put(&disk, of, key(of, 0), of, bytes(of, 100_000));
    }
    disk.close();
    drop(disk);
    overwrite(&segments(directory.path())[0], 4_096, 1_000_000);
    let disk = reopen(&options);
    assert_eq!(disk.statistics().directories[0].responses, 10);
    for of in 0..10 {
        assert_eq!(find(&disk, key(of, 0), of).await, None);
    }
}

#[tokio::test]
async fn recovery_without_a_table_reads_headers_and_no_bodies() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = open(&options);
    for of in 0..3 {
        put(&disk, of, key(of, 0), of, bytes(of, 500_000));
    }
    written(&disk);
    drop(disk);
    for of in 0..3 {
        overwrite(&segments(directory.path())[0], 100_000 + of * 500_200, 400_000 + of * 500_200);
    }
    assert_eq!(reopen(&options).statistics().directories[0].responses, 3);
}

#[tokio::test]
async fn a_lost_table_is_made_up_for_by_the_records() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = open(&options);
    for of in 0..150 {
        put(&disk, of, key(of, 0), of, bytes(of, 60_000));
    }
    disk.close();
    drop(disk);
    for (path, from_end) in segments(directory.path()).into_iter().zip([100, 30, 100]) {
        flip(&path, path.metadata().unwrap().len() - from_end);
    }
    let disk = reopen(&options);
    for of in 0..150 {
        assert_eq!(find(&disk, key(of, 0), of).await, Some((of, bytes(of, 60_000))), "{of}");
    }
}

#[tokio::test]
async fn what_may_have_been_removed_by_what_is_lost_is_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = open(&options);
    put(&disk, 1, key(1, 0), 1, bytes(1, 100));
    for of in 2..150 {
        put(&disk, of, key(of, 0), of, bytes(of, 60_000));
        if of == 80 {
            written(&disk);
            disk.remove(&key(1, 0));
        }
    }
    disk.close();
    drop(disk);
    let second = segments(directory.path()).remove(1);
    let length = second.metadata().unwrap().len();
    overwrite(&second, 4_096, length);
    let disk = reopen(&options);
    assert_eq!(find(&disk, key(1, 0), 1).await, None);
    assert!(find(&disk, key(149, 0), 149).await.is_some());
}

#[tokio::test]
async fn a_crash_while_a_segment_is_sealed_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = open(&options);
    for of in 0..100 {
        put(&disk, of, key(of, 0), of, bytes(of, 60_000));
    }
    disk.close();
    drop(disk);
    // half of the last table is written, and the next segment is there
    let last = segments(directory.path()).pop().unwrap();
    let file = OpenOptions::new().write(true).open(&last).unwrap();
    file.set_len(last.metadata().unwrap().len() - 1_000).unwrap();
    let next = segment::Segment::create(
        directory.path(),
        table::Identity { segment: 3, run: 1 },
        4 * MIB,
        &(Box::new(segment::allocate) as segment::Allocate),
        &Arc::default(),
    );
    drop(next.unwrap());
    let disk = reopen(&options);
    for of in 0..100 {
        assert!(find(&disk, key(of, 0), of).await.is_some(), "{of}");
    }
}

#[tokio::test]
#[ignore = "needs a file system of 20 MiB or so at $SMALL_FILE_SYSTEM"]
async fn a_full_file_system_keeps_nothing_from_starting_warm() {
    let path = PathBuf::from(std::env::var_os("SMALL_FILE_SYSTEM").unwrap()).join("store");
    let mut options = options(&[&path]);
    options.directories[0].capacity_bytes = 64 * MIB;
    options.retry = Duration::from_secs(60);
    for round in 1..6 {
        let disk = reopen(&options);
        for of in 0..1_000 {
            put(&disk, of, key(of, 0), of, bytes(of + round, 15_000));
            if of % 50 == 0 {
                written(&disk);
            }
        }
        written(&disk);
        if round % 2 == 0 {
            disk.close();
        }
        drop(disk);
        let rest = path.with_file_name("rest");
        let full = io::copy(&mut io::repeat(1), &mut File::create(&rest).unwrap());
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let disk = reopen(&options);
        let statistics = disk.statistics().directories.remove(0);
        assert!(statistics.responses > 500, "{statistics:?}");
        for of in 0..1_000 {
            let found = find(&disk, key(of, 0), of).await;
            assert!(found.is_none_or(|found| found == (of, bytes(of + round, 15_000))));
        }
        std::fs::remove_file(&rest).unwrap();
    }
}

#[tokio::test]
async fn what_went_on_without_directories_empties_them_later() {
    let (directory, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let witness = state.path().join("store");
    let options = DiskOptions { witness: Some(witness.clone()), ..options(&[directory.path()]) };
    put_and_close(&options);
    assert!(find(&reopen(&options), key(1, 0), 1).await.is_some(), "nothing went on meanwhile");
    leave(&witness);
    assert!(find(&reopen(&options), key(1, 0), 1).await.is_none());
    put_and_close(&options);
    std::fs::remove_dir_all(&witness).unwrap();
    put_and_close(&options);
    assert!(find(&reopen(&options), key(1, 0), 1).await.is_some(), "a witness may be lost");
}

fn put_and_close(options: &DiskOptions) {
    let disk = reopen(options);
    put(&disk, 1, key(1, 0), 1, bytes(1, 100));
    written(&disk);
    disk.close();
}
