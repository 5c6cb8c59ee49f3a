//! The beginning of a request: who asks for what, where that goes, and under which name it is looked up.

use super::{Edge, Own, secure, shield};
use crate::cache;
use crate::collapse::Asker;
use crate::context::{Context, Routed};
use crate::listen::Protocol;
use crate::stage::fail::Failure;
use crate::stage::lookup::Lookup;
use crate::stage::{identify, lookup, route};
use crate::telemetry::Telemetry;
use ::route::{COUNTRY, DEVICE, Device, Key};
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use pingora_cache::CacheOptionOverrides;
use pingora_cache::key::{CacheHashKey, CacheKey};
use pingora_error::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use semantics::directives::RequestDirectives;
use semantics::storing::Reason;
use std::net::IpAddr;
use std::sync::Arc;

/// The client of a request that none made: a fetch in the background.
const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// Of a client whose country no database knows; ISO 3166-1 leaves this code to its users.
const UNKNOWN_COUNTRY: &str = "XX";

/// What `Connection` says of the connection itself, and Pingora acts on.
const CONNECTION_OPTIONS: [&str; 3] = ["close", "keep-alive", "upgrade"];

/// Makes the target that was asked for over TLS a whole one. It came in absolute form, of which Pingora leaves no more than
/// the path where it can be read.
pub(crate) fn complete_target(head: &mut RequestHeader) {
    const HTTPS: &[u8] = b"https://";
    let raw = head.raw_path();
    if raw.get(..HTTPS.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(HTTPS))
        && let Ok(target) = http::Uri::try_from(raw)
    {
        head.set_uri(target);
    }
}

/// Takes out of a request the fields that end with the client's connection (RFC 9110 §7.6.1). The origin won't see them,
/// so nothing may be decided by them: neither which stored response answers, nor which the origin's will be.
pub(crate) fn end_hop(head: &mut RequestHeader) {
    let is_option = |name: &HeaderName| CONNECTION_OPTIONS.contains(&name.as_str());
    let lines = head.headers.get_all(header::CONNECTION).iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let is_plain = members.all(|member| {
        let option = |option: &&str| member.trim_ascii().eq_ignore_ascii_case(option.as_bytes());
        CONNECTION_OPTIONS.iter().any(option)
    });
    if is_plain {
        return;
    }
    let named: Vec<_> = semantics::fields::connection_nominated(&head.headers).collect();
    for name in named.iter().filter(|name| !is_option(name)) {
        head.remove_header(name);
    }
    // what is set under these names from here on is for the origin
    let options: Vec<_> =
        named.iter().filter(|name| is_option(name)).map(HeaderName::as_str).collect();
    head.remove_header(&header::CONNECTION);
    if !options.is_empty() {
        // options are tokens, which every field can hold
        head.insert_header(header::CONNECTION, options.join(", ")).ok();
    }
}

/// Has the head for the origin tell what the client speaks, as Via does; and an origin that speaks HTTP/2, that trailers are
/// passed on to this client, as gRPC wants to know. Pingora ends TE here, as it must in other cases.
pub(super) fn forward_protocol(request: &RequestHeader, head: &mut RequestHeader) -> Result<()> {
    let protocol = Protocol::of(request);
    let takes_trailers = matches!(protocol, Protocol::Http2 | Protocol::Http3)
        && request.headers.get(header::TE).is_some_and(|te| te == "trailers");
    if takes_trailers && head.version == Version::HTTP_2 {
        head.insert_header(header::TE, "trailers")?;
    }
    head.extensions_mut().insert(protocol);
    Ok(())
}

impl Edge {
    /// Who asks for what, and where that goes.
    pub(super) fn route(
        &self,
        session: &Session,
        ctx: &mut Context,
    ) -> std::result::Result<route::Route, Failure> {
        let request = session.req_header();
        let client = ctx.client.unwrap_or(NOBODY);
        let identity = identify::decide(&request.uri, &request.headers, client, &self.pseudonym)?;
        let decided = route::decide(
            &request.method,
            &request.uri,
            &request.headers,
            &identity,
            secure::entrance(session, ctx),
            &ctx.snapshot,
        );
        ctx.identity = Some(identity);
        decided
    }

