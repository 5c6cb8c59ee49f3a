//! A client's connection as Pingora reads and writes it.
//!
//! Writes are gathered: a head and its body leave in one system call, the body uncopied when it is large. Nothing is
//! held back past a flush, and an idle connection holds no buffer.

use super::Connection;
use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use http::HeaderValue;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID,
};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Writes up to this size are gathered by copying; larger ones go out beside what was gathered.
const GATHER_MAX_BYTES: usize = 16_384;

#[derive(Debug)]
pub(crate) struct ClientStream {
    transport: Transport,
    connection: Arc<Connection>,
    gathered: BytesMut,
    /// Reading has come to an end, or reading or writing has failed: nobody is there any more.
    has_gone: bool,
    /// What is told to the stream while Pingora holds it.
    told: Mutex<Told>,
    digest: Arc<SocketDigest>,
}

/// What carries the bytes.
#[derive(Debug)]
enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

#[derive(Debug, Default)]
struct Told {
    /// The Date of the next head that is written.
    date: Option<HeaderValue>,
    /// What goes out before anything that is written.
    ahead: BytesMut,
}

impl ClientStream {
    /// A connection without TLS.
    pub(crate) fn plain(tcp: TcpStream, connection: Arc<Connection>) -> Self {
        Self::new(Transport::Tcp(tcp), connection)
    }

    /// A connection whose handshake is done.
    pub(crate) fn secure(tls: TlsStream<TcpStream>, connection: Arc<Connection>) -> Self {
        Self::new(Transport::Tls(Box::new(tls)), connection)
    }

    fn new(transport: Transport, connection: Arc<Connection>) -> Self {
        let digest = SocketDigest::from_raw_fd(transport.tcp().as_raw_fd());
        // both are set once, here, so that nobody asks the system again
        let known = digest.peer_addr.set(Some(PingoraAddress::Inet(connection.client))).is_ok()
            && digest.local_addr.set(Some(PingoraAddress::Inet(connection.local))).is_ok();
        debug_assert!(known, "a new digest knows no address");
        let (gathered, told) = (BytesMut::new(), Mutex::default());
        Self { transport, connection, gathered, has_gone: false, told, digest: Arc::new(digest) }
    }

    /// What is known of the connection.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The stream of a session, unless a request of our own has none.
    pub(crate) fn of(session: &ServerSession) -> Option<&Self> {
        session.stream().and_then(|stream| stream.as_any().downcast_ref())
    }

    /// Whether the client has gone, as far as reading or writing has shown it.
    pub(crate) fn has_gone(&self) -> bool {
        self.has_gone
    }

    /// Has the next head carry this Date. Pingora writes the time of writing into every head, and the field tells when
    /// the origin made its response (RFC 9110 §6.6.1).
    pub(crate) fn keep_date(&self, date: HeaderValue) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).date = Some(date);
    }

    /// Has the next flush or write send `bytes` first.
    pub(crate) fn send_ahead(&self, bytes: &[u8]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.ahead.extend_from_slice(bytes);
    }

    /// Gathers what goes first.
    fn gather_ahead(&mut self) -> &mut Told {
        let told = self.told.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !told.ahead.is_empty() {
            self.gathered.extend_from_slice(&std::mem::take(&mut told.ahead));
        }
        told
    }

    /// Writes what was gathered, and then the beginning of `more` if there is room: how much of it.
    fn poll_write_out(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let held = self.gathered.len();
            let slices = [IoSlice::new(&self.gathered), IoSlice::new(more)];
            let written = ready!(self.transport.poll_write_vectored(cx, &slices));
            self.has_gone |= written.is_err();
            let written = written?;
            if written == 0 && held + more.len() > 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(written.min(held));
            if self.gathered.is_empty() {
                self.gathered = BytesMut::new();
                if written > held || more.is_empty() {
                    return Poll::Ready(Ok(written - held));
                }
            }
        }
    }
}

impl Transport {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, into),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, into),
        }
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, parts),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, parts),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

