//! Counts and logs a request that is over.

use crate::context::Context;
use crate::stage::deliver::{CACHE_STATUS, Handling};
use crate::stage::record::{Line, milliseconds, origin_part};
use crate::telemetry::{Telemetry, rfc3339};
use http::{HeaderMap, HeaderName, Version, header};
use pingora_proxy::Session;

/// Characters of a field that the log keeps.
const FIELD_MAX_CHARACTERS: usize = 512;

/// Counts a request, and logs it where there is a log. Fetches in the background count with the origin only.
pub(crate) fn request(telemetry: &Telemetry, session: &Session, context: &Context) {
    if context.forward.request_time.is_some() {
        telemetry.metrics.origin_request(context.forward.status);
    }
    if session.subrequest_ctx.is_some() {
        return;
    }
    let status = session.response_written().map_or(0, |head| head.status.as_u16());
    let body_bytes = session.body_bytes_sent() as u64;
    let duration = context.started.elapsed();
    telemetry.metrics.request(context.handling, status, body_bytes, duration);
    let Some(log) = &telemetry.log else { return };
    let request = session.req_header();
    let client = context.identity.as_ref().map(|identity| identity.client);
    let line = Line {
        time: rfc3339(context.received),
        request_id: context.request_id.to_string(),
        client: client.map_or_else(String::new, |client| client.to_string()),
        client_country: client.and_then(|client| telemetry.country(client)),
        method: request.method.to_string(),
        scheme: "http",
        host: context
            .identity
            .as_ref()
            .map_or_else(String::new, |identity| identity.host.to_string()),
        target: request.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        protocol: if request.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
        status,
        body_bytes,
        duration_ms: milliseconds(duration.as_micros()),
        site: context.route.as_ref().map(|routed| routed.served.site.name.to_string()),
        cache: context.handling.as_str(),
        cache_status: last(session.response_written().map(|head| &head.headers), &CACHE_STATUS),
        origin: origin_part(context),
        error: context.failure,
        user_agent: last(Some(&request.headers), &header::USER_AGENT),
        referer: last(Some(&request.headers), &header::REFERER),
    };
    debug_assert!(
        context.handling != Handling::Hit || line.origin.is_none(),
        "a hit asks no origin"
    );
    log.write(&telemetry.metrics, line);
}

/// The last line of a field, shortened.
fn last(fields: Option<&HeaderMap>, name: &HeaderName) -> String {
    let value = fields.and_then(|fields| fields.get_all(name).iter().next_back());
    let text = value.map(|value| String::from_utf8_lossy(value.as_bytes()));
    text.map_or_else(String::new, |text| text.chars().take(FIELD_MAX_CHARACTERS).collect())
}
