//! What is known of a client's connection, whatever it speaks.

use super::ClientStream;
use crate::quic::AltSvc;
use crate::stage::identify::Scheme;
use crate::tls::Secure;
use http::Version;
use pingora_core::protocols::http::ServerSession;
use pingora_http::RequestHeader;
use std::net::SocketAddr;
use std::sync::Arc;

/// A client's connection, for all requests on it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Who asks: the peer, or whom a trusted one speaks for.
    pub(crate) client: SocketAddr,
    /// Where it came in.
    pub(crate) local: SocketAddr,
    /// What was agreed in the handshake; none without TLS.
    pub(crate) secure: Option<Secure>,
}

impl Connection {
    /// That of a session with a client; none for a request of our own.
    pub(crate) fn of(session: &ServerSession) -> Option<&Self> {
        ClientStream::of(session)
            .map(|stream| &**stream.connection())
            // of a protocol that has many requests on a connection
            .or_else(|| session.req_header().extensions.get::<Arc<Self>>().map(|own| &**own))
    }

    /// What the client is told of other protocols.
    pub(crate) fn alternative(&self) -> Option<&'static AltSvc> {
        self.secure.as_ref()?.alternative
    }

    pub(crate) const fn scheme(&self) -> Scheme {
        if self.secure.is_some() { Scheme::Https } else { Scheme::Http }
    }
}

/// The version of HTTP that a client speaks. Pingora knows no HTTP/3, so it is kept in the extensions of a request's head;
/// where there is none, the head's own version is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http10,
    Http11,
    Http2,
    Http3,
}

impl Protocol {
    pub(crate) fn of(request: &RequestHeader) -> Self {
        request.extensions.get().copied().unwrap_or(match request.version {
            Version::HTTP_10 => Self::Http10,
            Version::HTTP_2 => Self::Http2,
            Version::HTTP_3 => Self::Http3,
            _ => Self::Http11,
        })
    }

    /// As `http` has it.
    pub(crate) const fn version(self) -> Version {
        match self {
            Self::Http10 => Version::HTTP_10,
            Self::Http11 => Version::HTTP_11,
            Self::Http2 => Version::HTTP_2,
            Self::Http3 => Version::HTTP_3,
        }
    }

    /// As the access log has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Http3 => "HTTP/3",
        }
    }
}
