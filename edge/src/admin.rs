//! What operators and their tools ask of this edge: metrics, health, what is stored. On an address of its own, not the
//! clients'.

mod cache;
pub(crate) mod query;
mod statistics;

use crate::cache::Cache;
use crate::explain::Known;
use crate::slices::Slices;
use crate::snapshot::{Current, Snapshot};
use crate::telemetry::Telemetry;
use crate::uncacheable::Uncacheable;
use crate::{clock, explain, purges};
use api::explain::ExplainRequest;
use api::problem::ProblemDetails;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::sync::Arc;

/// What the answers are made from.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) current: Current,
    pub(crate) cache: &'static Cache,
    pub(crate) slices: &'static Slices,
    pub(crate) uncacheable: &'static Uncacheable,
    /// Held while pages of what is stored are made, one at a time.
    pub(crate) listing: Arc<tokio::sync::Mutex<()>>,
}

/// `/metrics`, `/healthz`, `/readyz`, `/explain` and `/cache/…`.
pub(crate) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/explain", post(explained))
        .route("/cache/stats", get(cache::statistics))
        .route("/cache/list", get(cache::listed))
        .route("/cache/inspect", get(cache::inspected))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let store = &admin.cache.store;
    let purges = i64::try_from(purges::held(&admin.current.load())).unwrap_or(i64::MAX);
    admin.telemetry.metrics.purges.held.set(purges);
    match admin.telemetry.metrics.text(&store.statistics(), store.limits()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn explained(
    State(admin): State<Admin>,
    request: Result<Json<ExplainRequest>, JsonRejection>,
) -> Response {
    let Json(request) = match request {
        Ok(request) => request,
        Err(rejection) => {
            let problem = ProblemDetails::new(rejection.status().as_u16(), "This is no request.");
            return refused(problem.detail(rejection.body_text()));
        }
    };
    let snapshot = admin.current.load();
    match explain::explain(&request, &admin.known(&snapshot)).await {
        Ok(explanation) => Json(explanation).into_response(),
        Err(errors) => {
            let problem = ProblemDetails::new(422, "The request can't be explained.");
            refused(ProblemDetails { errors, ..problem })
        }
    }
}

impl Admin {
    fn known<'k>(&'k self, snapshot: &'k Snapshot) -> Known<'k> {
        Known {
            snapshot,
            cache: self.cache,
            slices: self.slices,
            uncacheable: self.uncacheable,
            telemetry: &self.telemetry,
            now: clock::now(),
        }
    }
}

fn refused(problem: ProblemDetails) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, [(header::CONTENT_TYPE, api::problem::MEDIA_TYPE)], Json(problem)).into_response()
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    let snapshot = admin.current.load();
    if snapshot.adopted {
        (StatusCode::OK, format!("serving {} sites at {}\n", snapshot.sites, snapshot.applied))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no configuration was adopted yet\n".to_owned())
    }
}
