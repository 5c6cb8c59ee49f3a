//! The exchange with the origin: what is noted when it begins, when its response is there, and when it breaks off.

use super::Edge;
use crate::context::Context;
use crate::stage::keep::Refused;
use crate::stage::{deliver, fail, forward, keep, lookup};
use crate::{cache, clock};
use http::{StatusCode, header};
use pingora_cache::{CacheMeta, CachePhase, NoCacheReason, RespCacheable};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use route::Origin;
use std::sync::Arc;

impl Context {
    /// Who is asked.
    pub(super) fn origin(&self) -> Result<Arc<Origin>> {
        self.asked_origin().cloned().ok_or_else(|| Error::new(fail::NO_ORIGIN))
    }
}

/// Whether a response of this status can answer what was asked: no switch of protocols that was not asked for, and no
/// 304 without a condition (RFC 9110 §15.2.2, §15.4.5).
pub(super) fn is_an_answer(session: &Session, status: StatusCode) -> bool {
    let request = session.req_header();
    match status {
        StatusCode::SWITCHING_PROTOCOLS => forward::is_upgrade(&request.method, &request.headers),
        StatusCode::NOT_MODIFIED if session.cache.enabled() => {
            session.cache.maybe_cache_meta().is_some()
        }
        StatusCode::NOT_MODIFIED => {
            let conditions = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
            conditions.iter().any(|name| request.headers.contains_key(name))
        }
        _ => true,
    }
}

impl Edge {
    /// Notes that the origin is turned to now, and finds its addresses.
    pub(super) async fn begin_fetch(&self, ctx: &mut Context) -> Result<()> {
        ctx.forward.began = Some(self.cache.store.moment());
        if ctx.forward.addresses.is_empty() {
            let origin = ctx.origin()?;
            let found = self.addresses.of(&origin.address.host, origin.address.port).await;
            ctx.forward.addresses = found.map_err(|error| {
                tracing::warn!(origin.name = %origin.name, "{error}");
                Error::because(fail::DNS_ERROR, "finding the origin", error).into_up()
            })?;
        }
        ctx.forward.request_time = Some(clock::now());
        ctx.forward.applied = ctx.snapshot.applied;
        Ok(())
    }

    /// Writes the head the origin is sent.
    pub(super) fn rewrite_head(&self, head: &mut RequestHeader, ctx: &Context) -> Result<()> {
        let (Some(identity), Some(routed)) = (&ctx.identity, &ctx.route) else { return Ok(()) };
        let (rewritten, origin) = (routed.rewritten.as_deref(), ctx.origin()?);
        forward::rewrite_head(
            head,
            identity,
            (&routed.rule, &origin),
            rewritten,
            &self.pseudonym,
            ctx.request_id,
        )
        .ok_or_else(|| {
            Error::explain(ErrorType::InvalidHTTPHeader, "the request can't be rewritten").into_in()
        })?;
        if let Some(request) = &ctx.slice {
            head.insert_header(header::RANGE, request.slice.range())?;
        }
        Ok(())
    }

    /// Notes that the head of the origin's response is there.
    pub(super) fn note_response(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) {
        ctx.forward.response_time = Some(clock::now());
        ctx.forward.status = Some(response.status.as_u16());
        let validates = response.status == StatusCode::NOT_MODIFIED
            && session.cache.maybe_cache_meta().is_some();
        ctx.forward.not_modified = validates.then(|| response.headers.clone());
    }

    /// A 304 that is about another response leaves nothing to answer with (RFC 9111 §4.3.4): what it was to validate is
    /// removed, and the exchange counts as broken.
    pub(super) fn check_validated(&self, session: &Session, ctx: &Context) -> Result<()> {
        let validated = matches!(session.cache.phase(), CachePhase::RevalidatedNoCache(_));
        if !validated || ctx.refused != Some(keep::NOT_ABOUT.token) {
            return Ok(());
        }
        self.cache.store.remove(&cache::store_key(session.cache.cache_key()));
        Err(Error::new_up(fail::NOT_ABOUT))
    }

