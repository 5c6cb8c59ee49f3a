//! HTTP/2 (RFC 9113): streams of one connection, each a request that goes its own way.
//!
//! The crate `h2` reads and writes frames, and bounds what a connection holds: streams, lines of a head, CONTINUATION
//! frames, small DATA frames, resets of its own making. What it doesn't bound is bounded here: frames that bring nothing and
//! requests taken back ([`meter`]), how long a client may take, and how many requests a connection has.

mod meter;
mod stream;
mod wire;

use super::exchange::Begun;
use super::{Connection, Front, Protocol};
use crate::bridge::head::Arrival;
use crate::config;
use crate::plain::Whole;
use ::h2::server::{self, Builder, SendResponse};
use ::h2::{Reason, RecvStream};
use bytes::{Bytes, BytesMut};
use http::Request;
use meter::Fault;
use pingora_core::apps::HttpServerApp;
use pingora_http::RequestHeader;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use stream::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};
use wire::Wire;

/// What a client that means HTTP/2 says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a connection without streams that is to end waits for its client to agree.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes that wait to be sent on one stream.
const SEND_BUFFER_BYTES: usize = 262_144;
/// Of an answer that is handed over whole, however much room there is for it.
const AT_ONCE_BYTES: usize = 65_536;
/// Streams that were reset here and are remembered, as frames for them may be on their way.
const RESET_REMEMBERED: usize = 64;
/// Streams of one connection that may have to be reset because of what the client does wrong on them.
const WRONG_STREAMS_MAX: usize = 128;

/// How much a client may have open, and on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(super) cleartext: bool,
    streams_max: u32,
    requests_max: u64,
    stream_window_bytes: u32,
    connection_window_bytes: u32,
}

impl Limits {
    pub(crate) fn new(http2: &config::Http2) -> Self {
        // every one of these was checked to be much smaller
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            cleartext: http2.cleartext,
            streams_max: number(http2.streams_max),
            requests_max: http2.requests_max,
            stream_window_bytes: number(http2.stream_window_bytes),
            connection_window_bytes: number(http2.connection_window_bytes),
        }
    }

    fn builder(self, head_max_bytes: usize) -> Builder {
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(self.streams_max)
            .max_header_list_size(u32::try_from(head_max_bytes).unwrap_or(u32::MAX))
            .initial_window_size(self.stream_window_bytes)
            .initial_connection_window_size(self.connection_window_bytes)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .max_concurrent_reset_streams(RESET_REMEMBERED)
            .max_local_error_reset_streams(Some(WRONG_STREAMS_MAX))
            .enable_connect_protocol();
        builder
    }
}

