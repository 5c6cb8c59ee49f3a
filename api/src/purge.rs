//! Purging: what an operator asks, and what edges are told.
//!
//! What people ask for is a [`PurgeRequest`], a [`RevalidateRequest`] or a [`WarmRequest`]. Each becomes one entry of
//! the feed, whatever it selects, and its number is what its [`PurgeStatus`] is asked by.

mod request;
mod status;

use crate::id::SiteId;
pub use request::{
    PURGE_BODY_MAX_BYTES, PURGE_SELECTORS_MAX, PurgeRequest, REFETCH_MAX, REGION_FORM,
    RevalidateRequest, TAG_MAX_BYTES, URL_MAX_BYTES, WAIT_MAX_MS, WARM_RATE_MAX, WARM_URLS_MAX,
    Wait, WarmRequest, is_region,
};
use serde::{Deserialize, Serialize};
pub use status::{
    EdgeProgress, EdgePurge, EdgeStanding, Kind, Progress, PurgeAccepted, PurgePage, PurgeRecord,
    PurgeStatus, SelectorCounts,
};

/// What becomes of the responses that a purge selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Mode {
    /// They are gone: never used again, not when the origin fails either.
    #[default]
    Hard,
    /// They are stale: used while a new one is fetched, and when the origin fails.
    Soft,
}

impl Mode {
    /// Whether it is the one that is meant where none is named.
    #[must_use]
    pub fn is_hard(&self) -> bool {
        *self == Self::Hard
    }
}

/// A purge in the feed. What it selects was stored by a fetch that began before the purge's sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Whose stored responses are purged; never another's.
    pub site_id: SiteId,
    /// Which of them.
    pub selector: Selector,
    /// What becomes of them.
    #[serde(default, skip_serializing_if = "Mode::is_hard")]
    pub mode: Mode,
    /// The regions whose edges it concerns; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// How many of the responses it selects each edge fetches again, those asked for most first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refetch: u32,
}

/// A question in the feed: how many stored responses would a purge select? Edges answer in their reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Whose stored responses are counted.
    pub site_id: SiteId,
    /// Which of them.
    pub selector: Selector,
    /// The regions whose edges it concerns; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
}

/// A task in the feed: fetch what clients will ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warm {
    /// The site that is asked.
    pub site_id: SiteId,
    /// Absolute URLs under the site's hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Absolute URLs, under the site's hosts, of sitemaps that name further ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sitemaps: Vec<String>,
    /// Requests a second of each edge, at most.
    pub rate: u32,
    /// The regions whose edges it concerns; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
}

/// Which stored responses of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// All.
    Everything,
    /// Those that any of these selects.
    Any(Selectors),
}

/// Selectors of stored responses; a response is selected that any of them selects.
///
/// A kind of selector that isn't known makes a purge one that can't be understood, so that no edge confirms what it didn't do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selectors {
    /// Tags of `Cache-Tag`, `Surrogate-Key` or `xkey`, without regard to the case of ASCII letters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// URLs, all variants of each: `https://HOST/PATH`, or `/PATH` for all hosts of the site. The scheme doesn't count.
    /// One with a query selects this query; one without selects the path with any query and with none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Beginnings of URLs, up to any character of the path: `https://HOST/PATH`, or `/PATH` for all hosts of the site.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// Hosts of the site, with the port where it isn't the scheme's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
