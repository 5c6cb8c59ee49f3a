//! One stream: a request and its response.

use crate::bridge::Exchange;
use async_trait::async_trait;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response};
use std::future::poll_fn;
use std::io;

/// How much is asked room for at a time, so that streams take turns.
const TURN_BYTES: usize = 65_536;

/// A stream of a connection.
pub(super) struct Stream {
    request: RecvStream,
    respond: SendResponse<Bytes>,
    /// Once the head of the response is sent.
    body: Option<SendStream<Bytes>>,
}

impl Stream {
    pub(super) const fn new(request: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Self { request, respond, body: None }
    }

    fn body(&mut self) -> io::Result<&mut SendStream<Bytes>> {
        self.body.as_mut().ok_or_else(|| io::Error::other("a body before its head"))
    }
}

#[async_trait]
impl Exchange for Stream {
    async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        let received = poll_fn(|cx| self.request.poll_data(cx)).await;
        let bytes = received.transpose().map_err(broken)?;
        if let Some(bytes) = &bytes {
            self.request.flow_control().release_capacity(bytes.len()).map_err(broken)?;
        }
        Ok(bytes)
    }

    fn has_ended(&self) -> bool {
        self.request.is_end_stream()
    }

    async fn send_interim(&mut self, head: Response<()>) -> io::Result<()> {
        self.respond.send_informational(head).map_err(broken)
    }

    async fn send_head(&mut self, head: Response<()>, ends: bool) -> io::Result<()> {
        self.body = Some(self.respond.send_response(head, ends).map_err(broken)?);
        Ok(())
    }

    async fn send_data(&mut self, data: &mut Bytes, ends: bool) -> io::Result<()> {
        let body = self.body()?;
        if data.is_empty() {
            return if ends { body.send_data(Bytes::new(), true).map_err(broken) } else { Ok(()) };
        }
        body.reserve_capacity(data.len().min(TURN_BYTES));
        while body.capacity() == 0 {
            poll_fn(|cx| body.poll_capacity(cx)).await.ok_or_else(closed)?.map_err(broken)?;
        }
        let piece = data.split_to(data.len().min(body.capacity()));
        body.send_data(piece, ends && data.is_empty()).map_err(broken)
    }

    async fn send_trailers(&mut self, trailers: HeaderMap) -> io::Result<()> {
        self.body()?.send_trailers(trailers).map_err(broken)
    }

    fn reset(&mut self) {
        self.respond.send_reset(Reason::INTERNAL_ERROR);
    }

    async fn gone(&mut self) -> io::Error {
        let reason = match &mut self.body {
            Some(body) => poll_fn(|cx| body.poll_reset(cx)).await,
            None => poll_fn(|cx| self.respond.poll_reset(cx)).await,
        };
        reason.map_or_else(broken, |reason| broken(reason.into()))
    }
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().unwrap_or_else(closed);
    }
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

fn closed() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
