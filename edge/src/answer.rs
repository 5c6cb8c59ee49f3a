//! Answers made here, without store or origin.

use crate::stage::deliver::CACHE_STATUS;
use crate::stage::fail::{Failure, page, sentence};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use route::Changes;

/// Field of RFC 9209.
const PROXY_STATUS: http::HeaderName = http::HeaderName::from_static("proxy-status");

/// Answers with a page that says what went wrong. Says nothing where nobody is there.
pub(crate) async fn failure(session: &mut Session, failure: Failure) -> Result<()> {
    let (Some(status), token) = failure.reply() else { return Ok(()) };
    let mut head = ResponseHeader::build_no_case(status, Some(6))?;
    head.insert_header(PROXY_STATUS, format!("longshore; error={token}"))?;
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    send(session, head, page(status, sentence(failure)), None).await
}

/// Answers with a redirect.
pub(crate) async fn redirect(
    session: &mut Session,
    status: StatusCode,
    to: &str,
    changes: &Changes,
) -> Result<()> {
    let mut head = ResponseHeader::build_no_case(status, Some(6))?;
    head.insert_header(header::LOCATION, to)?;
    let body = page(status.as_u16(), "What was asked for is in another place.");
    send(session, head, body, Some(changes)).await
}

async fn send(
    session: &mut Session,
    mut head: ResponseHeader,
    body: String,
    changes: Option<&Changes>,
) -> Result<()> {
    head.insert_header(header::CONTENT_TYPE, "text/html; charset=utf-8")?;
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    head.insert_header(header::DATE, httpdate::fmt_http_date(crate::clock::now()))?;
    head.insert_header(CACHE_STATUS, "longshore")?;
    for name in changes.into_iter().flat_map(|changes| &changes.remove) {
        head.remove_header(name);
    }
    for (name, value) in changes.into_iter().flat_map(|changes| &changes.set) {
        head.insert_header(name.clone(), value.clone())?;
    }
    // what the client still sends of a body belongs to no request that will be read
    if !session.as_downstream_mut().is_body_done() {
        session.set_keepalive(None);
    }
    let bodyless = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(head), bodyless).await?;
    if !bodyless {
        session.write_response_body(Some(Bytes::from(body)), true).await?;
    }
    Ok(())
}
