//! Bodies of `/v1/sites`.

use crate::id::SiteId;
use crate::site::Site;
use serde::{Deserialize, Serialize};

/// Sites on a page where the request names no `limit`.
pub const PAGE_DEFAULT: u32 = 50;
/// The largest `limit`.
pub const PAGE_MAX: u32 = 200;

/// A site as control holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SiteRecord {
    /// Which site.
    pub id: SiteId,
    /// Counts the documents this site has had, from 1. The `ETag` of the site is this number in quotes.
    pub revision: u64,
    /// The place in the feed of its newest document: an edge that has adopted this number serves by it.
    pub seq: u64,
    /// When it was made: RFC 3339, UTC.
    pub created_at: String,
    /// When its newest document was put: RFC 3339, UTC.
    pub updated_at: String,
    /// What the operator wrote.
    pub site: Site,
}

/// Answer of `GET /v1/sites?limit=&after=&name=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SitePage {
    /// Sites in the order they were made.
    pub sites: Vec<SiteRecord>,
    /// What to pass as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<SiteId>,
}
