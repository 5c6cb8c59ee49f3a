//! A client of HTTP/2, and what becomes of its streams.

use crate::client::{Interim, Response};
use crate::message::Fields;
use crate::tls::Tls;
use crate::wait::within;
use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// One connection. What it gave is over when it is dropped.
#[derive(Debug)]
pub struct Http2 {
    scheme: &'static str,
    send: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// A request under way.
#[derive(Debug)]
pub struct Http2Stream {
    response: ResponseFuture,
    request: SendStream<Bytes>,
    body: Option<RecvStream>,
}

impl Http2 {
    /// Opens a connection without TLS.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_as(address, &Builder::new()).await
    }

    /// Opens a connection without TLS, with settings of its own.
    ///
    /// # Panics
    /// When the server takes none.
    pub async fn connect_as(address: SocketAddr, builder: &Builder) -> Self {
        let tcp = within(&format!("a connection to {address}"), TcpStream::connect(address)).await;
        Self::over(tcp.expect("the server accepts connections"), "http", builder).await
    }

    /// Opens a connection over TLS, and asks for the name `server_name`.
    ///
    /// # Panics
    /// When the handshake fails.
    pub async fn connect_secure(address: SocketAddr, server_name: &str, tls: &Tls) -> Self {
        let tcp = within(&format!("a connection to {address}"), TcpStream::connect(address)).await;
        let tcp = tcp.expect("the server accepts connections");
        tcp.set_nodelay(true).expect("a TCP socket takes TCP_NODELAY");
        let tls = tls.offering(&["h2"]);
        let stream = within("a handshake", tls.connect(tcp, server_name)).await;
        Self::over(stream.expect("the handshake succeeds"), "https", &Builder::new()).await
    }

    async fn over<S>(stream: S, scheme: &'static str, builder: &Builder) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let shaken = within("the preface of HTTP/2", builder.handshake(stream)).await;
        let (send, connection) = shaken.expect("the server speaks HTTP/2");
        Self { scheme, send, driver: tokio::spawn(connection) }
    }

    /// Begins a request; `ends` where it has no body.
    ///
    /// # Errors
    /// When the connection takes none.
    ///
    /// # Panics
    /// For what no request is made of.
    pub async fn begin(
        &mut self,
        (method, host, path): (&str, &str, &str),
        fields: &[(&str, &str)],
        ends: bool,
    ) -> Result<Http2Stream, h2::Error> {
        let uri = format!("{}://{host}{path}", self.scheme);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.begin_with(request.body(()).expect("a request"), ends).await
    }

    /// Begins a request of any kind.
    ///
    /// # Errors
    /// When the connection takes none.
    pub async fn begin_with(
        &mut self,
        request: Request<()>,
        ends: bool,
    ) -> Result<Http2Stream, h2::Error> {
        let ready = poll_fn(|cx| self.send.poll_ready(cx));
        within("room for a request", ready).await?;
        let (response, request) = self.send.send_request(request, ends)?;
        Ok(Http2Stream { response, request, body: None })
    }

    /// Asks for something and reads the answer.
    ///
    /// # Errors
    /// When the stream or the connection is broken off.
    pub async fn call(
        &mut self,
        method: &str,
        host: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Response, h2::Error> {
        self.begin((method, host, path), fields, true).await?.answer().await
    }

    /// Asks for a path and reads the answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn get(&mut self, host: &str, path: &str) -> Response {
        let answer = self.call("GET", host, path, &[]).await;
        answer.unwrap_or_else(|error| panic!("GET {host}{path}: {error}"))
    }

    /// Whether the server takes extended CONNECT (RFC 8441 §3).
    #[must_use]
    pub fn takes_extended_connect(&self) -> bool {
        self.send.is_extended_connect_protocol_enabled()
    }

    /// Waits for the end of the connection: what the server ended it for.
    pub async fn ended(self) -> Option<Reason> {
        let Self { send, driver, .. } = self;
        let ended = within("the end of the connection", driver).await;
        drop(send);
        ended.ok()?.err()?.reason()
    }
}

impl Http2Stream {
    /// Reads the head of the response, and interim ones before it.
    ///
    /// # Errors
    /// When the stream or the connection is broken off.
    pub async fn head(&mut self) -> Result<Response, h2::Error> {
        let mut interim = Vec::new();
        let head = poll_fn(|cx| {
            while let Poll::Ready(Some(hint)) = self.response.poll_informational(cx) {
                let hint = hint?;
                let status = hint.status().as_u16();
                interim.push(Interim { status, fields: fields(hint.headers()) });
            }
            std::pin::Pin::new(&mut self.response).poll(cx)
        });
        let head = within("the head of a response", head).await?;
        let (status, fields) = (head.status().as_u16(), fields(head.headers()));
        self.body = Some(head.into_body());
        Ok(Response { status, fields, interim, ..Response::default() })
    }

    /// The next interim response.
    ///
    /// # Errors
    /// When the stream or the connection is broken off.
    pub async fn interim(&mut self) -> Result<Option<u16>, h2::Error> {
        let hint = poll_fn(|cx| self.response.poll_informational(cx));
        Ok(within("an interim response", hint)
            .await
            .transpose()?
            .map(|hint| hint.status().as_u16()))
    }

    /// The next bytes of the body, and room for as many.
    ///
    /// # Errors
    /// When the stream or the connection is broken off.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, h2::Error> {
        let Some(body) = &mut self.body else { return Ok(None) };
        let piece = within("a piece of a body", body.data()).await.transpose()?;
        if let Some(piece) = &piece {
            body.flow_control().release_capacity(piece.len())?;
        }
        Ok(piece)
    }

    /// The whole response.
    ///
    /// # Errors
    /// When the stream or the connection is broken off.
    pub async fn answer(&mut self) -> Result<Response, h2::Error> {
        let mut response = self.head().await?;
        response.body = self.rest().await?;
        Ok(response)
    }

    /// What is left of the body.
    ///
    /// # Errors
    /// When the stream or the connection is broken off.
    pub async fn rest(&mut self) -> Result<Vec<u8>, h2::Error> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// The trailers, after the body.
    ///
    /// # Errors
    /// When the stream or the connection is broken off.
    pub async fn trailers(&mut self) -> Result<Option<HeaderMap>, h2::Error> {
        let Some(body) = &mut self.body else { return Ok(None) };
        within("trailers", body.trailers()).await
    }

    /// Sends bytes of the body, as there is room for them.
    ///
    /// # Errors
    /// When the stream or the connection is broken off.
    pub async fn send(&mut self, mut bytes: Bytes, ends: bool) -> Result<(), h2::Error> {
        while !bytes.is_empty() {
            self.request.reserve_capacity(bytes.len());
            let room = poll_fn(|cx| self.request.poll_capacity(cx));
            let Some(room) = within("room for a body", room).await else { break };
            let piece = bytes.split_to(room?.min(bytes.len()));
            let is_last = ends && bytes.is_empty();
            self.request.send_data(piece, is_last)?;
            if is_last {
                return Ok(());
            }
        }
        if ends { self.request.send_data(Bytes::new(), true) } else { Ok(()) }
    }

    /// Takes the request back.
    pub fn cancel(&mut self) {
        self.request.send_reset(Reason::CANCEL);
    }
}

fn fields(map: &HeaderMap) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in map {
        fields.push(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
    }
    fields
}
