//! Why would a request be answered as it would? The stages are asked as for a request, and nobody else is.

mod ask;
mod found;
mod inspect;
mod sliced;

pub(crate) use inspect::inspect;

use crate::cache::{self, Cache, Head};
use crate::clock::Now;
use crate::context::Routed;
use crate::slices::Slices;
use crate::snapshot::Snapshot;
use crate::stage::deliver::KeyText;
use crate::stage::fail;
use crate::stage::lookup::{self, Lookup};
use crate::stage::range;
use crate::stage::reuse::{self, Outcome as Reusable};
use crate::stage::route::{self, Route};
use crate::telemetry::Telemetry;
use crate::uncacheable::Uncacheable;
use api::explain::{ExplainRequest, Explanation, KeyFound, Outcome, SiteFound, StoredFound};
use api::problem::FieldProblem;
use ask::Asked;
use http::{Method, header};
use purge::Verdict as Purged;
use semantics::cache_status::Forward;
use semantics::directives::RequestDirectives;
use semantics::preconditions::{self, Representation, Verdict};
use semantics::range::Wanted;
use semantics::reuse::Reuse;
use store::Found;

/// What an explanation is made from.
pub(crate) struct Known<'e> {
    pub(crate) snapshot: &'e Snapshot,
    pub(crate) cache: &'e Cache,
    pub(crate) slices: &'e Slices,
    pub(crate) uncacheable: &'e Uncacheable,
    pub(crate) telemetry: &'e Telemetry,
    pub(crate) now: Now,
}

/// A request that is looked up.
struct Question<'q> {
    asked: &'q Asked,
    routed: &'q Routed,
    directives: RequestDirectives,
    name: Vec<u8>,
    hash: [u8; 16],
}

