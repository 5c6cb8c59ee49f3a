//! Why would a request be answered as it would? The stages are asked as for a request, and nobody else is.

use crate::cache::{self, Cache, Head};
use crate::context::Routed;
use crate::slices::Slices;
use crate::snapshot::Snapshot;
use crate::stage::identify::{self, Identity};
use crate::stage::lookup::{self, Lookup};
use crate::stage::reuse::{self, Kept, Outcome as Reusable};
use crate::stage::route::{self, Route};
use api::explain::{
    ExplainRequest, Explanation, FIELDS_MAX, FieldLine, FreshnessFound, KeyFound, Outcome,
    SiteFound, StoredFound,
};
use api::problem::{FieldProblem, ProblemDetails};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use semantics::directives::RequestDirectives;
use semantics::freshness::basis;
use semantics::preconditions::{self, Representation, Verdict};
use semantics::reuse::Reuse;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

/// What is known.
pub(crate) struct Known<'e> {
    pub(crate) snapshot: &'e Snapshot,
    pub(crate) cache: &'e Cache,
    pub(crate) now: SystemTime,
}

/// A request as the stages want it.
struct Asked {
    method: Method,
    uri: Uri,
    fields: HeaderMap,
    identity: Identity,
}

/// Explains a request. Fails with every problem of what was asked.
pub(crate) fn explain(
    request: &ExplainRequest,
    known: &Known<'_>,
) -> Result<Explanation, ProblemDetails> {
    let asked = read(request)?;
    let decided =
        route::decide(&asked.method, &asked.uri, &asked.fields, &asked.identity, known.snapshot);
    let routed = match decided {
        Ok(Route::Serve(routed)) => routed,
        Ok(Route::Redirect { status, location, routed }) => {
            let why = format!("the rule redirects to {location}");
            return Ok(Explanation {
                site: Some(site(&routed)),
                ..answered(known, status.as_u16(), why)
            });
        }
        Ok(Route::Here) => {
            return Ok(answered(known, 204, "it may not be forwarded".to_owned()));
        }
        Err(failure) => {
            let (status, _) = failure.reply();
            let why = crate::stage::fail::sentence(failure).to_owned();
            return Ok(answered(known, status.unwrap_or(0), why));
        }
    };
    let found = looked_up(&asked, &routed, known);
    Ok(Explanation { site: Some(site(&routed)), ..found })
}
