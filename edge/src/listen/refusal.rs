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
            Self::ProxyProtocol => (400, "proxy_protocol"),
            Self::Connections => (429, "connections"),
            Self::Handshakes => (429, "handshakes"),
            Self::Requests => (429, "requests"),
        }
    }

    /// Every reason, for metrics.
    pub(crate) const ALL: [Self; 14] = [
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
        Self::ProxyProtocol,
        Self::Connections,
        Self::Handshakes,
        Self::Requests,
    ];
}