/// Explains a request.
///
/// # Errors
/// Every problem of what was asked.
pub(crate) async fn explain(
    request: &ExplainRequest,
    known: &Known<'_>,
) -> Result<Explanation, Vec<FieldProblem>> {
    let mut asked = Asked::read(request)?;
    let (method, uri) = (&asked.method, &asked.uri);
    let (entrance, snapshot) = (asked.entrance(), known.snapshot);
    let decided = route::decide(method, uri, &asked.fields, &asked.identity, entrance, snapshot);
    let expected = asked.take_expectation();
    Ok(match decided.and_then(|route| expected.map(|()| route)) {
        Ok(Route::Serve(routed)) => {
            asked.describe_client(request.client, &routed.rule.caching.key, known.telemetry);
            Explanation {
                site: Some(site(&routed, &asked)),
                ..known.looked_up(&asked, &routed).await
            }
        }
        Ok(Route::Redirect { status, location, routed }) => Explanation {
            site: Some(site(&routed, &asked)),
            status: Some(status.as_u16()),
            ..known.says(Outcome::Answered, format!("the rule redirects to {location}"))
        },
        Ok(Route::Upgrade { routed }) => Explanation {
            site: Some(site(&routed, &asked)),
            status: Some(308),
            ..known.says(Outcome::Answered, "the site redirects requests over plain HTTP to https")
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
            now: humantime::format_rfc3339_millis(self.now.wall).to_string(),
            outcome,
            why: why.into(),
            status: None,
            site: None,
            key: None,
            stored: None,
        }
    }

    async fn looked_up(&self, asked: &Asked, routed: &Routed) -> Explanation {
        let Asked { method, uri, fields, identity } = asked;
        let epoch = self.snapshot.epoch;
        let name = match lookup::decide(method, uri, fields, identity, routed, epoch) {
            Lookup::Named(name) => name,
            Lookup::Bypass { reason, detail } => {
                return self.says(Outcome::Bypass, bypass(reason, detail));
            }
        };
        let directives = RequestDirectives::read(fields, &routed.rule.caching.policy);
        let hash = cache::hash(&name);
        let question = Question { asked, routed, directives, name, hash };
        let found = match self.sliced(&question).await {
            Some(sliced) => sliced,
            None => self.found(&question).await,
        };
        let (hash, parts) = (KeyText::of(&hash).as_str().to_owned(), lookup::parts(&question.name));
        Explanation { key: Some(KeyFound { hash, parts }), ..found }
    }

    async fn found(&self, question: &Question<'_>) -> Explanation {
        let Question { asked, routed, name, .. } = question;
        let selected = self.cache.select(name, &asked.fields, Some(&routed.rule.caching.key)).await;
        if let Some((_, found)) = selected.response {
            return self.stored(question, &found);
        }
        let Some(first) = self.cache.store.find(&cache::first_variant(name), name).await else {
            return self.nothing(question, "nothing is stored under this name");
        };
        let first = (&*first.head, first.length);
        let stored = found::describe(question, &question.name, first, self.now.steady);
        let stored = Some(StoredFound { selected: false, ..stored });
        Explanation { stored, ..self.nothing(question, "no stored variant matches the request") }
    }

    fn nothing(&self, question: &Question<'_>, why: &str) -> Explanation {
        if question.directives.only_if_cached() {
            let why = format!("{why}, and the request takes nothing else");
            return Explanation { status: Some(504), ..self.says(Outcome::Answered, why) };
        }
        self.asks(question, Outcome::Miss, why)
    }

    /// The origin is asked: as it came for HEAD, else by one request for all, unless that has been in vain.
    fn asks(&self, question: &Question<'_>, outcome: Outcome, why: &str) -> Explanation {
        if question.asked.method == Method::HEAD {
            return self.says(Outcome::Miss, format!("{why}; HEAD is forwarded as it is"));
        }
        let Some(reason) = self.remembered(question) else { return self.says(outcome, why) };
        let why = format!(
            "{why}; the last response was not to be stored ({reason}), so it waits for nobody"
        );
        self.says(outcome, why)
    }

    /// Why the last response under this name was not stored.
    fn remembered(&self, question: &Question<'_>) -> Option<&'static str> {
        let authorized = question.asked.fields.contains_key(header::AUTHORIZATION);
        self.uncacheable.reason(question.hash, authorized)
    }

    /// What becomes of a request that selects this stored response.
    fn stored(&self, question: &Question<'_>, found: &Found<Head>) -> Explanation {
        let Question { asked, routed, directives, .. } = question;
        let kept = found.head.kept();
        let described = (&*found.head, found.length);
        let stored = Some(found::describe(question, &question.name, described, self.now.steady));
        let purged = routed.served.verdict(&question.name, &found.head);
        let decided = reuse::decide(kept, directives, purged, self.now.steady);
        let said = match decided {
            Reusable::Nothing | Reusable::Purged => {
                self.nothing(question, &format!("what is stored was purged{}", by(purged)))
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
                format!("the stored response is stale{}, and may be used while the origin is asked in the background", by(purged)),
            ),
            Reusable::Stored { reuse: Reuse::GatewayTimeout, .. } => self.nothing(
                question,
                "the stored response may not be used without asking the origin",
            ),
            Reusable::Stored { reuse: Reuse::Validate, .. } => {
                self.asks(question, Outcome::Validate, &self.why_asked(question, found, purged))
            }
        };
        let status = said.status.or_else(|| self.status(asked, found, said.outcome));
        Explanation { stored, status, ..said }
    }

    /// Why the origin is asked where something is stored, and what. A HEAD that is forwarded asks nothing of its own.
    fn why_asked(&self, question: &Question<'_>, found: &Found<Head>, purged: Purged) -> String {
        let is_purged = purged != Purged::Current;
        let why =
            found::why_not_used(found, &question.directives, is_purged, self.now.steady).to_owned();
        let why = why + &by(purged);
        if question.asked.method == Method::HEAD {
            return why;
        }
        format!("{why}; {}", found::validation(found))
    }

    /// The status of an answer from the store: 304 or 412 where the request has a condition (RFC 9110 §13.2.2), 206 or
    /// 416 where it wants a part.
    fn status(&self, asked: &Asked, found: &Found<Head>, outcome: Outcome) -> Option<u16> {
        if !matches!(outcome, Outcome::Hit | Outcome::StaleHit | Outcome::Collapsed) {
            return None;
        }
        let head = found.head.header_with(found.length);
        let status = head.status;
        let stored = Representation { status, head: &head.headers, response_time: self.now.wall };
        Some(match preconditions::evaluate(&asked.method, &asked.fields, &stored) {
            Verdict::Proceed => match range::decide(&asked.method, &asked.fields, &stored) {
                Some((Wanted::One(_) | Wanted::Many(_), _)) => 206,
                Some((Wanted::Unsatisfiable, _)) => 416,
                Some((Wanted::Whole, _)) | None => status.as_u16(),
            },
            Verdict::NotModified => 304,
            Verdict::PreconditionFailed => 412,
        })
    }
}

/// Which purge said so.
fn by(purged: Purged) -> String {
    match purged {
        Purged::Current => String::new(),
        Purged::Stale(seq) => format!(" by the soft purge {seq}"),
        Purged::Gone(seq) => format!(" by the purge {seq}"),
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
