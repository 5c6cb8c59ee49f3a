//! The end of a request: what no hook of Pingora's does by itself.

use crate::answer;
use crate::context::Context;
use crate::listen::ClientStream;
use crate::proxy::interim;
use crate::proxy::slices::Told;
use crate::stage::deliver::{self, KeyText};
use crate::stage::fail::Failure;
use http::{Version, header};
use pingora_http::ResponseHeader;
use pingora_proxy::{FailToProxy, Session};
use semantics::cache_status::CacheStatus;
use semantics::preconditions::Representation;

/// How the cache has taken part so far.
pub(super) fn part(session: &Session, ctx: &Context) -> deliver::Part {
    deliver::Part {
        phase: session.cache.phase(),
        waited: session.cache.lock_duration().is_some(),
        varied: ctx.varied,
        stored: ctx.kept,
    }
}

/// What conditions and ranges are about.
pub(super) fn representation<'r>(
    response: &'r ResponseHeader,
    ctx: &Context,
) -> Representation<'r> {
    Representation {
        status: response.status,
        head: &response.headers,
        response_time: ctx.forward.response_time.unwrap_or(ctx.received).wall,
    }
}

/// Makes the head of an answer what the client is told.
pub(super) fn respond(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut Context,
) -> pingora_error::Result<()> {
    if ctx.precondition_failed {
        deliver::precondition_failed(response)?;
    }
    let now = ctx.forward.response_time.unwrap_or(ctx.received);
    let part = part(session, ctx);
    let (handling, status) = deliver::decide(part, ctx, now.steady);
    if part.is_fetched() {
        deliver::add_withheld(response, &ctx.withheld)?;
    }
    if let Some(request) = &ctx.slice {
        let kept = ctx.kept;
        request.tell(Told::Answered { handling, status, response_time: now.wall, kept });
        return Ok(());
    }
    deliver::write(response, &status, ctx)?;
    (ctx.handling, ctx.told) = (handling, Some(status));
    keep_date(session, response);
    unchunk_for_http_10(session, response);
    interim::settle_bodyless(session, response, ctx);
    Ok(())
}

/// Answers that a request failed, where nothing was answered yet.
pub(super) async fn fail(
    session: &mut Session,
    failure: Failure,
    ctx: &mut Context,
) -> FailToProxy {
    if ctx.interim.settled {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    let (status, token) = failure.reply();
    ctx.failure = Some(token);
    if let Some(request) = &ctx.slice {
        request.tell(Told::Failed(token));
    }
    // Pingora closes the connection after a failed exchange, whatever it is told here
    let is_kept = ctx.forward.began.is_none();
    if !is_kept {
        session.as_downstream_mut().set_keepalive(None);
    }
    let answers = status.is_some() && session.response_written().is_none();
    if answers {
        let told = deliver::failed(part(session, ctx), ctx, token);
        ctx.told = Some(told);
        let key = ctx.hash.as_ref().map(KeyText::of);
        let told = CacheStatus { key: key.as_ref().map(KeyText::as_str), ..told };
        // the client may have left meanwhile: there is nobody to tell
        answer::failure(session, failure, &told, ctx.hsts()).await.ok();
    }
    FailToProxy { error_code: status.unwrap_or(0), can_reuse_downstream: is_kept && answers }
}

/// An HTTP/1.0 client knows no chunks: a body of unknown length ends with the connection (RFC 9112 §6.1).
pub(super) fn unchunk_for_http_10(session: &mut Session, response: &mut ResponseHeader) {
    let chunked = response.headers.contains_key(header::TRANSFER_ENCODING);
    if chunked && session.req_header().version == Version::HTTP_10 {
        response.remove_header(&header::TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
}

/// Has the client sent the Date that a response has.
pub(super) fn keep_date(session: &Session, response: &ResponseHeader) {
    let date = response.headers.get(header::DATE);
    if let (Some(stream), Some(date)) = (ClientStream::of(session), date) {
        stream.keep_date(date.clone());
    }
}
