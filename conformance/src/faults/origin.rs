//! The origins: each answers for one site, at once and rightly, as the ledger says. They know ranges and entity tags.

use super::content::{Content, Manner, Page};
use super::ledger::Ledger;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is written at once of a body.
const PIECE_BYTES: u64 = 64 << 10;

/// An origin. Stops when dropped.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Origin {
    pub(crate) async fn start(site: usize, ledger: &Arc<Ledger>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let address = listener.local_addr()?;
        let ledger = Arc::clone(ledger);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let ledger = Arc::clone(&ledger);
                tokio::spawn(async move {
                    // an edge that is killed leaves at any time
                    let _left = connection(stream, site, &ledger).await;
                });
            }
        });
        Ok(Self { address, server })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn connection(mut stream: TcpStream, site: usize, ledger: &Ledger) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        // no request has a body: unsafe ones say `Content-Length: 0`
        let head: Vec<u8> = buffer.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        answer(&mut stream, site, ledger, &Request(&head)).await?;
    }
}

struct Request<'h>(&'h str);

impl Request<'_> {
    fn words(&self) -> (&str, &str) {
        let mut words = self.0.split(' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    fn field(&self, wanted: &str) -> Option<&str> {
        let mut fields = self.0.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    }

    fn flavour(&self) -> usize {
        self.field("x-flavour").and_then(|flavour| flavour.parse().ok()).unwrap_or_default()
    }

    /// The range that is asked for of this content, where `If-Range` doesn't say otherwise.
    fn range(&self, content: Content) -> Option<&str> {
        let is_of_this = self.field("if-range").is_none_or(|tag| tag == content.tag());
        self.field("range").filter(|_| is_of_this)
    }
}

async fn answer(
    stream: &mut TcpStream,
    site: usize,
    ledger: &Ledger,
    request: &Request<'_>,
) -> Result<()> {
    let (method, path) = request.words();
    let page = Page::at(site, path);
    let version = match method {
        "POST" => page.and_then(|page| ledger.publish(page)),
        _ => page.and_then(|page| ledger.current(page)),
    };
    let Some((page, version)) = page.zip(version) else {
        return Ok(stream.write_all(b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n").await?);
    };
    if method == "POST" {
        let head =
            format!("HTTP/1.1 200 Done\r\nX-Version: {version}\r\nContent-Length: 0\r\n\r\n");
        return Ok(stream.write_all(head.as_bytes()).await?);
    }
    let flavour = if page.manner() == Manner::Varied { request.flavour() } else { 0 };
    let content = Content { page, version, flavour };
    let fields = fields(content);
    if request.field("if-none-match").is_some_and(|tags| tags.contains(&content.tag())) {
        let head = format!("HTTP/1.1 304 Same\r\n{fields}\r\n");
        return Ok(stream.write_all(head.as_bytes()).await?);
    }
    let Some(asked) = request.range(content) else { return whole(stream, content, &fields).await };
    let length = content.length();
    let Some(part) = part(asked, length) else {
        let head = format!(
            "HTTP/1.1 416 Beyond\r\nContent-Range: bytes */{length}\r\nContent-Length: 0\r\n\r\n"
        );
        return Ok(stream.write_all(head.as_bytes()).await?);
    };
    let (first, last, count) = (part.start, part.end - 1, part.end - part.start);
    let head = format!(
        "HTTP/1.1 206 Part\r\n{fields}Content-Range: bytes {first}-{last}/{length}\r\n\
         Content-Length: {count}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    body(stream, content, part, false).await
}

fn fields(content: Content) -> String {
    let Content { page, version, flavour } = content;
    let date = httpdate::fmt_http_date(crate::differential::now());
    let vary = if page.manner() == Manner::Varied { "Vary: X-Flavour\r\n" } else { "" };
    format!(
        "Date: {date}\r\nCache-Control: {}\r\nETag: {}\r\n{vary}X-Page: {}{}\r\n\
         X-Version: {version}\r\nX-Got-Flavour: {flavour}\r\n",
        page.manner().cache_control(),
        content.tag(),
        page.host(),
        page.path(),
    )
}

async fn whole(stream: &mut TcpStream, content: Content, fields: &str) -> Result<()> {
    let (length, is_chunked) = (content.length(), content.is_chunked());
    let framing = match is_chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {length}"),
    };
    let head = format!("HTTP/1.1 200 Whole\r\n{fields}{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    body(stream, content, 0..length, is_chunked).await?;
    if is_chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}

async fn body(
    stream: &mut TcpStream,
    content: Content,
    part: Range<u64>,
    is_chunked: bool,
) -> Result<()> {
    let mut from = part.start;
    while from < part.end {
        let count = PIECE_BYTES.min(part.end - from);
        let mut piece = content.bytes(from, count);
        if is_chunked {
            piece.splice(..0, format!("{count:x}\r\n").into_bytes());
            piece.extend_from_slice(b"\r\n");
        }
        stream.write_all(&piece).await?;
        from += count;
    }
    Ok(())
}

/// The part of `length` bytes that one `bytes=…` asks for.
fn part(asked: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let part = match (first, last) {
        ("", suffix) => length.saturating_sub(suffix.parse().ok()?)..length,
        (first, "") => first.parse().ok()?..length,
        (first, last) => first.parse().ok()?..length.min(last.parse::<u64>().ok()? + 1),
    };
    (part.start < part.end).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_part() {
        assert_eq!(part("bytes=2-4", 10), Some(2..5));
        assert_eq!(part("bytes=2-40", 10), Some(2..10));
        assert_eq!(part("bytes=2-", 10), Some(2..10));
        assert_eq!(part("bytes=-3", 10), Some(7..10));
        assert_eq!(part("bytes=10-", 10), None);
        assert_eq!(part("bytes=-3", 0), None);
    }
}
