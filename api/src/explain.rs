//! Why would a request be answered as it would? What an edge is asked at `POST /explain` of its admin address, and says.
//!
//! Nobody is asked and nothing is changed by an explanation: it is what the edge knows at that moment.

use crate::purge::Mode;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Field lines that one request may have.
pub const FIELDS_MAX: usize = 100;

/// A request to be explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// GET, HEAD, … Not CONNECT, whose target is no URL.
    #[serde(default = "get")]
    pub method: String,
    /// Scheme, host, path and query.
    pub url: String,
    /// Field lines, in order; at most [`FIELDS_MAX`]. No `Host`: the URL tells it.
    #[serde(default)]
    pub fields: Vec<FieldLine>,
    /// Whose request it is, where the site asks for the country. Default: nobody's.
    #[serde(default)]
    pub client: Option<IpAddr>,
}

fn get() -> String {
    "GET".to_owned()
}

/// A field line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldLine {
    /// `Accept`
    pub name: String,
    /// Its value; other than visible ASCII may have been replaced.
    pub value: String,
}

/// What would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered from the store.
    Hit,
    /// Answered from the store with what is stale, while it is fetched anew.
    StaleHit,
    /// The origin is asked whether what is stored still holds.
    Validate,
    /// The origin is asked.
    Miss,
    /// Another request's fetch is waited for, or read along with.
    Collapsed,
    /// The origin is asked, and nothing stored.
    Bypass,
    /// Answered here: a redirect, or a refusal.
    Answered,
}

/// The explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// When it was made: RFC 3339, UTC.
    pub now: String,
    /// What would happen.
    pub outcome: Outcome,
    /// Why, in a sentence.
    pub why: String,
    /// The status of an answer that is known already.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// Which site and rule the request is for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub site: Option<SiteFound>,
    /// Under which name it is looked up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<KeyFound>,
    /// What is stored.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stored: Option<StoredFound>,
}

/// The site and rule of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteFound {
    /// The site's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The path pattern of the rule; none for a path that no rule is for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// What the site calls the origin that would be asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<String>,
}

/// The name of a response in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFound {
    /// The `key` of `Cache-Status`: the beginning of the name's hash.
    pub hash: String,
    /// What the name is made of, in order.
    pub parts: Vec<String>,
}

/// A stored response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFound {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: Vec<FieldLine>,
    /// Bytes of its body; none while it is being filled.
    pub body_bytes: Option<u64>,
    /// When it was received, or validated last: RFC 3339, UTC.
    pub received: String,
    /// The request's fields that `Vary` names, and their values; none for one the request doesn't have.
    pub selected_by: Vec<(String, Option<String>)>,
    /// Whether the request selects it (RFC 9111 §4.1).
    pub selected: bool,
    /// The purge that selects it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub purged: Option<PurgedBy>,
    /// Its tags, as the origin wrote them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
    /// The arithmetic of RFC 9111 §4.2.
    pub freshness: FreshnessFound,
}

/// A purge that selects a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgedBy {
    /// Its number.
    pub seq: u64,
    /// Whether the response is gone, or stale.
    pub mode: Mode,
}

/// How fresh a stored response is. Seconds are whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshnessFound {
    /// How long it is fresh.
    pub lifetime_seconds: u64,
    /// What says so.
    pub lifetime_from: String,
    /// Its age when it was received.
    pub initial_age_seconds: u64,
    /// How long it has been here.
    pub resident_seconds: u64,
    /// Its age now.
    pub age_seconds: u64,
    /// How long it stays fresh, negative once stale.
    pub ttl_seconds: i64,
    /// How long after its lifetime it may be used while it is fetched anew.
    pub stale_while_revalidate_seconds: u64,
    /// How long after its lifetime it may be used where the origin fails.
    pub stale_if_error_seconds: u64,
    /// It is validated before each use.
    pub no_cache: bool,
    /// It may not be used stale.
    pub forbids_stale: bool,
}
