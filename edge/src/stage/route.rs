//! Which site and rule is this request for?

use crate::context::Routed;
use crate::snapshot::Snapshot;
use crate::stage::entrance::{Access, Entrance};
use crate::stage::fail::Failure;
use crate::stage::forward;
use crate::stage::identify::Identity;
use http::{HeaderMap, Method, StatusCode, Uri};
use std::sync::Arc;

/// What is to be done with a request.
pub(crate) enum Route {
    /// Look it up, or ask the origin.
    Serve(Routed),
    /// Say what can be asked here, and ask nobody.
    Here,
    /// Have the client come over TLS.
    Upgrade { routed: Routed },
    /// Answer with a redirect.
    Redirect { status: StatusCode, location: String, routed: Routed },
}

/// Decides where a request goes. Fails with 421 for a host no site serves (RFC 9110 §15.5.20).
///
/// TRACE would show a client what lies between it and the origin, its cookies among it: 405. A request that may not be
/// forwarded any further is answered here (RFC 9110 §7.6.2).
pub(crate) fn decide(
    method: &Method,
    uri: &Uri,
    fields: &HeaderMap,
    identity: &Identity,
    entrance: Entrance<'_>,
    snapshot: &Snapshot,
) -> Result<Route, Failure> {
    let served = snapshot.site(identity.host.name()).ok_or(Failure::Misdirected)?;
    let access = entrance.access(&served.site);
    if access == Access::Misdirected {
        return Err(Failure::Entrance);
    }
    if *method == Method::TRACE {
        return Err(Failure::Method);
    }
    if forward::forwards_left(method, fields) == Some(0) {
        return Ok(Route::Here);
    }
    let found = served.site.rule(uri.path());
    let query = uri.query();
    let rewritten = found.rule.rewrite.as_ref().map(|rewrite| rewrite.fill(&found.captures, query));
    let redirect = found.rule.redirect.as_ref();
    let redirect =
        redirect.map(|redirect| (redirect.status, redirect.to.fill(&found.captures, query)));
    let routed = Routed { served: Arc::clone(served), rule: found.rule, rewritten };
    if access == Access::Upgrade {
        return Ok(Route::Upgrade { routed });
    }
    Ok(match redirect {
        Some((status, location)) => Route::Redirect { status, location, routed },
        None => Route::Serve(routed),
    })
}
