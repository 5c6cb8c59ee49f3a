//! wrk as the client: one thread, kept connections, its own counts.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

const CONNECTIONS: &str = "16";

/// What wrk counted.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Asks `url` for `seconds`. A url that ends in `/` gets a number after it, another for each request.
///
/// Errors when any answer was not 2xx, or a connection broke.
pub(crate) async fn run(script: &Path, url: &str, host: &str, seconds: u64) -> Result<Counts> {
    let mut command = Command::new("wrk");
    command.args(["-t", "1", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), "--timeout", "5s"]);
    command.arg("-H").arg(format!("Host: {host}")).arg("-s").arg(script).arg(url);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.context("can't run wrk")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let line = printed.lines().last().unwrap_or_default();
    let counts: Value = serde_json::from_str(line).with_context(|| format!("wrk: {printed}"))?;
    let number = |name: &str| counts.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    // wrk counts a connection that was closed when the time was up as a read error
    if number("status_errors") > 0.0 || number("broken") > f64::from(16) {
        bail!("wrk saw errors at {url}: {line}");
    }
    Ok(Counts {
        requests: number("requests"),
        seconds: number("seconds"),
        p50_ms: number("p50_ms"),
        p99_ms: number("p99_ms"),
    })
}
