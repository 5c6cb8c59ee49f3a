//! What went wrong, and what the client is told: one match from failures to answers.

use crate::answer::PROXY_STATUS;
use crate::stage::deliver::CACHE_STATUS;
use crate::stage::forward::certificate_problem;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use pingora_error::{Error, ErrorSource, ErrorType};
use std::time::SystemTime;

/// What Proxy-Status and Cache-Status call a request that can't be processed.
const REFUSED: &str = "http_request_error";

/// Error types of our own, carried through Pingora.
pub(crate) const DNS_ERROR: ErrorType = ErrorType::new("dns_error");
pub(crate) const NO_ORIGIN: ErrorType = ErrorType::new("no_origin");
pub(crate) const NOT_CACHED: ErrorType = ErrorType::new("not_cached");
/// The origin's 304 is about another response than the stored one.
pub(crate) const NOT_ABOUT: ErrorType = ErrorType::new("not_about");

/// The origin's certificate is none of those that it may have.
pub(crate) const NOT_PINNED: ErrorType = ErrorType::new("not_pinned");
/// The origin's rules can't be followed here: a certificate that they name is not known, or can't be used.
pub(crate) const NO_CERTIFICATE: ErrorType = ErrorType::new("no_certificate");

/// Whether an error is the origin's failure, so that a stale response may be used (RFC 5861 §4).
pub(crate) fn is_of_origin(error: &Error) -> bool {
    match error.etype() {
        ErrorType::HTTPStatus(status) => {
            StatusCode::from_u16(*status).is_ok_and(semantics::reuse::is_origin_failure)
        }
        _ => *error.esource() == ErrorSource::Upstream,
    }
}

/// Whether Pingora closes the client's connection after an error, even where a stale response is used instead: for all
/// but an answer of the origin's.
pub(crate) fn ends_connection(error: &Error) -> bool {
    !matches!(error.etype(), ErrorType::HTTPStatus(_))
}

/// Why a request can't be answered as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The Host field is no host.
    Host,
    /// No site serves the host.
    Misdirected,
    /// A handshake for the host would have gone by other rules than the connection's.
    Entrance,
    /// The method is not served.
    Method,
    /// The client expects what is unknown here.
    Expectation,
    /// This edge has forwarded the request before.
    Loop,
    /// The client wants a stored response only, and there is none to use.
    NotCached,
    /// The rule has nobody to ask.
    NoOrigin,
    /// The origin's name has no address.
    Name,
    ConnectTimeout,
    ConnectionRefused,
    Unroutable,
    Unavailable,
    Tls,
    /// The origin ended the handshake, and said so: it may not like our certificate.
    TlsAlert,
    /// The origin's certificate is not accepted.
    Certificate,
    /// What the site's rules ask for can't be done here.
    Configuration,
    /// What came is not HTTP.
    Protocol,
    /// The origin closed before a whole response.
    Incomplete,
    ResponseTimeout,
    WriteTimeout,
    /// The client sent something wrong after its head.
    Client,
    /// The client is gone: nobody to answer.
    Gone,
    /// Our own fault.
    Internal,
}

impl Failure {
    /// The status for the client, and the `error` token of Proxy-Status (RFC 9209 §2.3). No status where nobody is
    /// there to answer.
    pub(crate) const fn reply(self) -> (Option<u16>, &'static str) {
        match self {
            Self::Host | Self::Client => (Some(400), REFUSED),
            Self::Method => (Some(405), "http_request_denied"),
            Self::Expectation => (Some(417), REFUSED),
            Self::Misdirected => (Some(421), "destination_not_found"),
            Self::Entrance => (Some(421), "http_request_denied"),
            Self::Loop => (Some(508), "proxy_loop_detected"),
            Self::NotCached => (Some(504), "http_request_denied"),
            Self::NoOrigin => (Some(404), "destination_not_found"),
            Self::Name => (Some(502), "dns_error"),
            Self::ConnectTimeout => (Some(504), "connection_timeout"),
            Self::ConnectionRefused => (Some(502), "connection_refused"),
            Self::Unroutable => (Some(502), "destination_ip_unroutable"),
            Self::Unavailable => (Some(502), "destination_unavailable"),
            Self::Tls => (Some(502), "tls_protocol_error"),
            Self::TlsAlert => (Some(502), "tls_alert_received"),
            Self::Certificate => (Some(502), "tls_certificate_error"),
            Self::Configuration => (Some(500), "proxy_configuration_error"),
            Self::Protocol => (Some(502), "http_protocol_error"),
            Self::Incomplete => (Some(502), "http_response_incomplete"),
            Self::ResponseTimeout => (Some(504), "http_response_timeout"),
            Self::WriteTimeout => (Some(504), "connection_write_timeout"),
            Self::Gone => (None, "connection_terminated"),
            Self::Internal => (Some(500), "proxy_internal_error"),
        }
    }

