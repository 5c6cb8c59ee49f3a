//! What is told of a request when it is over.

use crate::context::Context;
use crate::request_id::RequestId;
use crate::stage::deliver::Handling;
use crate::tls::Secure;
use semantics::cache_status::{CacheStatus, Outcome};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

/// A request that is over, as a line of the access log tells it.
#[derive(Debug, Serialize)]
pub(crate) struct Over<'r> {
    /// When the head was there: RFC 3339, UTC, milliseconds.
    #[serde(rename = "time", serialize_with = "as_rfc3339")]
    pub(crate) received: SystemTime,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub(crate) request_id: Option<RequestId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<IpAddr>,
    /// ISO 3166-1, where a database knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_country: Option<String>,
    pub(crate) method: &'r str,
    pub(crate) scheme: &'static str,
    pub(crate) host: &'r str,
    pub(crate) target: &'r str,
    pub(crate) protocol: &'static str,
    /// What was agreed on in the handshake; nothing without TLS.
    #[serde(flatten)]
    pub(crate) tls: Agreed,
    pub(crate) status: u16,
    /// Bytes of the body sent.
    pub(crate) body_bytes: u64,
    #[serde(rename = "duration_ms", serialize_with = "as_milliseconds")]
    pub(crate) duration: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<&'r str>,
    /// What the cache did: `hit`, `miss`, …
    #[serde(rename = "cache", serialize_with = "as_word")]
    pub(crate) handling: Handling,
    /// Why the request went forward, as Cache-Status tells it (RFC 9211 §2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// The `detail` of Cache-Status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<&'static str>,
    /// What Cache-Status said.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) cache_status: Cow<'r, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<OriginPart<'r>>,
    /// The `error` token of Proxy-Status, or why a head was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'static str>,
    pub(crate) user_agent: Cow<'r, str>,
    pub(crate) referer: Cow<'r, str>,
}

/// What was agreed on in a handshake.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Agreed {
    #[serde(rename = "tls_version", skip_serializing_if = "str::is_empty")]
    version: &'static str,
    /// As IANA calls it.
    #[serde(rename = "tls_cipher", skip_serializing_if = "str::is_empty")]
    cipher: &'static str,
}

impl From<Option<&Secure>> for Agreed {
    fn from(secure: Option<&Secure>) -> Self {
        secure.map_or_else(Self::default, |secure| Self {
            version: secure.version,
            cipher: secure.cipher,
        })
    }
}

/// What the origin had to do with a request.
#[derive(Debug, Serialize)]
pub(crate) struct OriginPart<'r> {
    name: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Until the head of its response was there.
    #[serde(
        rename = "first_byte_ms",
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_maybe_milliseconds"
    )]
    first_byte: Option<Duration>,
    body_bytes: u64,
    tries: usize,
    connection_reused: bool,
}

impl Over<'_> {
    /// A client whose bytes were no request to be processed.
    pub(crate) fn refused(client: IpAddr, status: u16, reason: &'static str) -> Self {
        Self {
            received: crate::clock::wall(),
            request_id: None,
            client: Some(client),
            client_country: None,
            method: "",
            scheme: "http",
            host: "",
            target: "",
            protocol: "HTTP/1.1",
            tls: Agreed::default(),
            status,
            body_bytes: 0,
            duration: Duration::ZERO,
            site: None,
            handling: Handling::Local,
            reason: None,
            detail: None,
            cache_status: Cow::Borrowed(""),
            origin: None,
            error: Some(reason),
            user_agent: Cow::Borrowed(""),
            referer: Cow::Borrowed(""),
        }
    }
}

/// Why a request went forward; none where it didn't.
pub(crate) fn reason(told: Option<&CacheStatus<'static>>) -> Option<&'static str> {
    match told?.outcome {
        Outcome::Forward(reason) => Some(reason.token()),
        Outcome::Hit | Outcome::Local => None,
    }
}

/// What the origin had to do with this request; none when it wasn't asked.
pub(crate) fn origin_part(context: &Context) -> Option<OriginPart<'_>> {
    let forward = &context.forward;
    let sent = forward.request_time?;
    let origin = context.asked_origin()?;
    Some(OriginPart {
        name: &origin.name,
        address: forward.address(),
        status: forward.status,
        first_byte: forward.response_time.map(|received| received.steady.since(sent.steady)),
        body_bytes: forward.body_bytes,
        tries: forward.tries + 1,
        connection_reused: forward.reused_connection,
    })
}

fn as_rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

#[expect(clippy::ref_option, reason = "serde hands over references to fields")]
fn as_text<S: Serializer>(id: &Option<RequestId>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references to fields")]
fn as_word<S: Serializer>(handling: &Handling, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(handling.as_str())
}

/// Exact to the microsecond.
fn as_milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let microseconds = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    serializer.serialize_f64(f64::from(microseconds) / 1_000.0)
}

#[expect(clippy::ref_option, reason = "serde hands over references to fields")]
fn as_maybe_milliseconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_milliseconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// What the request was in metrics: how it was handled, and the class of its status (0 for none).
pub(crate) const fn class(handling: Handling, status: u16) -> (usize, usize) {
    (handling as usize, (status / 100) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object_with_units_in_its_names() {
        let mut over = Over::refused(IpAddr::from([192, 0, 2, 7]), 400, "host");
        over.received = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_168_064_005);
        over.duration = Duration::from_micros(1_234);
        over.user_agent = Cow::Borrowed("a \"b\"\n");
        let line = serde_json::to_string(&over).unwrap();
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(read["time"], "2026-11-20T09:47:44.005Z");
        assert_eq!(read["client"], "192.0.2.7");
        assert_eq!(read["duration_ms"], 1.234);
        assert_eq!(read["cache"], "local");
        assert_eq!(read["user_agent"], "a \"b\"\n");
    }
}
