//! What was removed, or has moved to another key, stays so: while it is written, recovered, or has no room.

use super::*;

#[tokio::test]
async fn what_moves_while_older_is_recovered_uncovers_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.index_max_bytes = 64 * MIB;
    options.directories[0].capacity_bytes = 256 * MIB;
    for run in 0..6 {
        let disk = reopen(&options);
        match run {
            0 => put(&disk, 1, key(1, 1), 1, bytes(1, 10)),
            5 => put(&disk, 90, key(1, 1), 1, bytes(2, 10)),
            // so that recovery takes a while
            _ => (0..20_000).map(|of| run * 100_000 + of).for_each(|of| {
                put(&disk, of, key(of, 0), of, bytes(of, 10));
            }),
        }
        written(&disk);
        disk.close();
    }
    let disk = loop {
        let disk = open(&options);
        until(|| disk.contains(&key(1, 1)));
        // held, so that recovery waits
        let phase = disk.places[0].directory.phase();
        let is_early = matches!(*phase, directory::Phase::Recovering(_));
        if is_early {
            disk.put_head(renewed(1 << 51, key(1, 0), 1, key(1, 1), 90));
        }
        drop(phase);
        if is_early {
            break disk;
        }
    };
    until(|| disk.statistics().directories[0].recovery.is_some());
    written(&disk);
    assert_eq!(find(&disk, key(1, 1), 1).await, None);
    assert_eq!(find(&disk, key(1, 0), 1).await, Some((1 << 51, bytes(2, 10))));
}

#[test]
fn what_the_index_had_no_room_for_does_not_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.index_max_bytes = 0;
    let disk = reopen(&options);
    put(&disk, 1, key(1, 0), 1, bytes(1, 10));
    written(&disk);
    assert_eq!(disk.statistics().directories[0].dropped_total, 1);
    disk.close();
    drop(disk);
    options.index_max_bytes = MIB;
    assert!(!reopen(&options).contains(&key(1, 0)));
}

#[test]
fn what_is_removed_stays_so_where_the_index_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.index_max_bytes = 64 * 64;
    let (disk, gate) = gated(&options);
    put(&disk, 1, key(1, 0), 1, bytes(1, 3_000_000));
    written(&disk);
    // the next segment waits, so that all of these do
    let held = gate.lock().unwrap();
    put(&disk, 2, key(2, 0), 2, bytes(2, 3_000_000));
    (3..103).for_each(|of| put(&disk, of, key(of, 0), of, bytes(of, 10)));
    drop(held);
    written(&disk);
    assert!((3..103).any(|of| !disk.contains(&key(of, 0))));
    (3..103).for_each(|of| disk.remove(&key(of, 0)));
    written(&disk);
    disk.close();
    drop(disk);
    let disk = reopen(&options);
    assert_eq!((3..103).find(|of| disk.contains(&key(*of, 0))), None);
}

#[tokio::test]
async fn a_move_that_is_dropped_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.queue_max_bytes = 2_000;
    let disk = reopen(&options);
    put(&disk, 1, key(1, 1), 1, bytes(1, 1_000));
    written(&disk);
    let (name, head) = (name(1).into(), Arc::new(Text(vec![0; 4_000])));
    disk.put_head(Renewed { number: 2, key: key(1, 0), name, head, from: key(1, 1), was: 1 });
    let check = |disk: &TestDisk| {
        assert!(!disk.contains(&key(1, 0)));
        assert!(!disk.contains(&key(1, 1)), "with the head it had");
    };
    check(&disk);
    written(&disk);
    check(&disk);
    drop(disk);
    check(&reopen(&options));
}

#[tokio::test]
async fn what_is_removed_is_not_written_again_behind_its_removal() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk: TestDisk = Disk::open(&options, Box::new(|_| true));
    put(&disk, 1, key(1, 0), 1, bytes(1, 1_000));
    written(&disk);
    let place = &disk.places[0];
    // as it is seen by the thread that writes
    place.queue.push_removal(queue::Operation::Remove(key(1, 0)), || {});
    place.directory.signal.raise();
    for of in 2.. {
        put(&disk, of, key(of, 0), of, bytes(of, 900_000));
        written(&disk);
        if disk.statistics().directories[0].reinserted_total > 0 {
            break;
        }
    }
    assert!(find(&disk, key(1, 0), 1).await.is_none());
    disk.close();
    drop(disk);
    assert!(find(&reopen(&options), key(1, 0), 1).await.is_none());
}

/// A response that is written, and heads that move it from one variant to the next, all of them before the first is.
async fn moved(moves: &[u8]) -> (TestDisk, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let (disk, gate) = gated(&options(&[directory.path()]));
    put(&disk, 1, key(1, moves[0]), 1, bytes(1, 9_000));
    put(&disk, 1, key(2, 0), 2, bytes(2, 3_000_000));
    written(&disk);
    let held = gate.lock().unwrap();
    put(&disk, 1, key(3, 0), 3, bytes(3, 3_000_000));
    for (number, pair) in (2..).zip(moves.windows(2)) {
        let (from, to) = (key(1, pair[0]), key(1, pair[1]));
        disk.put_head(renewed(number, to, 1, from, number - 1));
    }
    drop(held);
    (disk, directory)
}

#[tokio::test]
async fn a_new_head_for_what_is_about_to_move_moves_it() {
    let (disk, _directory) = moved(&[7, 0, 0, 0]).await;
    written(&disk);
    assert_eq!(find(&disk, key(1, 0), 1).await, Some((4, bytes(1, 9_000))));
    assert_eq!(find(&disk, key(1, 7), 1).await, None);
}

#[tokio::test]
async fn what_is_to_move_twice_is_stored_nowhere() {
    let (disk, directory) = moved(&[7, 0, 5]).await;
    for variant in [7, 0, 5] {
        assert_eq!(find(&disk, key(1, variant), 1).await, None, "{variant}");
    }
    written(&disk);
    drop(disk);
    assert_eq!(variants(&reopen(&options(&[directory.path()])), key(1, 0).name), 0);
}