/// Reads the beginning of a connection without TLS, as far as it takes to know whether its client means HTTP/2. None when
/// it ended, or took too long.
pub(super) async fn is_meant<S: AsyncRead + Unpin>(
    stream: &mut S,
    read: &mut BytesMut,
    (idle_timeout, head_timeout): (Duration, Duration),
) -> Option<bool> {
    let mut deadline = Instant::now() + idle_timeout;
    loop {
        let length = read.len().min(PREFACE.len());
        if read.get(..length) != PREFACE.get(..length) {
            return Some(false);
        }
        if length == PREFACE.len() {
            return Some(true);
        }
        let was_empty = read.is_empty();
        match timeout_at(deadline, stream.read_buf(read)).await {
            Ok(Ok(1..)) => {}
            _ => return None,
        }
        if was_empty {
            deadline = Instant::now() + head_timeout;
        }
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Front<A> {
    /// Serves a connection until it ends. `read` was read of it before.
    pub(super) async fn serve_h2<S>(
        self: &Arc<Self>,
        stream: S,
        read: BytesMut,
        connection: Arc<Connection>,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (wire, own) = Wire::new(stream, read);
        let builder = self.limits.h2.builder(self.limits.head_max_bytes);
        let handshake = async {
            let mut handshake = std::pin::pin!(builder.handshake::<_, Bytes>(wire));
            poll_fn(|cx| {
                let polled = handshake.as_mut().poll(cx);
                // a client that is gone is found to be so by the handshake
                drop(own.poll_flush_all(cx));
                polled
            })
            .await
        };
        let Ok(Ok(h2)) = timeout(self.limits.head_timeout, handshake).await else {
            return own.linger().await;
        };
        let streams = Arc::new(Streams::new());
        let front = Arc::clone(self);
        let drive = Drive { front, h2, wire: own, connection, streams, begun: 0, ends_by: None };
        drive.run().await;
    }
}

/// The streams of a connection that are being answered.
struct Streams {
    open: AtomicUsize,
    /// When the last one began or ended.
    changed: Mutex<Instant>,
}

impl Streams {
    fn new() -> Self {
        Self { open: AtomicUsize::new(0), changed: Mutex::new(Instant::now()) }
    }

    fn begin(self: &Arc<Self>) -> OpenStream {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenStream(Arc::clone(self))
    }

    fn are_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Notes that one has come and gone.
    fn touch(&self) {
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn changed(&self) -> Instant {
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream, open until this is dropped.
struct OpenStream(Arc<Streams>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.touch();
    }
}

/// What a connection does next.
enum Next {
    Request(Box<Request<RecvStream>>, SendResponse<Bytes>),
    /// It has ended, or is broken.
    Ended,
    /// Its client asks too much.
    Fault(Fault),
    /// There may be reason to end it.
    Look,
}

/// A connection under way.
struct Drive<A, S> {
    front: Arc<Front<A>>,
    h2: server::Connection<Wire<S>, Bytes>,
    wire: Wire<S>,
    connection: Arc<Connection>,
    streams: Arc<Streams>,
    /// Requests so far.
    begun: u64,
    /// Told to end, and when it does without its client's help, if nothing is open by then.
    ends_by: Option<Instant>,
}

impl<A, S> Drive<A, S>
where
    A: HttpServerApp + Send + Sync + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    async fn run(mut self) {
        let mut stopping = self.front.stopping.clone();
        let mut timer = std::pin::pin!(sleep_until(self.next_look()));
        // once the edge is being stopped, what was answered counts as open until it is sent
        let mut _sending = None;
        loop {
            let stops = async {
                // the sender lives as long as the edge
                stopping.wait_for(|stopping| *stopping).await.ok();
            };
            tokio::select! {
                biased;
                next = poll_fn(|cx| self.poll_next(timer.as_mut(), cx)) => match next {
                    Next::Request(request, respond) => self.begin(*request, respond),
                    Next::Fault(fault) => {
                        self.end_for(fault).await;
                        break;
                    }
                    Next::Look if self.look() => timer.as_mut().reset(self.next_look()),
                    Next::Ended | Next::Look => break,
                },
                () = stops, if _sending.is_none() => {
                    _sending = Some(self.front.telemetry.metrics.request_begun());
                    self.end();
                }
            }
        }
        drop(self.h2);
        self.wire.linger().await;
    }

    /// Moves the connection on: reads, writes, and flushes when there is nothing more to write.
    fn poll_next(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Next> {
        match self.h2.poll_accept(cx) {
            Poll::Ready(Some(Ok((request, respond)))) => {
                return Poll::Ready(Next::Request(Box::new(request), respond));
            }
            Poll::Ready(Some(Err(error))) => {
                if error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
                    self.front.telemetry.metrics.http2.floods.inc();
                }
                return Poll::Ready(Next::Ended);
            }
            Poll::Ready(None) => return Poll::Ready(Next::Ended),
            Poll::Pending => {}
        }
        if let Some(fault) = self.wire.fault() {
            return Poll::Ready(Next::Fault(fault));
        }
        if let Poll::Ready(Err(_)) = self.wire.poll_flush_all(cx) {
            return Poll::Ready(Next::Ended);
        }
        let look = self.next_look();
        if look < timer.deadline() {
            timer.as_mut().reset(look);
        }
        timer.poll(cx).map(|()| Next::Look)
    }

    fn begin(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        self.begun += 1;
        self.front.telemetry.metrics.http2.streams.inc();
        if self.begun >= self.front.limits.h2.requests_max {
            self.end();
        }
        if respond.poll_reset(&mut Context::from_waker(Waker::noop())).is_ready() {
            // it was taken back, or is wrong, and nobody waits for an answer
            return;
        }
        let (mut parts, body) = request.into_parts();
        let tunnel = parts.extensions.remove::<::h2::ext::Protocol>();
        let arrival = Arrival {
            scheme: self.connection.scheme(),
            protocol: Protocol::Http2,
            tunnel: tunnel.as_ref().map(::h2::ext::Protocol::as_str),
            ends: body.is_end_stream(),
        };
        match self.front.begin_exchange(parts, arrival, &self.connection) {
            Begun::Found(found) if found.1.body.len() <= AT_ONCE_BYTES => {
                let (request, whole) = *found;
                self.send_at_once(respond, &request, whole);
            }
            begun => {
                let (front, connection) = (Arc::clone(&self.front), Arc::clone(&self.connection));
                let open = self.streams.begin();
                tokio::spawn(async move {
                    front.serve_begun(Stream::new(body, respond), begun, &connection).await;
                    drop(open);
                });
            }
        }
    }

    /// Hands over an answer that is there and small, to be sent as there is room for it.
    fn send_at_once(
        &self,
        mut respond: SendResponse<Bytes>,
        request: &RequestHeader,
        whole: Whole,
    ) {
        let (head, body, told) = whole.into_parts();
        let sending = respond.send_response(head, body.is_empty());
        let sent = sending.and_then(|mut sending| match body.is_empty() {
            true => Ok(()),
            false => sending.send_data(body, true),
        });
        self.streams.touch();
        self.front.plain_hits.whole_is_over(&told, request, &self.connection, sent.is_ok());
    }

    /// Takes nothing new, and ends once what is open has ended.
    fn end(&mut self) {
        if self.ends_by.is_none() {
            self.h2.graceful_shutdown();
            self.ends_by = Some(Instant::now() + FAREWELL);
        }
    }

    /// Ends at once, and says why.
    async fn end_for(&mut self, fault: Fault) {
        let reason = match fault {
            Fault::Frames | Fault::Resets => Reason::ENHANCE_YOUR_CALM,
            Fault::Unexpected => Reason::PROTOCOL_ERROR,
            Fault::Length => Reason::FRAME_SIZE_ERROR,
        };
        if reason == Reason::ENHANCE_YOUR_CALM {
            self.front.telemetry.metrics.http2.floods.inc();
        }
        self.h2.abrupt_shutdown(reason);
        let ended = poll_fn(|cx| {
            let closed = self.h2.poll_closed(cx).map(drop);
            drop(self.wire.poll_flush_all(cx));
            closed
        });
        // whoever doesn't read isn't told
        timeout(FAREWELL, ended).await.ok();
    }

    /// When there may be reason to end, if nothing happens before.
    fn next_look(&self) -> Instant {
        let limits = &self.front.limits;
        let held = self.wire.held_since().map(|since| since + limits.head_timeout);
        let idle = match self.ends_by {
            // nothing ends what is being answered
            _ if self.streams.are_open() => Instant::now() + limits.idle_timeout,
            // what is answered may still be on its way
            Some(by) if !self.h2.has_streams() => by.max(self.streams.changed() + FAREWELL),
            _ => self.streams.changed() + limits.idle_timeout,
        };
        held.map_or(idle, |held| held.min(idle))
    }

    /// Looks whether it is time to end. False when it is over.
    fn look(&mut self) -> bool {
        let (now, limits) = (Instant::now(), &self.front.limits);
        let is_held =
            self.wire.held_since().is_some_and(|since| since + limits.head_timeout <= now);
        if is_held {
            return false;
        }
        if now < self.next_look() {
            return true;
        }
        let was_told = self.ends_by.is_some();
        self.end();
        !was_told
    }
}
