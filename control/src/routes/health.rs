//! `/healthz`, `/readyz`, `/metrics`: what those who watch over control ask, without a token.

use crate::clock::{Moment, now};
use crate::metrics::State;
use crate::problem::Error;
use crate::router::App;
use axum::extract;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the metrics wait for the database.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ask whether the process runs
#[utoipa::path(get, path = "/healthz", tag = "operation", operation_id = "health",
    responses((status = 200, description = "It runs.", body = String, content_type = "text/plain")))]
pub(crate) async fn health() -> &'static str {
    "ok\n"
}

/// Ask whether the database answers
#[utoipa::path(get, path = "/readyz", tag = "operation", operation_id = "readiness",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")))]
pub(crate) async fn ready(
    extract::State(app): extract::State<Arc<App>>,
) -> Result<&'static str, Error> {
    app.db.ping().await.map_err(Error::Unavailable)?;
    Ok("ready\n")
}

/// Read metrics
#[utoipa::path(get, path = "/metrics", tag = "operation", operation_id = "metrics",
    responses((status = 200, description = "Prometheus text format.", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(extract::State(app): extract::State<Arc<App>>) -> Response {
    let edges = timeout(PATIENCE, app.db.edges_since(Moment(i64::MIN)));
    let edges = edges.await.ok().and_then(Result::ok);
    let domains = timeout(PATIENCE, app.db.count_domains()).await.ok().and_then(Result::ok);
    let now = now();
    let certificates = timeout(PATIENCE, app.db.certificates_end(now));
    let certificates = certificates.await.ok().and_then(Result::ok);
    let state = State {
        newest: *app.db.newest().borrow(),
        connections: app.db.connections(),
        waiters: app.waiting.taken(),
        edges: edges.as_deref(),
        domains: domains.as_deref(),
        certificates: certificates.as_deref(),
        ack_limit: app.limits.ack_limit,
        now,
    };
    let text = app.metrics.render(&state);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
