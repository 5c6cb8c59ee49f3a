//! The beginning of a request: who asks for what, where that goes, and under which name it is looked up.

use super::Edge;
use crate::context::{Context, Routed};
use crate::stage::fail::Failure;
use crate::stage::lookup::Lookup;
use crate::stage::{identify, lookup, route};
use ::route::{COUNTRY, DEVICE, Device, Key};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use semantics::directives::RequestDirectives;
use std::net::IpAddr;

/// The client of a request that none made: a fetch in the background.
const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// Of a client whose country no database knows; ISO 3166-1 leaves this code to its users.
const UNKNOWN_COUNTRY: &str = "XX";

impl Edge {
    /// Who asks for what, and where that goes.
    pub(super) fn route(
        &self,
        session: &Session,
        ctx: &mut Context,
    ) -> Result<route::Route, Failure> {
        let request = session.req_header();
        let client = session.client_addr().and_then(|address| address.as_inet());
        ctx.client = client.map(std::net::SocketAddr::ip);
        let client = ctx.client.unwrap_or(NOBODY);
        let identity = identify::decide(&request.uri, &request.headers, client, &self.pseudonym)?;
        let decided = route::decide(
            &request.method,
            &request.uri,
            &request.headers,
            &identity,
            &ctx.snapshot,
        );
        ctx.identity = Some(identity);
        decided
    }

    pub(super) fn look_up(&self, session: &mut Session, ctx: &mut Context, mut routed: Routed) {
        let caching = &routed.rule.caching;
        self.describe_client(session.req_header_mut(), ctx.client, &caching.key);
        let request = session.req_header();
        ctx.asked = RequestDirectives::read(&request.headers, &caching.policy);
        ctx.consumed = semantics::fields::consumed(caching.forwards_cdn_cache_control);
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
        if let Lookup::Named(_) = ctx.lookup
            && let Some(target) = lookup::target(&request.uri, &routed)
        {
            routed.rewritten = Some(target);
        }
        ctx.route = Some(routed);
    }

    /// Writes into the request what the rule's key wants to know of the client. What a client says there itself never
    /// counts.
    fn describe_client(&self, head: &mut RequestHeader, client: Option<IpAddr>, key: &Key) {
        head.remove_header(&COUNTRY);
        head.remove_header(&DEVICE);
        if key.country {
            let country = client.and_then(|client| self.telemetry.country(client));
            let country = country.as_deref().unwrap_or(UNKNOWN_COUNTRY);
            // a code is letters and digits, which every field can hold
            head.insert_header(COUNTRY, country).ok();
        }
        if key.device {
            head.insert_header(DEVICE, Device::of(&head.headers).as_str()).ok();
        }
    }
}
