//! Requests of HTTP/2 and HTTP/3 on their way into the same proxy as those of HTTP/1.1.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Response};
use std::io;

/// One request and its response, on a connection that carries many: what HTTP/2 and HTTP/3 have in common.
///
/// Dropped before the response has ended, it resets the stream: a client must never take half of a body for the whole.
#[async_trait]
pub(crate) trait Exchange: Send + Sync + Unpin + 'static {
    /// The next bytes of the request's body; none at its end.
    ///
    /// # Errors
    /// When the client has given up, or the connection has ended.
    async fn receive(&mut self) -> io::Result<Option<Bytes>>;

    /// Sends an interim response (RFC 9110 §15.2), and waits for no room.
    ///
    /// # Errors
    /// When the client has given up, or the connection has ended; likewise below.
    async fn send_interim(&mut self, head: Response<()>) -> io::Result<()>;

    /// Sends the head of the response; `ends` where nothing follows it.
    async fn send_head(&mut self, head: Response<()>, ends: bool) -> io::Result<()>;

    /// Sends bytes of the body, when there is room for them; `ends` where nothing follows them.
    async fn send_data(&mut self, data: Bytes, ends: bool) -> io::Result<()>;

    /// Sends trailers, which end the response.
    async fn send_trailers(&mut self, trailers: HeaderMap) -> io::Result<()>;

    /// Breaks the response off.
    fn reset(&mut self);

    /// Waits until the client gives up or the connection ends, and says which.
    async fn gone(&mut self) -> io::Error;
}
