//! A client of HTTP/3.

use crate::message::Fields;
use crate::tls::Tls;
use crate::wait::within;
use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::Request;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, Endpoint};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// One connection. It ends when it is dropped.
pub struct Http3 {
    quic: quinn::Connection,
    send: SendRequest<OpenStreams, Bytes>,
    driver: JoinHandle<()>,
    _endpoint: Endpoint,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http3Response {
    /// `200`
    pub status: u16,
    /// Field lines.
    pub fields: Fields,
    /// All of the body; none where it broke off.
    pub body: Option<Vec<u8>>,
}

impl Http3 {
    /// Opens a connection, and asks for the name `server_name`.
    ///
    /// # Panics
    /// When the handshake fails.
    pub async fn connect(address: SocketAddr, server_name: &str, tls: &Tls) -> Self {
        let connected = Self::try_connect(address, server_name, tls).await;
        connected.unwrap_or_else(|error| panic!("a connection by QUIC to {address}: {error}"))
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When the handshake fails.
    ///
    /// # Panics
    /// When the client itself can't be made.
    pub async fn try_connect(
        address: SocketAddr,
        server_name: &str,
        tls: &Tls,
    ) -> Result<Self, ConnectionError> {
        let config = (**tls.offering(&["h3"]).config()).clone();
        let crypto = QuicClientConfig::try_from(config).expect("TLS 1.3 is among the versions");
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
        let connecting = endpoint
            .connect_with(ClientConfig::new(Arc::new(crypto)), address, server_name)
            .expect("an address and a name");
        let quic = within("a handshake of QUIC", connecting).await?;
        let (mut connection, send) = h3::client::new(h3_quinn::Connection::new(quic.clone()))
            .await
            .expect("the connection stands");
        let driver = tokio::spawn(async move {
            // its end is told to who waits for something on it
            std::future::poll_fn(|cx| connection.poll_close(cx)).await;
        });
        Ok(Self { quic, send, driver, _endpoint: endpoint })
    }

    /// Asks, and reads the answer to its end.
    ///
    /// # Errors
    /// When none comes.
    ///
    /// # Panics
    /// For what is no request.
    pub async fn try_call(
        &mut self,
        method: &str,
        host: &str,
        target: &str,
    ) -> Result<Http3Response, h3::error::StreamError> {
        let uri = format!("https://{host}{target}");
        let request = Request::builder().method(method).uri(uri).body(()).expect("a request");
        within(&format!("an answer to {method} {target}"), async {
            let mut stream = self.send.send_request(request).await?;
            stream.finish().await?;
            let head = stream.recv_response().await?;
            let mut fields = Fields::default();
            for (name, value) in head.headers() {
                fields.push(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
            }
            let mut body = Some(Vec::new());
            loop {
                match stream.recv_data().await {
                    Ok(Some(mut data)) => {
                        let data = data.copy_to_bytes(data.remaining());
                        body.iter_mut().for_each(|body| body.extend_from_slice(&data));
                    }
                    Ok(None) => break,
                    Err(_) => {
                        body = None;
                        break;
                    }
                }
            }
            Ok(Http3Response { status: head.status().as_u16(), fields, body })
        })
        .await
    }

    /// Asks, and reads the answer to its end.
    ///
    /// # Panics
    /// When none comes.
    pub async fn get(&mut self, host: &str, target: &str) -> Http3Response {
        let answer = self.try_call("GET", host, target).await;
        answer.unwrap_or_else(|error| panic!("an answer to GET {target}: {error}"))
    }

    /// Waits for the connection to end, and says how.
    pub async fn closed(&self) -> ConnectionError {
        within("the connection to end", self.quic.closed()).await
    }
}

impl Http3Response {
    /// The value of the first field line with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.first(name)
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it broke off.
    #[must_use]
    pub fn text(&self) -> String {
        let body = self.body.as_ref().expect("the body is whole");
        String::from_utf8_lossy(body).into_owned()
    }
}

impl Drop for Http3 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
