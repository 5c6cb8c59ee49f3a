//! Why would a request be answered as it would? The stages are asked as for a request, and nobody else is.

mod ask;
mod found;

use crate::cache::{self, Cache, Head};
use crate::context::Routed;
use crate::snapshot::Snapshot;
use crate::stage::deliver::KeyText;
use crate::stage::fail;
use crate::stage::lookup::{self, Lookup};
use crate::stage::reuse::{self, Outcome as Reusable};
use crate::stage::route::{self, Route};
use crate::telemetry::Telemetry;
use api::explain::{ExplainRequest, Explanation, KeyFound, Outcome, SiteFound, StoredFound};
use api::problem::FieldProblem;
use ask::Asked;
use semantics::cache_status::Forward;
use semantics::directives::RequestDirectives;
use semantics::preconditions::{self, Representation, Verdict};
use semantics::reuse::Reuse;
use std::time::SystemTime;
use store::Found;

/// What an explanation is made from.
pub(crate) struct Known<'e> {
    pub(crate) snapshot: &'e Snapshot,
    pub(crate) cache: &'e Cache,
    pub(crate) telemetry: &'e Telemetry,
    pub(crate) now: SystemTime,
}

/// Explains a request.
///
/// # Errors
/// Every problem of what was asked.
pub(crate) fn explain(
    request: &ExplainRequest,
    known: &Known<'_>,
) -> Result<Explanation, Vec<FieldProblem>> {
    let mut asked = Asked::read(request)?;
    let (method, uri) = (&asked.method, &asked.uri);
    let decided = route::decide(method, uri, &asked.fields, &asked.identity, known.snapshot);
    Ok(match decided {
        Ok(Route::Serve(routed)) => {
            asked.describe_client(request.client, &routed.rule.caching.key, known.telemetry);
            Explanation { site: Some(site(&routed, &asked)), ..known.looked_up(&asked, &routed) }
        }
        Ok(Route::Redirect { status, location, routed }) => Explanation {
            site: Some(site(&routed, &asked)),
            status: Some(status.as_u16()),
            ..known.says(Outcome::Answered, format!("the rule redirects to {location}"))
        },
        Ok(Route::Here) => known.says(Outcome::Answered, "it may not be forwarded any further"),
        Err(failure) => Explanation {
            status: failure.reply().0,
            ..known.says(Outcome::Answered, fail::sentence(failure))
        },
    })
}

fn site(routed: &Routed, asked: &Asked) -> SiteFound {
    let site = &routed.served.site;
    SiteFound {
        id: site.id.to_string(),
        name: site.name.to_string(),
        rule: site.pattern(asked.uri.path()).map(ToString::to_string),
        origin: routed.rule.origin.as_ref().map(|origin| origin.name.to_string()),
    }
}

