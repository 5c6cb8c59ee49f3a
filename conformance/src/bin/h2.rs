//! Asks the built edge over HTTP/2: `h2 DIRECTORY COMMAND…`, where the command is run in the directory with `EDGE_H2C` and
//! `EDGE_H2` (host and port, without TLS and with), `EDGE_HOST`, `EDGE_ADMIN`, `EDGE_PID` and `EDGE_ROOT` (whom to trust).
//! Where `H2_ORIGIN` is set, the site `raw.example` has that origin; `grpc.example` that of `H2_GRPC`, over HTTP/2. Ends as
//! the command does.

use anyhow::{Context, Result};
use serde_json::json;
use std::process::ExitCode;
use testkit::{Authority, Edge, EdgeOptions, Feed, Origin};
use tokio::process::Command;

const HOST: &str = "a.example";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: h2 DIRECTORY COMMAND…";
    let (directory, program) = (arguments.next().context(usage)?, arguments.next().context(usage)?);
    let (origin, feed, authority) = (Origin::start().await, Feed::start().await, Authority::new());
    script(&origin);
    let config = "[http2]\ncleartext = true\n[http]\nhead_timeout_seconds = 2\n";
    let options = EdgeOptions::new().control(&feed.url(), "ls_test").https().config(config);
    let edge = Edge::start(options).await;
    feed.put_certificate(1, &authority.issue(&[HOST, "127.0.0.1", "localhost"]));
    let site = json!({
        "name": "h2",
        "hosts": [HOST, "127.0.0.1", "localhost"],
        "origins": [{ "name": "main", "url": origin.url() }],
    });
    feed.adopted(feed.put_site(1, site)).await;
    if let Ok(url) = std::env::var("H2_ORIGIN") {
        let origins = json!([{ "name": "main", "url": url }]);
        let site = json!({ "name": "raw", "hosts": ["raw.example"], "origins": origins });
        feed.adopted(feed.put_site(2, site)).await;
    }
    if let Ok(url) = std::env::var("H2_GRPC") {
        let origins = json!([{ "name": "main", "url": url, "protocol": "http2" }]);
        let site = json!({ "name": "grpc", "hosts": ["grpc.example"], "origins": origins });
        feed.adopted(feed.put_site(3, site)).await;
    }
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("EDGE_HOST", HOST);
    command.env("EDGE_H2C", edge.http().to_string()).env("EDGE_H2", edge.https().to_string());
    command.env("EDGE_ADMIN", edge.admin().to_string()).env("EDGE_ROOT", authority.root_file());
    command.env("EDGE_PID", edge.program.id().unwrap_or_default().to_string());
    command.env("ORIGIN", origin.address().to_string()).kill_on_drop(true);
    let status = command.status().await.context("the command can't be run")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// What the origin answers.
fn script(origin: &Origin) {
    let hit = |path: &str, length: usize| {
        let script = origin.on(path).respond(200).header("Cache-Control", "max-age=3600");
        script.header("Content-Type", "application/octet-stream").body(vec![b'x'; length]);
    };
    hit("/1k", 1_024);
    hit("/16k", 16_384);
    hit("/1m", 1 << 20);
    origin.on("/echo").respond(200).echo();
    origin.on("/slow").hang();
    origin
        .on("/*")
        .respond(200)
        .header("Cache-Control", "no-store")
        .body("enough for three frames");
}
