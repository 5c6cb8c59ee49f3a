//! One connection, read piece by piece. Both ends of a test stand on it: the origin and the client.

use crate::PATIENCE;
use crate::message::{Broken, Framing, Head};
use bytes::{Bytes, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

const READ_BYTES: usize = 65_536;

/// A connection and what has come over it unread.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    buffer: BytesMut,
    /// Whether a silent other side is an error.
    impatient: bool,
}

/// What carries the bytes.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self::Tcp(tcp)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// Where the reading of a body stands.
#[derive(Debug)]
pub(crate) struct Body {
    framing: Framing,
    /// Bytes of the body, or of the chunk, still to come.
    left: usize,
    received: usize,
    done: bool,
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing { length } else { 0 };
        Self { framing, left, received: 0, done: framing == Framing::Length(0) }
    }

    fn truncated(&self) -> Broken {
        let part = match self.framing {
            Framing::Length(length) => format!("a body of {length} bytes"),
            Framing::Chunked => "a chunked body".to_owned(),
            Framing::UntilClose => "a body until close".to_owned(),
        };
        Broken::Truncated { part, received: self.received }
    }
}

impl Wire {
    pub(crate) fn new(stream: impl Into<Stream>, impatient: bool) -> Self {
        Self { stream: stream.into(), buffer: BytesMut::new(), impatient }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(PATIENCE, writing).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(Broken::Silent),
        }
    }

    /// Reads more into the buffer. False at the end.
    async fn fill(&mut self) -> Result<bool, Broken> {
        self.buffer.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.buffer);
        if !self.impatient {
            return Ok(read.await? > 0);
        }
        match timeout(PATIENCE, read).await {
            Ok(count) => Ok(count? > 0),
            Err(_) => Err(Broken::Silent),
        }
    }

    /// Reads up to the empty line that ends a head.
    pub(crate) async fn head(&mut self) -> Result<Head, Broken> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                return Head::parse(&self.buffer.split_to(end + 4));
            }
            if !self.fill().await? {
                let received = self.buffer.len();
                return Err(match received {
                    0 => Broken::Closed,
                    _ => Broken::Truncated { part: "the head".to_owned(), received },
                });
            }
        }
    }

    /// The next bytes of `body`, `None` when it is complete.
    pub(crate) async fn piece(&mut self, body: &mut Body) -> Result<Option<Bytes>, Broken> {
        if body.done {
            return Ok(None);
        }
        if body.framing == Framing::Chunked && body.left == 0 && !self.chunk_begins(body).await? {
            return Ok(None);
        }
        if self.buffer.is_empty() && !self.fill().await? {
            body.done = body.framing == Framing::UntilClose;
            return if body.done { Ok(None) } else { Err(body.truncated()) };
        }
        let until_close = body.framing == Framing::UntilClose;
        let count = if until_close { self.buffer.len() } else { self.buffer.len().min(body.left) };
        let piece = self.buffer.split_to(count).freeze();
        body.received += count;
        if !until_close {
            body.left -= count;
            body.done = body.left == 0 && body.framing != Framing::Chunked;
        }
        Ok(Some(piece))
    }

    /// Reads the line that begins a chunk, and after the last chunk the trailer section. False after the last.
    async fn chunk_begins(&mut self, body: &mut Body) -> Result<bool, Broken> {
        let mut line = self.line(body).await?;
        if line.is_empty() && body.received > 0 {
            line = self.line(body).await?; // the line end of the chunk before
        }
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16)
            .map_err(|_| Broken::Malformed(format!("chunk size `{line}`")))?;
        body.left = size;
        if size == 0 {
            while !self.line(body).await?.is_empty() {}
            body.done = true;
        }
        Ok(size > 0)
    }

    async fn line(&mut self, body: &Body) -> Result<String, Broken> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end + 2);
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if !self.fill().await? {
                return Err(body.truncated());
            }
        }
    }

    /// Everything up to the end of the connection, framed or not.
    pub(crate) async fn rest(&mut self) -> Result<Bytes, Broken> {
        while self.fill().await? {}
        Ok(self.buffer.split().freeze())
    }

    /// Bytes of an upgraded connection: what is there, or else the next that come. `None` at the end.
    pub(crate) async fn some(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.buffer.is_empty() && !self.fill().await? {
            return Ok(None);
        }
        Ok(Some(self.buffer.split().freeze()))
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
