//! What selects a stored response, beside what the standard says.

use super::{check_cookie, check_field, check_names, check_parameter};
use crate::check::{Check, Problems};
use serde::de::{self, Deserializer, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Fields that can't select, and what to do instead.
const REFUSED: [(&str, &[&str]); 5] = [
    ("names whole cookies; write those that matter in `cookies`", &["cookie"]),
    (
        "is for one client: a response to it is stored only where the origin says so",
        &["authorization", "proxy-authorization"],
    ),
    (
        "ends at the edge, so the origin can't answer by it",
        &[
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "expect",
            "content-length",
        ],
    ),
    (
        "is answered from the stored response, and not sent to the origin",
        &[
            "cache-control",
            "pragma",
            "range",
            "if-range",
            "if-match",
            "if-none-match",
            "if-modified-since",
            "if-unmodified-since",
        ],
    ),
    (
        "is written by the edge; `country` and `device` put that into the key, and the host is in it always",
        &[
            "host",
            "longshore-country",
            "longshore-device",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id",
            "via",
            "cdn-loop",
        ],
    ),
];

/// What of a request selects a stored response, beside its URL and what `Vary` names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = CacheKey))]
pub struct Key {
    /// Which parameters of the query count: `"all"`, `"none"`, or those that a list allows, or doesn't deny. What
    /// doesn't count is not sent to the origin. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Query>,
    /// Whether the order of parameters with different names doesn't count; the origin gets them sorted by name.
    /// Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort_query: Option<bool>,
    /// Fields whose values select, as if each response's `Vary` named them. At most 32. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<String>>,
    /// Cookies whose values select. At most 32. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookies: Option<Vec<String>>,
    /// Whether the client's country selects; the origin is told it in Longshore-Country. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<bool>,
    /// Whether the client's class of device selects; the origin is told it in Longshore-Device. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<bool>,
}

/// Which parameters of the query count. Names are compared as they stand in the URL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = CacheKeyQuery))]
pub enum Query {
    /// All of them, and the query as it came.
    #[default]
    All,
    /// None of them.
    None,
    /// Those with these names. At most 32.
    Allow(Vec<String>),
    /// Those without these names; one that ends in `*` stands for all that begin so. At most 32.
    Deny(Vec<String>),
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QueryVisitor)
    }
}

/// Reads a [`Query`], and says in words of the document what one looks like.
struct QueryVisitor;

impl<'de> Visitor<'de> for QueryVisitor {
    type Value = Query;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`\"all\"`, `\"none\"`, or an object with either `allow` or `deny`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Query, E> {
        match text {
            "all" => Ok(Query::All),
            "none" => Ok(Query::None),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Query, A::Error> {
        let wrong = || de::Error::invalid_value(Unexpected::Map, &Self);
        let read = match members.next_key::<String>()?.as_deref() {
            Some("allow") => Query::Allow(members.next_value()?),
            Some("deny") => Query::Deny(members.next_value()?),
            None => return Ok(Query::All),
            _ => return Err(wrong()),
        };
        if members.next_key::<String>()?.is_some() { Err(wrong()) } else { Ok(read) }
    }
}

impl Key {
    pub(super) fn or(self, fallback: Self) -> Self {
        Self {
            query: self.query.or(fallback.query),
            sort_query: self.sort_query.or(fallback.sort_query),
            headers: self.headers.or(fallback.headers),
            cookies: self.cookies.or(fallback.cookies),
            country: self.country.or(fallback.country),
            device: self.device.or(fallback.device),
        }
    }
}

impl Check for Key {
    fn check(&self, problems: &mut Problems) {
        problems.at("query", |problems| match &self.query {
            Some(Query::Allow(names)) => check_names("allow", Some(names), problems, check_exact),
            Some(Query::Deny(names)) => check_names("deny", Some(names), problems, check_parameter),
            None | Some(Query::All | Query::None) => {}
        });
        check_names("headers", self.headers.as_ref(), problems, check_selecting_field);
        check_names("cookies", self.cookies.as_ref(), problems, |name, problems| {
            check_cookie(name, problems);
            refuse_wildcard(name, problems);
        });
    }
}

fn check_exact(name: &str, problems: &mut Problems) {
    check_parameter(name, problems);
    refuse_wildcard(name, problems);
}

fn refuse_wildcard(name: &str, problems: &mut Problems) {
    if name.ends_with('*') {
        problems
            .add("must be one name: `*` stands for many in `deny` and `bypass` only", Some(&name));
    }
}

fn check_selecting_field(name: &str, problems: &mut Problems) {
    check_field(name, problems);
    let lowered = name.to_ascii_lowercase();
    if let Some((detail, _)) = REFUSED.iter().find(|(_, names)| names.contains(&lowered.as_str())) {
        problems.add(*detail, Some(&name));
    }
}