impl Known<'_> {
    fn says(&self, outcome: Outcome, why: impl Into<String>) -> Explanation {
        Explanation {
            now: humantime::format_rfc3339_millis(self.now).to_string(),
            outcome,
            why: why.into(),
            status: None,
            site: None,
            key: None,
            stored: None,
        }
    }

    fn looked_up(&self, asked: &Asked, routed: &Routed) -> Explanation {
        let Asked { method, uri, fields, identity } = asked;
        let epoch = self.snapshot.epoch;
        let name = match lookup::decide(method, uri, fields, identity, routed, epoch) {
            Lookup::Named(name) => name,
            Lookup::Bypass { reason, detail } => {
                return self.says(Outcome::Bypass, bypass(reason, detail));
            }
        };
        let found = self.found(asked, routed, &name);
        let (hash, parts) =
            (KeyText::of(&cache::hash(&name)).as_str().to_owned(), lookup::parts(&name));
        Explanation { key: Some(KeyFound { hash, parts }), ..found }
    }

    fn found(&self, asked: &Asked, routed: &Routed, name: &[u8]) -> Explanation {
        let directives = RequestDirectives::read(&asked.fields, &routed.rule.caching.policy);
        let selected = self.cache.select(name, &asked.fields, Some(&routed.rule.caching.key));
        if let Some((_, found)) = selected.response {
            return self.stored(asked, routed, &directives, &found);
        }
        let Some(first) = self.cache.store.find(&cache::first_variant(name), name) else {
            return self.nothing(&directives, "nothing is stored under this name");
        };
        let stored = found::describe(asked, routed, &first, self.now);
        let stored = Some(StoredFound { selected: false, ..stored });
        Explanation { stored, ..self.nothing(&directives, "no stored variant matches the request") }
    }

    fn nothing(&self, directives: &RequestDirectives, why: &str) -> Explanation {
        if directives.only_if_cached() {
            let why = format!("{why}, and the request takes nothing else");
            return Explanation { status: Some(504), ..self.says(Outcome::Answered, why) };
        }
        self.says(Outcome::Miss, why)
    }

    /// What becomes of a request that selects this stored response.
    fn stored(
        &self,
        asked: &Asked,
        routed: &Routed,
        directives: &RequestDirectives,
        found: &Found<Head>,
    ) -> Explanation {
        let kept = found.head.kept();
        let stored = Some(found::describe(asked, routed, found, self.now));
        let decided = reuse::decide(kept, directives, routed.served.horizon, self.now);
        let said = match decided {
            Reusable::Nothing | Reusable::Purged => {
                self.nothing(directives, "what is stored was purged")
            }
            Reusable::Stored { reuse: Reuse::Fresh | Reuse::Stale, .. } if found.length.is_none() => {
                self.says(Outcome::Collapsed, "it is being filled, and read along with")
            }
            Reusable::Stored { reuse: Reuse::Fresh, .. } => {
                self.says(Outcome::Hit, "the stored response is fresh")
            }
            Reusable::Stored { reuse: Reuse::Stale, .. } => {
                self.says(Outcome::Hit, "the stored response is stale, and the request takes it so")
            }
            Reusable::Stored { reuse: Reuse::WhileRevalidating, .. } => self.says(
                Outcome::StaleHit,
                "the stored response is stale, and may be used while the origin is asked in the background",
            ),
            Reusable::Stored { reuse: Reuse::GatewayTimeout, .. } => self.nothing(
                directives,
                "the stored response may not be used without asking the origin",
            ),
            Reusable::Stored { reuse: Reuse::Validate, .. } => {
                self.says(Outcome::Validate, found::why_validated(found, directives, self.now))
            }
        };
        let status = said.status.or_else(|| self.status(asked, found, said.outcome));
        Explanation { stored, status, ..said }
    }

    /// The status of an answer from the store: 304 or 412 where the request has a condition (RFC 9110 §13.2.2).
    fn status(&self, asked: &Asked, found: &Found<Head>, outcome: Outcome) -> Option<u16> {
        if !matches!(outcome, Outcome::Hit | Outcome::StaleHit | Outcome::Collapsed) {
            return None;
        }
        let (status, head) = (found.head.status(), found.head.fields());
        let stored = Representation { status, head, response_time: self.now };
        Some(match preconditions::evaluate(&asked.method, &asked.fields, &stored) {
            Verdict::Proceed => status.as_u16(),
            Verdict::NotModified => 304,
            Verdict::PreconditionFailed => 412,
        })
    }
}

fn bypass(reason: Forward, detail: Option<&'static str>) -> String {
    match (reason, detail) {
        (Forward::Method, _) => "only GET and HEAD are answered from the store".to_owned(),
        (_, Some("upgrade")) => "it asks for an upgrade".to_owned(),
        (_, Some("request-body")) => "it has a body, by which the origin may answer".to_owned(),
        (_, Some(had)) => format!("the rule forwards requests that have such a {had}"),
        (_, None) => "caching is off for this path".to_owned(),
    }
}

#[cfg(test)]
mod tests;
