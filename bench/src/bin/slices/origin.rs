//! An origin of one huge file that is nowhere: its bytes tell where they stand, and are made when they are asked for.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of the file.
pub(crate) const LENGTH: u64 = 10_000_000_000;
/// Bytes made at a time.
const PIECE_BYTES: u64 = 256 << 10;

/// The origin; runs as long as the program.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    sent: Arc<Sent>,
}

/// What it was asked, and has sent.
#[derive(Default)]
struct Sent {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Origin {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let origin = Self { address: listener.local_addr()?, sent: Arc::default() };
        let sent = Arc::clone(&origin.sent);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sent = Arc::clone(&sent);
                tokio::spawn(async move {
                    // a cache may leave at any time; what it was sent is counted
                    let _left = serve(stream, &sent).await;
                });
            }
        });
        Ok(origin)
    }

    /// Requests answered and bytes of bodies sent so far.
    pub(crate) fn sent(&self) -> (u64, u64) {
        let Sent { requests, bytes } = &*self.sent;
        (requests.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed))
    }
}

async fn serve(mut stream: TcpStream, sent: &Sent) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while stream.read_buf(&mut buffer).await? > 0 {
        while let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            sent.requests.fetch_add(1, Ordering::Relaxed);
            answer(&mut stream, range(&String::from_utf8_lossy(&head)), sent).await?;
        }
    }
    Ok(())
}

/// The first and the last byte of the range that a request asks for; none for the whole.
fn range(head: &str) -> Option<(u64, u64)> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let (_, range) = lines.find(|(name, _)| name.eq_ignore_ascii_case("range"))?;
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse::<u64>().unwrap_or(LENGTH).min(LENGTH - 1)))
}

async fn answer(stream: &mut TcpStream, range: Option<(u64, u64)>, sent: &Sent) -> Result<()> {
    let (first, last) = range.unwrap_or((0, LENGTH - 1));
    let status = match range {
        Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{LENGTH}"),
        None => "200 OK".to_owned(),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"file\"\r\nCache-Control: max-age=3600\r\n\
         Accept-Ranges: bytes\r\nLast-Modified: Mon, 02 Nov 2026 00:00:00 GMT\r\n\r\n",
        last + 1 - first
    );
    stream.write_all(head.as_bytes()).await?;
    let mut next = first;
    while next <= last {
        let piece = content(next, PIECE_BYTES.min(last + 1 - next));
        stream.write_all(&piece).await?;
        next += piece.len() as u64;
        sent.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// The file's bytes from `first` on: numbers of 8 bytes each, one after the other.
pub(crate) fn content(first: u64, length: u64) -> Vec<u8> {
    let (words, skipped) = (first / 8..(first + length).div_ceil(8), first % 8);
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or_default();
    let mut bytes = Vec::with_capacity(size(length + 16));
    words.for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    bytes.drain(..size(skipped));
    bytes.truncate(size(length));
    bytes
}
