//! `longshore up`: everything on one machine, and the command beside a control of its own.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scene::site;
use serde_json::json;
use std::process::Output;
use std::time::{Duration, Instant};
use testkit::{Control, Up, eventually, program_path, within};
use tokio::process::Command;

const DEMO: &str = "demo.localhost";

/// Runs the built `longshore` against `control`.
pub(crate) async fn longshore(control: &Control, words: &[&str]) -> Output {
    let mut command = Command::new(program_path("longshore"));
    command.env_clear().env("LONGSHORE_CONTROL", control.url()).args(words).kill_on_drop(true);
    let command = command.env("LONGSHORE_TOKEN", control.admin_token()).output();
    within(&format!("`longshore {}` to end", words.join(" ")), command).await.expect("it runs")
}

#[tokio::test]
async fn the_demo_site_is_served_and_kept() {
    let mut up = Up::start().await;
    for _ in 0..2 {
        eventually("the demo site", || async {
            (up.get(DEMO, "/").await.status == 200).then_some(())
        })
        .await;
        assert!(up.get(DEMO, "/").await.is_hit());
        assert!(up.data().join("token").is_file());
        let list = up.longshore(&["site", "list", "--json"]).await;
        assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
        assert!(String::from_utf8_lossy(&list.stdout).contains(DEMO));
        assert_eq!(up.program.stop().await, Some(0));
        up.start_again().await;
    }
}

#[tokio::test]
async fn nobody_waits_long_where_no_edge_is_connected() {
    let control = Control::start().await;
    let record = control.put_site(&site("a", "a.example", "http://127.0.0.1:9", json!({}))).await;
    let began = Instant::now();
    let purge = longshore(&control, &["purge", "a", "--everything", "--wait=60"]).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let (printed, errors) =
        (String::from_utf8_lossy(&purge.stdout), String::from_utf8_lossy(&purge.stderr));
    assert_eq!(purge.status.code(), Some(1), "{errors}");
    assert!(errors.contains("no edge is connected"), "{errors}");
    assert!(printed.contains(&format!("accepted, feed {}", record.seq + 1)), "{printed}");
}

#[tokio::test]
async fn an_edge_that_is_gone_is_taken_off_the_list() {
    let control = Control::start().await;
    let mut edge = control.edge().await;
    let known = control.wait_adopted(&edge, 0).await;
    assert_eq!(edge.program.stop().await, Some(0));
    for expected in [0, 5] {
        let removed = longshore(&control, &["edge", "rm", known.id.as_str()]).await;
        let errors = String::from_utf8_lossy(&removed.stderr);
        assert_eq!(removed.status.code(), Some(expected), "{errors}");
        assert!(control.edges().await.is_empty());
    }
}
