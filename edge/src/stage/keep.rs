//! May this response be stored, without which fields, and for how long?

use crate::context::Context;
use crate::stage::reuse::Kept;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use pingora_http::{RequestHeader, ResponseHeader};
use semantics::fields::CONSUMED_FIELDS;
use semantics::storing::{Exchange, Keep, keep};
use std::time::SystemTime;

/// A response to store.
pub(crate) struct ToKeep {
    pub(crate) kept: Kept,
    /// The head to store: without fields that end here, and with a Date.
    pub(crate) header: ResponseHeader,
}

/// Decides whether a response is stored; the reason as a token where it is not.
///
/// `stored` is the head of the stored response that a 304 validated: its status, and its fields as the 304 updates
/// them, are what is stored then (RFC 9111 §3.2, §4.3.4).
pub(crate) fn decide(
    request: &RequestHeader,
    response: &ResponseHeader,
    stored: Option<&ResponseHeader>,
    context: &Context,
    now: SystemTime,
) -> Result<ToKeep, &'static str> {
    let updated = stored.zip(context.forward.not_modified.as_ref()).map(|(stored, update)| {
        let mut fields = stored.headers.clone();
        semantics::update::freshen(&mut fields, update, &context.policy);
        (stored.status, fields)
    });
    let (status, fields) = match &updated {
        Some((status, fields)) => (*status, fields),
        None => (response.status, &response.headers),
    };
    let exchange = Exchange {
        // HEAD is fetched as GET where the response may be stored
        method: if request.method == Method::HEAD { &Method::GET } else { &request.method },
        target: &request.uri,
        request: &request.headers,
        status,
        response: fields,
        request_time: context.forward.request_time.unwrap_or(now),
        response_time: context.forward.response_time.unwrap_or(now),
    };
    match keep(&exchange, &context.policy) {
        Keep::Refuse(reason) => Err(reason.token()),
        Keep::Store(stored) => {
            let kept = Kept {
                freshness: stored.freshness,
                response_time: exchange.response_time,
                applied: context.forward.applied,
            };
            let header =
                head(status, fields, &stored.omit, exchange.response_time).ok_or("head")?;
            Ok(ToKeep { kept, header })
        }
    }
}

/// The head to store. Age is computed anew for each reuse; a missing Date is the time of receipt (RFC 9110 §6.6.1).
fn head(
    status: StatusCode,
    fields: &HeaderMap,
    omit: &[HeaderName],
    received: SystemTime,
) -> Option<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(status, Some(fields.len() + 1)).ok()?;
    for (name, value) in fields {
        if *name != header::AGE && !omit.contains(name) {
            header.append_header(name, value).ok()?;
        }
    }
    if !fields.contains_key(header::DATE) {
        let date = HeaderValue::try_from(httpdate::fmt_http_date(received)).ok()?;
        header.insert_header(header::DATE, date).ok()?;
    }
    Some(header)
}

/// Whether a stored head has fields that are for caches and not for clients.
pub(crate) fn has_consumed_fields(fields: &HeaderMap) -> bool {
    CONSUMED_FIELDS.iter().any(|name| fields.contains_key(name))
}
