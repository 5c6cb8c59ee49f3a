//! Damaged files: what is served comes from the origin then, and nothing else happens.

use super::{End, LARGE_BYTES, Stored, content};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use testkit::eventually;

/// Stores `/a`, and nothing else.
async fn with_one() -> Stored {
    let stored = Stored::start().await;
    stored.script("/a", &content(LARGE_BYTES));
    stored.get("/a").await;
    stored.written().await;
    stored
}

/// Where some bytes are in a file.
fn place(file: &Path, bytes: &[u8]) -> u64 {
    let all = fs::read(file).expect("a segment can be read");
    let place = all.windows(bytes.len()).position(|window| window == bytes);
    place.expect("they are in it") as u64
}

fn flip(file: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(file).expect("it can be written");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("it is as long");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("it can be written");
}

/// The answer is right, whether or not it was stored; the next one is a hit again.
async fn is_right(stored: &Stored) {
    let answer = stored.get("/a").await;
    assert_eq!((answer.status, answer.body.len()), (200, LARGE_BYTES), "{}", answer.head);
    assert!(answer.body == content(LARGE_BYTES), "another body");
    let again = stored.get("/a").await;
    assert!(again.is_hit() && again.body == content(LARGE_BYTES), "{}", again.head);
}

#[tokio::test]
async fn a_flipped_bit_of_a_body_is_a_miss() {
    let stored = with_one().await;
    let body = content(LARGE_BYTES);
    let segment = &stored.segments()[0];
    flip(segment, place(segment, &body[..1_000]) + 150_000);
    is_right(&stored).await;
    assert_eq!(stored.origin.count("/a"), 2);
    assert_eq!(stored.metric("longshore_edge_disk_checksum_failures_total", &[]).await, 1.0);
    assert!(stored.is_in().await);
}

#[tokio::test]
async fn a_flipped_bit_of_a_head_or_a_name_is_a_miss() {
    for bytes in [b"ETag".as_slice(), b"etag", b"\"1\"", b"/a"] {
        let stored = with_one().await;
        let segment = &stored.segments()[0];
        let all = fs::read(segment).expect("a segment can be read");
        let Some(at) = all.windows(bytes.len()).position(|window| window == bytes) else {
            continue;
        };
        flip(segment, at as u64);
        is_right(&stored).await;
        assert_eq!(stored.origin.count("/a"), 2, "{bytes:?}");
    }
}

#[tokio::test]
async fn flipped_bits_anywhere_are_found_after_a_restart() {
    let mut stored = with_one().await;
    for (round, end) in (0..12).zip([End::Stopped, End::Killed].into_iter().cycle()) {
        stored.end(end).await;
        for segment in stored.segments() {
            let length = fs::metadata(&segment).expect("it is there").len();
            // the beginning, the record, its body, and what ends the segment
            let places = [0, 17, 4_096, 4_100, 4_160, 4_300, 5_000, 100_000];
            let from_end = [1, 9, 40, 70].map(|back| length.saturating_sub(back));
            let places = [places.as_slice(), &from_end].concat();
            flip(&segment, places[round].min(length - 1));
        }
        stored.start_again().await;
        is_right(&stored).await;
        stored.written().await;
    }
}

#[tokio::test]
async fn a_truncated_segment_is_survived() {
    for end in [End::Stopped, End::Killed] {
        for length in [0, 10, 4_096, 4_200, 100_000] {
            let mut stored = with_one().await;
            stored.end(end).await;
            let segment = fs::File::options().write(true).open(&stored.segments()[0]);
            segment.and_then(|file| file.set_len(length)).expect("it can be written");
            stored.start_again().await;
            is_right(&stored).await;
        }
    }
}

#[tokio::test]
async fn a_segment_truncated_under_a_running_edge_is_survived() {
    let stored = with_one().await;
    let segment = fs::File::options().write(true).open(&stored.segments()[0]);
    segment.and_then(|file| file.set_len(100_000)).expect("it can be written");
    is_right(&stored).await;
    assert_eq!(stored.origin.count("/a"), 2);
}

#[tokio::test]
async fn files_that_are_no_segments_are_no_harm() {
    let mut stored = with_one().await;
    stored.end(End::Killed).await;
    let directory = stored.path.clone();
    for name in ["ffffffff.segment", "00000000.segment", "00000777.segment", "x.segment", "notes"] {
        fs::write(directory.join(name), content(70_000)).expect("the directory can be written");
    }
    stored.start_again().await;
    is_right(&stored).await;
    stored.restart(End::Killed).await;
    is_right(&stored).await;
    assert!(directory.join("notes").is_file(), "what isn't ours stays");
}

#[tokio::test]
async fn a_file_with_the_last_number_a_segment_may_have_is_no_harm() {
    let mut stored = with_one().await;
    stored.end(End::Killed).await;
    let stray = stored.path.join("7fffffff.segment");
    fs::write(&stray, content(70_000)).expect("the directory can be written");
    stored.start_again().await;
    // the directory is begun anew, as soon as it is to be written to
    eventually("a hit", || async {
        stored.script("/b", &content(LARGE_BYTES));
        stored.get("/b").await;
        stored.written().await;
        let answer = stored.get("/b").await;
        (answer.is_hit() && stored.is_in().await && !stray.exists()).then_some(())
    })
    .await;
    is_right(&stored).await;
}

#[tokio::test]
async fn a_garbled_mark_empties_the_directory() {
    let mut stored = with_one().await;
    stored.end(End::Killed).await;
    fs::write(stored.path.join("run"), "garbage").expect("the directory can be written");
    stored.start_again().await;
    is_right(&stored).await;
    assert_eq!(stored.origin.count("/a"), 2);
}
