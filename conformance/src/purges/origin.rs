//! An origin that counts the versions of its pages, and says which one an answer is.

use anyhow::{Context, Result};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Bytes of a large page.
pub(crate) const LARGE_BYTES: usize = 3 << 20;
/// How long a slow page takes.
pub(crate) const SLOW: Duration = Duration::from_millis(40);

/// The version of each page, by host and path; from 1.
#[derive(Debug, Default)]
pub(crate) struct Versions(Mutex<HashMap<String, u64>>);

impl Versions {
    pub(crate) fn of(&self, page: &str) -> u64 {
        let versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        versions.get(page).copied().unwrap_or(1)
    }

    /// Makes a new version; tells which.
    pub(crate) fn publish(&self, page: &str) -> u64 {
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let version = versions.entry(page.to_owned()).or_insert(1);
        *version += 1;
        *version
    }
}

/// An origin. Stops when dropped.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) versions: Arc<Versions>,
    server: JoinHandle<()>,
}

impl Origin {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let (address, versions) = (listener.local_addr()?, Arc::<Versions>::default());
        let known = Arc::clone(&versions);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let versions = Arc::clone(&known);
                tokio::spawn(async move {
                    // an edge that is killed leaves at any time
                    let _left = connection(stream, &versions).await;
                });
            }
        });
        Ok(Self { address, versions, server })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn connection(mut stream: TcpStream, versions: &Versions) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head: Vec<u8> = buffer.drain(..end + 4).collect();
        answer(&mut stream, versions, &String::from_utf8_lossy(&head)).await?;
    }
}

fn field<'h>(head: &'h str, wanted: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
}

async fn answer(stream: &mut TcpStream, versions: &Versions, head: &str) -> Result<()> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let version = versions.of(&format!("{}{path}", field(head, "host").unwrap_or_default()));
    let mut words = path.split('/').skip(1);
    let (kind, number) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let tag = format!("\"{kind}{number}-{version}\"");
    let fields = format!(
        "Cache-Control: max-age=3600\r\nETag: {tag}\r\nVary: Accept-Language\r\nCache-Tag: {kind}-{number}, {kind}\r\n\
         Surrogate-Key: all also-{kind}-{number}\r\n"
    );
    if field(head, "if-none-match").is_some_and(|tags| tags.contains(&tag)) {
        return Ok(stream
            .write_all(format!("HTTP/1.1 304 Same\r\n{fields}\r\n").as_bytes())
            .await?);
    }
    if kind == "large" {
        return large(stream, version, head, &fields).await;
    }
    let body = format!("{version} {path}");
    let head = format!("HTTP/1.1 200 Fine\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    if kind == "slow" {
        sleep(SLOW).await;
    }
    Ok(stream.write_all(body.as_bytes()).await?)
}

/// A body of one byte again and again, which is the version's.
async fn large(stream: &mut TcpStream, version: u64, head: &str, fields: &str) -> Result<()> {
    let byte = byte_of(version);
    let range = field(head, "range").and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let last = last.parse().unwrap_or(LARGE_BYTES - 1);
        Some((first.parse::<usize>().ok()?, last.min(LARGE_BYTES - 1)))
    });
    let (head, length) = match range.filter(|(first, last)| first <= last) {
        Some((first, last)) => (
            format!(
                "HTTP/1.1 206 Part\r\n{fields}Content-Range: bytes {first}-{last}/{LARGE_BYTES}\r\nContent-Length: {}\r\n\r\n",
                last - first + 1
            ),
            last - first + 1,
        ),
        None => (
            format!("HTTP/1.1 200 Fine\r\n{fields}Content-Length: {LARGE_BYTES}\r\n\r\n"),
            LARGE_BYTES,
        ),
    };
    stream.write_all(head.as_bytes()).await?;
    Ok(stream.write_all(&vec![byte; length]).await?)
}

/// What the bytes of a large page are in this version.
pub(crate) fn byte_of(version: u64) -> u8 {
    u8::try_from(version % 251).unwrap_or_default()
}
