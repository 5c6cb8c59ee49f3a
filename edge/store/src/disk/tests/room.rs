//! Bounds: of the device, of the index, of the queue.

use super::*;

const BODY: usize = 60_000;

fn one(disk: &TestDisk) -> DirectoryStatistics {
    disk.statistics().directories.remove(0)
}

/// Puts a response, and waits when much is queued, as a device that is slow has others wait.
fn fill(disk: &TestDisk, range: std::ops::Range<u64>, length: usize) {
    for of in range {
        put(disk, of, key(of, 0), of, bytes(of, length));
        if disk.statistics().queue_bytes > 4 * MIB {
            written(disk);
        }
    }
    written(disk);
}

fn bytes_of_files(directory: &Path) -> u64 {
    segments(directory).iter().map(|path| path.metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn the_oldest_makes_room_and_what_was_found_stays() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = open(&options);
    for of in 0..1_500 {
        fill(&disk, of..of + 1, BODY);
        assert!(bytes_of_files(directory.path()) <= 16 * MIB);
        assert_eq!(find(&disk, key(1, 0), 1).await.is_some(), of > 0, "{of}");
        assert!(find(&disk, key(of, 0), of).await.is_some());
    }
    let statistics = one(&disk);
    assert!(statistics.disk_bytes <= 16 * MIB && statistics.live_bytes > 8 * MIB);
    assert!(statistics.evicted_for_room_total > 1_000 && statistics.reinserted_total > 5);
    assert_eq!(statistics.dropped_total, 0);
    let there = statistics.responses;
    disk.close();
    drop(disk);
    let disk = reopen(&options);
    assert_eq!(one(&disk).responses, there);
    assert_eq!(find(&disk, key(1, 0), 1).await, Some((1, bytes(1, BODY))));
    assert!(find(&disk, key(2, 0), 2).await.is_none());
}

#[tokio::test]
async fn what_the_memory_tier_has_stays_too() {
    let directory = tempfile::tempdir().unwrap();
    let hot = key(3, 0);
    let disk: TestDisk =
        Disk::open(&options(&[directory.path()]), Box::new(move |key| *key == hot));
    fill(&disk, 0..1_000, BODY);
    assert!(disk.contains(&hot) && !disk.contains(&key(4, 0)));
    assert_eq!(find(&disk, hot, 3).await, Some((3, bytes(3, BODY))));
}

#[tokio::test]
async fn a_body_under_a_new_head_stays_when_its_segment_goes() {
    let directory = tempfile::tempdir().unwrap();
    let disk: TestDisk =
        Disk::open(&options(&[directory.path()]), Box::new(|key| key.variant == [9; 16]));
    let (hot, cold) = (key(5_000, 9), key(5_001, 0));
    for key in [hot, cold] {
        put(&disk, 1, key, 5_000, bytes(5, BODY));
    }
    fill(&disk, 0..100, BODY);
    for key in [hot, cold] {
        disk.put_head(renewed(2, key, 5_000, key, 1));
    }
    fill(&disk, 100..180, BODY);
    fill(&disk, 180..1_000, BODY);
    assert_eq!(find(&disk, hot, 5_000).await, Some((2, bytes(5, BODY))));
    assert_eq!(find(&disk, cold, 5_000).await, None);
}

#[tokio::test]
async fn the_index_is_bounded_over_all_directories() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut options = options(&[directories[0].path(), directories[1].path()]);
    options.index_max_bytes = 64 * 20_000;
    let disk = open(&options);
    for round in 0..30 {
        fill(&disk, round * 2_000..(round + 1) * 2_000, 10);
        let responses: u64 = disk.statistics().directories.iter().map(|one| one.responses).sum();
        assert!(responses <= 20_000, "{responses}");
    }
    let statistics = disk.statistics();
    let bytes: u64 = statistics.directories.iter().map(|one| one.index_bytes).sum();
    let evicted: u64 = statistics.directories.iter().map(|one| one.evicted_for_index_total).sum();
    assert!(evicted > 10_000, "{statistics:?}");
    // beside the tables' smallest sizes
    assert!(bytes <= options.index_max_bytes + 2 * 256 * 400, "{bytes}");
    drop(disk);
    options.index_max_bytes = 64 * 2_000;
    let disk = reopen(&options);
    let responses: u64 = disk.statistics().directories.iter().map(|one| one.responses).sum();
    assert!(responses <= 2_000, "{responses}");
}

#[tokio::test]
async fn a_full_queue_drops_a_write_and_what_it_would_have_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.queue_max_bytes = 100_000;
    let disk = open(&options);
    put(&disk, 1, key(1, 0), 1, bytes(1, 1_000));
    written(&disk);
    put(&disk, 2, key(1, 0), 1, bytes(2, 200_000));
    assert_eq!(find(&disk, key(1, 0), 1).await, None);
    assert_eq!(one(&disk).dropped_total, 1);
    written(&disk);
    drop(disk);
    assert_eq!(find(&reopen(&options), key(1, 0), 1).await, None);
}

