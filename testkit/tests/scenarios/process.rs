//! How the programs start and end.

use crate::scene::{HOST, Scene};
use std::process::Command;
use testkit::{Barrier, Call, Control, Edge, EdgeOptions};

#[tokio::test]
async fn an_edge_without_a_configuration_is_alive_and_not_ready() {
    let edge = Edge::start(EdgeOptions::new()).await;
    for (path, status) in [("/healthz", 200), ("/readyz", 503)] {
        let answer = Call::new(edge.admin(), "GET", "admin", path).send().await;
        assert_eq!(answer.status, status, "{path}");
    }
    assert_eq!(edge.get(HOST, "/").await.status, 421);
}

#[tokio::test]
async fn a_taken_port_is_said_and_ends_the_program() {
    let first = Edge::start(EdgeOptions::new()).await;
    let second = Edge::try_start(EdgeOptions::new().http_listen(&first.http().to_string())).await;
    let failed = second.expect_err("the port is taken");
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.log.contains("http.listen"), "{failed}");
    assert!(failed.log.contains(&first.http().port().to_string()), "{failed}");
    let failed = Control::try_at(first.http()).await.expect_err("the port is taken");
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.log.contains(&first.http().port().to_string()), "{failed}");
}

#[tokio::test]
async fn a_wrong_configuration_is_a_usage_error_that_names_the_key() {
    let options = EdgeOptions::new().config("colour = \"red\"\n[memory]\ncapacity_bytes = 0\n");
    let failed = Edge::try_start(options).await.expect_err("an unknown key");
    assert_eq!(failed.code, Some(2), "{failed}");
    let lines: Vec<&str> = failed.log.lines().collect();
    let said =
        |key: &str| lines.iter().any(|line| line.starts_with(&format!("longshore-edge: {key}: ")));
    assert!(lines.len() == 2 && said("colour") && said("memory.capacity_bytes"), "{failed}");
}

/// Runs a program to its end: its exit code, what it printed, and its log.
fn run(
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let mut command = Command::new(testkit::program_path(program));
    let run = command
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (run.status.code(), text(run.stdout), text(run.stderr))
}

#[test]
fn programs_know_their_names() {
    for program in ["longshore-edge", "longshore-control", "longshore"] {
        let (code, printed, _) = run(program, &["--version"], &[]);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!((code, printed), (Some(0), format!("{program} {version}\n")));
    }
}

#[test]
fn a_log_filter_that_is_none_is_a_usage_error() {
    let log = [("LONGSHORE_LOG", "info,=,loud")];
    for (program, arguments) in
        [("longshore-edge", [].as_slice()), ("longshore-control", &["token", "list"])]
    {
        let (code, _, log) = run(program, arguments, &log);
        assert_eq!(code, Some(2), "{program}: {log}");
        assert!(log.contains("LONGSHORE_LOG"), "{program}: {log}");
    }
}

#[test]
fn an_address_that_is_none_is_a_usage_error_and_a_host_without_address_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().to_str().unwrap();
    for (address, code) in [("nowhere", 2), ("nowhere.invalid:1", 1)] {
        let arguments = ["--state-dir", state, "--http-listen", address];
        let (found, _, log) = run("longshore-edge", &arguments, &[]);
        assert_eq!(found, Some(code), "{address}: {log}");
        assert!(log.starts_with("longshore-edge: http.listen: ") && log.contains(address), "{log}");
    }
}

#[tokio::test]
async fn an_edge_listens_at_a_host_name() {
    let edge = Edge::start(EdgeOptions::new().http_listen("localhost:0")).await;
    assert!(edge.http().ip().is_loopback(), "{}", edge.http());
}

#[tokio::test]
async fn a_response_in_flight_is_finished_before_the_end() {
    let mut scene = Scene::start().await;
    let barrier = Barrier::new();
    scene.origin.on("/a").respond(200).chunked().body("one").wait(&barrier).body("two");
    let mut client = scene.call("GET", "/a").open().await;
    client.head().await.unwrap();
    client.at_least(3).await.unwrap();
    scene.edge.program.terminate();
    barrier.release();
    assert_eq!(client.rest_of_body().await.unwrap(), b"two");
    assert_eq!(scene.edge.program.exit_code().await, Some(0));
}

#[tokio::test]
async fn control_ends_cleanly_with_an_edge_on_its_feed() {
    let mut control = Control::start().await;
    let mut edge = control.edge().await;
    assert_eq!(control.program.stop().await, Some(0));
    assert_eq!(edge.program.stop().await, Some(0));
}
