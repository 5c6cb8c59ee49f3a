//! `secure-load`, of our own.

use super::wrk::Counts;
use crate::servers::HOST;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Stdio;
use testkit::program_path;
use tokio::process::Command;

/// Asks for `path` at `address` for `seconds`, in one of the ways it has.
pub(crate) async fn run(
    kind: &str,
    address: SocketAddr,
    path: &str,
    seconds: u64,
) -> Result<Counts> {
    let mut command = Command::new(program_path("secure-load"));
    command.args([kind, &address.to_string(), HOST, path]).env("SECONDS", seconds.to_string());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.context("can't run secure-load")?;
    let counts: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let number = |name: &str| counts.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let requests = number("requests");
    ensure!(requests > 0.0 && number("failures") == 0.0, "secure-load {kind}: {counts}");
    let resumed = number("resumed") / requests;
    let is_as_asked = match kind {
        "full" => resumed == 0.0,
        // the first handshake of each connection brings the tickets
        "resumed" => resumed > 0.9,
        _ => true,
    };
    ensure!(is_as_asked, "secure-load {kind}: {counts}");
    Ok(Counts { requests, seconds: number("seconds"), p50_ms: f64::NAN, p99_ms: f64::NAN })
}
