//! The way to control: over TLS to whom is trusted, in the clear on this machine alone.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scene::{HOST, site};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;
use testkit::{Authority, Control, Edge, EdgeOptions, Issued, eventually, program_path, within};
use tokio::process::Command;

/// Runs `longshore` against a control at `url`, trusting the authorities in a file.
async fn longshore(url: &str, token: &str, ca_file: Option<&Path>, words: &[&str]) -> Output {
    let mut command = Command::new(program_path("longshore"));
    command.env_clear().env("LONGSHORE_CONTROL", url).env("LONGSHORE_TOKEN", token);
    if let Some(path) = ca_file {
        command.env("LONGSHORE_CA_FILE", path);
    }
    let output = command.args(words).kill_on_drop(true).output();
    within(&format!("`longshore {}` to end", words.join(" ")), output).await.expect("it runs")
}

/// Writes a certificate and its key.
fn write(directory: &Path, issued: &Issued) -> [PathBuf; 2] {
    let paths = ["control.pem", "control.key"].map(|name| directory.join(name));
    for (path, text) in paths.iter().zip([&issued.chain, &issued.key]) {
        std::fs::write(path, text).expect("the directory can be written");
    }
    paths
}

fn edge_options(control: &Control, token: &str, ca_file: &Path) -> EdgeOptions {
    let config = format!("[control]\nca_file = {:?}\n", ca_file.display().to_string());
    EdgeOptions::new().control(&control.url(), token).config(&config)
}

async fn follows(control: &Control, ca_file: &Path) {
    let token = control.token(&["edge"]).await;
    let edge = Edge::start(edge_options(control, &token, ca_file)).await;
    edge.wait_ready().await;
    let (url, words) = (control.url(), ["edge", "list"]);
    let status = longshore(&url, control.admin_token(), Some(ca_file), &words).await;
    let printed = String::from_utf8_lossy(&status.stdout);
    assert!(printed.contains(&edge.http().to_string()), "{printed}");
}

#[tokio::test]
async fn edges_and_people_reach_control_over_tls() {
    let (authority, directory) = (Authority::new(), TempDir::new().expect("a directory"));
    let [certificate, key] = write(directory.path(), &authority.issue(&["127.0.0.1"]));
    let words = [
        "--tls-certificate",
        certificate.to_str().expect("UTF-8"),
        "--tls-key",
        key.to_str().expect("UTF-8"),
    ];
    let control = Control::start_with(&words).await;
    assert!(control.url().starts_with("https://"), "{}", control.url());
    follows(&control, &authority.root_file()).await;
    let other = Authority::new();
    let file = other.root_file();
    let refused = longshore(&control.url(), "ls_x", Some(&file), &["status"]).await;
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{told}");
    assert!(told.contains("certificate"), "{told}");
    let edge = Edge::start(edge_options(&control, "ls_x", &file)).await;
    eventually("the edge to say why", || async {
        let log = edge.program.log();
        (log.contains("can't be reached") && log.contains("certificate")).then_some(())
    })
    .await;
    // another certificate, from another authority, while it runs
    write(directory.path(), &other.issue(&["127.0.0.1"]));
    eventually("the new certificate", || async {
        let (url, words) = (control.url(), ["status"]);
        let status = longshore(&url, control.admin_token(), Some(&file), &words).await;
        status.status.success().then_some(())
    })
    .await;
    // one that does not fit its key is not taken
    std::fs::write(&key, authority.issue(&["127.0.0.1"]).key).expect("it can be written");
    eventually("control to say so", || async {
        control.program.log().contains("clients are shown the certificate there was").then_some(())
    })
    .await;
    follows(&control, &file).await;
}

#[tokio::test]
async fn control_has_a_certificate_of_its_own_authority() {
    let control = Control::start_with(&["--tls-local", "--tls-name", "control.example"]).await;
    let root = control.run(&["authority"]).await;
    assert!(root.status.success(), "{}", String::from_utf8_lossy(&root.stderr));
    let file = control.directory().join("root.pem");
    std::fs::write(&file, root.stdout).expect("it can be written");
    follows(&control, &file).await;
    let port = control.address().port();
    for host in ["localhost", "control.example"] {
        let output = Command::new("curl")
            .args(["-sS", "--cacert"])
            .arg(&file)
            .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
            .arg(format!("https://{host}:{port}/healthz"))
            .output()
            .await
            .expect("curl is not there: install the package curl");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n", "{host}: {told}");
    }
}

#[tokio::test]
async fn nothing_goes_elsewhere_in_the_clear() {
    let everywhere = "0.0.0.0:0".parse().expect("an address");
    let failed = Control::try_at(everywhere).await.expect_err("it is reached from elsewhere");
    assert_eq!(failed.code, Some(2), "{failed}");
    assert!(failed.log.contains("--tls-certificate") && failed.log.contains("--behind-tls"));
    let told = longshore("http://192.0.2.1:7070", "ls_x", None, &["status"]).await;
    assert_eq!(told.status.code(), Some(2));
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("would pass in the clear"), "{told}");
    let options = EdgeOptions::new().control("http://192.0.2.1:7070", "ls_x");
    let failed = Edge::try_start(options).await.expect_err("it is elsewhere");
    assert_eq!(failed.code, Some(2), "{failed}");
    assert!(failed.log.contains("control.url: must be an https URL"), "{failed}");
    let options = EdgeOptions::new().control("https://127.0.0.1:1", "ls_x");
    let failed = Edge::try_start(options.config("[control]\nca_file = \"/nowhere\"\n")).await;
    let failed = failed.expect_err("there is no such file");
    assert!(failed.log.contains("control.ca_file"), "{failed}");
}

#[tokio::test]
async fn what_terminates_tls_in_front_of_control_is_believed() {
    let mut control = Control::start().await;
    assert_eq!(control.program.stop().await, Some(0));
    control.try_start_again(&["--behind-tls"]).await.expect("it starts");
    let document = site("a", HOST, "http://127.0.0.1:9", json!({}));
    control.put_site(&document).await;
    let edge = control.edge().await;
    assert_eq!(edge.get("unknown.example", "/").await.status, 421);
}
