//! `/v1/purges`: what became of what edges were asked.

use crate::db::purges::Work;
use crate::input::Call;
use crate::problem::Error;
use crate::router::App;
use crate::waiting;
use api::id::SiteId;
use api::purge::{PurgePage, PurgeRecord, PurgeStatus};
use api::token::Scope;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use std::sync::Arc;

const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 200;

/// Read what became of a purge
///
/// Of a revalidation, a warming or a dry run too, for 24 hours.
#[utoipa::path(get, path = "/v1/purges/{seq}", tag = "purges", operation_id = "readPurge",
    params(("seq" = u64, Path, description = "Its number in the feed.")),
    responses((status = 200, description = "How each edge stands to it.", body = PurgeStatus)),
    security(("token" = ["purge"]), ("token" = ["sites:read"])))]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    call: Call,
    path: Result<Path<u64>, PathRejection>,
) -> Result<Json<PurgeStatus>, Error> {
    call.allow_any([Scope::Purge, Scope::SitesRead], &[])?;
    let missing = || Error::Missing("purge of this number, or none of the last 24 hours");
    let Path(seq) = path.map_err(|_| missing())?;
    let work = app.db.work(seq).await?.ok_or_else(missing)?;
    Ok(Json(waiting::read_status(&app, work).await?))
}

/// List purges
///
/// Of the last 24 hours, revalidations, warmings and dry runs too. Pages follow each other by `before`.
#[utoipa::path(get, path = "/v1/purges", tag = "purges", operation_id = "listPurges",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Purges on a page at most; 50 where absent."),
        ("before" = Option<u64>, Query, description = "`next` of the page before."),
        ("site" = Option<String>, Query, description = "Only those of the site with this id.")),
    responses((status = 200, description = "The newest first.", body = PurgePage)),
    security(("token" = ["purge"]), ("token" = ["sites:read"])))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<PurgePage>, Error> {
    let query = call.allow_any([Scope::Purge, Scope::SitesRead], &["limit", "before", "site"])?;
    let in_range = |limit: &u32| (1..=PAGE_MAX).contains(limit);
    let limit = query.parse("limit", in_range, "a number from 1 to 200")?.unwrap_or(PAGE_DEFAULT);
    let before = query.parse("before", |_| true, "a number")?.unwrap_or(u64::MAX);
    let site: Option<SiteId> = query.parse("site", |_| true, "the id of a site")?;
    let mut works = app.db.works(site.as_ref(), before, limit + 1).await?;
    let more = works.len() > limit as usize;
    works.truncate(limit as usize);
    let next = works.last().map(|work| work.seq).filter(|_| more);
    Ok(Json(PurgePage { purges: works.into_iter().map(record).collect(), next }))
}

fn record(work: Work) -> PurgeRecord {
    PurgeRecord {
        seq: work.seq,
        kind: work.asked.kind,
        site_id: work.site_id,
        mode: work.asked.mode,
        selectors: work.asked.selectors,
        regions: work.asked.regions,
        created_at: work.created_at.rfc3339(),
    }
}
