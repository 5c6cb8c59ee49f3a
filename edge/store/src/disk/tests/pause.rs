//! Directories that another process has for a while.

use super::*;
use crate::disk::body::DiskBody;

const LENGTH: usize = 3 << 20;

async fn streamed(disk: &TestDisk) -> DiskBody {
    match disk.find(&key(1, 0), &name(1)).await {
        Some(Stored::Read { body: StoredBody::Streamed(body), .. }) => body,
        _ => panic!("it is read piece by piece"),
    }
}

#[tokio::test]
async fn another_process_has_what_is_stored_while_it_is_read_to_its_end_here() {
    let directory = tempfile::tempdir().unwrap();
    let options = DiskOptions { reading_max_bytes: 0, ..options(&[directory.path()]) };
    let disk = open(&options);
    put(&disk, 1, key(1, 0), 1, bytes(1, LENGTH));
    written(&disk);
    let body = streamed(&disk).await;
    assert!(disk.pause().await);
    assert!(disk.find(&key(1, 0), &name(1)).await.is_none());
    put(&disk, 2, key(2, 0), 2, bytes(2, 10));

    let other = reopen(&options);
    assert_eq!(find(&other, key(1, 0), 1).await, Some((1, bytes(1, LENGTH))));
    other.remove(&key(1, 0));
    let mut all = Vec::new();
    while all.len() < LENGTH {
        all.extend_from_slice(&body.read(all.len() as u64).await.unwrap());
    }
    assert_eq!(Bytes::from(all), bytes(1, LENGTH));
}

#[tokio::test]
async fn directories_come_back_empty() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&[directory.path()]);
    let disk = open(&options);
    put(&disk, 1, key(1, 0), 1, bytes(1, LENGTH));
    written(&disk);
    assert!(disk.pause().await);
    let other = reopen(&options);
    other.close();
    drop(other);
    disk.resume();
    until(|| disk.places().count() == 1);
    assert!(find(&disk, key(1, 0), 1).await.is_none());
    put(&disk, 3, key(3, 0), 3, bytes(3, 10));
    written(&disk);
    assert_eq!(find(&disk, key(3, 0), 3).await, Some((3, bytes(3, 10))));
    assert!(disk.pause().await, "and once more");
    disk.close();
}
