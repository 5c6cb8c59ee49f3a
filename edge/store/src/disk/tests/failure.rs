//! Directories that can't be used, devices that are full, files that are not what was written.

use super::*;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;

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

static FULL: AtomicBool = AtomicBool::new(false);

fn allocate_unless_full(file: &File, bytes: u64) -> io::Result<()> {
    if FULL.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    segment::allocate(file, bytes)
}

#[tokio::test]
async fn a_full_device_makes_do_with_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.retry = Duration::from_secs(60);
    let disk: TestDisk = Disk::open_with(&options, Box::new(|_| false), allocate_unless_full);
    for of in 0..200 {
        put(&disk, of, key(of, 0), of, bytes(of, 60_000));
    }
    written(&disk);
    FULL.store(true, Ordering::Relaxed);
    for of in 200..300 {
        put(&disk, of, key(of, 0), of, bytes(of, 60_000));
        written(&disk);
        let state = states(&disk).remove(0);
        let is_found = find(&disk, key(of, 0), of).await;
        assert!(is_found.is_none_or(|found| found == (of, bytes(of, 60_000))), "{state:?}");
    }
    // with no room for a single file, there is nothing to make do with
    assert!(is_out(&disk, 0) || disk.statistics().directories[0].dropped_total > 0);
}
