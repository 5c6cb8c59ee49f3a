//! What edges tell control of themselves (`PUT /v1/edges/{id}`), and what control tells people of them.

use crate::id::{EdgeId, LogId, SiteId};
use crate::problem::FieldProblem;
use crate::purge::EdgeProgress;
use serde::{Deserialize, Serialize};

/// Seconds between two reports of an edge that has nothing new to say.
pub const REPORT_SECONDS: u64 = 5;
/// Seconds after its last report that an edge counts as away.
pub const AWAY_SECONDS: u64 = 20;
/// Rejected sites that one report names.
pub const REJECTED_MAX: usize = 100;
/// Numbered entries whose progress one report tells.
pub const PROGRESS_MAX: usize = 100;

/// An edge's state, sent after each adoption and every [`REPORT_SECONDS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EdgeReport {
    /// Where it serves HTTP: host and port.
    pub http_address: String,
    /// Where it serves HTTPS: host and port. Absent where it doesn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_address: Option<String>,
    /// Where its metrics and health are: host and port.
    pub admin_address: String,
    /// The version of its software.
    pub software_version: String,
    /// Which log `adopted` counts in; absent before the first contact.
    #[serde(default)]
    pub log: Option<LogId>,
    /// The sequence number up to which it has applied the feed.
    pub adopted: u64,
    /// Sites whose newest document it could not use, at most [`REJECTED_MAX`]; each serves on with its last good one.
    #[serde(default)]
    pub rejected: Vec<RejectedSite>,
    /// The region it is in, as its configuration says: lower-case letters, digits and hyphens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What it has done for numbered entries, at most [`PROGRESS_MAX`]; only those that changed since its last report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub progress: Vec<EdgeProgress>,
}

/// A site document that an edge could not use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RejectedSite {
    /// Which site.
    pub site_id: SiteId,
    /// The entry that carried the document.
    pub seq: u64,
    /// What is wrong with it.
    pub problems: Vec<FieldProblem>,
}

/// An edge as control knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EdgeStatus {
    /// Which edge.
    pub id: EdgeId,
    /// Its last report.
    #[serde(flatten)]
    pub report: EdgeReport,
    /// The newest sequence number of control's log.
    pub newest: u64,
    /// `newest` less `adopted`; all of `newest` for an edge that follows another log.
    pub lag: u64,
    /// When it last reported: RFC 3339, UTC.
    pub last_seen: String,
    /// Whether that was less than [`AWAY_SECONDS`] ago.
    pub connected: bool,
    /// Whether it reports, but has adopted nothing for too long though there was something: it is not waited for.
    #[serde(default)]
    pub stalled: bool,
    /// For how long it has reported that there is something it has not adopted, and adopted nothing; 0 where that isn't
    /// so.
    #[serde(default)]
    pub lag_seconds: u64,
}

/// Answer of `GET /v1/edges`: every edge that reported in the last 30 days, by id, at most 10,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EdgeList {
    /// The edges.
    pub edges: Vec<EdgeStatus>,
}