    pub(super) async fn look_up(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        mut routed: Routed,
    ) {
        if routed.origin(ctx.asks_directly).is_some_and(|origin| origin.shield) {
            // the shield goes by the same rule, and rewrites for the origin
            routed.rewritten = None;
        }
        let caching = &routed.rule.caching;
        let client =
            client_fields(&session.req_header().headers, ctx.client, &caching.key, &self.telemetry);
        for (name, value) in client {
            let head = session.req_header_mut();
            head.remove_header(&name);
            if let Some(value) = value {
                // every code and class can be a value
                head.insert_header(name, value).ok();
            }
        }
        let request = session.req_header();
        let own = Own::of(session).and_then(Own::asks);
        ctx.asked =
            own.unwrap_or_else(|| RequestDirectives::read(&request.headers, &caching.policy));
        ctx.consume(semantics::fields::consumed(caching.forwards_cdn_cache_control));
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
            if let (Some(request), Lookup::Named(name)) = (&ctx.slice, &mut ctx.lookup) {
                request.slice.append_to(name);
            }
        }
        shield::pass_if_behind(ctx);
        if let Lookup::Named(name) = &ctx.lookup {
            ctx.hash = Some(cache::hash(name));
            if let Some(target) = lookup::target(&request.uri, &routed) {
                routed.rewritten = Some(target);
            }
        }
        ctx.route = Some(routed);
        self.look_up_head(session, ctx).await;
    }

    /// What the lookup of `key` has to know of the request.
    pub(super) fn asker(&self, session: &Session, key: &CacheKey, ctx: &mut Context) -> Asker {
        let authorized = session.req_header().headers.contains_key(header::AUTHORIZATION);
        ctx.remembered = self.collapse.uncacheable.reason(key.primary_bin(), authorized);
        if ctx.remembered.is_some() {
            self.telemetry.metrics.uncollapsed_request();
        }
        let first = cache::store_key(key).first();
        let is_stored = || self.cache.store.holds(&first);
        // what won't be stored is asked for as the client asks
        let own = ctx.asked.no_store().then_some(Reason::RequestNoStore.token());
        let passed = ctx.remembered.or(own).filter(|_| !is_stored());
        let served = ctx.route.as_ref().map(|routed| Arc::clone(&routed.served));
        Asker {
            authorized,
            alone: ctx.asked.no_store(),
            in_background: is_in_background(session),
            passed,
            received: Some(ctx.received.steady),
            purged: served.as_ref().map_or(0, |served| served.newest_of_name(key.primary_key())),
            served,
        }
    }

    /// How long a request waits for another's fetch.
    pub(super) fn waiting(&self) -> CacheOptionOverrides {
        let mut overrides = CacheOptionOverrides::default();
        overrides.wait_timeout = Some(self.collapse_timeout);
        overrides
    }
}

/// Whether a request is one that Pingora makes to validate what is stale: it has nothing of ours with it.
fn is_in_background(session: &Session) -> bool {
    session.subrequest_ctx.as_ref().is_some_and(|own| own.user_ctx().is_none())
}

/// What the rule's key wants to know of the client: a value for each field that tells it, none for one to be removed.
/// What a client says there itself never counts.
pub(crate) fn client_fields(
    request: &HeaderMap,
    client: Option<IpAddr>,
    key: &Key,
    telemetry: &Telemetry,
) -> [(HeaderName, Option<HeaderValue>); 2] {
    let country = || {
        let country = client.and_then(|client| telemetry.country(client));
        HeaderValue::from_str(country.as_deref().unwrap_or(UNKNOWN_COUNTRY)).ok()
    };
    let device = || HeaderValue::from_static(Device::of(request).as_str());
    [(COUNTRY, if key.country { country() } else { None }), (DEVICE, key.device.then(device))]
}
