//! Counts and logs requests that are over.

use crate::clock;
use crate::context::Context;
use crate::listen::{Connection, Protocol};
use crate::stage::deliver::CACHE_STATUS;
use crate::stage::identify::Scheme;
use crate::stage::record::{Over, origin_part, reason};
use crate::telemetry::Telemetry;
use http::{HeaderMap, HeaderName, header};
use pingora_proxy::Session;
use std::borrow::Cow;

/// Characters of a field that the log keeps.
const FIELD_MAX_CHARACTERS: usize = 512;

/// Counts and logs a request that went through Pingora. Fetches in the background count with the origin only.
pub(crate) fn request(telemetry: &Telemetry, session: &Session, context: &Context) {
    if context.forward.request_time.is_some() {
        telemetry.metrics.origin_request(context.forward.status);
    }
    if session.subrequest_ctx.is_some() {
        return;
    }
    let request = session.req_header();
    let connection = Connection::of(session.as_downstream());
    let written = session.response_written();
    telemetry.over(Over {
        received: context.received.wall,
        request_id: Some(context.request_id),
        client: context.client,
        client_country: None,
        method: request.method.as_str(),
        scheme: Scheme::of(&request.uri).as_str(),
        host: context.identity.as_ref().map_or("", |identity| identity.host.authority()),
        target: request.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str),
        protocol: Protocol::of(request).as_str(),
        tls: connection.and_then(|connection| connection.secure.as_ref()).into(),
        status: written.map_or(0, |head| head.status.as_u16()),
        body_bytes: session.body_bytes_sent() as u64,
        duration: clock::steady().since(context.received.steady),
        site: context.route.as_ref().map(|routed| &*routed.served.site.name),
        handling: context.handling,
        reason: reason(context.told.as_ref()),
        detail: context.told.and_then(|told| told.detail),
        cache_status: last(written.map(|head| &head.headers), &CACHE_STATUS),
        origin: origin_part(context),
        error: context.failure,
        user_agent: last(Some(&request.headers), &header::USER_AGENT),
        referer: last(Some(&request.headers), &header::REFERER),
    });
}

/// The last line of a field, shortened.
fn last<'h>(fields: Option<&'h HeaderMap>, name: &HeaderName) -> Cow<'h, str> {
    let value = fields.and_then(|fields| fields.get_all(name).iter().next_back());
    value.map_or(Cow::Borrowed(""), |value| shorten(String::from_utf8_lossy(value.as_bytes())))
}

/// At most [`FIELD_MAX_CHARACTERS`] of a text.
pub(crate) fn shorten(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= FIELD_MAX_CHARACTERS {
        return text;
    }
    Cow::Owned(text.chars().take(FIELD_MAX_CHARACTERS).collect())
}
