//! Requests of HTTP/2 and HTTP/3 on their way into the same proxy as those of HTTP/1.1.
//!
//! Pingora has a door for requests that it didn't read itself, and [`Bridge`] is what passes through it. It checks nothing
//! of what it is handed there: that is done here, and before, in [`head`].

mod answer;
mod body;
pub(crate) mod head;
mod sending;
mod session;

use crate::listen::{Connection, Rate, Watch};
use async_trait::async_trait;
use body::Body;
use bytes::Bytes;
use head::Head;
use http::{HeaderMap, Response, header};
use pingora_core::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora_core::protocols::{Digest, SocketDigest};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use sending::Sending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One request and its response, on a connection that carries many: what HTTP/2 and HTTP/3 have in common.
///
/// Whoever waits may stop waiting at any time and wait again: what was taken in the meantime is not lost, and is sent
/// before what is sent next.
///
/// Dropped before the response has ended, it resets the stream: a client must never take half of a body for the whole.
#[async_trait]
pub(crate) trait Exchange: Send + Sync + Unpin + 'static {
    /// The next bytes of the request's body, trailers left out; none at its end.
    ///
    /// # Errors
    /// When the client has given up, or the connection has ended.
    async fn receive(&mut self) -> io::Result<Option<Bytes>>;

    /// Whether the request is known to have ended, its last bytes received. False is always right.
    fn has_ended(&self) -> bool {
        false
    }

    /// Sends an interim response (RFC 9110 §15.2), and waits for no room.
    ///
    /// # Errors
    /// When the client has given up, or the connection has ended; likewise below.
    async fn send_interim(&mut self, head: Response<()>) -> io::Result<()>;

    /// Sends the head of the response; `ends` where nothing follows it.
    async fn send_head(&mut self, head: Response<()>, ends: bool) -> io::Result<()>;

    /// Takes bytes of the body from the front of `data` and sends them: as many as there is room for, and once there is
    /// some. With the last of them it ends the response, if it `ends`; so it does where there are none. Without an end
    /// and bytes, it waits for what is on its way.
    async fn send_data(&mut self, data: &mut Bytes, ends: bool) -> io::Result<()>;

    /// Sends trailers, which end the response.
    async fn send_trailers(&mut self, trailers: HeaderMap) -> io::Result<()>;

    /// Breaks the response off.
    fn reset(&mut self);

    /// Gives the request back, because it is malformed (RFC 9113 §8.1.1, RFC 9114 §4.1.2).
    fn refuse(&mut self) {
        self.reset();
    }

    /// Waits until the client gives up or the connection ends, and says which.
    async fn gone(&mut self) -> io::Error;
}

/// Tells of the client of a request whether it has gone, as far as reading or writing has shown it. In the extensions of
/// a request's head.
#[derive(Debug, Clone, Default)]
pub(crate) struct Presence(Arc<AtomicBool>);

impl Presence {
    pub(crate) fn has_gone(request: &RequestHeader) -> bool {
        let presence = request.extensions.get::<Self>();
        presence.is_some_and(|presence| presence.0.load(Ordering::Relaxed))
    }
}

/// A request as Pingora takes it.
pub(crate) struct Bridge<E: Exchange> {
    exchange: E,
    request: RequestHeader,
    presence: Presence,
    body: Body,
    sending: Sending,
    is_upgrade: bool,
    read_timeout: Option<Duration>,
    /// How slow the client may be with its body.
    watch: Option<Watch>,
    digest: Digest,
}

impl<E: Exchange> Bridge<E> {
    /// A client is broken off that is slower than `rate`, where there is one. Calls that last as long as both sides like
    /// aren't bodies: they may be silent.
    pub(crate) fn new(
        exchange: E,
        head: Head,
        connection: &Arc<Connection>,
        rate: Option<&Arc<Rate>>,
    ) -> Self {
        let Head { mut request, length, is_upgrade } = head;
        let presence = Presence::default();
        request.extensions_mut().insert(presence.clone());
        request.extensions_mut().insert(Arc::clone(connection));
        let body = Body::new(length, exchange.has_ended());
        let digest = digest(connection);
        let watch = || rate.filter(|_| !is_upgrade).map(|rate| Watch::new(Arc::clone(rate)));
        let sending = Sending::watched(watch());
        let watch = watch().filter(|_| !is_call(&request));
        let read_timeout = None;
        Self { exchange, request, presence, body, sending, is_upgrade, read_timeout, watch, digest }
    }

    /// Notes whether the client has gone.
    fn note<T>(&self, done: io::Result<T>, kind: ErrorType) -> Result<T> {
        done.map_err(|error| {
            self.presence.0.store(true, Ordering::Relaxed);
            Error::because(kind, "the client", error).into_down()
        })
    }

    fn note_sent<T>(&self, sent: Result<T>) -> Result<T> {
        if let Err(error) = &sent
            && *error.etype() == ErrorType::WriteError
        {
            self.presence.0.store(true, Ordering::Relaxed);
        }
        sent
    }

    /// Breaks the response off, unless it has ended.
    fn reset(&mut self) {
        if !self.sending.is_settled() {
            self.exchange.reset();
            self.sending.has_ended = true;
        }
    }
}

impl<E: Exchange> Drop for Bridge<E> {
    fn drop(&mut self) {
        self.reset();
    }
}

/// Whether the body of a request may be what is said in a call that goes on (gRPC).
fn is_call(request: &RequestHeader) -> bool {
    let kind = request.headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Who is at both ends, as Pingora has it.
fn digest(connection: &Connection) -> Digest {
    // there is no socket of this request's own to ask
    let socket = SocketDigest::from_raw_fd(-1);
    let known = socket.peer_addr.set(Some(PingoraAddress::Inet(connection.client))).is_ok()
        && socket.local_addr.set(Some(PingoraAddress::Inet(connection.local))).is_ok();
    debug_assert!(known, "a new digest knows no address");
    Digest { socket_digest: Some(Arc::new(socket)), ..Digest::default() }
}

#[cfg(test)]
mod tests;
