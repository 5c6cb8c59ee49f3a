//! Why a client is refused before anything is processed, and what it is told.

use super::head::FIELDS_MAX;

/// Why a client is refused; displayed as the reason for logs and the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the head is larger than the limit, or has more than {max} fields", max = FIELDS_MAX)]
    TooLarge,
    #[error("the head did not arrive in time")]
    TooSlow,
    #[error("a line ends without carriage return, or holds one inside")]
    LineEnd,
    #[error("the request line is not `method target HTTP/1.x`")]
    RequestLine,
    #[error("the method is in no registry")]
    Method,
    #[error("the protocol is not HTTP/1.0 or HTTP/1.1")]
    Version,
    #[error("a field line is not `name: value`")]
    FieldLine,
    #[error("the message's length is given twice or wrongly")]
    Length,
    #[error("the Host field is missing, given twice, or not the target's")]
    Host,
    #[error("the target's scheme is not the connection's")]
    Scheme,
    #[error("this address is for HTTPS, and what came is HTTP without TLS")]
    Cleartext,
    #[error("a pseudo-header field is missing, or not what it can be")]
    PseudoField,
    #[error("a field is about a connection of HTTP/1.1")]
    ConnectionField,
    #[error("this may be a request that was sent before; it can be sent again after the handshake")]
    TooEarly,
    #[error("nothing is connected to here")]
    Connect,
    #[error("a trusted proxy did not say for whom it speaks, as the PROXY protocol has it")]
    ProxyProtocol,
    #[error("too many connections of this address are open")]
    Connections,
    #[error("too many TLS handshakes of this address within a second")]
    Handshakes,
    #[error("too many requests of this address within a second")]
    Requests,
}

impl Refusal {
    /// The status of the answer, and a word for metrics.
    pub(crate) const fn reply(self) -> (u16, &'static str) {
        match self {
            Self::TooLarge => (431, "too_large"),
            Self::TooSlow => (408, "too_slow"),
            Self::LineEnd => (400, "line_end"),
            Self::RequestLine => (400, "request_line"),
            Self::Method => (501, "method"),
            Self::Version => (505, "version"),
            Self::FieldLine => (400, "field_line"),
            Self::Length => (400, "length"),
            Self::Host => (400, "host"),
            Self::Scheme => (421, "scheme"),
            Self::Cleartext => (400, "cleartext"),
            Self::PseudoField => (400, "pseudo_field"),
            Self::ConnectionField => (400, "connection_field"),
            Self::TooEarly => (425, "too_early"),
            Self::Connect => (501, "connect"),
            Self::ProxyProtocol => (400, "proxy_protocol"),
            Self::Connections => (429, "connections"),
            Self::Handshakes => (429, "handshakes"),
            Self::Requests => (429, "requests"),
        }
    }

    /// Whether a request of HTTP/2 or HTTP/3 is malformed by that, so that its stream is reset and not answered (RFC 9113
    /// §8.1.1).
    pub(crate) const fn is_malformed(self) -> bool {
        !matches!(
            self,
            Self::TooLarge
                | Self::TooSlow
                | Self::Method
                | Self::Scheme
                | Self::TooEarly
                | Self::Connect
                | Self::Requests
        )
    }

    /// Every reason, for metrics.
    pub(crate) const ALL: [Self; 19] = [
        Self::TooLarge,
        Self::TooSlow,
        Self::LineEnd,
        Self::RequestLine,
        Self::Method,
        Self::Version,
        Self::FieldLine,
        Self::Length,
        Self::Host,
        Self::Scheme,
        Self::Cleartext,
        Self::PseudoField,
        Self::ConnectionField,
        Self::TooEarly,
        Self::Connect,
        Self::ProxyProtocol,
        Self::Connections,
        Self::Handshakes,
        Self::Requests,
    ];
}
