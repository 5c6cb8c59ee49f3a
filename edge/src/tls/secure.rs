//! What a handshake came to, for all requests on its connection.

use api::site::tls::{ClientAuth, TlsVersion};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use route::Site;
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConnection};
use std::sync::Arc;

/// What a TLS handshake came to.
#[derive(Debug)]
pub(crate) struct Secure {
    /// As the access log has it.
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
    /// Whether an earlier session was gone on with.
    pub(crate) resumed: bool,
    /// By which rule the client was asked for a certificate.
    pub(crate) client_auth: Option<Arc<ClientAuth>>,
    /// The certificate that the client showed. It was verified by that rule.
    pub(crate) client_certificate: Option<ClientCertificate>,
}

/// A client's certificate.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    /// As `Client-Cert` tells it (RFC 9440 §2.2).
    pub(crate) field: HeaderValue,
}

impl Secure {
    /// What is known of a connection whose handshake went by the rule `client_auth`.
    pub(crate) fn new(session: &ServerConnection, client_auth: Option<Arc<ClientAuth>>) -> Self {
        let shown = session.peer_certificates().and_then(<[_]>::first);
        Self {
            version: version(session.protocol_version()),
            cipher: session.negotiated_cipher_suite().map_or("", |suite| cipher(suite.suite())),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            client_certificate: shown.and_then(|shown| ClientCertificate::new(shown)),
            client_auth,
        }
    }

    /// What is known of a connection of QUIC, which is always TLS 1.3 and asks for no certificates.
    #[expect(dead_code, reason = "the listener for HTTP/3 comes next")]
    pub(crate) const fn quic(cipher: &'static str, resumed: bool) -> Self {
        let version = version(Some(ProtocolVersion::TLSv1_3));
        let (client_auth, client_certificate) = (None, None);
        Self { version, cipher, resumed, client_auth, client_certificate }
    }

    /// Whether this connection will do for requests to a site: whether a handshake for its hosts would have gone by the same
    /// rules. A client may ask for other hosts than the one it named in the handshake (RFC 9113 §9.1.1), but by none of them
    /// get around what another asks for.
    pub(crate) fn does_for(&self, site: &Site) -> bool {
        let is_new_enough = match site.tls.minimum_version {
            TlsVersion::V1_2 => true,
            TlsVersion::V1_3 => self.version == version(Some(ProtocolVersion::TLSv1_3)),
        };
        let is_same = match (&self.client_auth, &site.tls.client_auth) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
            _ => false,
        };
        is_new_enough && is_same
    }
}

impl ClientCertificate {
    fn new(der: &[u8]) -> Option<Self> {
        let field = HeaderValue::try_from(format!(":{}:", STANDARD.encode(der))).ok()?;
        Some(Self { field })
    }
}

const fn version(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "",
    }
}

/// As IANA calls it.
const fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => {
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
        }
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => {
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
        }
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => {
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => {
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
        }
        _ => "other",
    }
}
