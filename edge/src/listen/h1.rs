//! HTTP/1.1: reads each request's head strictly and in time, and hands requests over one at a time.

use super::fence::Fence;
use super::stream::Remains;
use super::{ClientStream, Connection, Front, Refusal, head};
use crate::stage::fail::{Answered, raw_page};
use bytes::{Buf, BytesMut};
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// What a head is read into at first; most fit.
const HEAD_START_BYTES: usize = 2_048;
/// How much of a refused client's bytes is read, and how long, so that it sees the answer and not a reset.
const LINGER_BYTES: usize = 65_536;
const LINGER: Duration = Duration::from_secs(1);

/// How waiting for a head ended without one.
enum NoHead {
    /// The client left, or stayed idle too long, or the edge is being stopped: nothing to answer.
    Ended,
    /// To be answered, then closed.
    Refused(Refusal),
}

impl<A: HttpServerApp + Send + Sync + 'static> Front<A> {
    /// Serves a connection until it ends. `buffer` was read of it before.
    pub(super) async fn serve_h1(&self, mut stream: ClientStream, mut buffer: BytesMut) {
        let connection = Arc::clone(stream.connection());
        stream.demand(Arc::clone(&self.clients.rate));
        let mut stream: Stream = Box::new(stream);
        for number in 1.. {
            let head = match self.read_head(&mut stream, &mut buffer).await {
                Ok(head) => head,
                Err(NoHead::Ended) => return,
                Err(NoHead::Refused(refusal)) => {
                    return self.refuse(stream, &connection, refusal).await;
                }
            };
            drop(buffer.split_to(head.skipped));
            if !head.is_of(connection.scheme(), &buffer) {
                return self.refuse(stream, &connection, Refusal::Scheme).await;
            }
            if let Err(after) = self.clients.request(connection.client.ip()) {
                stream = match self.put_off(stream, &mut buffer, head, &connection, after).await {
                    Some(stream) => stream,
                    None => return,
                };
                continue;
            }
            let _busy = self.telemetry.metrics.request_begun();
            // while another process follows on this one, it hears of no purges
            let is_last = *self.stopping.borrow() || !*self.accepting.borrow();
            let ends = is_last || number >= self.clients.requests_max;
            stream = match self.answer(stream, &mut buffer, head, &connection, ends).await {
                Some(stream) => stream,
                None => return,
            };
            // one that was kept is told that its next answer is the last, also when the edge is being stopped
            if ends {
                return;
            }
            if buffer.is_empty() && buffer.capacity() > HEAD_START_BYTES {
                buffer = BytesMut::new();
            }
        }
    }

    /// Answers the request at the beginning of `buffer`, and takes it out; the last on its connection if that `ends`. The
    /// connection comes back if it can be used for another request.
    async fn answer(
        &self,
        mut stream: Stream,
        buffer: &mut BytesMut,
        head: head::Head,
        connection: &Arc<Connection>,
        ends: bool,
    ) -> Option<Stream> {
        if let Some(plain) = head.plain.filter(|_| !ends) {
            match self.plain_hits.answer(&mut stream, connection, plain, buffer).await {
                Some(Ok(())) => {
                    buffer.advance(head.length);
                    return Some(stream);
                }
                Some(Err(_)) => return None, // gone, or as good as gone
                None => {}
            }
        }
        let mut given = buffer.split_to(head.length);
        if connection.secure.is_some()
            && let Some((place, scheme_and_host)) = head.absolute(connection.scheme(), &given)
        {
            let after = given.split_off(place);
            given.extend_from_slice(scheme_and_host.as_bytes());
            given.unsplit(after);
        }
        let mut stream: Box<ClientStream> = stream.into_any().downcast().ok()?;
        stream.begin(Fence::new(head.body, head.upgrades), std::mem::take(buffer));
        let left = stream.left();
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelined_prefix(given);
        if ends {
            session.set_keepalive_reuses_remaining(Some(0));
        }
        let reused = self.app.process_new_http(session, &self.stopping).await;
        let mut stream: Box<ClientStream> = if let Some(reused) = reused {
            reused.consume().0.into_any().downcast().ok()?
        } else {
            let remains = left.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            Box::new(self.resume(remains, connection))
        };
        *buffer = stream.end()?;
        Some(stream)
    }

    /// A connection that was dropped although its request was answered.
    fn resume(&self, remains: Remains, connection: &Arc<Connection>) -> ClientStream {
        let mut stream = ClientStream::from_remains(remains, Arc::clone(connection));
        stream.demand(Arc::clone(&self.clients.rate));
        stream
    }

    /// Answers a client that asks too often. Its connection comes back where nothing else belongs to the request.
    async fn put_off(
        &self,
        mut stream: Stream,
        buffer: &mut BytesMut,
        head: head::Head,
        connection: &Connection,
        after: u64,
    ) -> Option<Stream> {
        self.turn_away(connection.client, Refusal::Requests);
        let (status, reason) = (Refusal::Requests.reply().0, Refusal::Requests.to_string());
        // an answer to HEAD with a body is only right where nothing follows it
        let is_kept = head.is_alone() && !buffer.starts_with(b"HEAD ");
        let more = Answered { retry_after: Some(after), is_kept };
        let page = raw_page(status, &reason, more, crate::clock::wall());
        if !is_kept {
            self.say_last(stream, &page).await;
            return None;
        }
        buffer.advance(head.length);
        let writing = async {
            stream.write_all(&page).await?;
            stream.flush().await
        };
        let written = timeout(LINGER, writing).await;
        matches!(written, Ok(Ok(()))).then_some(stream)
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
    pub(super) async fn refuse(&self, stream: Stream, connection: &Connection, refusal: Refusal) {
        self.turn_away(connection.client, refusal);
        let (status, reason) = (refusal.reply().0, refusal.to_string());
        let page = raw_page(status, &reason, Answered::default(), crate::clock::wall());
        self.say_last(stream, &page).await;
    }

    /// Sends an answer, and closes.
    async fn say_last(&self, mut stream: Stream, answer: &[u8]) {
        let answered = async {
            stream.write_all(answer).await?;
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
