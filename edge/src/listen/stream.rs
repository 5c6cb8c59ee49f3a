//! A client's connection as Pingora reads and writes it.
//!
//! Whoever serves a request reads that request's bytes and none of the next one's: these are kept here until it is their
//! turn. Writes are gathered: a head and its body leave in one system call, the body uncopied when it is large. Nothing is
//! held back past a flush, and an idle connection holds no buffer.

use super::Connection;
use super::fence::Fence;
use super::pace::{Rate, Watch};
use super::transport::Transport;
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
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Writes up to this size are gathered by copying; larger ones go out beside what was gathered.
const GATHER_MAX_BYTES: usize = 16_384;
/// What is read of further requests while one is served. Beyond that, the client waits, and isn't seen to leave.
const AHEAD_MAX_BYTES: usize = 16_384;
/// How much of it is read at once.
const AHEAD_BYTES: usize = 1_024;

/// Where a connection is left by a stream that was dropped although it can be used further.
pub(super) type Left = Arc<Mutex<Option<Remains>>>;

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
    /// What of what comes is the request's under way.
    fence: Fence,
    /// Bytes that have come: first what is left of the request under way, then others.
    kept: BytesMut,
    /// How slow the client may be; not watched where there is none.
    rate: Option<Arc<Rate>>,
    /// Of a request's body, and of what is written.
    watches: [Option<Box<Watch>>; 2],
    left: Left,
}

/// What is left of a stream, to make another of.
#[derive(Debug)]
pub(super) struct Remains {
    transport: Transport,
    kept: BytesMut,
    gathered: BytesMut,
}