    /// What Pingora's error means.
    pub(crate) fn of(error: &Error) -> Self {
        match (error.etype(), error.esource()) {
            (ErrorType::Custom("dns_error"), _) => Self::Name,
            (ErrorType::Custom("no_origin"), _) => Self::NoOrigin,
            (ErrorType::Custom("not_cached"), _) => Self::NotCached,
            (ErrorType::Custom("not_about"), _) => Self::Protocol,
            (ErrorType::Custom("not_pinned"), _) => Self::Certificate,
            (ErrorType::Custom("no_certificate"), _) => Self::Configuration,
            (ErrorType::TLSHandshakeFailure, _) => Self::of_handshake(error),
            (kind, ErrorSource::Downstream) => Self::of_client(kind),
            (kind, ErrorSource::Upstream) => Self::of_origin(kind).unwrap_or(Self::Protocol),
            (kind, _) => Self::of_origin(kind).unwrap_or(Self::Internal),
        }
    }

    /// Pingora tells what was wrong in a handshake in words alone.
    fn of_handshake(error: &Error) -> Self {
        if certificate_problem(error).is_some() {
            Self::Certificate
        } else if error.to_string().contains("received fatal alert") {
            Self::TlsAlert
        } else {
            Self::Tls
        }
    }

    const fn of_client(kind: &ErrorType) -> Self {
        match kind {
            ErrorType::WriteError
            | ErrorType::ReadError
            | ErrorType::ConnectionClosed
            | ErrorType::WriteTimedout
            | ErrorType::ReadTimedout => Self::Gone,
            _ => Self::Client,
        }
    }

    /// None for what has no name of its own.
    fn of_origin(kind: &ErrorType) -> Option<Self> {
        Some(match kind {
            ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Self::ConnectTimeout,
            ErrorType::ConnectRefused => Self::ConnectionRefused,
            ErrorType::ConnectNoRoute => Self::Unroutable,
            ErrorType::ConnectError
            | ErrorType::SocketError
            | ErrorType::BindError
            | ErrorType::ConnectProxyFailure => Self::Unavailable,
            ErrorType::TLSHandshakeFailure
            | ErrorType::HandshakeError
            | ErrorType::TLSWantX509Lookup => Self::Tls,
            ErrorType::InvalidCert => Self::Certificate,
            ErrorType::InvalidHTTPHeader
            | ErrorType::H1Error
            | ErrorType::H2Error
            | ErrorType::H2Downgrade
            | ErrorType::InvalidH2 => Self::Protocol,
            ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::ConnectionClosed
            | ErrorType::Custom("PrematureBodyEnd") => Self::Incomplete,
            ErrorType::ReadTimedout => Self::ResponseTimeout,
            ErrorType::WriteTimedout => Self::WriteTimeout,
            ErrorType::InternalError => Self::Internal,
            _ => return None,
        })
    }
}

/// A page for `status`, for people: HTML, one sentence, nothing about the inside.
pub(crate) fn page(status: u16, sentence: &str) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let reason = reason.unwrap_or("Error");
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{status} {reason}</title>\n\
         <h1>{status} {reason}</h1>\n<p>{sentence}</p>\n</html>\n"
    )
}

