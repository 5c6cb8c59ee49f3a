//! HEAD: answered as GET is where what is stored answers it, else forwarded as it is (RFC 9110 §9.3.2), to learn from
//! the answer what has become of the stored response (RFC 9111 §4.3.5).

use super::{Edge, end};
use crate::cache::{Course, Head};
use crate::clock;
use crate::context::Context;
use crate::stage::keep::Refused;
use crate::stage::lookup::Lookup;
use crate::stage::reuse::{self, Outcome};
use crate::stage::{deliver, keep};
use http::{HeaderMap, Method, header};
use pingora_cache::CachePhase;
use pingora_core::protocols::http::conditional_filter::to_304;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, Session};
use semantics::preconditions::{self, Verdict};
use semantics::update::{ByHead, by_head};
use store::{Found, Key, Was};

impl Edge {
    /// Decides whether a HEAD is forwarded as it is. Then it is neither collapsed nor stored.
    pub(super) async fn look_up_head(&self, session: &Session, ctx: &mut Context) {
        let request = session.req_header();
        let (Lookup::Named(name), Some(routed)) = (&ctx.lookup, &ctx.route) else { return };
        if request.method != Method::HEAD {
            return;
        }
        let received = ctx.received.steady;
        let selected = self.cache.select(name, &request.headers, ctx.key()).await;
        let outcome = selected.response.map_or(Outcome::Nothing, |(_, found)| {
            let verdict = routed.served.verdict(name, &found.head);
            reuse::decide_for(&ctx.asking, found.head.kept(), &ctx.asked, verdict, received)
        });
        if reuse::forwards_head(outcome) {
            (ctx.forwards_head, ctx.outcome, ctx.varied) = (true, outcome, selected.varied);
        }
    }

    /// Has a 200 to a forwarded HEAD freshen the stored response to GET that it is about, or remove one that has changed.
    /// What it freshens lends it the fields it lacks: it tells what GET gets from now on.
    pub(super) async fn renew_by_head(
        &self,
        session: &Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let request = session.req_header();
        // what one client is told is no measure for what is stored for all
        let is_for_all =
            !ctx.asked.no_store() && !request.headers.contains_key(header::AUTHORIZATION);
        if !ctx.forwards_head || !is_for_all {
            return Ok(());
        }
        let Some((key, found)) = self.outdated(&request.headers, ctx).await else {
            return Ok(());
        };
        // what was received since the HEAD was sent is newer than its answer
        let sent = ctx.forward.request_time;
        if sent.is_none_or(|sent| found.head.kept().received.steady > sent.steady) {
            return Ok(());
        }
        let length = found.length.unwrap_or_default();
        let header = found.head.header();
        let stored = (header.status, &header.headers, length);
        match by_head(stored, (response.status, &response.headers)) {
            ByHead::Freshen => {
                self.freshen_by_head(request, response, (&found.was(key), &header), ctx)?;
            }
            ByHead::Invalidate => {
                // another's own answer doesn't tell that this one has changed
                let own = keep::decide(request, response, None, ctx, clock::now());
                if !own.is_err_and(Refused::is_for_one) {
                    self.cache.store.remove(&key);
                }
            }
            ByHead::Nothing => {}
        }
        Ok(())
    }