#[derive(Debug, Default)]
struct Told {
    /// That the answer is whole, and the connection to be kept whatever becomes of the session.
    is_answered: bool,
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
        let digest = SocketDigest::from_raw_fd(transport.file());
        // both are set once, here, so that nobody asks the system again
        let known = digest.peer_addr.set(Some(PingoraAddress::Inet(connection.client))).is_ok()
            && digest.local_addr.set(Some(PingoraAddress::Inet(connection.local))).is_ok();
        debug_assert!(known, "a new digest knows no address");
        Self {
            transport,
            connection,
            gathered: BytesMut::new(),
            has_gone: false,
            told: Mutex::default(),
            digest: Arc::new(digest),
            fence: Fence::OPEN,
            kept: BytesMut::new(),
            rate: None,
            watches: [None, None],
            left: Left::default(),
        }
    }

    /// Breaks off a client that sends a body, or takes a response, more slowly.
    pub(super) fn demand(&mut self, rate: Arc<Rate>) {
        self.rate = Some(rate);
    }

    /// A request begins whose head has been read, and `rest` after it. From here on, what is read ends with it.
    pub(super) fn begin(&mut self, fence: Fence, rest: BytesMut) {
        (self.fence, self.kept) = (fence, rest);
        self.told.get_mut().unwrap_or_else(PoisonError::into_inner).is_answered = false;
    }

    /// The request is over: what has come after it. None where it isn't whole, so that nobody knows where another begins.
    pub(super) fn end(&mut self) -> Option<BytesMut> {
        self.watches = [None, None];
        let is_whole = self.fence.has_ended();
        self.fence = Fence::OPEN;
        is_whole.then(|| std::mem::take(&mut self.kept))
    }

    /// Where the connection will be if the stream is dropped after [`Self::keep`].
    pub(super) fn left(&self) -> Left {
        Arc::clone(&self.left)
    }

    /// What was left in another stream's place.
    pub(super) fn from_remains(remains: Remains, connection: Arc<Connection>) -> Self {
        let Remains { transport, kept, gathered } = remains;
        let mut stream = Self::new(transport, connection);
        (stream.kept, stream.gathered, stream.fence) = (kept, gathered, Fence::ENDED);
        stream
    }

    /// Notes that the request is answered in full. Pingora drops the connection after every failed exchange, whatever it
    /// is told; then it is left for the next request.
    pub(crate) fn keep(&self) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).is_answered = true;
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

    /// Takes note of how fast the client moves: of a body that is awaited, or of what is written.
    fn watch(
        &mut self,
        is_write: bool,
        cx: &mut Context<'_>,
        moved: Poll<usize>,
    ) -> io::Result<()> {
        let [reading, writing] = &mut self.watches;
        let watch = if is_write { writing } else { reading };
        if let (None, Poll::Pending, Some(rate)) = (&watch, moved, &self.rate) {
            *watch = Some(Box::new(Watch::new(Arc::clone(rate))));
        }
        let Some(watch) = watch else { return Ok(()) };
        watch.note(cx, moved).inspect_err(|_| self.has_gone = true)
    }

    fn poll_write_parts(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.transport.poll_write_vectored(cx, parts);
        self.watch(true, cx, moved(&written))?;
        written
    }

    /// A 101 ends what is HTTP on this connection: every byte from here on is for whoever was asked.
    fn note_upgrade(&mut self, written: &[u8]) {
        if written.starts_with(b"HTTP/1.1 101 ") {
            self.fence.upgrade();
        }
    }

    /// Reads what is the request's, kept or new.
    fn poll_read_request(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.fence.has_ended() {
                return self.poll_ahead(cx);
            }
            let before = buffer.filled().len();
            if self.kept.is_empty() {
                let read = self.transport.poll_read(cx, buffer);
                let count = buffer.filled().len() - before;
                if self.fence.awaits() {
                    let moved = if read.is_ready() { Poll::Ready(count) } else { Poll::Pending };
                    self.watch(false, cx, moved)?;
                }
                ready!(read)?;
                if count == 0 {
                    return Poll::Ready(Ok(()));
                }
            } else {
                let count = self.kept.len().min(buffer.remaining());
                buffer.put_slice(self.kept.get(..count).unwrap_or_default());
            }
            let bytes = buffer.filled_mut().get_mut(before..).unwrap_or_default();
            let passed = self.fence.pass(bytes)?;
            let rest = bytes.get(passed.taken..).unwrap_or_default();
            if self.kept.is_empty() {
                self.kept.extend_from_slice(rest);
            } else {
                self.kept.advance(passed.taken);
            }
            buffer.set_filled(before + passed.given);
            if passed.given > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Waits for the client to leave, and keeps what it sends for later.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.kept.len() < AHEAD_MAX_BYTES {
            let mut space = [0; AHEAD_BYTES];
            let mut read = ReadBuf::new(&mut space);
            ready!(self.transport.poll_read(cx, &mut read))?;
            if !read.filled().is_empty() {
                self.kept.extend_from_slice(read.filled());
            } else if self.kept.is_empty() {
                return Poll::Ready(Ok(()));
            } else {
                break; // it has asked for more before it ended
            }
        }
        // whoever reads here only waits for an end, and does other things meanwhile
        Poll::Pending
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
            let written = self.transport.poll_write_vectored(cx, &slices);
            self.watch(true, cx, moved(&written))?;
            let written = ready!(written);
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

impl Drop for ClientStream {
    /// Leaves a connection that can be used further. Of others, sends what Pingora wrote and did not flush before it gave up,
    /// as far as there is room: a client sees that an answer broke off, and not that there was none.
    fn drop(&mut self) {
        let told = self.told.get_mut().unwrap_or_else(PoisonError::into_inner);
        if told.is_answered && self.fence.has_ended() && !self.has_gone {
            let remains = Remains {
                transport: std::mem::replace(&mut self.transport, Transport::Taken),
                kept: std::mem::take(&mut self.kept),
                gathered: std::mem::take(&mut self.gathered),
            };
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(remains);
        } else if !self.gathered.is_empty() {
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
        self.note_upgrade(bytes);
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
            return self.poll_write_parts(cx, parts);
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

/// How many bytes were written.
fn moved(written: &Poll<io::Result<usize>>) -> Poll<usize> {
    match written {
        Poll::Pending => Poll::Pending,
        Poll::Ready(written) => Poll::Ready(*written.as_ref().unwrap_or(&0)),
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
        let read = ready!(self.poll_read_request(cx, buffer));
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
        self.transport.file()
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
mod tests;
