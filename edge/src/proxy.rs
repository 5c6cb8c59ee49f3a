//! The table of contents of a request: each of Pingora's hooks calls one stage and does what it decided.

pub(crate) mod begin;
mod connect;
mod end;
mod fetch;
mod head;
mod hit;
pub(crate) mod interim;
mod own;
mod pace;
mod post;
mod purge;
mod secure;
mod shield;
mod slices;
mod tagged;

pub(crate) use own::{Get, Own};
pub(crate) use purge::Purging;
pub(crate) use shield::Shields;
pub(crate) use slices::{Cutting, SliceRequest};

use crate::cache::{self, Cache};
use crate::collapse::{Collapse, Passing};
use crate::context::Context;
use crate::origin::{Addresses, Authorities};
use crate::slices::Slices;
use crate::snapshot::Current;
use crate::stage::fail::{self, Failure};
use crate::stage::lookup::Lookup;
use crate::stage::reuse;
use crate::stage::route::Route;
use crate::stage::{forward, range};
use crate::telemetry::Telemetry;
use crate::work::Work;
use crate::{answer, clock, record};
use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use pingora_cache::key::{CacheKey, HashBinary};
use pingora_cache::{CacheMeta, ForcedFreshness, HitHandler, RespCacheable};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, RangeType, Session};
use semantics::preconditions::{self, Verdict};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// What all requests share.
pub(crate) struct Edge {
    pub(crate) current: Current,
    pub(crate) cache: &'static Cache,
    pub(crate) collapse: &'static Collapse,
    pub(crate) slices: &'static Slices,
    pub(crate) collapse_timeout: Duration,
    pub(crate) stall_timeout: Duration,
    pub(crate) websocket_idle_timeout: Duration,
    pub(crate) addresses: Addresses,
    pub(crate) authorities: Authorities,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) work: Arc<Work>,
    /// Where the PURGE method is turned on.
    pub(crate) purging: Option<Purging>,
    pub(crate) shields: Shields,
    /// The name of this edge in Via and CDN-Loop.
    pub(crate) pseudonym: Box<str>,
    /// The port that clients reach this edge at over TLS.
    pub(crate) https_port: u16,
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(self.current.load_full())
    }

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    fn allow_spawning_subrequest(&self, session: &Session, _: &Context) -> bool {
        slices::may_be_sliced(session)
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let client = session.as_downstream_mut();
        client.set_read_timeout(Some(self.stall_timeout));
        client.set_write_timeout(Some(self.stall_timeout));
        ctx.slice = SliceRequest::of(session);
        if ctx.slice.is_some() {
            slices::make_unconditional(session);
        }
        begin::complete_target(session.req_header_mut());
        begin::end_hop(session.req_header_mut());
        self.hear_edge(session, ctx).await;
        secure::tell_of_client(session, ctx);
        let route = self.route(session, ctx);
        if self.answers_challenge(session, ctx).await? {
            return Ok(true);
        }
        let expected = interim::take_expectation(session, ctx);
        if let (Some(purging), Ok(Route::Serve(routed) | Route::Redirect { routed, .. })) =
            (self.purging.as_ref().filter(|_| Purging::is_asked(session)), &route)
        {
            let site_id = routed.served.site.id.clone();
            purging.answer(session, &site_id, ctx).await?;
            return Ok(true);
        }
        match route.and_then(|route| expected.map(|()| route)) {
            Ok(Route::Serve(routed)) => {
                self.look_up(session, ctx, routed).await;
                self.serve_slices(session, ctx).await
            }
            Ok(Route::Redirect { status, location, routed }) => {
                ctx.route = Some(routed);
                answer::redirect(session, status, &location, ctx).await?;
                Ok(true)
            }
            Ok(Route::Upgrade { routed }) => {
                let target = session.req_header().uri.path_and_query();
                let target = target.map_or("/", http::uri::PathAndQuery::as_str);
                let identity = ctx.identity.as_ref();
                let location = identity.map(|own| self.secure_location(&own.host, target));
                ctx.route = Some(routed);
                let location = location.unwrap_or_default();
                answer::redirect(session, StatusCode::PERMANENT_REDIRECT, &location, ctx).await?;
                Ok(true)
            }
            Ok(Route::Here) => {
                answer::options(session).await?;
                Ok(true)
            }
            Err(failure) => {
                end::fail(session, failure, ctx).await;
                Ok(true)
            }
        }
    }

    fn request_cache_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        if matches!(ctx.lookup, Lookup::Named(_)) && !ctx.forwards_head {
            session.cache.enable(
                self.cache,
                None,
                Some(&Passing),
                Some(self.collapse),
                Some(self.waiting()),
            );
            // a client that reads slowly doesn't slow the fill that others wait for
            session.set_proxy_tasks_enabled(true);
        }
        Ok(())
    }

    fn cache_key_callback(&self, session: &Session, ctx: &mut Context) -> Result<CacheKey> {
        let (Lookup::Named(name), Some(hash)) = (&mut ctx.lookup, ctx.hash) else {
            return Error::e_explain(ErrorType::InternalError, "a lookup without a name");
        };
        // the key holds the name from here on
        let mut key = cache::cache_key(std::mem::take(name), hash);
        let asker = self.asker(session, &key, ctx);
        key.extensions.insert(asker);
        Ok(key)
    }

    fn cache_vary_filter(
        &self,
        meta: &CacheMeta,
        ctx: &mut Context,
        request: &RequestHeader,
    ) -> Option<HashBinary> {
        let (first, key) = (meta.variance(), ctx.key());
        let selected = cache::variance(meta.headers(), first, &request.headers, key);
        cache::wanted(first, selected)
    }

    async fn cache_hit_filter(
        &self,
        session: &mut Session,
        _: &CacheMeta,
        hit: &mut HitHandler,
        is_fresh: bool,
        ctx: &mut Context,
    ) -> Result<Option<ForcedFreshness>> {
        Ok(self.reuse(session, hit.as_any().downcast_ref(), is_fresh, ctx))
    }

    fn cache_miss(&self, session: &mut Session, ctx: &mut Context) {
        ctx.varied = session.cache.cache_key().get_variance_key().is_some();
        session.cache.cache_miss();
    }

    fn should_serve_stale(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        error: Option<&Error>,
    ) -> bool {
        // a fetch in the background wouldn't know which slice it is for, so one request validates it; others needn't wait
        if ctx.slice.is_some() && error.is_none() && session.cache.is_cache_lock_writer() {
            return false;
        }
        // who makes a request of its own wants to know what the origin says
        if Own::of(session).is_some() {
            return false;
        }
        let serves = reuse::serves_stale(ctx.outcome, &ctx.asked, error, clock::steady());
        if serves && error.is_some_and(fail::ends_connection) {
            session.as_downstream_mut().set_keepalive(None);
        }
        serves
    }

    async fn proxy_upstream_filter(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<bool> {
        // a fetch in the background is ours, not the client's
        if ctx.asked.only_if_cached() && session.subrequest_ctx.is_none() {
            return Err(Error::new(fail::NOT_CACHED));
        }
        ctx.origin()?;
        Ok(!self.serve_slices_after_waiting(session, ctx).await?)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<Box<HttpPeer>> {
        self.begin_fetch(ctx).await?;
        self.peer(session, ctx)
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Context,
        error: Box<Error>,
    ) -> Box<Error> {
        self.after_failed_connect(error, ctx)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        Self::after_broken_exchange(session, connect::name_timeout(error, ctx), ctx, reused)
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        reused: bool,
        _: &HttpPeer,
        _: RawFd,
        digest: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.forward.reused_connection = reused;
        Self::check_pins(digest, ctx)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        head: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        begin::forward_protocol(session.req_header(), head)?;
        interim::forward_expectation(head, ctx)?;
        self.rewrite_head(head, ctx)?;
        Self::tell_shield(head, ctx)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if forward::is_interim(response.status) {
            return interim::pass(session, response, ctx).await;
        }
        let is_readable = forward::is_readable(response) && forward::is_bounded(response);
        for name in forward::removed_from_response(response) {
            response.remove_header(&name);
        }
        Self::hear_shield(response, ctx);
        self.note_response(session, response, ctx);
        if !is_readable || !fetch::is_an_answer(session, response.status) {
            return Err(Error::new(ErrorType::InvalidHTTPHeader).into_up());
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            self.begin_websocket(session, ctx);
        }
        self.carry_out_unsafe(session, response, ctx);
        head::check(response, ctx)?;
        self.renew_by_head(session, response, ctx).await
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<RespCacheable> {
        Ok(self.keep(session, response, ctx))
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        is_last: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        post::fill_posted(body.as_ref(), is_last, ctx);
        self.take_in(body.as_ref(), ctx);
        ctx.forward.body_bytes += body.as_ref().map_or(0, |body| body.len() as u64);
        Ok(self.pace(session, ctx))
    }

    fn cache_not_modified_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<bool> {
        let request = session.req_header();
        let stored = end::representation(response, ctx);
        let verdict = preconditions::evaluate(&request.method, &request.headers, &stored);
        ctx.precondition_failed = verdict == Verdict::PreconditionFailed;
        Ok(verdict != Verdict::Proceed)
    }

    fn range_header_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> RangeType {
        let (request, stored) = (session.req_header(), end::representation(response, ctx));
        let decided = range::decide(&request.method, &request.headers, &stored);
        let cut = decided.and_then(|(wanted, length)| range::cut(response, &wanted, length).ok());
        // the whole is always a right answer
        let Some((head, sent)) = cut else { return RangeType::None };
        *response = head;
        sent
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if forward::is_interim(response.status) {
            return Ok(());
        }
        self.check_validated(session, ctx)?;
        if ctx.kept.is_none() && ctx.posted.is_none() && ctx.cutting.is_none() {
            // nothing of it will be stored, however long it takes
            ctx.let_go();
        }
        end::respond(session, response, ctx)
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        _: &mut Option<Bytes>,
        ends: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        self.give(session, ctx);
        if ctx.course.own().is_some_and(store::Own::is_settled) {
            ctx.let_go();
        }
        if ends {
            interim::settle(session, ctx);
        }
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Context,
    ) -> FailToProxy {
        if head::may_be_stale(session, error, ctx)
            && let Some(ended) = self.answer_head_stale(session, ctx).await
        {
            return ended;
        }
        let failure = Failure::of(error);
        if failure == Failure::Internal {
            tracing::error!(%error, "a request failed here");
        }
        end::fail(session, failure, ctx).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        if let (Some(error), None, false) = (error, ctx.failure, ctx.interim.settled) {
            ctx.failure = Some(Failure::of(error).reply().1);
        }
        record::request(&self.telemetry, session, ctx);
    }

    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true // the access log and metrics tell of it
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Context,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
