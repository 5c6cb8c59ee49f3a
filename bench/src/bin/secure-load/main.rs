//! Load over TLS for which Debian has no client: `secure-load KIND ADDRESS HOST [PATH]`, with `CONNECTIONS`, `STREAMS` and
//! `SECONDS` in the environment. Certificates are not verified: this is a client for measurements on one machine.
//!
//! `full` and `resumed` make TLS 1.3 handshakes, one after the other on each of the connections, each followed by one
//! request. `h3` asks for a path over HTTP/3. What was done is printed as one line of JSON.

mod h3;
mod handshakes;
mod trust;

use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What to ask, and how hard.
#[derive(Debug, Clone)]
struct Load {
    address: SocketAddr,
    host: String,
    path: String,
    connections: usize,
    streams: usize,
    until: Instant,
}

/// What was done.
#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
    resumed: AtomicU64,
}

impl Counts {
    fn request(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "the counts are this program's answer")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("usage: secure-load KIND ADDRESS HOST [PATH]");
    let (kind, address, host) = (next()?, next()?.parse()?, next()?);
    let path = next().unwrap_or_else(|_| "/".to_owned());
    let seconds = number("SECONDS", 3)?;
    let begun = Instant::now();
    let load = Load {
        address,
        host,
        path,
        connections: number("CONNECTIONS", 4)?,
        streams: number("STREAMS", 8)?,
        until: begun + Duration::from_secs(seconds as u64),
    };
    let counts = match kind.as_str() {
        "full" => handshakes::run(&load, false).await?,
        "resumed" => handshakes::run(&load, true).await?,
        "h3" => h3::run(&load).await?,
        _ => bail!("`{kind}` is no kind: full, resumed, h3"),
    };
    println!(
        "{}",
        serde_json::json!({
            "requests": counts.requests.load(Ordering::Relaxed),
            "bytes": counts.bytes.load(Ordering::Relaxed),
            "failures": counts.failures.load(Ordering::Relaxed),
            "resumed": counts.resumed.load(Ordering::Relaxed),
            "seconds": begun.elapsed().as_secs_f64(),
        })
    );
    Ok(())
}

fn number(name: &str, otherwise: usize) -> Result<usize> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text} is no number")),
        Err(_) => Ok(otherwise),
    }
}
