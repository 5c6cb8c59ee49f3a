//! Directories that can't be used: the edge starts and serves without them, and says so.

use super::{LARGE_BYTES, Stored, content, section};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use testkit::eventually;

const OUT: &str = "a directory of the store is out";

fn home() -> TempDir {
    TempDir::new().expect("a temporary directory can be made")
}

/// The edge serves, stores in memory, and says that the directory is out.
async fn is_served_around(stored: &Stored) {
    stored.script("/a", b"body");
    assert_eq!(stored.get("/a").await.text(), "body");
    assert!(stored.get("/a").await.is_hit());
    eventually("the directory to be out", || async { (!stored.is_in().await).then_some(()) }).await;
    let log = stored.edge.program.log();
    assert!(log.contains(OUT) && log.contains(&stored.path.display().to_string()), "{log}");
}

#[tokio::test]
async fn a_file_in_the_place_of_a_directory() {
    let home = home();
    let path = home.path().join("store");
    fs::write(&path, "a file").expect("the directory can be written");
    let stored = Stored::at(path.clone(), home).await;
    is_served_around(&stored).await;
    assert_eq!(fs::read(path).expect("it is still there"), b"a file");
}

#[tokio::test]
async fn a_directory_without_its_parent() {
    let home = home();
    let stored = Stored::at(home.path().join("no/store"), home).await;
    is_served_around(&stored).await;
}

#[tokio::test]
async fn a_place_where_nothing_can_be_written() {
    let stored = Stored::at(PathBuf::from("/proc/longshore"), home()).await;
    is_served_around(&stored).await;
}

#[tokio::test]
async fn a_directory_of_a_later_version_is_left_alone() {
    let home = home();
    let path = home.path().join("store");
    fs::create_dir(&path).expect("the directory can be written");
    let mark = "longshore-store 4000000000 7 1\n";
    fs::write(path.join("run"), mark).expect("the directory can be written");
    fs::write(path.join("00000001.segment"), "later").expect("the directory can be written");
    let stored = Stored::at(path.clone(), home).await;
    is_served_around(&stored).await;
    assert_eq!(fs::read_to_string(path.join("run")).expect("it is still there"), mark);
    assert!(path.join("00000001.segment").is_file());
}

#[tokio::test]
async fn a_directory_of_another_edge_is_in_once_that_has_ended() {
    let mut first = Stored::start().await;
    let second = Stored::at(first.path.clone(), home()).await;
    is_served_around(&second).await;
    assert!(second.edge.program.log().contains("another process uses it"));
    assert!(first.is_in().await);
    first.script("/a", &content(LARGE_BYTES));
    first.get("/a").await;
    first.written().await;
    assert!(first.get("/a").await.is_hit());
    first.edge.program.kill().await;
    eventually("the directory to be in", || async { second.is_in().await.then_some(()) }).await;
}

#[tokio::test]
async fn a_directory_removed_under_a_running_edge_is_in_again() {
    let stored = Stored::start().await;
    stored.script("/a", &content(LARGE_BYTES));
    stored.get("/a").await;
    stored.written().await;
    fs::remove_dir_all(&stored.path).expect("it is there");
    // more than a segment
    for number in 0..100 {
        let path = format!("/{number}");
        stored.script(&path, &content(LARGE_BYTES));
        assert!(stored.get(&path).await.body == content(LARGE_BYTES), "{path}");
    }
    eventually("the directory to be made anew", || async {
        (stored.is_in().await && stored.path.join("run").is_file()).then_some(())
    })
    .await;
    assert!(stored.get("/a").await.body == content(LARGE_BYTES));
    eventually("a hit from disk", || async { stored.get("/a").await.is_hit().then_some(()) }).await;
}

#[tokio::test]
async fn one_directory_goes_on_without_the_other() {
    let home = home();
    let (good, bad) = (home.path().join("good"), home.path().join("bad"));
    fs::write(&bad, "a file").expect("the directory can be written");
    let sections = section(&good) + &section(&bad);
    let stored = Stored::with(&sections, good, home).await;
    for number in 0..20 {
        let path = format!("/{number}");
        stored.script(&path, &content(LARGE_BYTES));
        stored.get(&path).await;
    }
    stored.written().await;
    assert_eq!(stored.metric("longshore_edge_disk_in", &[]).await, 1.0);
    assert_eq!(stored.metric("longshore_edge_disk_responses", &[]).await, 20.0);
}
