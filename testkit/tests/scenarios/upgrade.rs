//! Another process follows on an edge that serves.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::scene::{FRESH, HOST, Scene};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use testkit::{
    Authority, Client, Control, Edge, EdgeOptions, Feed, Http3, Origin, Tls, eventually,
};

/// An edge with a disk tier.
struct Upgraded {
    origin: Origin,
    _control: Control,
    edge: Edge,
    _disk: tempfile::TempDir,
}

impl Upgraded {
    async fn start() -> Self {
        let disk = tempfile::tempdir().unwrap();
        let (origin, control) = (Origin::start().await, Control::start().await);
        let path = disk.path().join("disk");
        let config = format!("[[disk.directories]]\npath = {path:?}\ncapacity_bytes = 268435456\n");
        let edge = control.edge_with(&config).await;
        let document = crate::scene::site("a", HOST, &origin.url(), serde_json::json!({}));
        let put = control.put_site(&document).await;
        control.wait_adopted(&edge, put.seq).await;
        Self { origin, _control: control, edge, _disk: disk }
    }

    fn state(&self) -> PathBuf {
        self.edge.config_file().with_file_name("state")
    }

    /// The process that has the state directory.
    fn process(&self) -> i32 {
        let text = std::fs::read_to_string(self.state().join("lock")).unwrap_or_default();
        text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
    }

    fn upgrade(&self) -> (Option<i32>, String) {
        upgrade(&self.state())
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        if let Some(process) = Pid::from_raw(self.process()) {
            // the one that followed is no child of this test
            kill_process(process, Signal::TERM).ok();
        }
    }
}

fn upgrade(state: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(testkit::program_path("longshore-edge"));
    let run = command.arg("upgrade").arg("--state-dir").arg(state).output().unwrap();
    (run.status.code(), String::from_utf8(run.stderr).unwrap())
}

#[tokio::test]
async fn no_request_fails_while_one_process_follows_on_another() {
    let scene = Upgraded::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("stored");
    scene.edge.get(HOST, "/a").await;
    let (ended, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let address = scene.edge.http();
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (ended, served) = (Arc::clone(&ended), Arc::clone(&served));
            tokio::spawn(async move {
                let mut kept: Option<Client> = None;
                while !ended.load(Ordering::Relaxed) {
                    let mut client = match kept.take() {
                        Some(client) => client,
                        None => Client::connect(address).await,
                    };
                    let answer = client.get(HOST, "/a").await;
                    assert_eq!((answer.status, answer.text()), (200, "stored"));
                    let closes = answer.field("connection").is_some_and(|word| word == "close");
                    served.fetch_add(1, Ordering::Relaxed);
                    // some keep their connections, and some don't
                    kept = (number % 2 == 0 && !closes).then_some(client);
                }
            })
        })
        .collect();
    let mut processes = vec![scene.process()];
    for _ in 0..5 {
        let state = scene.state();
        let (code, said) = tokio::task::spawn_blocking(move || upgrade(&state)).await.unwrap();
        assert_eq!(code, Some(0), "{said}");
        processes.push(scene.process());
        let before = served.load(Ordering::Relaxed);
        eventually("the new process to serve", || async {
            (served.load(Ordering::Relaxed) > before + 50).then_some(())
        })
        .await;
    }
    ended.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 6);
    assert_eq!(scene.origin.count("/a"), 1, "what is stored is there for all of them");
}

