//! `/v1/edges`: what edges say of themselves.

use crate::clock::{Moment, now};
use crate::db::edges::{EDGES_MAX, Reported};
use crate::db::reports::Report;
use crate::input::{self, Call, Format};
use crate::problem::Error;
use crate::reports::Outcome;
use crate::router::App;
use crate::standing::{is_connected, is_stalled, lag_seconds};
use api::edge::{EdgeList, EdgeReport, EdgeStatus, PROGRESS_MAX, REJECTED_MAX};
use api::id::EdgeId;
use api::problem::FieldProblem;
use api::purge::{REGION_FORM, is_region};
use api::token::Scope;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

const TEXT_MAX_BYTES: usize = 255;

/// Report as an edge
///
/// Members that control does not know are passed over.
#[utoipa::path(put, path = "/v1/edges/{edge}", tag = "edges", operation_id = "reportEdge",
    params(("edge" = String, Path, description = "The id of the edge.")),
    request_body(content = EdgeReport, description = "At most 256 KiB."),
    responses((status = 204, description = "Control has the report.")),
    security(("token" = ["edge"])))]
pub(crate) async fn report(
    State(app): State<Arc<App>>,
    call: Call,
    path: Result<Path<EdgeId>, PathRejection>,
    body: Body,
) -> Result<StatusCode, Error> {
    call.allow(Scope::Edge, &[])?;
    let Path(id) = path.map_err(|_| Error::Missing("edge of this id"))?;
    Format::of(&call.headers, &[Format::Json])?;
    let report: EdgeReport = input::message(&input::body(&call.headers, body).await?)?;
    let problems = problems(&report);
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    match app.desk.hand_in(Report { id, report }).await {
        Outcome::Kept => Ok(StatusCode::NO_CONTENT),
        Outcome::Refused => Err(Error::Edges(EDGES_MAX)),
        Outcome::Failed => Err(Error::Report),
    }
}

fn problems(report: &EdgeReport) -> Vec<FieldProblem> {
    let long = |field: &str, text: &str| {
        let detail = format!("must be at most {TEXT_MAX_BYTES} bytes long");
        (text.len() > TEXT_MAX_BYTES).then(|| problem(field, detail))
    };
    let many = |field: &str, count: usize, max: usize, what: &str| {
        (count > max).then(|| problem(field, format!("must be at most {max} {what}")))
    };
    let region = report.region.as_deref().filter(|region| !is_region(region));
    let found = [
        long("http_address", &report.http_address),
        long("admin_address", &report.admin_address),
        long("software_version", &report.software_version),
        many("rejected", report.rejected.len(), REJECTED_MAX, "sites"),
        region.map(|_| problem("region", REGION_FORM.to_owned())),
        many("progress", report.progress.len(), PROGRESS_MAX, "numbers"),
    ];
    found.into_iter().flatten().collect()
}

fn problem(field: &str, detail: String) -> FieldProblem {
    FieldProblem { field: field.to_owned(), detail, value: None }
}

/// List edges
#[utoipa::path(get, path = "/v1/edges", tag = "edges", operation_id = "listEdges",
    responses((status = 200, description = "Every edge that reported in the last 30 days.", body = EdgeList)),
    security(("token" = ["sites:read"])))]
pub(crate) async fn list(State(app): State<Arc<App>>, call: Call) -> Result<Json<EdgeList>, Error> {
    call.allow(Scope::SitesRead, &[])?;
    let reported = app.db.reported().await?;
    let newest = app.db.read_newest().await?;
    let (limit, now) = (app.limits.ack_limit, now());
    let edges = reported.into_iter().map(|reported| status(reported, newest, limit, now));
    Ok(Json(EdgeList { edges: edges.collect() }))
}

fn status(
    Reported { edge, report }: Reported,
    newest: u64,
    limit: Duration,
    now: Moment,
) -> EdgeStatus {
    EdgeStatus {
        lag: newest.saturating_sub(edge.adopted),
        newest,
        last_seen: edge.last_seen.rfc3339(),
        connected: is_connected(&edge, now),
        stalled: is_stalled(&edge, limit, now),
        lag_seconds: lag_seconds(&edge, now),
        id: edge.id,
        report,
    }
}

/// Forget an edge
///
/// It is listed again when it reports again.
#[utoipa::path(delete, path = "/v1/edges/{edge}", tag = "edges", operation_id = "forgetEdge",
    params(("edge" = String, Path, description = "The id of the edge.")),
    responses((status = 204, description = "The edge is not listed any more.")),
    security(("token" = ["admin"])))]
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    call: Call,
    path: Result<Path<EdgeId>, PathRejection>,
) -> Result<StatusCode, Error> {
    call.allow(Scope::Admin, &[])?;
    let Path(id) = path.map_err(|_| Error::Missing("edge of this id"))?;
    let removed = app.db.remove_edge(&id).await?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(Error::Missing("edge of this id")) }
}
