//! HTTP/1.1: reads each request's head strictly and in time, and hands requests over one at a time.

use super::{ClientStream, Connection, Front, Refusal, head};
use bytes::{Buf, BytesMut};
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use std::sync::Arc;
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
    pub(super) async fn serve_h1(&self, stream: ClientStream, mut buffer: BytesMut) {
        let connection = Arc::clone(stream.connection());
        let mut stream: Stream = Box::new(stream);
        loop {
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
            let _busy = self.telemetry.metrics.request_begun();
            stream = match self.answer(stream, &mut buffer, head, &connection).await {
                Some(stream) => stream,
                None => return,
            };
            // one that was kept is told that its next answer is the last, also when the edge is being stopped
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
        connection: &Connection,
    ) -> Option<Stream> {
        if let Some(plain) = head.plain.filter(|_| !*self.stopping.borrow()) {
            match self.plain_hits.answer(&mut stream, connection, plain, buffer).await {
                Some(Ok(())) => {
                    buffer.advance(head.length);
                    return Some(stream);
                }
                Some(Err(_)) => return None, // gone, or as good as gone
                None => {}
            }
        }
        // what follows a request without a body is the next request's, and stays here
        let mut given = if head.alone { buffer.split_to(head.length) } else { buffer.split() };
        if connection.secure.is_some()
            && let Some((place, scheme_and_host)) = head.absolute(connection.scheme(), &given)
        {
            let after = given.split_off(place);
            given.extend_from_slice(scheme_and_host.as_bytes());
            given.unsplit(after);
        }
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
    pub(super) async fn refuse(
        &self,
        mut stream: Stream,
        connection: &Connection,
        refusal: Refusal,
    ) {
        let (status, word) = refusal.reply();
        self.telemetry.refused(connection.client, status, word);
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
