//! One request on a connection of its own.

use super::{Client, Response};
use crate::message::Broken;
use std::fmt::Write;
use std::net::SocketAddr;

/// A request being written. [`Call::send`] sends it.
#[derive(Debug, Clone)]
pub struct Call {
    address: SocketAddr,
    method: String,
    head: String,
    body: Vec<u8>,
}

impl Call {
    /// A request to the server at `address`. `host` is the Host field.
    #[must_use]
    pub fn new(address: SocketAddr, method: &str, host: &str, target: &str) -> Self {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        Self { address, method: method.to_owned(), head, body: Vec::new() }
    }

    /// A field line.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").expect("a string grows");
        self
    }

    /// A body with its length.
    #[must_use]
    pub fn body(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let mut call = self.header("Content-Length", &bytes.len().to_string());
        call.body.extend_from_slice(bytes);
        call
    }

    /// A body in chunks.
    #[must_use]
    pub fn chunks(self, chunks: &[&str]) -> Self {
        let mut call = self.header("Transfer-Encoding", "chunked");
        for chunk in chunks {
            call.body.extend_from_slice(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes());
        }
        call.body.extend_from_slice(b"0\r\n\r\n");
        call
    }

    /// Sends it and reads the answer.
    ///
    /// # Panics
    /// When no complete answer comes.
    pub async fn send(self) -> Response {
        let what = self.head.lines().take(2).collect::<Vec<_>>().join(" ");
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Sends it and reads the answer.
    ///
    /// # Errors
    /// [`Broken`] when no complete answer comes.
    pub async fn try_send(self) -> Result<Response, Broken> {
        let method = self.method.clone();
        self.open().await.response_to(&method).await
    }

    /// Sends it and reads nothing.
    pub async fn open(self) -> Client {
        let mut client = Client::connect(self.address).await;
        client.send([self.head.as_bytes(), b"\r\n", &self.body].concat()).await;
        client
    }
}
