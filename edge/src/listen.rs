//! Where clients come in: accepts connections, reads each request's head strictly and in time, and hands requests to
//! the proxy one at a time.
//!
//! Every serving thread has a runtime of its own and accepts from the same sockets, so that a connection stays on the
//! thread that accepted it.

mod head;
mod stream;

#[cfg(test)]
pub(crate) use head::read as read_head;
pub(crate) use head::{Plain, Refusal, fields};
pub(crate) use stream::ClientStream;

use crate::config;
use crate::plain::PlainHits;
use crate::telemetry::Telemetry;
use bytes::{Buf, BytesMut};
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// What a head is read into at first; most fit.
const HEAD_START_BYTES: usize = 2_048;
/// How much of a refused client's bytes is read, and how long, so that it sees the answer and not a reset.
const LINGER_BYTES: usize = 65_536;
const LINGER: Duration = Duration::from_secs(1);
/// Pause after the system refuses a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the connections of this edge share.
pub(crate) struct Front<A> {
    pub(crate) app: Arc<A>,
    pub(crate) plain_hits: PlainHits,
    pub(crate) limits: Limits,
    pub(crate) telemetry: Arc<Telemetry>,
    /// True once the edge is being stopped.
    pub(crate) stopping: watch::Receiver<bool>,
    /// One permit per connection.
    pub(crate) places: Arc<Semaphore>,
}

/// How much a client may send, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    head_max_bytes: usize,
    head_timeout: Duration,
    idle_timeout: Duration,
}

impl Limits {
    pub(crate) const fn new(http: &config::Http) -> Self {
        Self {
            head_max_bytes: http.head_max_bytes,
            head_timeout: Duration::from_secs(http.head_timeout_seconds),
            idle_timeout: Duration::from_secs(http.idle_timeout_seconds),
        }
    }
}

/// How waiting for a head ended without one.
enum NoHead {
    /// The client left, or stayed idle too long, or the edge is being stopped: nothing to answer.
    Ended,
    /// To be answered, then closed.
    Refused(Refusal),
}

impl<A: HttpServerApp + Send + Sync + 'static> Front<A> {
    /// Accepts and serves until the edge is stopped.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener) {
        let mut stopping = self.stopping.clone();
        loop {
            let place = tokio::select! {
                place = Arc::clone(&self.places).acquire_owned() => place,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            match accepted {
                Ok((tcp, client)) => {
                    let front = Arc::clone(&self);
                    tokio::spawn(async move {
                        front.serve(tcp, client).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, tcp: TcpStream, client: SocketAddr) {
        let _open = self.telemetry.metrics.connection_opened();
        let Ok(local) = tcp.local_addr() else { return };
        // latency counts more than packets; a socket that can't has gone away and shows it at the first read
        tcp.set_nodelay(true).ok();
        let mut stream: Stream = Box::new(ClientStream::new(tcp, client, local));
        let mut buffer = BytesMut::new();
        loop {
            let head = match self.read_head(&mut stream, &mut buffer).await {
                Ok(head) => head,
                Err(NoHead::Ended) => return,
                Err(NoHead::Refused(refusal)) => return self.refuse(stream, client, refusal).await,
            };
            drop(buffer.split_to(head.skipped));
            let _busy = self.telemetry.metrics.request_begun();
            stream = match self.answer(stream, &mut buffer, head, client).await {
                Some(stream) => stream,
                None => return,
            };
            if *self.stopping.borrow() {
                return;
            }
            if buffer.is_empty() && buffer.capacity() > HEAD_START_BYTES {
                buffer = BytesMut::new();
            }
        }
    }

    /// Answers the request at the beginning of `buffer`, and takes it out. The connection comes back if it can be used
    /// for another request.
    async fn answer(
        &self,
        mut stream: Stream,
        buffer: &mut BytesMut,
        head: head::Head,
        client: SocketAddr,
    ) -> Option<Stream> {
        if let Some(plain) = head.plain.filter(|_| !*self.stopping.borrow()) {
            match self.plain_hits.answer(&mut stream, client.ip(), plain, buffer).await {
                Some(Ok(())) => {
                    buffer.advance(head.length);
                    return Some(stream);
                }
                Some(Err(_)) => return None, // gone, or as good as gone
                None => {}
            }
        }
        // what follows a request without a body is the next request's, and stays here
        let given = if head.alone { buffer.split_to(head.length) } else { buffer.split() };
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelined_prefix(given);
        self.app.process_new_http(session, &self.stopping).await.map(|reused| reused.consume().0)
    }

    async fn read_head(
        &self,
        stream: &mut Stream,
        buffer: &mut BytesMut,
    ) -> Result<head::Head, NoHead> {
        let mut deadline = Instant::now() + self.limits.head_timeout;
        if buffer.is_empty() {
            self.first_bytes(stream, buffer).await?;
            deadline = Instant::now() + self.limits.head_timeout;
        }
        loop {
            match head::read(buffer).map_err(NoHead::Refused)? {
                Some(head) if head.skipped + head.length <= self.limits.head_max_bytes => {
                    return Ok(head);
                }
                None if buffer.len() < self.limits.head_max_bytes => {}
                _ => return Err(NoHead::Refused(Refusal::TooLarge)),
            }
            match timeout_at(deadline, stream.read_buf(buffer)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Err(NoHead::Ended),
                Err(_) => return Err(NoHead::Refused(Refusal::TooSlow)),
            }
        }
    }

    /// Waits for a request to begin.
    async fn first_bytes(&self, stream: &mut Stream, buffer: &mut BytesMut) -> Result<(), NoHead> {
        buffer.reserve(HEAD_START_BYTES);
        match timeout(self.limits.idle_timeout, stream.read_buf(buffer)).await {
            Ok(Ok(1..)) => Ok(()),
            _ => Err(NoHead::Ended),
        }
    }

    /// Answers what can't be processed, and closes.
    async fn refuse(&self, mut stream: Stream, client: SocketAddr, refusal: Refusal) {
        let (status, word) = refusal.reply();
        self.telemetry.refused(client, status, word);
        let answer =
            crate::stage::fail::raw_page(status, &refusal.to_string(), crate::clock::wall());
        let answered = async {
            stream.write_all(&answer).await?;
            stream.shutdown().await?;
            let mut left = LINGER_BYTES;
            let mut scratch = [0; 4_096];
            while left > 0 {
                match stream.read(&mut scratch).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            std::io::Result::Ok(())
        };
        // the client has broken off or goes on sending: either way it has had its answer
        drop(timeout(LINGER, answered).await);
    }
}
