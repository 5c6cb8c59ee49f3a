//! `/healthz`, `/readyz`, `/metrics`: what those who watch over control ask, without a token.

use crate::problem::Error;
use crate::router::App;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use std::sync::Arc;

/// Ask whether the process runs
#[utoipa::path(get, path = "/healthz", tag = "operation", operation_id = "health",
    responses((status = 200, description = "It runs.", body = String, content_type = "text/plain")))]
pub(crate) async fn health() -> &'static str {
    "ok\n"
}

/// Ask whether the database answers
#[utoipa::path(get, path = "/readyz", tag = "operation", operation_id = "readiness",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")))]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Error> {
    app.db.ping().await.map_err(Error::Unavailable)?;
    Ok("ready\n")
}

/// Read metrics
#[utoipa::path(get, path = "/metrics", tag = "operation", operation_id = "metrics",
    responses((status = 200, description = "Prometheus text format.", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let newest = *app.db.newest().borrow();
    let text = app.metrics.render(newest, app.db.connections());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
