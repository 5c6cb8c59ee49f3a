//! Purging: what an operator asks, and what edges are told.

use crate::id::SiteId;
use serde::{Deserialize, Serialize};

/// A request to purge stored responses of one site.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurgeRequest {
    /// Everything stored for the site. Must be true: there is no narrower selector yet.
    pub everything: bool,
}

impl crate::check::Check for PurgeRequest {
    fn check(&self, problems: &mut crate::check::Problems) {
        if !self.everything {
            problems
                .at("everything", |problems| problems.add("must be true", Some(&self.everything)));
        }
    }
}

/// The answer to a purge that was accepted. Edges that have adopted `seq` serve nothing older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurgeAccepted {
    /// The purge's place in the feed.
    pub seq: u64,
}

/// A purge in the feed. What it selects was stored by a fetch that began before the purge's sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Whose stored responses are purged; never another's.
    pub site_id: SiteId,
    /// Which of them.
    pub selector: Selector,
}

/// Which stored responses of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// All.
    Everything,
}
