//! The beginning of a request: who asks for what, where that goes, and under which name it is looked up.

use super::Edge;
use crate::context::{Context, Routed};
use crate::stage::fail::Failure;
use crate::stage::lookup::Lookup;
use crate::stage::{identify, lookup, route};
use pingora_proxy::Session;
use semantics::directives::RequestDirectives;
use std::net::IpAddr;

/// The client of a request that none made: a fetch in the background.
const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

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

    pub(super) fn look_up(&self, session: &Session, ctx: &mut Context, routed: Routed) {
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
            if let (Some(request), Lookup::Named(name)) = (&ctx.slice, &mut ctx.lookup) {
                request.slice.append_to(name);
            }
        }
        ctx.route = Some(routed);
    }
}
