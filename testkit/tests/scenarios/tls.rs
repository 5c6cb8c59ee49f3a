//! Origins that speak TLS: their certificates are checked, unless a site says otherwise.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scene::{HOST, site};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use testkit::{Edge, EdgeOptions, Feed, Program, eventually};
use tokio::net::TcpStream;
use tokio::process::Command;

/// An origin with a certificate for `origin.example`, from an authority of its own.
struct TlsOrigin {
    _program: Program,
    directory: TempDir,
    address: SocketAddr,
}

impl TlsOrigin {
    async fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let at = |name: &str| directory.path().join(name);
        openssl(
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=origin.example",
                "-days",
                "2",
                "-addext",
                "subjectAltName=DNS:origin.example",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ],
            &at("key.pem"),
            &at("certificate.pem"),
        )
        .await;
        // openssl can't say which port the kernel chose, so the kernel is asked before
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = port.expect("the kernel has a port");
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-www", "-accept", &address.to_string()]);
        command
            .arg("-cert")
            .arg(at("certificate.pem"))
            .arg("-key")
            .arg(at("key.pem"))
            .kill_on_drop(true);
        let program = Program::spawn("openssl", command, directory.path());
        eventually("openssl to listen", || async { TcpStream::connect(address).await.ok() }).await;
        Self { _program: program, directory, address }
    }

    fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }
}

async fn openssl(arguments: &[&str], key: &Path, certificate: &Path) {
    let mut command = Command::new("openssl");
    command.args(arguments).arg("-keyout").arg(key).arg("-out").arg(certificate);
    let output = command.output().await.expect("openssl is not there: install the package openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The status, and the error told, of a request to an origin with these `tls` settings.
async fn asked(origin: &TlsOrigin, feed: &Feed, edge: &Edge, tls: Value) -> (u16, Option<String>) {
    let mut document = site("a", HOST, "", json!({}));
    let url = format!("https://{}", origin.address);
    document["origins"] = json!([{ "name": "main", "url": url, "tls": tls }]);
    feed.adopted(feed.put_site(1, document)).await;
    let answer = edge.get(HOST, "/").await;
    (answer.status, answer.field("proxy-status").map(str::to_owned))
}

#[tokio::test]
async fn a_certificate_must_be_for_the_name_and_from_a_known_authority() {
    let origin = TlsOrigin::start().await;
    let feed = Feed::start().await;
    let options =
        EdgeOptions::new().control(&feed.url(), "ls_test").trusting(&origin.certificate());
    let edge = Edge::start(options).await;
    let right = asked(&origin, &feed, &edge, json!({ "server_name": "origin.example" })).await;
    assert_eq!(right, (200, None));
    let (status, error) =
        asked(&origin, &feed, &edge, json!({ "server_name": "other.example" })).await;
    assert!(status == 502 && error.expect("it is told").contains("error=tls_"), "{status}");
    let unchecked = json!({ "server_name": "other.example", "verify": false });
    assert_eq!(asked(&origin, &feed, &edge, unchecked).await, (200, None));
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let origin = TlsOrigin::start().await;
    let feed = Feed::start().await;
    let edge = Edge::start(EdgeOptions::new().control(&feed.url(), "ls_test")).await;
    let (status, error) =
        asked(&origin, &feed, &edge, json!({ "server_name": "origin.example" })).await;
    assert!(status == 502 && error.expect("it is told").contains("error=tls_"), "{status}");
}
