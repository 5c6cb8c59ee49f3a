//! What is stored on disk: there again after every kind of end, never wrong, and never in the way.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "disk/damage.rs"]
mod damage;
#[path = "disk/directory.rs"]
mod directory;
#[path = "disk/restart.rs"]
mod restart;

use crate::scene::{FRESH, HOST, site};
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use testkit::{Call, Control, Edge, EdgeOptions, Origin, Response, eventually};

/// Bytes that don't fit into the memory tier of [`Stored::start`].
const LARGE_BYTES: usize = 200_000;

/// Little memory: the larger responses are on disk only.
const LITTLE_MEMORY: &str = "[memory]\ncapacity_bytes = 8388608\nfilling_max_bytes = 3145728\n\
     [disk]\nindex_max_bytes = 65536\nqueue_max_bytes = 2621440\nretry_seconds = 1\n";

/// How an edge ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Stopped,
    Killed,
}

/// An edge with one directory on disk, and one site.
pub(crate) struct Stored {
    pub(crate) origin: Origin,
    pub(crate) control: Control,
    pub(crate) edge: Edge,
    path: PathBuf,
    _home: TempDir,
}

impl Stored {
    pub(crate) async fn start() -> Self {
        let home = TempDir::new().expect("a temporary directory can be made");
        let path = home.path().join("store");
        Self::at(path, home).await
    }

    /// With the directory at `path`, whatever is there.
    pub(crate) async fn at(path: PathBuf, home: TempDir) -> Self {
        Self::with(&section(&path), path, home).await
    }

    /// With these sections in its configuration.
    pub(crate) async fn with(sections: &str, path: PathBuf, home: TempDir) -> Self {
        let (origin, control) = (Origin::start().await, Control::start().await);
        let token = control.token(&["edge"]).await;
        let options = EdgeOptions::new().control(&control.url(), &token);
        let config = format!("{LITTLE_MEMORY}{sections}");
        let edge = Edge::start(options.config(&config)).await;
        let record = control.put_site(&site("a", HOST, &origin.url(), json!({}))).await;
        control.wait_adopted(&edge, record.seq).await;
        Self { origin, control, edge, path, _home: home }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.edge.get(HOST, path).await
    }

    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        self.edge.call(method, HOST, path)
    }

    /// Has the origin answer with a body, fresh for long.
    pub(crate) fn script(&self, path: &str, body: &[u8]) {
        let script = self.origin.now_on(path).respond(200);
        script.header("Cache-Control", FRESH).header("ETag", "\"1\"").body(body.to_vec());
    }

    /// Waits until all is written.
    pub(crate) async fn written(&self) {
        eventually("nothing to wait to be written", || async {
            let metrics = self.edge.metrics().await;
            // a part may be sent before its slice is whole
            let waits = ["longshore_edge_store_filling", "longshore_edge_store_queue_bytes"];
            waits.iter().all(|name| metrics.sum(name, &[]) == 0.0).then_some(())
        })
        .await;
    }

    /// Ends the edge when all is written.
    pub(crate) async fn end(&mut self, end: End) {
        self.written().await;
        let program = &mut self.edge.program;
        match end {
            End::Stopped => assert_eq!(program.stop().await, Some(0)),
            End::Killed => program.kill().await,
        }
    }

    /// Starts it again, and waits until it knows what is there.
    pub(crate) async fn start_again(&mut self) {
        self.edge.start_again().await;
        self.edge.wait_ready().await;
        eventually("what is stored to be found", || async {
            let metrics = self.edge.metrics().await;
            (metrics.sum("longshore_edge_disk_recovery_seconds", &[]) > 0.0).then_some(())
        })
        .await;
    }

    pub(crate) async fn restart(&mut self, end: End) {
        self.end(end).await;
        self.start_again().await;
    }

    /// From now on, the origin isn't there.
    pub(crate) async fn without_origin(&mut self) {
        std::mem::replace(&mut self.origin, Origin::start().await).stop().await;
    }

    pub(crate) async fn is_in(&self) -> bool {
        self.metric("longshore_edge_disk_in", &[]).await > 0.0
    }

    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        self.edge.metrics().await.sum(name, labels)
    }

    /// The segment files, the oldest first.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(&self.path).expect("the directory is there");
        let files = files.map(|file| file.expect("a file has a name").path());
        let mut segments: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|own| own == "segment")).collect();
        segments.sort();
        segments
    }
}

/// The section of one directory.
pub(crate) fn section(path: &Path) -> String {
    let path = path.display();
    format!("[[disk.directories]]\npath = \"{path}\"\ncapacity_bytes = 67108864\n")
}

/// Bytes that tell where they stand.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at / 3 + at / 1_000) % 251).unwrap_or_default()).collect()
}

#[tokio::test]
async fn what_memory_has_no_room_for_is_a_hit_from_disk() {
    let stored = Stored::start().await;
    stored.script("/a", &content(LARGE_BYTES));
    stored.get("/a").await;
    stored.written().await;
    for _ in 0..3 {
        let answer = stored.get("/a").await;
        assert!(answer.is_hit() && answer.body == content(LARGE_BYTES), "{}", answer.head);
    }
    assert_eq!(stored.origin.count("/a"), 1);
    assert!(stored.metric("longshore_edge_store_hits_total", &["tier=\"disk\""]).await >= 3.0);
    assert_eq!(stored.metric("longshore_edge_disk_checksum_failures_total", &[]).await, 0.0);
}