#[tokio::test]
async fn a_directory_too_small_for_anything_stores_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for capacity_bytes in [0, 1, 4_096, 100_000, MIB] {
        let mut options = options(&[directory.path()]);
        options.directories[0].capacity_bytes = capacity_bytes;
        let disk = open(&options);
        put(&disk, 1, key(1, 0), 1, bytes(1, 1_000));
        disk.remove(&key(1, 0));
        put(&disk, 2, key(1, 0), 1, bytes(2, 1_000));
        until(|| disk.statistics().queue_bytes == 0);
        let found = find(&disk, key(1, 0), 1).await;
        assert_eq!(found.is_some(), capacity_bytes == MIB, "{capacity_bytes}");
    }
}

#[tokio::test]
async fn what_was_written_before_a_write_that_is_dropped_is_not_found_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    for _ in 0..10 {
        let disk = open(&options);
        // written together, so that the first is overtaken before it is found
        put(&disk, 1, key(1, 0), 1, bytes(1, 2_000_000));
        put(&disk, 2, key(1, 0), 1, bytes(2, 4 << 20));
        written(&disk);
        drop(disk);
        let disk = reopen(&options);
        assert_eq!(find(&disk, key(1, 0), 1).await, None);
    }
}

#[tokio::test]
async fn what_is_larger_than_a_segment_is_not_stored() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = open(&options);
    put(&disk, 1, key(1, 0), 1, bytes(1, 1_000));
    put(&disk, 2, key(1, 0), 1, bytes(2, 4 << 20));
    written(&disk);
    assert_eq!(find(&disk, key(1, 0), 1).await, None);
    drop(disk);
    assert_eq!(find(&reopen(&options), key(1, 0), 1).await, None);
}

#[tokio::test]
async fn a_reader_of_what_is_gone_reads_on_and_its_file_counts() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(&DiskOptions { reading_max_bytes: 0, ..options(&[directory.path()]) });
    put(&disk, 1, key(1, 0), 1, bytes(1, 2 << 20));
    written(&disk);
    let Some(Stored::Read { body: StoredBody::Streamed(body), .. }) =
        disk.find(&key(1, 0), &name(1)).await
    else {
        panic!("what there is no room to hold is streamed");
    };
    for of in 100..1_000 {
        put(&disk, of, key(of, 0), of, bytes(of, BODY));
        assert!(one(&disk).disk_bytes <= 16 * MIB);
        disk.remove(&key(1, 0));
    }
    written(&disk);
    let mut read = Vec::new();
    while read.len() < 2 << 20 {
        read.extend_from_slice(&body.read(read.len() as u64).await.unwrap());
    }
    assert_eq!(bytes(1, 2 << 20), read);
    assert_eq!(body.read(2 << 20).await.unwrap(), "");
    assert_eq!(
        body.read((1 << 20) + 5).await.unwrap()[..],
        read[(1 << 20) + 5..(1 << 20) + (128 << 10)]
    );
}

#[tokio::test]
async fn whole_records_that_are_held_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.reading_max_bytes = 150_000;
    let disk = open(&options);
    put(&disk, 1, key(1, 0), 1, bytes(1, 100_000));
    written(&disk);
    let held = disk.find(&key(1, 0), &name(1)).await;
    assert!(matches!(&held, Some(Stored::Read { body: StoredBody::Whole(_), .. })));
    assert!(disk.statistics().reading_bytes > 100_000);
    assert!(matches!(disk.find_now(&key(1, 0), &name(1)), Now::Blocks));
    let other = disk.find(&key(1, 0), &name(1)).await;
    assert!(matches!(&other, Some(Stored::Read { body: StoredBody::Streamed(_), .. })));
    assert_eq!(seen(other.unwrap()).await, (1, bytes(1, 100_000)));
    drop(held);
    assert_eq!(disk.statistics().reading_bytes, 0);
}

#[tokio::test]
async fn a_crowded_name_keeps_what_was_put_again_while_it_waits() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, gate) = gated(&options(&[directory.path()]));
    let held = gate.lock().unwrap();
    for (number, variant) in [(1, 1), (2, 2), (3, 3), (4, 1)] {
        put(&disk, number, key(1, variant), 1, bytes(number, 100));
    }
    disk.crowd_out(key(1, 0).name, 2);
    drop(held);
    written(&disk);
    assert_eq!(find(&disk, key(1, 1), 1).await, Some((4, bytes(4, 100))));
    assert_eq!(variants(&disk, key(1, 0).name), 1);
}
