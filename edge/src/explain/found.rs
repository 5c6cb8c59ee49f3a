//! A stored response, as an explanation shows it.

use super::Question;
use crate::cache::Head;
use crate::clock::Steady;
use crate::listing::purged_by;
use crate::stage::reuse::Kept;
use api::explain::{FieldLine, FreshnessFound, StoredFound};
use http::{HeaderMap, header};
use pingora_http::ResponseHeader;
use route::Rule;
use semantics::directives::RequestDirectives;
use semantics::freshness::{Basis, basis};
use std::time::Duration;
use store::Found;

pub(super) fn describe(
    question: &Question<'_>,
    name: &[u8],
    (head, length): (&Head, Option<u64>),
    now: Steady,
) -> StoredFound {
    let Question { asked, routed, .. } = question;
    let header = head.header();
    let lines = header.headers.iter();
    StoredFound {
        status: head.status().as_u16(),
        fields: lines.map(|(name, value)| line(name.as_str(), value.as_bytes())).collect(),
        body_bytes: length,
        received: humantime::format_rfc3339_millis(head.kept().received.wall).to_string(),
        selected_by: selected_by(head.selecting(), &asked.fields),
        selected: true,
        purged: purged_by(routed.served.verdict(name, head)),
        tags: head.tag_texts(),
        freshness: freshness(head.kept(), &header, &routed.rule, now),
    }
}

fn line(name: &str, value: &[u8]) -> FieldLine {
    FieldLine { name: name.to_owned(), value: text(value) }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// The fields that the stored `Vary` names, and what the request has there.
fn selected_by(stored: &HeaderMap, request: &HeaderMap) -> Vec<(String, Option<String>)> {
    let lines = stored.get_all(header::VARY).iter().filter_map(|line| line.to_str().ok());
    let names =
        lines.flat_map(|line| line.split(',')).map(str::trim).filter(|name| !name.is_empty());
    let value = |name: &str| {
        let lines: Vec<_> =
            request.get_all(name).iter().map(|line| text(line.as_bytes())).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    };
    names.map(|name| (name.to_owned(), value(name))).collect()
}

fn freshness(kept: Kept, header: &ResponseHeader, rule: &Rule, now: Steady) -> FreshnessFound {
    let (freshness, resident) = (kept.freshness, kept.resident(now));
    FreshnessFound {
        lifetime_seconds: freshness.lifetime().as_secs(),
        lifetime_from: lifetime_from(kept, header, rule),
        initial_age_seconds: freshness.age(Duration::ZERO).as_secs(),
        resident_seconds: resident.as_secs(),
        age_seconds: freshness.age(resident).as_secs(),
        ttl_seconds: freshness.ttl(resident),
        stale_while_revalidate_seconds: freshness.stale_while_revalidate().as_secs(),
        stale_if_error_seconds: freshness.stale_if_error().as_secs(),
        no_cache: freshness.validates_always(),
        forbids_stale: freshness.forbids_stale(),
    }
}

/// By the rule as it is now, which may have been another when the response was stored.
fn lifetime_from(kept: Kept, header: &ResponseHeader, rule: &Rule) -> String {
    let policy = &rule.caching.policy;
    let (basis, field) = basis(header.status, &header.headers, policy, kept.received.wall);
    match basis {
        None => "nothing: the response says nothing of it, nor does the rule".to_owned(),
        Some(Basis::Policy) => "the rule's cache.lifetime_seconds".to_owned(),
        Some(Basis::SMaxage) => format!("s-maxage in {field}"),
        Some(Basis::MaxAge) => format!("max-age in {field}"),
        Some(Basis::Expires) => "expires less date".to_owned(),
        Some(Basis::PolicyForStatus) => "the rule's cache.status_lifetimes_seconds".to_owned(),
        Some(Basis::PolicyDefault) => "the rule's cache.default_lifetime_seconds".to_owned(),
        Some(Basis::Heuristic) => "a tenth of the time since last-modified".to_owned(),
    }
}

/// Why a stored response isn't used without asking the origin.
pub(super) fn why_not_used(
    found: &Found<Head>,
    directives: &RequestDirectives,
    is_purged: bool,
    now: Steady,
) -> &'static str {
    let kept = found.head.kept();
    if kept.freshness.validates_always() {
        "the stored response says no-cache"
    } else if is_purged {
        "the stored response is made stale"
    } else if kept.freshness.ttl(kept.resident(now)) <= 0 {
        "the stored response is stale"
    } else if directives.are_absent() {
        "the stored response may not be used as it is"
    } else {
        "the stored response is fresh, but not enough for the request's own directives"
    }
}

/// What the origin is asked before a stored response is used.
pub(super) fn validation(found: &Found<Head>) -> &'static str {
    let fields = &found.head.header().headers;
    if fields.contains_key(header::ETAG) || fields.contains_key(header::LAST_MODIFIED) {
        "the origin is asked whether it still holds"
    } else {
        "it has no validator, so the origin is asked for a new one"
    }
}
