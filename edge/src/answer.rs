//! Answers made here, without store or origin.

use crate::context::Context;
use crate::stage::deliver::{self, CACHE_STATUS};
use crate::stage::fail::{Failure, page, sentence};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use route::Changes;
use semantics::cache_status::{CacheStatus, Outcome};
use std::time::Duration;
use tokio::time::timeout;

/// Field of RFC 9209.
pub(crate) const PROXY_STATUS: http::HeaderName = http::HeaderName::from_static("proxy-status");

/// Bytes of a request's body that are read after its answer, and for how long, so that the client sees the answer and
/// not a reset.
const LINGER_BYTES: usize = 65_536;
const LINGER: Duration = Duration::from_secs(1);

/// Answers with a page that says what went wrong. Says nothing where nobody is there.
pub(crate) async fn failure(
    session: &mut Session,
    failure: Failure,
    told: &CacheStatus<'_>,
    hsts: Option<&HeaderValue>,
) -> Result<()> {
    let (Some(status), token) = failure.reply() else { return Ok(()) };
    let mut head = ResponseHeader::build_no_case(status, Some(6))?;
    head.insert_header(PROXY_STATUS, format!("longshore; error={token}"))?;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        head.insert_header(header::ALLOW, METHODS)?;
    }
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    head.insert_header(CACHE_STATUS, deliver::value_of(told))?;
    if let Some(hsts) = hsts {
        head.insert_header(header::STRICT_TRANSPORT_SECURITY, hsts)?;
    }
    send(session, head, page(status, sentence(failure)), None).await
}

/// What is served, told in `Allow` (RFC 9110 §10.2.1).
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Answers an OPTIONS that may not be forwarded.
pub(crate) async fn options(session: &mut Session) -> Result<()> {
    let mut head = ResponseHeader::build_no_case(StatusCode::NO_CONTENT, Some(3))?;
    head.insert_header(header::ALLOW, METHODS)?;
    head.insert_header(CACHE_STATUS, deliver::value_of(&Outcome::Local.into()))?;
    head.insert_header(header::DATE, httpdate::fmt_http_date(crate::clock::wall()))?;
    session.write_response_header(Box::new(head), true).await
}

/// Answers with a redirect.
pub(crate) async fn redirect(
    session: &mut Session,
    status: StatusCode,
    to: &str,
    ctx: &Context,
) -> Result<()> {
    let mut head = ResponseHeader::build_no_case(status, Some(6))?;
    head.insert_header(header::LOCATION, to)?;
    head.insert_header(CACHE_STATUS, deliver::value_of(&Outcome::Local.into()))?;
    let body = page(status.as_u16(), "What was asked for is in another place.");
    if let Some(hsts) = ctx.hsts() {
        head.insert_header(header::STRICT_TRANSPORT_SECURITY, hsts)?;
    }
    send(session, head, body, ctx.route.as_ref().map(|routed| &routed.rule.response_headers)).await
}

/// Answers with a document of this status and media type.
pub(crate) async fn told(
    session: &mut Session,
    (status, media_type, body): (u16, &'static str, Vec<u8>),
) -> Result<()> {
    let mut head = ResponseHeader::build_no_case(status, Some(6))?;
    head.insert_header(header::CONTENT_TYPE, media_type)?;
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    head.insert_header(CACHE_STATUS, deliver::value_of(&Outcome::Local.into()))?;
    send(session, head, body, None).await
}

async fn send(
    session: &mut Session,
    mut head: ResponseHeader,
    body: impl Into<Bytes>,
    changes: Option<&Changes>,
) -> Result<()> {
    if !head.headers.contains_key(header::CONTENT_TYPE) {
        head.insert_header(header::CONTENT_TYPE, "text/html; charset=utf-8")?;
    }
    let body = body.into();
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    head.insert_header(header::DATE, httpdate::fmt_http_date(crate::clock::wall()))?;
    for name in changes.into_iter().flat_map(|changes| &changes.remove) {
        head.remove_header(name);
    }
    for (name, value) in changes.into_iter().flat_map(|changes| &changes.set) {
        head.insert_header(name.clone(), value.clone())?;
    }
    // what the client still sends of a body belongs to no request that will be read
    let is_whole = session.as_downstream_mut().is_body_done();
    if !is_whole {
        session.set_keepalive(None);
    }
    let bodyless = session.req_header().method == Method::HEAD;
    let body = if bodyless { Bytes::new() } else { body };
    session.write_response_header(Box::new(head), bodyless).await?;
    session.write_response_body(Some(body), true).await?;
    if !is_whole {
        linger(session).await;
    }
    Ok(())
}

/// Reads some of what the client still sends.
async fn linger(session: &mut Session) {
    let reading = async {
        let mut left = LINGER_BYTES;
        while let Ok(Some(bytes)) = session.as_downstream_mut().read_request_body().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                break;
            }
        }
    };
    // a client that waits before it sends a body has its answer, and sends none
    drop(timeout(LINGER, reading).await);
}