impl Drop for ClientStream {
    /// Sends what Pingora wrote and did not flush before it gave up, as far as there is room: a client sees that an
    /// answer broke off, and not that there was none.
    fn drop(&mut self) {
        if !self.gathered.is_empty() {
            let mut cx = Context::from_waker(Waker::noop());
            // the client may be gone
            drop(self.transport.poll_write_vectored(&mut cx, &[IoSlice::new(&self.gathered)]));
            drop(self.transport.poll_flush(&mut cx));
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let date = self.gather_ahead().date.take();
        if let Some((before, date, after)) = date.as_ref().and_then(|date| dated(bytes, date)) {
            for part in [before, date, after] {
                self.gathered.extend_from_slice(part);
            }
            return Poll::Ready(Ok(bytes.len()));
        }
        if self.gathered.len() + bytes.len() <= GATHER_MAX_BYTES {
            self.gathered.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        self.poll_write_out(cx, bytes)
    }

    /// Writes several at once, uncopied, where nothing has to go out before or between.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let has_date = self.gather_ahead().date.is_some();
        if self.gathered.is_empty() && !has_date {
            return self.transport.poll_write_vectored(cx, parts);
        }
        let first = parts.iter().find(|part| !part.is_empty());
        self.poll_write(cx, first.map_or(&[], |part| &**part))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gather_ahead();
        if !self.gathered.is_empty() {
            ready!(self.poll_write_out(cx, &[]))?;
        }
        self.transport.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.transport.poll_shutdown(cx)
    }
}

/// A head with another Date, in three parts. None for one without.
fn dated<'h>(head: &'h [u8], date: &'h HeaderValue) -> Option<(&'h [u8], &'h [u8], &'h [u8])> {
    const FIELD: &[u8] = b"\r\ndate: ";
    let found = head.windows(FIELD.len()).position(|bytes| bytes.eq_ignore_ascii_case(FIELD))?;
    let (before, rest) = head.split_at(found + FIELD.len());
    let end = memchr::memchr(b'\r', rest)?;
    Some((before, date.as_bytes(), &rest[end..]))
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // who reads has nothing more to write for now, and what was gathered has waited long enough
        if !self.gathered.is_empty()
            && let Poll::Ready(Err(error)) = self.poll_write_out(cx, &[])
        {
            return Poll::Ready(Err(error));
        }
        let before = buffer.remaining();
        let read = ready!(self.transport.poll_read(cx, buffer));
        self.has_gone |= read.is_err() || (before > 0 && buffer.remaining() == before);
        Poll::Ready(read)
    }
}

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // the client may be gone already; there is nobody left to tell
        drop(AsyncWriteExt::shutdown(self).await);
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> i32 {
        self.transport.tcp().as_raw_fd()
    }
}

impl Ssl for ClientStream {}

impl Peek for ClientStream {}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<pingora_core::protocols::raw_connect::ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    async fn pair() -> (ClientStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let client = TcpStream::connect(local).await.unwrap();
        let (tcp, address) = listener.accept().await.unwrap();
        let connection = Connection { client: address, local, secure: None };
        (ClientStream::plain(tcp, Arc::new(connection)), client)
    }

    #[tokio::test]
    async fn what_goes_ahead_waits_for_room_and_holds_nobody_up() {
        let (mut stream, mut client) = pair().await;
        let (piece, mut sent) = (vec![0; 65_536], 0);
        while let Ok(written) = timeout(Duration::ZERO, stream.write(&piece)).await {
            sent += written.unwrap();
        }
        stream.send_ahead(b"hint");
        assert!(timeout(Duration::ZERO, stream.flush()).await.is_err());
        let mut received = vec![0; sent + 4];
        let mut asked = [0];
        tokio::select! {
            read = client.read_exact(&mut received) => assert_eq!(read.unwrap(), sent + 4),
            _ = stream.read(&mut asked) => unreachable!("the client sends nothing"),
        }
        assert!(received.ends_with(b"hint"));
    }

    #[tokio::test]
    async fn what_goes_ahead_is_before_what_is_written_later() {
        let (mut stream, mut client) = pair().await;
        stream.send_ahead(b"hint ");
        stream.write_all(b"head ").await.unwrap();
        stream.write_all(b"body").await.unwrap();
        AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        let mut received = String::new();
        client.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "hint head body");
    }

    #[tokio::test]
    async fn several_parts_go_out_in_order_and_after_what_waits() {
        let (mut stream, mut client) = pair().await;
        stream.send_ahead(b"hint ");
        stream.write_all(b"first ").await.unwrap();
        for mut parts in [&b"head body "[..], &b"head body"[..]] {
            while !parts.is_empty() {
                let (head, body) = parts.split_at(parts.len().min(5));
                let parts_of = [IoSlice::new(head), IoSlice::new(body)];
                let written = stream.write_vectored(&parts_of).await.unwrap();
                parts.advance(written);
            }
            stream.flush().await.unwrap();
        }
        drop(stream);
        let mut received = String::new();
        client.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "hint first head body head body");
    }

    #[test]
    fn the_date_of_a_head_is_replaced() {
        let check = |head: &str, expected: Option<&str>| {
            let date = HeaderValue::from_static("then");
            let parts = dated(head.as_bytes(), &date);
            let whole = parts.map(|(before, date, after)| [before, date, after].concat());
            assert_eq!(whole.as_deref(), expected.map(str::as_bytes), "{head}");
        };
        check(
            "HTTP/1.1 200 OK\r\nDate: now\r\n\r\n",
            Some("HTTP/1.1 200 OK\r\nDate: then\r\n\r\n"),
        );
        check(
            "HTTP/1.1 200 OK\r\ndate: now\r\na: b\r\n\r\nx",
            Some("HTTP/1.1 200 OK\r\ndate: then\r\na: b\r\n\r\nx"),
        );
        check("HTTP/1.1 200 OK\r\nx-date: now\r\n\r\n", None);
        check("", None);
    }
}
