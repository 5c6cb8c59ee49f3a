//! An HTTP/1.1 client that sends exactly what it is told and shows exactly what came.

mod call;

pub use call::Call;

use crate::message::{Broken, Fields, Framing, Head};
use crate::tls::Tls;
use crate::wait::within;
use crate::wire::{Body, Stream, Wire};
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A response as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The head as it was on the wire, empty line included.
    pub head: String,
    /// The status code.
    pub status: u16,
    /// Field lines, in order.
    pub fields: Fields,
    /// The body without its framing; empty as long as only the head was read.
    pub body: Vec<u8>,
    /// Interim responses that came before (RFC 9110 §15.2).
    pub interim: Vec<Interim>,
}

/// An interim response: a head, and that there is more to come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interim {
    /// The status code.
    pub status: u16,
    /// Field lines, in order.
    pub fields: Fields,
}

impl Response {
    /// The value of the first field line with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.first(name)
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The value of `Cache-Status` (RFC 9211), empty without one.
    #[must_use]
    pub fn cache_status(&self) -> String {
        self.fields.all("cache-status").join(", ")
    }

    /// The status codes of the interim responses that came before.
    #[must_use]
    pub fn interim_statuses(&self) -> Vec<u16> {
        self.interim.iter().map(|interim| interim.status).collect()
    }

    /// `Cache-Status` without the `key` of the last cache, for tests that compare the rest.
    #[must_use]
    pub fn cache_status_but_key(&self) -> String {
        let told = self.cache_status();
        let key = told.rsplit_once("; key=\"").and_then(|(before, rest)| {
            let (_, after) = rest.split_once('"')?;
            Some(format!("{before}{after}"))
        });
        key.unwrap_or(told)
    }

    /// Whether the cache answered without its origin, by its own account.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.cache_status().split([';', ',']).any(|word| word.trim() == "hit")
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    /// The body of the response whose head was read last.
    body: Body,
}

impl Client {
    /// Opens a connection.
    pub async fn connect(address: SocketAddr) -> Self {
        let what = format!("a connection to {address}");
        let stream = within(&what, TcpStream::connect(address)).await;
        let stream = stream.expect("the server accepts connections");
        stream.set_nodelay(true).expect("a TCP socket takes TCP_NODELAY");
        Self { wire: Wire::new(stream, true), body: Body::new(Framing::Length(0)) }
    }

    /// Opens a connection to a server that may not be there.
    ///
    /// # Errors
    /// [`Broken`] when it isn't.
    pub async fn try_connect(address: SocketAddr) -> Result<Self, Broken> {
        let what = format!("a connection to {address}");
        let stream = within(&what, TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { wire: Wire::new(stream, true), body: Body::new(Framing::Length(0)) })
    }

    /// Opens a connection over TLS, and asks for the name `server_name`.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn connect_secure(
        address: SocketAddr,
        server_name: &str,
        tls: &Tls,
    ) -> Result<Self, io::Error> {
        let what = format!("a connection to {address}");
        let tcp = within(&what, TcpStream::connect(address)).await;
        let tcp = tcp.expect("the server accepts connections");
        tcp.set_nodelay(true).expect("a TCP socket takes TCP_NODELAY");
        let handshake = tls.connect(tcp, server_name);
        let stream = within(&format!("a handshake with {address}"), handshake).await?;
        let stream = Stream::Tls(Box::new(stream));
        Ok(Self { wire: Wire::new(stream, true), body: Body::new(Framing::Length(0)) })
    }

    /// What was agreed in the handshake.
    ///
    /// # Panics
    /// Without TLS.
    #[must_use]
    pub fn session(&self) -> &rustls::ClientConnection {
        match &self.wire.stream {
            Stream::Tls(tls) => tls.get_ref().1,
            Stream::Tcp(_) => panic!("the connection is not over TLS"),
        }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the server reads");
    }

    /// Sends bytes as they are, to a server that may not want them.
    ///
    /// # Errors
    /// When the server closed, or reads nothing for [`crate::PATIENCE`].
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Broken> {
        self.wire.write(bytes.as_ref()).await
    }

    /// Says that nothing more will be sent.
    pub async fn finish_sending(&mut self) {
        self.wire.stream.shutdown().await.expect("the connection stands");
    }

    /// Asks for a path and reads the answer, on a connection that is kept.
    pub async fn get(&mut self, host: &str, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let response = self.response().await;
        response.unwrap_or_else(|error| panic!("GET {host}{path}: {error}"))
    }

    /// Reads a response to anything but HEAD.
    ///
    /// # Errors
    /// [`Broken`], also when the body is not complete.
    pub async fn response(&mut self) -> Result<Response, Broken> {
        self.response_to("GET").await
    }

    /// Reads a response to a request with this method.
    ///
    /// # Errors
    /// [`Broken`], also when the body is not complete.
    pub async fn response_to(&mut self, method: &str) -> Result<Response, Broken> {
        let mut response = self.head_to(method).await?;
        while let Some(piece) = self.piece().await? {
            response.body.extend_from_slice(&piece);
        }
        Ok(response)
    }

    /// Reads the head of a response to anything but HEAD, and interim responses before it.
    ///
    /// # Errors
    /// [`Broken`].
    pub async fn head(&mut self) -> Result<Response, Broken> {
        self.head_to("GET").await
    }

    async fn head_to(&mut self, method: &str) -> Result<Response, Broken> {
        let mut interim = Vec::new();
        loop {
            let head = self.wire.head().await?;
            let status = head.status()?;
            if (100..=199).contains(&status) && status != 101 {
                interim.push(Interim { status, fields: head.fields });
                continue;
            }
            self.body = Body::new(Framing::of_response(&head, method == "HEAD")?);
            let Head { raw, fields, .. } = head;
            return Ok(Response { head: raw, status, fields, body: Vec::new(), interim });
        }
    }

    /// Reads one head, interim or not, and nothing of what follows.
    ///
    /// # Errors
    /// [`Broken`].
    pub async fn interim(&mut self) -> Result<Interim, Broken> {
        let head = self.wire.head().await?;
        Ok(Interim { status: head.status()?, fields: head.fields })
    }

    /// The next bytes of the body whose head was read, `None` when it is complete.
    ///
    /// # Errors
    /// [`Broken::Truncated`] when it ends before.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Broken> {
        self.wire.piece(&mut self.body).await
    }

    /// At least `count` bytes of the body whose head was read, as soon as they are there.
    ///
    /// # Errors
    /// [`Broken`], also when the body ends before.
    pub async fn at_least(&mut self, count: usize) -> Result<Vec<u8>, Broken> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            let Some(piece) = self.piece().await? else {
                let part = format!("the first {count} bytes of the body");
                return Err(Broken::Truncated { part, received: bytes.len() });
            };
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// What is left of the body whose head was read.
    ///
    /// # Errors
    /// [`Broken`], also when it is not complete.
    pub async fn rest_of_body(&mut self) -> Result<Vec<u8>, Broken> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Bytes of an upgraded connection, as they come; `None` at the end.
    ///
    /// # Errors
    /// [`Broken`].
    pub async fn some(&mut self) -> Result<Option<Bytes>, Broken> {
        self.wire.some().await
    }

    /// Everything until the server closes.
    ///
    /// # Errors
    /// [`Broken::Reset`], or [`Broken::Silent`] when it doesn't close.
    pub async fn until_closed(&mut self) -> Result<Bytes, Broken> {
        self.wire.rest().await
    }

    /// Ends the connection with a reset instead of a close.
    pub fn reset(self) {
        self.wire.stream.tcp().set_zero_linger().expect("a TCP socket takes SO_LINGER");
    }
}
