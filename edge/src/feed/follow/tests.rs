//! The feed's tasks, a control that is scripted, and a real NATS.

use super::*;
use crate::feed::adopted::tests::{id, log, purge, put};
use crate::feed::testing::{Control, Directory, feed};
use crate::feed::{Nats, Running, Secret};
use crate::work::Work;
use api::edge::EdgeReport;
use api::feed::{
    Current, NATS_CURRENT_PREFIX, NATS_PREV, NATS_SEQ, NATS_STREAM, NATS_SUBJECT_PREFIX,
};
use async_nats::HeaderMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// A NATS server, as Debian has it.
struct Server {
    child: Child,
    port: u16,
    store: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let store = tempfile::tempdir().unwrap();
        Self { child: Self::spawn(port, store.path()), port, store }
    }

    fn spawn(port: u16, store: &std::path::Path) -> Child {
        let paths = std::env::var("PATH").unwrap_or_default();
        let mut child = Command::new("nats-server")
            .env("PATH", format!("{paths}:/usr/sbin"))
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(store)
            .stderr(Stdio::piped())
            .spawn()
            .expect("nats-server (Debian package nats-server) is installed");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let is_ready = |line: &str| line.contains("Server is ready");
        assert!(lines.by_ref().any(|line| is_ready(&line.unwrap())), "it did not start");
        // what it logs from now on has to go somewhere
        std::thread::spawn(move || lines.for_each(drop));
        child
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = Self::spawn(self.port, self.store.path());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Publishes as control does.
struct Publisher(async_nats::Client);

impl Publisher {
    async fn connect(server: &Server) -> Self {
        let client = async_nats::connect(server.url()).await.unwrap();
        let stream = async_nats::jetstream::stream::Config {
            name: NATS_STREAM.to_owned(),
            subjects: vec![format!("{NATS_SUBJECT_PREFIX}>")],
            ..Default::default()
        };
        let context = async_nats::jetstream::new(client.clone());
        context.get_or_create_stream(stream).await.unwrap();
        Self(client)
    }

    async fn entry(&self, seq: u64, prev: u64, text: &str, compressed: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_SEQ, seq.to_string());
        headers.insert(NATS_PREV, prev.to_string());
        let mut payload = text.as_bytes().to_vec();
        if compressed {
            headers.insert("Content-Encoding", "zstd");
            payload = zstd::bulk::compress(&payload, 1).unwrap();
        }
        let subject = format!("{NATS_SUBJECT_PREFIX}{}", log('1'));
        let context = async_nats::jetstream::new(self.0.clone());
        let accepted = context.publish_with_headers(subject, headers, payload.into()).await;
        accepted.unwrap().await.unwrap();
    }

    async fn heartbeat(&self, newest: u64) {
        let subject = format!("{NATS_CURRENT_PREFIX}{}", log('1'));
        let payload = serde_json::to_vec(&Current { newest }).unwrap();
        self.0.publish(subject, payload.into()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Tells heartbeats until control isn't asked any more.
    async fn taken_up(&self, control: &Control, newest: u64) {
        let mut open = control.open.subscribe();
        loop {
            self.heartbeat(newest).await;
            let closed =
                tokio::time::timeout(Duration::from_millis(100), open.wait_for(|open| *open == 0));
            if closed.await.is_ok() {
                return;
            }
        }
    }
}

fn run(running: Running) -> JoinHandle<()> {
    tokio::spawn(running.run())
}

#[tokio::test]
async fn what_is_adopted_is_reported_once_it_is_on_disk() {
    let (control, directory) = (Control::start(true).await, Directory::new());
    control.push(1, &put(1, 'A', &["a.example"]));
    let (work, mut tasks) = Work::new();
    let work = Arc::new(work);
    let running = feed(&control, &directory, None, Arc::clone(&work)).start().unwrap();
    let current = Arc::clone(&running.feed.current);
    let task = run(running);
    let report = control.reported(|report| report.adopted == 1).await;
    assert_eq!(report.region.as_deref(), Some("here"));
    // what was asked for before this edge was there is not done; what is asked now is, where it is
    control.push(2, &purge(2, 'A', &["there"]));
    control.push(3, &purge(3, 'A', &["here"]));
    control.reported(|report| report.adopted == 3).await;
    let (seq, Task::Purge(purge)) = tasks.recv().await.unwrap() else { panic!() };
    assert_eq!((seq, purge.site_id), (3, id('A')));
    assert_eq!(current.load().site("a.example").unwrap().purges.newest(), 3);
    work.ledger.note(3, |progress| progress.matched = 7);
    let seven = |report: &EdgeReport| report.progress.iter().any(|done| done.progress.matched == 7);
    let report = control.reported(seven).await;
    assert_eq!(report.progress[0].seq, 3);
    control.push(4, "what control does not mean to send");
    control.push(5, &put(5, 'B', &["b.example"]));
    control.reported(|report| report.adopted == 5).await;
    assert!(control.open.borrow().eq(&1) && control.opened() == 1, "nothing is asked again");
    task.abort();
    task.await.ok();
    let (work, mut tasks) = Work::new();
    let again = feed(&control, &directory, None, Arc::new(work)).start().unwrap();
    assert_eq!(again.adopted.applied, 5);
    assert_eq!(again.feed.current.load().site("a.example").unwrap().purges.newest(), 4);
    let task = run(again);
    control.reported(|report| report.adopted == 5).await;
    assert!(tasks.try_recv().is_err(), "a restart does nothing again");
    task.abort();
}

#[tokio::test]
async fn nats_is_followed_while_nothing_is_missing() {
    let mut server = Server::start();
    let publisher = Publisher::connect(&server).await;
    let (control, directory) = (Control::start(false).await, Directory::new());
    control.push(1, &put(1, 'A', &["a.example"]));
    let (work, _tasks) = Work::new();
    let nats = Nats { url: server.url(), secret: Secret::Absent };
    let task = run(feed(&control, &directory, Some(nats), Arc::new(work)).start().unwrap());
    control.reported(|report| report.adopted == 1).await;
    publisher.taken_up(&control, 1).await;
    // control has these as well, but is not asked
    for (seq, compressed) in [(2, true), (2, false), (4, true)] {
        let text = put(seq, 'B', &["b.example"]);
        control.keep(seq, &text);
        publisher.entry(seq, seq / 2, &text, compressed).await;
        control.reported(|report| report.adopted == seq).await;
    }
    assert_eq!(control.opened(), 1);
    // one that never comes by NATS
    control.keep(5, &put(5, 'C', &["c.example"]));
    let text = purge(6, 'A', &[]);
    control.keep(6, &text);
    publisher.entry(6, 5, &text, false).await;
    let report = control.reported(|report| report.adopted >= 6).await;
    assert_eq!((report.adopted, control.opened()), (6, 2));
    publisher.taken_up(&control, 6).await;
    // and one that only a heartbeat tells of
    control.keep(7, &put(7, 'C', &["c.example"]));
    publisher.heartbeat(7).await;
    control.reported(|report| report.adopted == 7).await;
    publisher.taken_up(&control, 7).await;
    server.kill();
    control.push(8, &purge(8, 'A', &[]));
    control.reported(|report| report.adopted == 8).await;
    server.restart();
    let publisher = Publisher::connect(&server).await;
    publisher.taken_up(&control, 8).await;
    let text = purge(9, 'A', &[]);
    control.keep(9, &text);
    publisher.entry(9, 8, &text, true).await;
    control.reported(|report| report.adopted == 9).await;
    task.abort();
}
