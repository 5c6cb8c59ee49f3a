//! What Pingora asks of a client's request, whatever carries it.

use super::sending::To;
use super::{Bridge, Exchange, answer};
use crate::listen::watched;
use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use http::HeaderMap;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session;
use pingora_core::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use std::time::Duration;
use tokio::time::timeout;

/// Messages beside a body, which no client of ours has.
type Messages = Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

#[async_trait]
impl<E: Exchange> Session for Bridge<E> {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        if self.is_body_done() {
            return Ok(None);
        }
        let receiving = watched(&mut self.watch, self.exchange.receive(), |bytes| {
            bytes.as_ref().map_or(0, Bytes::len)
        });
        let received = match self.read_timeout {
            Some(limit) => timeout(limit, receiving).await.map_err(|error| {
                Error::because(ErrorType::ReadTimedout, "the client sends nothing", error)
                    .into_down()
            })?,
            None => receiving.await,
        };
        let bytes = self.note(received, ErrorType::ReadError)?;
        self.body.take(bytes.as_ref()).map_err(|error| {
            Error::because(ErrorType::InvalidHTTPHeader, "the body of a request", error).into_down()
        })?;
        Ok(bytes)
    }

    /// What a client still sends belongs to no other request, and needn't be read.
    async fn drain_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        let (sending, mut to) = self.sending();
        let sent = sending.send_head(head, end, &mut to).await;
        self.note_sent(sent)
    }

    /// Also sends interim heads, of which Pingora's other ways are full.
    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        if head.status.is_informational() && !self.is_upgrade {
            if self.sending.head.is_some() {
                return Ok(());
            }
            let sent = self.exchange.send_interim(answer::interim_head(head)).await;
            return self.note(sent, ErrorType::WriteError);
        }
        self.write_response_header(Box::new(head.clone()), end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        let sent = if data.is_empty() && end {
            self.sending.finish(&mut self.exchange).await
        } else {
            self.sending.send_body(data, end, &mut self.exchange).await
        };
        self.note_sent(sent)
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        let sent = self.sending.send_trailers(trailers, &mut self.exchange).await;
        self.note_sent(sent)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        tasks.into_iter().for_each(|task| self.sending.add_task(task));
        self.write_proxy_tasks().await
    }

    fn proxy_tasks_enabled(&self) -> bool {
        self.sending.takes_tasks
    }

    fn set_proxy_tasks_enabled(&mut self, enabled: bool) {
        self.sending.takes_tasks = enabled;
    }

    fn send_proxy_task(&mut self, task: HttpTask) {
        self.sending.add_task(task);
    }

    fn has_pending_proxy_tasks(&self) -> bool {
        self.sending.has_tasks()
    }

    async fn write_proxy_tasks(&mut self) -> Result<bool> {
        let (sending, mut to) = self.sending();
        let sent = sending.send_tasks(&mut to).await;
        self.note_sent(sent)
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.sending.timeout = timeout;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.sending.timeout
    }

    fn set_total_drain_timeout(&mut self, _: Option<Duration>) {}

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.request.method, self.request.uri)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.sending.head.as_deref()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        self.reset();
    }

    async fn abandon(&mut self, _: &str) {
        self.reset();
    }

    fn is_body_done(&mut self) -> bool {
        if self.is_upgrade && !self.sending.is_upgraded {
            // what follows belongs to what is asked for
            return true;
        }
        self.body.has_ended |= self.exchange.has_ended();
        self.body.has_ended || (!self.is_upgrade && self.body.is_empty())
    }

    async fn finish(&mut self) -> Result<()> {
        let sent = self.sending.finish(&mut self.exchange).await;
        self.note_sent(sent)
    }

    fn is_body_empty(&mut self) -> bool {
        self.is_body_done() && self.body.received == 0
    }

    /// Waits for more of the body, or where that is not expected, until the client is gone.
    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.is_body_done() {
            return self.read_body_bytes().await;
        }
        let gone = self.exchange.gone().await;
        self.note(Err(gone), ErrorType::ConnectionClosed)
    }

    fn body_bytes_sent(&self) -> usize {
        usize::try_from(self.sending.sent).unwrap_or(usize::MAX)
    }

    fn body_bytes_read(&self) -> usize {
        usize::try_from(self.body.received).unwrap_or(usize::MAX)
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Some(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&PingoraAddress> {
        self.digest.socket_digest.as_ref()?.peer_addr()
    }

    fn server_addr(&self) -> Option<&PingoraAddress> {
        self.digest.socket_digest.as_ref()?.local_addr()
    }

    /// A head of HTTP/1.1 in absolute form: requests in the background are read from it.
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        let request = &self.request;
        let target = match request.uri.path() {
            "*" => "*".to_owned(),
            _ => request.uri.to_string(),
        };
        let mut raw = BytesMut::with_capacity(1_024);
        raw.put_slice(format!("{} {target} HTTP/1.1\r\n", request.method).as_bytes());
        request.header_to_h1_wire(&mut raw);
        raw.put_slice(b"\r\n");
        raw.freeze()
    }

    fn enable_retry_buffering(&mut self) {
        self.body.hold();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.body.is_too_large()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.body.held()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Messages> {
        None
    }

    fn restore_custom_message_reader(&mut self, _: Messages) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }

    fn is_upgrade_req(&self) -> bool {
        self.is_upgrade
    }

    fn was_upgraded(&self) -> bool {
        self.sending.is_upgraded
    }
}

impl<E: Exchange> Bridge<E> {
    fn sending(&mut self) -> (&mut super::Sending, To<'_, E>) {
        let Self { sending, exchange, request, is_upgrade, .. } = self;
        (sending, To { exchange, method: &request.method, is_upgrade: *is_upgrade })
    }
}
