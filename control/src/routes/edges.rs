//! `/v1/edges`: what edges say of themselves.

use crate::clock::{Moment, now};
use crate::db::edges::{EDGES_MAX, Reported};
use crate::input::{self, Call, Format};
use crate::problem::Error;
use crate::router::App;
use api::edge::{AWAY_SECONDS, EdgeList, EdgeReport, EdgeStatus, REJECTED_MAX};
use api::id::{EdgeId, LogId};
use api::problem::FieldProblem;
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
    let kept = app.db.report_edge(&id, &report, now()).await?;
    if kept { Ok(StatusCode::NO_CONTENT) } else { Err(Error::Edges(EDGES_MAX)) }
}

fn problems(report: &EdgeReport) -> Vec<FieldProblem> {
    let long = |field: &str, text: &str| {
        let detail = format!("must be at most {TEXT_MAX_BYTES} bytes long");
        let problem = FieldProblem { field: field.to_owned(), detail, value: None };
        (text.len() > TEXT_MAX_BYTES).then_some(problem)
    };
    let many = (report.rejected.len() > REJECTED_MAX).then(|| FieldProblem {
        field: "rejected".to_owned(),
        detail: format!("must be at most {REJECTED_MAX} sites"),
        value: None,
    });
    let texts = [
        long("http_address", &report.http_address),
        long("admin_address", &report.admin_address),
        long("software_version", &report.software_version),
    ];
    texts.into_iter().flatten().chain(many).collect()
}

/// List edges
#[utoipa::path(get, path = "/v1/edges", tag = "edges", operation_id = "listEdges",
    responses((status = 200, description = "Every edge that reported in the last 30 days.", body = EdgeList)),
    security(("token" = ["sites:read"])))]
pub(crate) async fn list(State(app): State<Arc<App>>, call: Call) -> Result<Json<EdgeList>, Error> {
    call.allow(Scope::SitesRead, &[])?;
    let reported = app.db.edges().await?;
    let newest = app.db.read_newest().await?;
    let now = now();
    let edges = reported.into_iter().map(|edge| status(edge, app.db.log(), newest, now));
    Ok(Json(EdgeList { edges: edges.collect() }))
}

fn status(edge: Reported, log: &LogId, newest: u64, now: Moment) -> EdgeStatus {
    let follows = edge.report.log.as_ref() == Some(log);
    let adopted = if follows { edge.report.adopted } else { 0 };
    EdgeStatus {
        id: edge.id,
        lag: newest.saturating_sub(adopted),
        newest,
        last_seen: edge.last_seen.rfc3339(),
        stalled: false,
        connected: edge.last_seen > now.before(Duration::from_secs(AWAY_SECONDS)),
        report: edge.report,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(log: Option<&str>, adopted: u64, seen: i64, expected: (u64, bool)) {
        let ours: LogId = "log_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap();
        let report = EdgeReport {
            http_address: String::new(),
            admin_address: String::new(),
            software_version: String::new(),
            log: log.map(|log| log.parse().unwrap()),
            adopted,
            rejected: Vec::new(),
            region: None,
            progress: Vec::new(),
        };
        let id = "edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap();
        let edge = Reported { id, report, last_seen: Moment(seen) };
        let status = status(edge, &ours, 9, Moment(100_000));
        assert_eq!((status.lag, status.connected), expected);
    }

    #[test]
    fn lag_counts_in_our_log_and_silence_is_absence() {
        let ours = Some("log_01J9Z3K8Q4W5E6R7T8Y9V0B1N2");
        check(ours, 7, 100_000, (2, true));
        check(ours, 9, 80_001, (0, true));
        check(ours, 9, 80_000, (0, false));
        check(ours, 11, 100_000, (0, true));
        check(None, 9, 100_000, (9, true));
        check(Some("log_11J9Z3K8Q4W5E6R7T8Y9V0B1N2"), 9, 100_000, (9, true));
    }
}
