//! TLS: takes clients through handshakes, in time, and finds out what they speak.

use super::{ClientStream, Connection, Front, Refusal};
use crate::tls::{Chosen, Configs, Secure};
use bytes::BytesMut;
use pingora_core::apps::HttpServerApp;
use rustls::server::{Acceptor, ClientHello};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// A fatal alert before anything is agreed (RFC 8446 §6): nothing is served under the name the client asks for.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What handshakes go by.
pub(crate) struct Handshakes {
    pub(crate) configs: Configs,
    /// From the first byte to the last.
    pub(crate) timeout: Duration,
    /// One permit for each that is under way, from the client's first message on.
    pub(crate) under_way: Semaphore,
}

/// Why a handshake came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The client left.
    Closed,
    TooSlow,
    /// What came is HTTP without TLS.
    Cleartext,
    /// What came is no TLS, or is wrong.
    Malformed,
    /// There is no certificate for the name.
    Name,
    /// Nothing that both speak: versions, ciphers, groups.
    Incompatible,
    /// No protocol that both speak on top.
    Protocol,
    /// The client's certificate is missing or not good.
    ClientCertificate,
    /// The client broke off: most often it does not trust the certificate.
    Alert,
    Internal,
}

impl Failed {
    pub(crate) const ALL: [Self; 10] = [
        Self::Closed,
        Self::TooSlow,
        Self::Cleartext,
        Self::Malformed,
        Self::Name,
        Self::Incompatible,
        Self::Protocol,
        Self::ClientCertificate,
        Self::Alert,
        Self::Internal,
    ];

    /// For metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::TooSlow => "too_slow",
            Self::Cleartext => "cleartext",
            Self::Malformed => "malformed",
            Self::Name => "unrecognized_name",
            Self::Incompatible => "incompatible",
            Self::Protocol => "no_application_protocol",
            Self::ClientCertificate => "client_certificate",
            Self::Alert => "client_alert",
            Self::Internal => "internal",
        }
    }

    fn of(error: &io::Error) -> Self {
        use rustls::Error;
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            None => Self::Closed,
            Some(Error::NoApplicationProtocol) => Self::Protocol,
            Some(Error::PeerIncompatible(_)) => Self::Incompatible,
            Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => {
                Self::ClientCertificate
            }
            Some(Error::AlertReceived(_)) => Self::Alert,
            Some(
                Error::InvalidMessage(_)
                | Error::InappropriateMessage { .. }
                | Error::InappropriateHandshakeMessage { .. }
                | Error::PeerMisbehaved(_)
                | Error::DecryptError
                | Error::PeerSentOversizedRecord,
            ) => Self::Malformed,
            Some(_) => Self::Internal,
        }
    }
}

/// What a handshake came to.
enum Shaken {
    /// Requests follow.
    Requests(Box<(TlsStream<TcpStream>, Secure)>),
    /// An authority has seen what it wanted to see.
    Challenge,
    /// HTTP without TLS, to be told so.
    Cleartext(TcpStream),
}

impl Handshakes {
    async fn shake(&self, tcp: TcpStream, local: IpAddr) -> Result<Shaken, Failed> {
        match timeout(self.timeout, self.go_through(tcp, local)).await {
            Ok(shaken) => shaken,
            Err(_) => Err(Failed::TooSlow),
        }
    }

    async fn go_through(&self, tcp: TcpStream, local: IpAddr) -> Result<Shaken, Failed> {
        // no record of TLS begins with a letter, and every request does
        let mut first = [0];
        match tcp.peek(&mut first).await {
            Ok(1..) if first[0].is_ascii_alphabetic() => return Ok(Shaken::Cleartext(tcp)),
            Ok(1..) => {}
            _ => return Err(Failed::Closed),
        }
        let started = LazyConfigAcceptor::new(Acceptor::default(), tcp).await;
        let mut started = started.map_err(|error| Failed::of(&error))?;
        let name = asked_name(&started.client_hello());
        let chosen = self.configs.choose(&started.client_hello(), name.as_deref(), local);
        let Some(chosen) = chosen else {
            // it is refused either way
            started.io.write_all(&UNRECOGNIZED_NAME).await.ok();
            return Err(Failed::Name);
        };
        // never closed
        let _place = self.under_way.acquire().await;
        let (config, client_auth) = match chosen {
            Chosen::Requests { config, client_auth } => (config, client_auth),
            Chosen::Challenge(config) => {
                let shaken = started.into_stream(config).await;
                let mut stream = shaken.map_err(|error| Failed::of(&error))?;
                // the authority has what it wants, whether it waits for the end or not
                stream.shutdown().await.ok();
                return Ok(Shaken::Challenge);
            }
        };
        let stream = started.into_stream(config).await.map_err(|error| Failed::of(&error))?;
        let secure = Secure::new(stream.get_ref().1, client_auth);
        Ok(Shaken::Requests(Box::new((stream, secure))))
    }
}

/// The name that a client asks for, in lower case.
fn asked_name(hello: &ClientHello<'_>) -> Option<Box<str>> {
    hello.server_name().map(|name| name.to_ascii_lowercase().into())
}

impl<A: HttpServerApp + Send + Sync + 'static> Front<A> {
    /// Serves a connection over TLS until it ends.
    pub(super) async fn serve_tls(
        self: &Arc<Self>,
        tcp: TcpStream,
        client: SocketAddr,
        local: SocketAddr,
    ) {
        let Some(handshakes) = &self.handshakes else { return };
        if let Err(refusal) = self.clients.handshake(client.ip()) {
            return self.turn_away(client, refusal);
        }
        let metrics = &self.telemetry.metrics.handshakes;
        match Box::pin(handshakes.shake(tcp, local.ip())).await {
            Ok(Shaken::Requests(shaken)) => {
                let (stream, mut secure) = *shaken;
                metrics.done(&secure);
                // hosts that ask for certificates are not served over QUIC
                secure.alternative = self.alt_svc.filter(|_| secure.client_auth.is_none());
                let connection = Arc::new(Connection { client, local, secure: Some(secure) });
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let mut stream = ClientStream::secure(stream, Arc::clone(&connection));
                if is_h2 {
                    stream.demand(Arc::clone(&self.clients.rate));
                    self.serve_h2(stream, BytesMut::new(), connection).await;
                } else {
                    self.serve_h1(stream, BytesMut::new()).await;
                }
            }
            Ok(Shaken::Challenge) => metrics.challenge(),
            Ok(Shaken::Cleartext(tcp)) => {
                metrics.failed(Failed::Cleartext);
                let connection = Arc::new(Connection { client, local, secure: None });
                let stream = ClientStream::plain(tcp, Arc::clone(&connection));
                self.refuse(Box::new(stream), &connection, Refusal::Cleartext).await;
            }
            Err(reason) => metrics.failed(reason),
        }
    }
}
