//! h2load: one thread, four connections with eight requests at a time on each.

use super::wrk::Counts;
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::process::Stdio;
use tokio::process::Command;

/// Asks `url`, at `address`, for `seconds`.
pub(crate) async fn run(url: &str, address: SocketAddr, seconds: u64) -> Result<Counts> {
    let mut command = Command::new("h2load");
    command.args(["-t", "1", "-c", "4", "-m", "8", "-w", "24", "-W", "26"]);
    command.arg("-D").arg(seconds.to_string());
    command.arg(format!("--connect-to={address}")).arg(url);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.context("can't run h2load")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    // requests: 9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout
    let line = printed.lines().find(|line| line.starts_with("requests:")).unwrap_or_default();
    let count = |word: &str| -> f64 {
        let part = line.split(", ").find(|part| part.ends_with(word)).unwrap_or_default();
        let number = part.trim_start_matches("requests: ").split(' ').next();
        number.and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
    };
    let requests = count(" succeeded");
    ensure!(requests > 0.0 && count(" failed") == 0.0, "h2load: {printed}");
    Ok(Counts { requests, seconds: seconds as f64, p50_ms: f64::NAN, p99_ms: f64::NAN })
}