    /// Decides whether an exchange that broke is tried again: on a new connection where a reused one broke, and without
    /// conditions where a 304 was about another response.
    pub(super) fn after_broken_exchange(
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        // before the client is told, who may ask again at once
        (ctx.posted, ctx.cutting) = (None, None);
        if *error.etype() == fail::NOT_ABOUT && !ctx.forward.anew {
            ctx.forward.anew = true;
            session.cache.disable(NoCacheReason::Custom(keep::NOT_ABOUT.token));
            error.set_retry(true);
        } else {
            let is_whole = !session.as_ref().retry_buffer_truncated();
            // an origin that sent interim responses has begun with the request
            error.retry.decide_reuse(reused && is_whole && ctx.interim.count == 0);
            // where an HTTP/2 origin has not refused the request, but sent what can't be read, it may have carried it out
            let is_repeatable = *error.etype() != ErrorType::InvalidH2
                || session.req_header().method.is_idempotent();
            if error.retry() && !(is_whole && is_repeatable) {
                error.set_retry(false);
            }
        }
        error
    }

    /// Forgets what a successful unsafe request has changed (RFC 9111 §4.4), but not `kept`, the name that its own
    /// response is stored under.
    pub(super) fn invalidate(
        &self,
        session: &Session,
        response: &ResponseHeader,
        kept: Option<&[u8]>,
        ctx: &Context,
    ) {
        let request = session.req_header();
        let (Some(identity), Some(routed)) = (&ctx.identity, &ctx.route) else { return };
        if !semantics::invalidation::is_unsafe(&request.method) {
            return;
        }
        let path = request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let target = format!("{}://{}{path}", identity.scheme.as_str(), identity.host.authority());
        let Ok(target) = target.parse() else { return };
        let changed = semantics::invalidation::invalidated(
            &request.method,
            &target,
            response.status,
            &response.headers,
        );
        for uri in &changed {
            let site = &routed.served.site;
            let key = &site.rule(uri.path()).rule.caching.key;
            let name = lookup::name(uri, identity, &site.id, key, ctx.snapshot.epoch);
            let key = cache::first_variant(&name);
            self.slices.forget(self.cache, &name, key.name);
            if kept != Some(&*name) {
                self.cache.store.remove(&key);
            }
        }
    }

    /// Decides whether a response is stored, and how.
    pub(super) fn keep(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> RespCacheable {
        let stored = session.cache.maybe_cache_meta().map(CacheMeta::response_header);
        match keep::decide(session.req_header(), response, stored, ctx, clock::now()) {
            Ok(to_keep) if self.cut(session, response, &to_keep, ctx) => {
                RespCacheable::Uncacheable(NoCacheReason::Custom(deliver::CUT))
            }
            Ok(_) if self.is_too_large(response) => {
                self.refuse(session, keep::TOO_LARGE, ctx);
                RespCacheable::Uncacheable(NoCacheReason::ResponseTooLarge)
            }
            Ok(to_keep) => {
                self.collapse.forget(session.cache.cache_key());
                self.note_tags(&to_keep.header, &session.req_header().uri, ctx);
                ctx.kept = Some(to_keep.kept);
                ctx.withheld = to_keep.withheld;
                let began = ctx.forward.began.unwrap_or_default();
                let request = &session.req_header().headers;
                let renewed = session.cache.maybe_cache_meta();
                let renewed = renewed.filter(|_| ctx.forward.not_modified.is_some());
                let renewed = renewed.map(|stored| (stored.variance(), stored.headers()));
                let kept = (to_keep.kept, to_keep.header);
                let meta = self.cache.meta_to(
                    request,
                    kept,
                    renewed,
                    ctx.route.as_ref(),
                    (began, ctx.course.clone()),
                );
                RespCacheable::Cacheable(meta)
            }
            Err(refused) => {
                self.refuse(session, refused, ctx);
                RespCacheable::Uncacheable(NoCacheReason::Custom(refused.token))
            }
        }
    }

    /// Notes why a response isn't stored, and remembers it for its name where the next one won't be either. What such a
    /// 304 validated isn't used again.
    fn refuse(&self, session: &Session, refused: Refused, ctx: &mut Context) {
        let key = session.cache.cache_key();
        let own = Some(refused.token);
        ctx.refused = if refused.lasts { own } else { ctx.remembered.or(own) };
        if refused.lasts {
            if let Some(request) = &ctx.slice {
                request.refuse(refused.token);
            }
            self.collapse.remember(key, refused.token);
            if ctx.forward.not_modified.is_some() {
                self.cache.store.remove(&cache::store_key(key));
            }
        }
    }

    /// Whether a response says that it is too large to be stored.
    pub(super) fn is_too_large(&self, response: &ResponseHeader) -> bool {
        let length = cache::content_length(&response.headers);
        let limits = self.cache.store.limits();
        let max = limits.response_max_bytes.min(limits.filling_max_bytes);
        length.is_some_and(|length| length > max)
    }
}
