//! `/v1/sites/{site}/purge`: stored responses that are not to be used any more.

use crate::db::feed::Subject;
use crate::db::idempotency::Given;
use crate::db::sites::SiteRef;
use crate::idempotent;
use crate::input::{self, Call, Format};
use crate::problem::Error;
use crate::router::App;
use api::feed;
use api::purge::{Purge, PurgeAccepted, PurgeRequest};
use api::token::Scope;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Purge a site
///
/// Edges that have adopted the number in the answer serve nothing that was fetched before.
#[utoipa::path(post, path = "/v1/sites/{site}/purge", tag = "sites", operation_id = "purgeSite",
    params(("site" = String, Path, description = "The id or the name of a site."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "Sent again with the same request, gives the same answer again for 24 hours; only successes are kept.")),
    request_body = PurgeRequest,
    responses((status = 202, description = "The purge is in the feed.", body = PurgeAccepted)),
    security(("token" = ["purge"])))]
pub(crate) async fn purge(
    State(app): State<Arc<App>>,
    call: Call,
    site: SiteRef,
    body: Body,
) -> Result<Response, Error> {
    call.allow(Scope::Purge, &[])?;
    let format = Format::of(&call.headers, &[Format::Json])?;
    let body = input::body(&call.headers, body).await?;
    let attempt = app.in_flight.enter(&call, &body)?;
    let request: PurgeRequest = input::document(format, body).await?;
    let mut change = app.db.change().await?;
    if let Some(attempt) = &attempt
        && let Some(given) = attempt.earlier(&mut change).await?
    {
        return Ok(idempotent::response(given));
    }
    let site_id = change.site(&site).await?.ok_or(Error::Missing("such site"))?.id;
    let purge = Purge {
        site_id: site_id.clone(),
        mode: request.mode,
        regions: request.regions.clone(),
        selector: request.into_selector(),
        refetch: 0,
    };
    let subject = Subject::Purge(&site_id, change.seq());
    change.tell(subject, feed::Change::Purge(purge)).await?;
    let body = idempotent::json(&PurgeAccepted { seq: change.seq() });
    let given = Given { status: StatusCode::ACCEPTED.as_u16(), headers: Vec::new(), body };
    if let Some(attempt) = &attempt {
        attempt.keep(&mut change, &given).await?;
    }
    change.commit().await?;
    Ok(idempotent::response(given))
}
