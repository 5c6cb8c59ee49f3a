//! The table of contents of a request: each of Pingora's hooks calls one stage and does what it decided.

use crate::cache::{self, Cache, Hit};
use crate::context::{Context, Routed};
use crate::origin::Addresses;
use crate::snapshot::Current;
use crate::stage::fail::{self, Failure};
use crate::stage::lookup::{self, Lookup};
use crate::stage::reuse::{self, Outcome};
use crate::stage::{deliver, forward, identify, keep, route};
use crate::telemetry::Telemetry;
use crate::{answer, clock, record};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use pingora_cache::key::{CacheKey, HashBinary};
use pingora_cache::lock::CacheKeyLockImpl;
use pingora_cache::predictor::CacheablePredictor;
use pingora_cache::{
    CacheMeta, CacheOptionOverrides, ForcedFreshness, HitHandler, NoCacheReason, RespCacheable,
};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{
    FailToProxy, ProxyHttp, ProxyWarnLogContext, RangeType, Session, range_header_filter,
};
use semantics::directives::RequestDirectives;
use semantics::preconditions::{self, Representation, Verdict};
use semantics::reuse::{Reuse, is_origin_failure};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// The client of a request that none made: a fetch in the background.
const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// What all requests share.
pub(crate) struct Edge {
    pub(crate) current: Current,
    pub(crate) cache: &'static Cache,
    pub(crate) collapse: &'static CacheKeyLockImpl,
    pub(crate) predictor: &'static (dyn CacheablePredictor + Sync),
    pub(crate) collapse_timeout: Duration,
    pub(crate) stall_timeout: Duration,
    pub(crate) addresses: Addresses,
    pub(crate) telemetry: Arc<Telemetry>,
    /// The name of this edge in Via and CDN-Loop.
    pub(crate) pseudonym: Box<str>,
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(self.current.load_full())
    }

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let client = session.as_downstream_mut();
        client.set_read_timeout(Some(self.stall_timeout));
        client.set_write_timeout(Some(self.stall_timeout));
        match self.route(session, ctx) {
            Ok(route::Route::Serve(routed)) => {
                self.look_up(session, ctx, routed);
                Ok(false)
            }
            Ok(route::Route::Redirect { status, location, routed }) => {
                let changes = &routed.rule.response_headers;
                answer::redirect(session, status, &location, changes).await?;
                ctx.route = Some(routed);
                Ok(true)
            }
            Err(failure) => {
                ctx.failure = Some(failure.reply().1);
                answer::failure(session, failure).await?;
                Ok(true)
            }
        }
    }

    fn request_cache_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        if let Lookup::Named(_) = ctx.lookup {
            let mut overrides = CacheOptionOverrides::default();
            overrides.wait_timeout = Some(self.collapse_timeout);
            session.cache.enable(
                self.cache,
                None,
                Some(self.predictor),
                Some(self.collapse),
                Some(overrides),
            );
            // a client that reads slowly doesn't slow the fill that others wait for
            session.set_proxy_tasks_enabled(true);
        }
        Ok(())
    }

    fn cache_key_callback(&self, _: &Session, ctx: &mut Context) -> Result<CacheKey> {
        match &mut ctx.lookup {
            // the key holds the name from here on
            Lookup::Named(name) => Ok(cache::cache_key(std::mem::take(name))),
            Lookup::Bypass { .. } => {
                Error::e_explain(ErrorType::InternalError, "a lookup without a name")
            }
        }
    }

    fn cache_vary_filter(
        &self,
        meta: &CacheMeta,
        _: &mut Context,
        request: &RequestHeader,
    ) -> Option<HashBinary> {
        cache::variance(meta.headers(), &request.headers)
    }

    async fn cache_hit_filter(
        &self,
        _: &mut Session,
        _: &CacheMeta,
        hit: &mut HitHandler,
        is_fresh: bool,
        ctx: &mut Context,
    ) -> Result<Option<ForcedFreshness>> {
        let (Some(hit), Some(routed)) = (hit.as_any().downcast_ref::<Hit>(), &ctx.route) else {
            return Ok(Some(ForcedFreshness::ForceMiss));
        };
        ctx.consumed = hit.consumed;
        ctx.outcome = reuse::decide(hit.kept, &ctx.asked, routed.served.horizon, ctx.received);
        let expired = ForcedFreshness::ForceExpiredServeStale { expired_at: None };
        Ok(match ctx.outcome {
            Outcome::Purged | Outcome::Nothing => Some(ForcedFreshness::ForceMiss),
            Outcome::Stored { reuse: Reuse::Fresh | Reuse::Stale, .. } => {
                (!is_fresh).then_some(ForcedFreshness::ForceFresh)
            }
            Outcome::Stored { .. } => is_fresh.then_some(expired),
        })
    }

    fn cache_miss(&self, session: &mut Session, ctx: &mut Context) {
        ctx.varied = session.cache.cache_key().get_variance_key().is_some();
        session.cache.cache_miss();
    }

    fn should_serve_stale(
        &self,
        _: &mut Session,
        ctx: &mut Context,
        error: Option<&Error>,
    ) -> bool {
        let failed = match error.map(|error| (error.etype(), error.esource())) {
            None => false,
            Some((ErrorType::HTTPStatus(status), _)) => {
                if !StatusCode::from_u16(*status).is_ok_and(is_origin_failure) {
                    return false;
                }
                true
            }
            Some((_, source)) => {
                if *source != ErrorSource::Upstream {
                    return false;
                }
                true
            }
        };
        reuse::serves_stale(ctx.outcome, &ctx.asked, failed, clock::now())
    }

    async fn proxy_upstream_filter(&self, _: &mut Session, ctx: &mut Context) -> Result<bool> {
        if ctx.asked.only_if_cached() {
            return Err(Error::new(fail::NOT_CACHED));
        }
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<Box<HttpPeer>> {
        let origin = ctx.route.as_ref().and_then(|routed| routed.rule.origin.clone());
        let origin = origin.ok_or_else(|| Error::new(fail::NO_ORIGIN))?;
        if ctx.forward.addresses.is_empty() {
            let found = self.addresses.of(&origin.address.host, origin.address.port).await;
            ctx.forward.addresses = found.map_err(|error| {
                tracing::warn!(origin.name = %origin.name, "{error}");
                Error::because(fail::DNS_ERROR, "finding the origin", error).into_up()
            })?;
        }
        let address = ctx.forward.address().ok_or_else(|| Error::new(fail::DNS_ERROR))?;
        ctx.forward.request_time = Some(clock::now());
        ctx.forward.applied = ctx.snapshot.applied;
        let upgrade = session.req_header().headers.contains_key(header::UPGRADE);
        Ok(Box::new(forward::peer(&origin, address, upgrade)))
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        self.telemetry.metrics.origin_connect_failure();
        ctx.forward.tries += 1;
        // nothing was sent, so trying another address is safe for every method
        error.set_retry(ctx.forward.tries < ctx.forward.addresses.len().min(forward::TRIES_MAX));
        error
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        reused: bool,
        _: &HttpPeer,
        _: RawFd,
        _: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.forward.reused_connection = reused;
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        head: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let (Some(identity), Some(routed)) = (&ctx.identity, &ctx.route) else { return Ok(()) };
        let rewritten = routed.rewritten.as_deref();
        forward::rewrite_head(
            head,
            identity,
            &routed.rule,
            rewritten,
            &self.pseudonym,
            ctx.request_id,
        )
        .ok_or_else(|| {
            Error::explain(ErrorType::InvalidHTTPHeader, "the request can't be rewritten").into_in()
        })
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS
        {
            return Ok(());
        }
        ctx.forward.response_time = Some(clock::now());
        ctx.forward.status = Some(response.status.as_u16());
        if response.status == StatusCode::NOT_MODIFIED && session.cache.maybe_cache_meta().is_some()
        {
            ctx.forward.not_modified = Some(response.headers.clone());
        }
        if response.status != StatusCode::SWITCHING_PROTOCOLS {
            for name in semantics::fields::removed_when_forwarding(&response.headers) {
                response.remove_header(&name);
            }
        }
        self.invalidate(session, response, ctx);
        Ok(())
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<RespCacheable> {
        let stored = session.cache.maybe_cache_meta().map(CacheMeta::response_header);
        match keep::decide(session.req_header(), response, stored, ctx, clock::now()) {
            Ok(_) if self.is_too_large(response) => {
                ctx.refused = Some("too-large");
                Ok(RespCacheable::Uncacheable(NoCacheReason::ResponseTooLarge))
            }
            Ok(to_keep) => {
                ctx.kept = Some(to_keep.kept);
                Ok(RespCacheable::Cacheable(cache::meta(to_keep.kept, to_keep.header)))
            }
            Err(reason) => {
                ctx.refused = Some(reason);
                Ok(RespCacheable::Uncacheable(NoCacheReason::Custom(reason)))
            }
        }
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        _: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        ctx.forward.body_bytes += body.as_ref().map_or(0, |body| body.len() as u64);
        // a response that turns out to be too large to be stored is taken in only as fast as its client reads it
        if ctx.forward.body_bytes > self.cache.store.limits().response_max_bytes / 2
            && !session.has_pending_downstream_tasks()
        {
            session.set_proxy_tasks_enabled(false);
        }
        Ok(None)
    }

    fn cache_not_modified_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<bool> {
        let request = session.req_header();
        let stored = Representation {
            status: response.status,
            head: &response.headers,
            response_time: ctx.forward.response_time.unwrap_or(ctx.received),
        };
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
        let request = session.req_header();
        let stored = Representation {
            status: response.status,
            head: &response.headers,
            response_time: ctx.forward.response_time.unwrap_or(ctx.received),
        };
        if !request.headers.contains_key(header::RANGE)
            || request.method != Method::GET
            || !preconditions::range_applies(&request.headers, &stored)
        {
            return RangeType::None;
        }
        range_header_filter(request, response, Some(semantics::range::RANGES_MAX))
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS
        {
            return Ok(());
        }
        if ctx.precondition_failed {
            deliver::precondition_failed(response)?;
        }
        let part = deliver::Part {
            phase: session.cache.phase(),
            waited: session.cache.lock_duration().is_some(),
            varied: ctx.varied,
            stored: ctx.kept,
        };
        let now = ctx.forward.response_time.unwrap_or(ctx.received);
        let (handling, status) = deliver::decide(part, ctx, now);
        let changes = ctx.route.as_ref().map(|routed| &routed.rule.response_headers);
        deliver::write(response, &status, changes, ctx.consumed)?;
        ctx.handling = handling;
        Ok(())
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Context,
    ) -> FailToProxy {
        let failure = Failure::of(error);
        let (status, token) = failure.reply();
        ctx.failure = Some(token);
        if failure == Failure::Internal {
            tracing::error!(%error, "a request failed here");
        }
        if status.is_some() && session.response_written().is_none() {
            // the client may have left meanwhile: there is nobody to tell
            answer::failure(session, failure).await.ok();
        }
        FailToProxy { error_code: status.unwrap_or(0), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        if let (Some(error), None) = (error, ctx.failure) {
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

impl Edge {
    /// Who asks for what, and where that goes.
    fn route(&self, session: &Session, ctx: &mut Context) -> Result<route::Route, Failure> {
        let request = session.req_header();
        let client = session.client_addr().and_then(|address| address.as_inet());
        ctx.client = client.map(std::net::SocketAddr::ip);
        let client = ctx.client.unwrap_or(NOBODY);
        let identity = identify::decide(&request.uri, &request.headers, client, &self.pseudonym)?;
        let decided = route::decide(&request.uri, &identity, &ctx.snapshot);
        ctx.identity = Some(identity);
        decided
    }

    fn look_up(&self, session: &Session, ctx: &mut Context, routed: Routed) {
        let request = session.req_header();
        ctx.policy = lookup::policy(&routed.rule.cache);
        ctx.asked = RequestDirectives::read(&request.headers, &ctx.policy);
        if let Some(identity) = &ctx.identity {
            let epoch = ctx.snapshot.epoch;
            ctx.lookup = lookup::decide(
                &request.method,
                &request.uri,
                &request.headers,
                identity,
                &routed,
                epoch,
            );
        }
        ctx.route = Some(routed);
    }

    /// Forgets what a successful unsafe request has changed (RFC 9111 §4.4).
    fn invalidate(&self, session: &Session, response: &ResponseHeader, ctx: &Context) {
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
            let name = lookup::name(uri, identity, routed, ctx.snapshot.epoch);
            self.cache.store.remove(&cache::first_variant(&name));
        }
    }

    fn is_too_large(&self, response: &ResponseHeader) -> bool {
        let length =
            response.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let length = length.and_then(|length| length.parse::<u64>().ok());
        length.is_some_and(|length| length > self.cache.store.limits().response_max_bytes)
    }
}
