//! May this be the head of a request? RFC 9113 §8.2–8.3, and RFC 9114 §4.2–4.3, which say the same.
//!
//! A head of HTTP/2 or HTTP/3 is refused for what would be refused in HTTP/1.1, as it goes on to origins as such, and to
//! the same parser again where this edge fetches in the background. What passes is a head of HTTP/1.1: one Host, a target
//! in absolute form, one Cookie.

use crate::listen::{Protocol, Refusal};
use crate::stage::identify::Scheme;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, Uri, Version};
use pingora_http::RequestHeader;

/// Fields in one head.
const FIELDS_MAX: usize = crate::listen::FIELDS_MAX;
/// What a field line counts for beside its name and value, as in HTTP/1.1.
const LINE_BYTES: usize = 4;

/// Fields that say something of a connection of HTTP/1.1, and must not be here (RFC 9113 §8.2.2).
const CONNECTION_FIELDS: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// What is known of a request beside the fields of its head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// The connection's.
    pub(crate) scheme: Scheme,
    pub(crate) protocol: Protocol,
    /// The value of `:protocol` (RFC 8441 §4, RFC 9220).
    pub(crate) tunnel: Option<&'a str>,
    /// Nothing follows the head.
    pub(crate) ends: bool,
}

/// A head that may be processed.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) request: RequestHeader,
    /// Bytes of the body, where they are declared.
    pub(crate) length: Option<u64>,
    /// A WebSocket is asked for: after a 101, bytes pass both ways.
    pub(crate) is_upgrade: bool,
}

/// Makes a head of HTTP/1.1 of one of HTTP/2 or HTTP/3, of at most `bytes_max` bytes.
///
/// # Errors
/// Says what it is refused for.
pub(crate) fn read(
    mut parts: Parts,
    arrival: Arrival<'_>,
    bytes_max: usize,
) -> Result<Head, Refusal> {
    check_size(&parts, bytes_max)?;
    check_fields(&parts.headers)?;
    if !crate::listen::is_method(parts.method.as_str().as_bytes()) {
        return Err(Refusal::Method);
    }
    let length = declared_length(&parts.headers, arrival)?;
    let is_upgrade = asks_for_websocket((&parts.method, parts.uri.authority().is_some()), arrival)?;
    let said = parts.uri.scheme_str();
    if said.is_some_and(|said| !said.eq_ignore_ascii_case(arrival.scheme.as_str())) {
        return Err(Refusal::Scheme);
    }
    let target = target(&parts.method, &parts.uri)?;
    let authority = authority(&parts.uri, &parts.headers)?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::Host)?;
    parts.headers.insert(header::HOST, host);
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(arrival.scheme.into());
    uri.authority = Some(authority);
    uri.path_and_query = Some(target);
    parts.uri = Uri::from_parts(uri).map_err(|_| Refusal::PseudoField)?;
    parts.version = Version::HTTP_11;
    join_cookies(&mut parts.headers);
    if is_upgrade {
        ask_to_upgrade(&mut parts);
    }
    let mut request = RequestHeader::from(parts);
    request.extensions_mut().insert(arrival.protocol);
    Ok(Head { request, length, is_upgrade })
}

fn check_size(parts: &Parts, bytes_max: usize) -> Result<(), Refusal> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = parts.uri.authority().map_or(0, |authority| authority.as_str().len());
    let lines = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let bytes = lines.map(|line| line + LINE_BYTES).sum::<usize>() + target + authority;
    // Host will be among them
    let count = parts.headers.len() + usize::from(!parts.headers.contains_key(header::HOST));
    let fits = count <= FIELDS_MAX && bytes <= bytes_max;
    if fits { Ok(()) } else { Err(Refusal::TooLarge) }
}

