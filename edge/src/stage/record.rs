//! What is remembered of a request when it is over.

use crate::context::Context;
use crate::stage::deliver::Handling;
use serde::Serialize;

/// One line of the access log.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    /// When the head was there: RFC 3339, UTC, milliseconds.
    pub(crate) time: String,
    pub(crate) request_id: String,
    pub(crate) client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_country: Option<String>,
    pub(crate) method: String,
    pub(crate) scheme: &'static str,
    pub(crate) host: String,
    pub(crate) target: String,
    pub(crate) protocol: &'static str,
    pub(crate) status: u16,
    /// Bytes of the body sent.
    pub(crate) body_bytes: u64,
    pub(crate) duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<String>,
    /// What the cache did: `hit`, `miss`, …
    pub(crate) cache: &'static str,
    /// What Cache-Status said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) cache_status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<OriginPart>,
    /// The `error` token of Proxy-Status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'static str>,
    pub(crate) user_agent: String,
    pub(crate) referer: String,
}

/// What the origin had to do with a request.
#[derive(Debug, Serialize)]
pub(crate) struct OriginPart {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// Until the head of its response was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_byte_ms: Option<f64>,
    pub(crate) body_bytes: u64,
    pub(crate) tries: usize,
    pub(crate) connection_reused: bool,
}

/// What the origin had to do with this request; none when it wasn't asked.
pub(crate) fn origin_part(context: &Context) -> Option<OriginPart> {
    let forward = &context.forward;
    let sent = forward.request_time?;
    let origin = context.route.as_ref()?.rule.origin.as_ref()?;
    let answered = forward.response_time.and_then(|received| received.duration_since(sent).ok());
    Some(OriginPart {
        name: origin.name.to_string(),
        address: forward.address().map(|address| address.to_string()),
        status: forward.status,
        first_byte_ms: answered.map(|duration| milliseconds(duration.as_micros())),
        body_bytes: forward.body_bytes,
        tries: forward.tries + 1,
        connection_reused: forward.reused_connection,
    })
}

/// Microseconds in milliseconds, exact to the microsecond.
pub(crate) fn milliseconds(microseconds: u128) -> f64 {
    f64::from(u32::try_from(microseconds).unwrap_or(u32::MAX)) / 1_000.0
}

/// What the request was in metrics: how it was handled, and the class of its status (0 for none).
pub(crate) const fn class(handling: Handling, status: u16) -> (usize, usize) {
    (handling as usize, (status / 100) as usize)
}