    /// Freshens the stored response that a 200 to a forwarded HEAD is about, unless that refuses to have it stored.
    fn freshen_by_head(
        &self,
        request: &RequestHeader,
        response: &mut ResponseHeader,
        (was, header): (&Was<Head>, &ResponseHeader),
        ctx: &mut Context,
    ) -> Result<()> {
        let validators = [header::ETAG, header::LAST_MODIFIED];
        let has_validator = validators.iter().any(|name| response.headers.contains_key(name));
        ctx.forward.not_modified = Some(response.headers.clone());
        match keep::decide(request, response, Some(header), ctx, clock::now()) {
            Ok(to_keep) => {
                let began = ctx.forward.began.unwrap_or_default();
                self.note_tags(&to_keep.header, &request.uri, ctx);
                let renewed = Some((was.head.variance(), &header.headers));
                let (request, kept) = (&request.headers, (to_keep.kept, to_keep.header));
                let course = (began, Course::default());
                let meta = self.cache.meta_to(request, kept, renewed, ctx.route.as_ref(), course);
                let Lookup::Named(name) = &ctx.lookup else { return Ok(()) };
                if self.cache.freshen(was, name, &meta) {
                    ctx.kept = Some(to_keep.kept);
                    lend(meta.headers(), response)?;
                }
            }
            // without a validator, it may be about another response than the stored one
            Err(refused) if refused.lasts && has_validator => {
                self.cache.store.remove(&was.key);
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Answers a HEAD whose forwarding has failed from what is stored. None where nothing is any more.
    pub(super) async fn answer_head_stale(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Option<FailToProxy> {
        let request = session.req_header();
        let (_, found) = self.outdated(&request.headers, ctx).await?;
        let mut header = stored_head(&found.head, found.length).ok()?;
        let stored = end::representation(&header, ctx);
        match preconditions::evaluate(&request.method, &request.headers, &stored) {
            Verdict::Proceed => {}
            Verdict::PreconditionFailed => deliver::precondition_failed(&mut header).ok()?,
            Verdict::NotModified => to_304(&mut header),
        }
        let part = deliver::Part { phase: CachePhase::Stale, ..end::part(session, ctx) };
        let (handling, status) = deliver::decide(part, ctx, clock::steady());
        deliver::write(&mut header, &status, ctx).ok()?;
        (ctx.handling, ctx.told) = (handling, Some(status));
        end::keep_date(session, &header);
        let code = header.status.as_u16();
        // the client may have left meanwhile: there is nobody to tell
        if session.write_response_header(Box::new(header), true).await.is_ok() {
            end::keep(session);
        }
        Some(FailToProxy { error_code: code, can_reuse_downstream: false })
    }

    /// What is stored whole for a forwarded HEAD. What was purged is to be fetched anew, whatever a HEAD tells of it.
    async fn outdated(&self, request: &HeaderMap, ctx: &Context) -> Option<(Key, Found<Head>)> {
        let (Lookup::Named(name), Some(routed)) = (&ctx.lookup, &ctx.route) else { return None };
        let selected = self.cache.select(name, request, ctx.key()).await.response;
        selected.filter(|(_, found)| {
            found.length.is_some() && !routed.served.is_gone(name, &found.head)
        })
    }
}

/// Makes a failure of the origin's answer to a forwarded HEAD, where stale may be used instead (RFC 5861 §4).
pub(super) fn check(response: &ResponseHeader, ctx: &Context) -> Result<()> {
    let error = Error::new_up(ErrorType::HTTPStatus(response.status.as_u16()));
    if ctx.forwards_head
        && reuse::serves_stale(ctx.outcome, &ctx.asked, Some(&error), clock::steady())
    {
        return Err(error);
    }
    Ok(())
}

/// Whether a forwarded HEAD that has failed may be answered with what is stored, stale or not.
pub(super) fn may_be_stale(session: &Session, error: &Error, ctx: &Context) -> bool {
    ctx.forwards_head
        && session.response_written().is_none()
        && reuse::serves_stale(ctx.outcome, &ctx.asked, Some(error), clock::steady())
}

/// The head of a stored response whose body has `length` bytes, as its client is sent it now.
fn stored_head(stored: &Head, length: Option<u64>) -> Result<ResponseHeader> {
    let mut header = stored.header_with(length);
    let kept = stored.kept();
    let age = kept.freshness.age(kept.resident(clock::steady()));
    header.insert_header(header::AGE, age.as_secs())?;
    Ok(header)
}

/// Adds the fields of `stored` that `response` has none of.
fn lend(stored: &HeaderMap, response: &mut ResponseHeader) -> Result<()> {
    let lacks: Vec<_> =
        stored.keys().filter(|name| !response.headers.contains_key(*name)).collect();
    for name in lacks {
        for value in stored.get_all(name) {
            response.append_header(name, value)?;
        }
    }
    Ok(())
}
