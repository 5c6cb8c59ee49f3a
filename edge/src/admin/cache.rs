//! What is stored: `/cache/stats`, `/cache/list` and `/cache/inspect`.

use super::query::Query;
use super::{Admin, refused, statistics as numbers};
use crate::listing::Listing;
use crate::{clock, explain};
use api::explain::{ExplainRequest, FieldLine};
use api::problem::{FieldProblem, ProblemDetails};
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

pub(super) async fn statistics(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    match Query::read(query.as_deref(), &[]).end(()) {
        Ok(()) => Json(numbers::of(&admin.cache.store, admin.slices)).into_response(),
        Err(errors) => wrong(errors),
    }
}

/// A page passes over a whole tier, so it is made where nobody waits, and by one at a time.
pub(super) async fn listed(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let snapshot = admin.current.load_full();
    let listing = match Listing::read(query.as_deref(), &snapshot) {
        Ok(listing) => listing,
        Err(errors) => return wrong(errors),
    };
    let turn = Arc::clone(&admin.listing).lock_owned().await;
    let store = admin.cache.store.clone();
    let runtime = tokio::runtime::Handle::current();
    let page = tokio::task::spawn_blocking(move || {
        let page = runtime.block_on(listing.page(&store, &snapshot, clock::now()));
        drop(turn);
        page
    });
    match page.await {
        Ok(page) => Json(page).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page of what is stored could not be made");
            refused(ProblemDetails::new(500, "The page could not be made."))
        }
    }
}

pub(super) async fn inspected(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let snapshot = admin.current.load();
    let asked = asked(Query::read(query.as_deref(), &["url", "field"]));
    let known = admin.known(&snapshot);
    let inspection = match asked {
        Ok(request) => explain::inspect(&request, &known).await,
        Err(errors) => Err(errors),
    };
    match inspection {
        Ok(inspection) => Json(inspection).into_response(),
        Err(errors) => wrong(errors),
    }
}

/// A GET for the `url`, with each `field` a line `Name: value`.
fn asked(mut query: Query) -> Result<ExplainRequest, Vec<FieldProblem>> {
    let url = query.one("url").unwrap_or_default();
    let mut fields = Vec::new();
    for line in query.all("field") {
        match line.split_once(':') {
            Some((name, value)) => fields
                .push(FieldLine { name: name.trim().to_owned(), value: value.trim().to_owned() }),
            None => query.refuse("field", "must be `Name: value`".to_owned(), Some(&line)),
        }
    }
    query.end(ExplainRequest { method: "GET".to_owned(), url, fields, client: None })
}

fn wrong(errors: Vec<FieldProblem>) -> Response {
    let problem = ProblemDetails::new(422, "This can't be answered.");
    refused(ProblemDetails { errors, ..problem })
}
