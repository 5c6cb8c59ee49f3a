//! What operators and their tools ask of this edge: metrics and health. On an address of its own, not the clients'.

use crate::cache::Cache;
use crate::snapshot::Current;
use crate::telemetry::Telemetry;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// What the answers are made from.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) current: Current,
    pub(crate) cache: &'static Cache,
}

/// `/metrics`, `/healthz` and `/readyz`.
pub(crate) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let store = &admin.cache.store;
    match admin.telemetry.metrics.text(store.statistics(), store.limits().capacity_bytes) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    let snapshot = admin.current.load();
    if snapshot.adopted {
        (StatusCode::OK, format!("serving {} sites at {}\n", snapshot.sites, snapshot.applied))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no configuration was adopted yet\n".to_owned())
    }
}
