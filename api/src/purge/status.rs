//! What became of a purge, and of other work that edges were told of through the feed.

use super::Mode;
use crate::id::{EdgeId, SiteId};
use serde::{Deserialize, Serialize};

/// The answer to a purge, a revalidation or a warming that was accepted. Edges that have adopted `seq` have it in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurgeAccepted {
    /// Its place in the feed.
    pub seq: u64,
}

/// What a numbered entry asks of edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Kind {
    /// Use what it selects no more.
    Purge,
    /// Count what it selects: a dry run.
    Count,
    /// Use what it selects as stale, and fetch some of it again.
    Revalidate,
    /// Fetch URLs.
    Warm,
}

/// How many selectors of each kind a request had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SelectorCounts {
    /// Tags.
    pub tags: u64,
    /// URLs.
    pub urls: u64,
    /// Beginnings of URLs.
    pub prefixes: u64,
    /// Hosts.
    pub hosts: u64,
    /// Whether all of the site was selected.
    pub everything: bool,
}

/// Answer of `GET /v1/purges/{seq}`, and of requests that waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurgeStatus {
    /// Its place in the feed.
    pub seq: u64,
    /// What was asked.
    pub kind: Kind,
    /// Whose stored responses it concerns.
    pub site_id: SiteId,
    /// What becomes of them.
    pub mode: Mode,
    /// By what they were selected.
    pub selectors: SelectorCounts,
    /// The regions whose edges it concerns; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// When it was accepted: RFC 3339, UTC.
    pub created_at: String,
    /// Whether every edge that is waited for has adopted it and done what it asks.
    pub complete: bool,
    /// Milliseconds from the acceptance until the last of the edges that adopted it said so; absent while one that is
    /// waited for has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_ms: Option<u64>,
    /// Stored responses that it has matched so far, at all edges.
    pub matched: u64,
    /// Each edge, by id.
    pub edges: Vec<EdgePurge>,
}

/// A purge, a dry run, a revalidation or a warming, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurgeRecord {
    /// Its place in the feed.
    pub seq: u64,
    /// What was asked.
    pub kind: Kind,
    /// Whose stored responses it concerns.
    pub site_id: SiteId,
    /// What becomes of them.
    pub mode: Mode,
    /// By what they were selected.
    pub selectors: SelectorCounts,
    /// The regions whose edges it concerns; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// When it was accepted: RFC 3339, UTC.
    pub created_at: String,
}

/// Answer of `GET /v1/purges`: the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurgePage {
    /// At most as many as were asked for.
    pub purges: Vec<PurgeRecord>,
    /// While there are further ones: the `before` of the page that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// How an edge stands to an entry of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EdgeStanding {
    /// It has adopted the entry, and done what it asks.
    Done,
    /// It has adopted the entry, and is doing what it asks.
    Working,
    /// It has not adopted the entry yet, and is waited for.
    Waiting,
    /// It reports, but has adopted nothing for too long: it is not waited for.
    Stalled,
    /// It has not reported for too long: it is not waited for. It adopts the entry when control reaches it again.
    Away,
    /// It is in none of the entry's regions.
    Elsewhere,
}

/// An edge, and an entry of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EdgePurge {
    /// Which edge.
    pub id: EdgeId,
    /// Its region, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How it stands.
    pub standing: EdgeStanding,
    /// Milliseconds from the acceptance until it said that it had adopted the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_ms: Option<u64>,
    /// What it has done; absent where it has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// What an edge has done for a numbered entry; part of its report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EdgeProgress {
    /// The entry's number.
    pub seq: u64,
    /// What was done so far.
    #[serde(flatten)]
    pub progress: Progress,
}

/// What an edge has done so far for a numbered entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// Stored responses that it has matched. Of a purge, these are counted when they are met: by requests, and by a pass
    /// over what is stored.
    pub matched: u64,
    /// Responses to fetch.
    pub to_fetch: u64,
    /// Of these, fetched.
    pub fetched: u64,
    /// Of these, not to be had: the exchange failed, or the status was 400 or higher.
    pub failed: u64,
    /// Bytes of the bodies fetched.
    pub bytes: u64,
    /// Whether nothing more is to come.
    pub finished: bool,
}
