//! How is a request that edges are to act on taken? Checked, put into the feed with a number, and waited for.

use crate::asker::Asker;
use crate::clock::now;
use crate::db;
use crate::db::feed::Subject;
use crate::db::idempotency::Given;
use crate::db::purges::Asked;
use crate::db::sites::SiteRef;
use crate::idempotent::{self, Attempt};
use crate::input::{self, Call, Format};
use crate::problem::Error;
use crate::router::App;
use crate::selectors::Hosts;
use crate::waiting;
use api::check::{Check, Problems};
use api::feed::Change;
use api::id::{SiteId, TokenId};
use api::purge::{PURGE_BODY_MAX_BYTES, PurgeAccepted, PurgeStatus, Wait};
use api::sites::SiteRecord;
use api::token::Scope;
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// What can be asked of edges.
pub(crate) trait Order: DeserializeOwned + Serialize + Check + Send + 'static {
    /// Adds what is wrong with it for a site with these hosts.
    fn check_site(&self, hosts: &Hosts, problems: &mut Problems);
    /// Whom its answer waits for, and for how many milliseconds.
    fn wait(&self) -> (Wait, u64);
    /// What is kept of it for its status.
    fn asked(&self) -> Asked;
    /// What edges are told.
    fn into_change(self, site_id: SiteId) -> Change;
}

/// Takes an order.
pub(crate) async fn take<O: Order>(
    app: &App,
    asker: &Asker,
    call: &Call,
    site: &SiteRef,
    body: Body,
) -> Result<Response, Error> {
    call.allow(Scope::Purge, &[])?;
    let format = Format::of(&call.headers, &[Format::Json])?;
    let body = input::body_within(&call.headers, body, PURGE_BODY_MAX_BYTES).await?;
    let attempt = app.in_flight.enter(call, &body)?;
    let order: O = input::document(format, body).await?;
    let (wait, timeout_ms) = order.wait();
    // before anything is done: who is refused has purged nothing
    let place = match wait {
        Wait::None => None,
        Wait::Region | Wait::All => Some(app.waiting.enter()?),
    };
    let given = accept(app, &call.caller.token, site, order, attempt.as_ref()).await?;
    // it is on disk: who asks again is answered by what is kept
    drop(attempt);
    if place.is_none() {
        return Ok(idempotent::response(given));
    }
    let timeout = Duration::from_millis(timeout_ms);
    asker.extend(timeout);
    Ok(answer(app, asker, given, timeout).await)
}

/// Puts an order into the feed, unless that was done for the same request before.
async fn accept<O: Order>(
    app: &App,
    token: &TokenId,
    site: &SiteRef,
    order: O,
    attempt: Option<&Attempt<'_>>,
) -> Result<Given, Error> {
    if let Some(attempt) = attempt
        && let Some(given) = attempt.given(&app.db).await?
    {
        return Ok(given);
    }
    let record = app.db.site(site).await?.ok_or(Error::Missing("such site"))?;
    let site_id = record.id.clone();
    // hosts that the site loses in between do no harm: edges look for responses of this site only
    let order = checked(order, record).await?;
    let mut change = app.db.change().await?;
    if let Some(attempt) = attempt
        && let Some(given) = attempt.earlier(&mut change).await?
    {
        return Ok(given);
    }
    if !change.has_site(&site_id).await? {
        return Err(Error::Missing("such site"));
    }
    let Asked { kind, mode, .. } = order.asked();
    let given = tell(&mut change, site_id, token, order).await?;
    if let Some(attempt) = attempt {
        attempt.keep(&mut change, &given).await?;
    }
    change.commit().await?;
    app.metrics.purge(kind, mode);
    Ok(given)
}

/// Writes the entry of an order, and what its status is made of.
async fn tell<O: Order>(
    change: &mut db::Change<'_>,
    site_id: SiteId,
    token: &TokenId,
    order: O,
) -> Result<Given, Error> {
    let seq = change.seq();
    change.ask(&site_id, token, &order.asked(), now()).await?;
    change.tell(Subject::Purge(&site_id, seq), order.into_change(site_id.clone())).await?;
    Ok(Given {
        status: StatusCode::ACCEPTED.as_u16(),
        headers: vec![("location".to_owned(), format!("/v1/purges/{seq}"))],
        body: idempotent::json(&PurgeAccepted { seq }),
    })
}

/// The order, when it makes sense for the site. Ten thousand selectors take a while, so other requests go on meanwhile.
async fn checked<O: Order>(order: O, record: SiteRecord) -> Result<O, Error> {
    let check = move || {
        let mut problems = Problems::default();
        order.check_site(&Hosts::of(&record.site), &mut problems);
        let found = problems.into_found();
        if found.is_empty() { Ok(order) } else { Err(Error::Invalid(found)) }
    };
    // a runtime that stops abandons the task; then nobody waits for the answer
    tokio::task::spawn_blocking(check).await.unwrap_or(Err(Error::Body))
}

/// Waits until edges have done what was accepted, the time is up, or the client has gone.
async fn answer(app: &App, asker: &Asker, given: Given, timeout: Duration) -> Response {
    let status = async {
        let accepted: PurgeAccepted = serde_json::from_str(&given.body).ok()?;
        let work = app.db.work(accepted.seq).await.ok()??;
        tokio::select! {
            () = waiting::until_settled(app, &work) => {}
            () = tokio::time::sleep(timeout) => {}
            () = asker.gone() => {}
        }
        waiting::read_status(app, work).await.ok()
    };
    match status.await {
        Some(status) => waited(given, &status),
        // it is in the feed in any case, and its status can be asked for later
        None => idempotent::response(given),
    }
}

fn waited(given: Given, status: &PurgeStatus) -> Response {
    let code = if status.complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    let body = idempotent::json(status);
    idempotent::response(Given { status: code.as_u16(), body, ..given })
}