fn check_fields(fields: &HeaderMap) -> Result<(), Refusal> {
    let is_wrong = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        bytes.trim_ascii().len() != bytes.len() || bytes.iter().any(is_control)
    };
    if fields.values().any(is_wrong) {
        return Err(Refusal::FieldLine);
    }
    let has_te = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"trailers");
    if CONNECTION_FIELDS.iter().any(|name| fields.contains_key(name))
        || fields.get_all(header::TE).iter().any(has_te)
    {
        return Err(Refusal::ConnectionField);
    }
    Ok(())
}

/// What Content-Length says, where that can be.
fn declared_length(fields: &HeaderMap, arrival: Arrival<'_>) -> Result<Option<u64>, Refusal> {
    let mut lines = fields.get_all(header::CONTENT_LENGTH).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let digits = line.as_bytes();
    let is_number = (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if !is_number || lines.next().is_some() || arrival.tunnel.is_some() {
        return Err(Refusal::Length);
    }
    // what others take for negative is none
    let length = line.to_str().ok().and_then(|digits| digits.parse::<i64>().ok());
    let length = length.and_then(|length| u64::try_from(length).ok()).ok_or(Refusal::Length)?;
    if arrival.ends && length != 0 { Err(Refusal::Length) } else { Ok(Some(length)) }
}

/// Whether this is an extended CONNECT for a WebSocket. There is no other CONNECT here.
fn asks_for_websocket(
    (method, has_authority): (&Method, bool),
    arrival: Arrival<'_>,
) -> Result<bool, Refusal> {
    match (*method == Method::CONNECT, arrival.tunnel) {
        (false, None) => Ok(false),
        (true, None) if has_authority => Err(Refusal::Connect),
        (true, Some(tunnel)) if tunnel.eq_ignore_ascii_case("websocket") && !arrival.ends => {
            Ok(true)
        }
        (true, Some(_)) if !arrival.ends => Err(Refusal::Connect),
        _ => Err(Refusal::PseudoField),
    }
}

/// The target, in origin form, or `*`.
fn target(method: &Method, uri: &Uri) -> Result<PathAndQuery, Refusal> {
    let target = uri.path_and_query().ok_or(Refusal::PseudoField)?;
    let text = target.as_str();
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_asterisk = text == "*" && *method == Method::OPTIONS;
    if is_path || is_asterisk { Ok(target.clone()) } else { Err(Refusal::PseudoField) }
}

/// The authority: what `:authority` says, or Host; both, if they agree.
fn authority(uri: &Uri, fields: &HeaderMap) -> Result<Authority, Refusal> {
    let mut hosts = fields.get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refusal::Host);
    }
    let authority = match (uri.authority(), host) {
        (Some(authority), Some(host))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            return Err(Refusal::Host);
        }
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) => Authority::try_from(host.as_bytes()).map_err(|_| Refusal::Host)?,
        (None, None) => return Err(Refusal::Host),
    };
    let is_host = !authority.as_str().contains('@') && !authority.host().is_empty();
    if is_host { Ok(authority) } else { Err(Refusal::Host) }
}

/// Makes one line of the crumbs that a cookie may come in (RFC 9113 §8.2.3).
fn join_cookies(fields: &mut HeaderMap) {
    let crumbs = fields.get_all(header::COOKIE);
    if crumbs.iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = crumbs.iter().map(HeaderValue::as_bytes).collect();
    // what parts of a value may hold, the whole may
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        fields.insert(header::COOKIE, whole);
    }
}

/// Makes an extended CONNECT what it means in HTTP/1.1 (RFC 8441 §5).
fn ask_to_upgrade(parts: &mut Parts) {
    parts.method = Method::GET;
    parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(key) = HeaderValue::from_str(&nonce()) {
        parts.headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
}

/// The value of Sec-WebSocket-Key, which shows that whoever answers knows the protocol, and no more (RFC 6455 §4.1).
fn nonce() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(ulid::Ulid::new().to_bytes())
}

impl From<Scheme> for http::uri::Scheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Http => Self::HTTP,
            Scheme::Https => Self::HTTPS,
        }
    }
}

#[cfg(test)]
mod tests;
