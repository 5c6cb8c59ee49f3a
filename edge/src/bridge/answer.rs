//! What becomes of the head of a response on its way into HTTP/2 or HTTP/3.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use pingora_http::ResponseHeader;
use std::time::SystemTime;

/// Fields that no message of HTTP/2 or HTTP/3 has (RFC 9113 §8.2.2).
const CONNECTION_FIELDS: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The final head of a response. It keeps the Date it has, and is given one where it has none.
pub(super) fn last_head(head: &ResponseHeader, now: SystemTime) -> Response<()> {
    let mut response = interim_head(head);
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // what was asked for is granted by any success (RFC 8441 §5)
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
    }
    if !response.headers().contains_key(header::DATE)
        && let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now))
    {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// An interim head.
pub(super) fn interim_head(head: &ResponseHeader) -> Response<()> {
    let mut response = Response::from_parts(head.as_owned_parts(), ());
    for name in &CONNECTION_FIELDS {
        response.headers_mut().remove(name);
    }
    response
}

/// Trailers without what may not be there.
pub(super) fn trailers(mut fields: HeaderMap) -> HeaderMap {
    for name in CONNECTION_FIELDS.iter().chain(&[header::CONTENT_LENGTH, header::HOST]) {
        fields.remove(name);
    }
    fields
}

/// Whether a response to `method` ends with its head (RFC 9110 §6.4.1).
pub(super) fn is_bodyless(method: &Method, head: &ResponseHeader) -> bool {
    *method == Method::HEAD
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || declared_length(head) == Some(0)
}

/// What Content-Length says.
pub(super) fn declared_length(head: &ResponseHeader) -> Option<u64> {
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}