#[tokio::test]
async fn what_is_under_way_is_finished_by_the_process_that_began_it() {
    let mut scene = Upgraded::start().await;
    let barrier = testkit::Barrier::new();
    scene.origin.on("/a").respond(200).chunked().body("one").wait(&barrier).body("two");
    let mut client = scene.edge.call("GET", HOST, "/a").open().await;
    client.head().await.unwrap();
    client.at_least(3).await.unwrap();
    assert_eq!(scene.upgrade().0, Some(0));
    assert_eq!(scene.edge.get(HOST, "/b").await.status, 404);
    barrier.release();
    assert_eq!(client.rest_of_body().await.unwrap(), b"two");
    drop(client);
    assert_eq!(scene.edge.program.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_connection_that_waits_is_told_that_its_next_answer_is_the_last() {
    let mut scene = Upgraded::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("stored");
    let mut client = scene.edge.connect().await;
    assert_ne!(client.get(HOST, "/a").await.field("connection"), Some("close"));
    assert_eq!(scene.upgrade().0, Some(0));
    let answer = client.get(HOST, "/a").await;
    assert_eq!((answer.text(), answer.field("connection")), ("stored", Some("close")));
    assert_eq!(scene.edge.program.exit_code().await, Some(0));
}

#[tokio::test]
async fn an_edge_goes_on_where_the_new_process_does_not_start() {
    let scene = Upgraded::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("stored");
    scene.edge.get(HOST, "/a").await;
    let before = scene.process();
    // it is prepared, and finds that it can't read what was adopted
    std::fs::rename(scene.state().join("journal"), scene.state().join("kept")).unwrap();
    std::fs::create_dir(scene.state().join("journal")).unwrap();
    let (code, said) = scene.upgrade();
    assert!(code == Some(1) && said.contains("it goes on itself"), "{code:?} {said}");
    assert_eq!(scene.process(), before);
    assert_eq!(scene.edge.get(HOST, "/a").await.text(), "stored");
    std::fs::remove_dir(scene.state().join("journal")).unwrap();
    std::fs::rename(scene.state().join("kept"), scene.state().join("journal")).unwrap();
    eventually("an upgrade", || async { (scene.upgrade().0 == Some(0)).then_some(()) }).await;
    assert_eq!(scene.edge.get(HOST, "/a").await.status, 200);
}

#[tokio::test]
async fn a_configuration_that_has_become_wrong_changes_nothing() {
    let scene = Scene::start().await;
    let process = scene.edge.program.id().and_then(|id| i32::try_from(id).ok());
    let process = process.and_then(Pid::from_raw).unwrap();
    let config = scene.edge.config_file();
    std::fs::write(&config, "[http]\nhead_max_bytes = 1\n").unwrap();
    kill_process(process, Signal::HUP).unwrap();
    let log = |word: &'static str| {
        let scene = &scene;
        async move {
            eventually(word, || async { scene.edge.program.log().contains(word).then_some(()) })
                .await;
        }
    };
    log("http.head_max_bytes: must be 1024 to").await;
    std::fs::write(&config, "[http]\nhead_max_bytes = 2048\n").unwrap();
    kill_process(process, Signal::HUP).unwrap();
    log("it is used after an upgrade").await;
    assert_eq!(scene.get("/").await.status, 404);
}

#[test]
fn a_check_tells_whether_an_edge_can_start() {
    let directory = tempfile::tempdir().unwrap();
    let check = |config: &str, code: i32, expected: &str| {
        let file = directory.path().join("edge.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(testkit::program_path("longshore-edge"));
        let run = command.arg("check").arg("--config").arg(&file).output().unwrap();
        let said = String::from_utf8(run.stdout).unwrap();
        assert_eq!(run.status.code(), Some(code), "{config}: {said}");
        assert!(said.starts_with(expected), "{config}: {said}");
    };
    let state = format!("[state]\ndirectory = {:?}\n", directory.path().join("state"));
    check(&state, 0, "ok\n");
    check("[http]\nlisten = \"nowhere\"\n", 2, "http.listen: must be a host");
    let none = directory.path().join("none");
    check(&format!("{state}[geo]\ndatabase = {none:?}\n"), 1, "geo.database: can't be used");
    let token = format!("{state}[control]\ntoken_file = {none:?}\n");
    check(&token, 1, "control.token_file: can't be read");
}

/// Packets can't be told apart by whose connection they are of, so connections of HTTP/3 don't outlast an upgrade; the next
/// one is answered by who follows, at the same port.
#[tokio::test]
async fn clients_of_http3_connect_again() {
    let (authority, origin, feed) = (Authority::new(), Origin::start().await, Feed::start().await);
    let options = EdgeOptions::new().https().control(&feed.url(), "ls_test");
    let edge = Edge::start(options).await;
    feed.put_certificate(1, &authority.issue(&[HOST]));
    let document = crate::scene::site("a", HOST, &origin.url(), serde_json::json!({}));
    feed.adopted(feed.put_site(1, document)).await;
    origin.on("/a").respond(200).header("Cache-Control", "no-store").body("told");
    let tls = Tls::trusting(&authority);
    for _ in 0..2 {
        let mut client = Http3::connect(edge.https(), HOST, &tls).await;
        assert_eq!(client.get(HOST, "/a").await.text(), "told");
        let upgraded = tokio::task::spawn_blocking({
            let state = edge.config_file().with_file_name("state");
            move || upgrade(&state)
        });
        assert_eq!(upgraded.await.unwrap().0, Some(0));
        client.closed().await;
        let mut client = Http3::connect(edge.https(), HOST, &tls).await;
        for _ in 0..20 {
            assert_eq!(client.get(HOST, "/a").await.text(), "told");
        }
    }
    let state = edge.config_file().with_file_name("state");
    let text = std::fs::read_to_string(state.join("lock")).unwrap();
    let process = text.split(' ').next().and_then(|word| word.parse().ok()).and_then(Pid::from_raw);
    kill_process(process.unwrap(), Signal::TERM).ok();
}