/// What the page for a failure says.
pub(crate) const fn sentence(failure: Failure) -> &'static str {
    match failure {
        Failure::Host => "The Host field of the request is not a host name.",
        Failure::Method => "This method is not served here.",
        Failure::Misdirected => "No site is served here under this host name.",
        Failure::Entrance => "This host is served on connections of its own, made under its name.",
        Failure::Expectation => "The request expects something that is unknown here.",
        Failure::Loop => "The request has passed through this server before.",
        Failure::NotCached => {
            "A stored response was asked for, and there is none that can be used."
        }
        Failure::NoOrigin => "Nothing is served here under this path.",
        Failure::Client => "The request could not be understood.",
        Failure::ConnectTimeout | Failure::ResponseTimeout | Failure::WriteTimeout => {
            "The server behind this one did not answer in time."
        }
        Failure::Internal | Failure::Configuration | Failure::Gone => "Something went wrong here.",
        Failure::Name
        | Failure::ConnectionRefused
        | Failure::Unroutable
        | Failure::Unavailable
        | Failure::Tls
        | Failure::TlsAlert
        | Failure::Certificate
        | Failure::Protocol
        | Failure::Incomplete => {
            "The server behind this one could not be reached, or gave no valid answer."
        }
    }
}

/// The answer to a refused request of HTTP/2 or HTTP/3, in two parts.
pub(crate) fn refusal_page(status: u16, detail: &str, now: SystemTime) -> (Response<()>, Bytes) {
    let body = page(status, &format!("The request was refused: {detail}."));
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let told = |name: &str| HeaderValue::try_from(format!("longshore; {name}={REFUSED}"));
    for (name, value) in [
        (header::DATE, HeaderValue::try_from(httpdate::fmt_http_date(now))),
        (header::CONTENT_TYPE, HeaderValue::try_from("text/html; charset=utf-8")),
        (header::CONTENT_LENGTH, HeaderValue::try_from(body.len().to_string())),
        (header::CACHE_CONTROL, HeaderValue::try_from("no-store")),
        (CACHE_STATUS, told("detail")),
        (PROXY_STATUS, told("error")),
    ] {
        // every one of these is a value
        head.headers_mut().extend(value.ok().map(|value| (name, value)));
    }
    (head, body.into())
}

/// A whole answer for a connection that no request could be read from.
pub(crate) fn raw_page(status: u16, detail: &str, now: SystemTime) -> Vec<u8> {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let reason = reason.unwrap_or("Error");
    let body = page(status, &format!("The request was refused: {detail}."));
    let (length, date) = (body.len(), httpdate::fmt_http_date(now));
    format!(
        "HTTP/1.1 {status} {reason}\r\nDate: {date}\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Length: {length}\r\nCache-Control: no-store\r\nCache-Status: longshore; detail={REFUSED}\r\n\
         Proxy-Status: longshore; error={REFUSED}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_status_of_their_side() {
        let check = |kind: ErrorType, source: ErrorSource, expected: Option<u16>| {
            let error = Error::create(kind.clone(), source, None, None);
            assert_eq!(Failure::of(&error).reply().0, expected, "{kind:?}");
        };
        check(ErrorType::ConnectRefused, ErrorSource::Upstream, Some(502));
        check(ErrorType::ConnectTimedout, ErrorSource::Upstream, Some(504));
        check(ErrorType::ReadTimedout, ErrorSource::Upstream, Some(504));
        check(ErrorType::ConnectionClosed, ErrorSource::Upstream, Some(502));
        check(ErrorType::ConnectionClosed, ErrorSource::Downstream, None);
        check(ErrorType::InvalidHTTPHeader, ErrorSource::Downstream, Some(400));
        check(ErrorType::Custom("InvalidChunk"), ErrorSource::Upstream, Some(502));
        check(ErrorType::Custom("InvalidChunk"), ErrorSource::Downstream, Some(400));
        check(ErrorType::Custom("PrematureBodyEnd"), ErrorSource::Upstream, Some(502));
        check(ErrorType::InternalError, ErrorSource::Internal, Some(500));
        check(ErrorType::InternalError, ErrorSource::Upstream, Some(500));
        check(DNS_ERROR, ErrorSource::Upstream, Some(502));
    }

    #[test]
    fn a_raw_page_is_a_whole_message() {
        let text =
            String::from_utf8(raw_page(400, "two Host fields", SystemTime::UNIX_EPOCH)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(head.contains("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
    }
}
