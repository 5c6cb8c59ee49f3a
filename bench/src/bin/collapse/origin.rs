//! An origin that takes its time, and counts what it is asked.
//!
//! The first part of a path says what it does; what follows makes it another URL:
//!
//! | path | answer |
//! |---|---|
//! | `/slow/…` | after 1 s, fresh for an hour |
//! | `/uncacheable/…` | after 0.5 s, `no-store` |
//! | `/stale/…` | the first at once, fresh for 1 s, then usable for a minute while revalidated; others after 1 s |
//! | `/hints/WRITES/CACHE/…` | 103 and 200, in `one` write or in two, 50 ms apart (`two`); `stored` or `no-store` |

use anyhow::{Context, Result};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const BODY_BYTES: usize = 1_024;
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";

/// The origin; runs as long as the program.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    fetches: Fetches,
}

/// Requests by path.
#[derive(Clone, Default)]
struct Fetches(Arc<Mutex<HashMap<String, usize>>>);

impl Fetches {
    fn add(&self, path: &str) -> usize {
        let mut fetches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = fetches.entry(path.to_owned()).or_default();
        *count += 1;
        *count
    }

    fn of(&self, path: &str) -> usize {
        let fetches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fetches.get(path).copied().unwrap_or_default()
    }
}

impl Origin {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let origin = Self { address: listener.local_addr()?, fetches: Fetches::default() };
        let fetches = origin.fetches.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fetches = fetches.clone();
                tokio::spawn(async move {
                    // a cache may leave at any time; what it asked for is counted
                    let _left = serve(stream, &fetches).await;
                });
            }
        });
        Ok(origin)
    }

    pub(crate) fn fetches(&self, path: &str) -> usize {
        self.fetches.of(path)
    }
}

async fn serve(mut stream: TcpStream, fetches: &Fetches) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while stream.read_buf(&mut buffer).await? > 0 {
        while let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head);
            let path = head.split(' ').nth(1).unwrap_or_default();
            let count = fetches.add(path);
            answer(&mut stream, path, count).await?;
        }
    }
    Ok(())
}

async fn answer(stream: &mut TcpStream, path: &str, count: usize) -> Result<()> {
    let mut words = path.split('/').skip(1);
    let (wait_ms, cache) = match words.next().unwrap_or_default() {
        "slow" => (1_000, "max-age=3600"),
        "uncacheable" => (500, "no-store"),
        "stale" => (if count == 1 { 0 } else { 1_000 }, "max-age=1, stale-while-revalidate=60"),
        _ => return hints(stream, words.next(), words.next()).await,
    };
    sleep(Duration::from_millis(wait_ms)).await;
    Ok(stream.write_all(&full(cache)).await?)
}

async fn hints(stream: &mut TcpStream, writes: Option<&str>, cache: Option<&str>) -> Result<()> {
    let full = full(if cache == Some("stored") { "max-age=3600" } else { "no-store" });
    if writes == Some("one") {
        return Ok(stream.write_all(&[HINTS.as_bytes(), &full].concat()).await?);
    }
    stream.write_all(HINTS.as_bytes()).await?;
    sleep(Duration::from_millis(50)).await;
    Ok(stream.write_all(&full).await?)
}

fn full(cache: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: {cache}\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    );
    let mut full = head.into_bytes();
    full.resize(full.len() + BODY_BYTES, b'x');
    full
}
