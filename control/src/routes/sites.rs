//! `/v1/sites`: what operators write.

use crate::clock::now;
use crate::db::Change;
use crate::db::idempotency::Given;
use crate::db::sites::{SiteRef, Taken};
use crate::idempotent;
use crate::input::{self, Call, Format};
use crate::precondition::{Condition, etag};
use crate::problem::Error;
use crate::router::App;
use api::id::SiteId;
use api::problem::FieldProblem;
use api::site::Site;
use api::sites::{PAGE_DEFAULT, PAGE_MAX, SitePage, SiteRecord};
use api::token::Scope;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::ETAG;
use std::sync::Arc;

/// Make a site
///
/// The document is written in JSON or TOML. Everything wrong with it is reported at once.
#[utoipa::path(post, path = "/v1/sites", tag = "sites", operation_id = "createSite",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "Sent again with the same request, gives the same answer again for 24 hours; only successes are kept.")),
    request_body(description = "At most 256 KiB.",
        content((Site = "application/json"), (String = "application/toml"))),
    responses((status = 201, description = "The site was made.", body = SiteRecord, headers(
        ("Location" = String, description = "Where the site is."),
        ("ETag" = String, description = "The revision in double quotes.")))),
    security(("token" = ["sites:write"])))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    call: Call,
    body: Body,
) -> Result<Response, Error> {
    call.allow(Scope::SitesWrite, &[])?;
    let format = Format::of(&call.headers, &[Format::Json, Format::Toml])?;
    let body = input::body(&call.headers, body).await?;
    let attempt = app.in_flight.enter(&call, &body)?;
    let site: Site = input::document(format, body).await?;
    let mut change = app.db.change().await?;
    if let Some(attempt) = &attempt
        && let Some(given) = attempt.earlier(&mut change).await?
    {
        return Ok(idempotent::response(given));
    }
    refuse_taken(&mut change, &site, None).await?;
    let record = change.put_site(app.new_site_id(), site, None, now()).await?;
    let given = created(&record);
    if let Some(attempt) = &attempt {
        attempt.keep(&mut change, &given).await?;
    }
    change.commit().await?;
    app.domains.word.notify_one();
    Ok(idempotent::response(given))
}

fn created(record: &SiteRecord) -> Given {
    Given {
        status: StatusCode::CREATED.as_u16(),
        headers: vec![
            ("location".to_owned(), format!("/v1/sites/{}", record.id)),
            ("etag".to_owned(), format!("\"{}\"", record.revision)),
        ],
        body: idempotent::json(record),
    }
}

/// List sites
///
/// Pages follow each other by `after`. A page of large documents may hold fewer sites than `limit`; where `next` is
/// absent there are no more.
#[utoipa::path(get, path = "/v1/sites", tag = "sites", operation_id = "listSites",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Sites on a page at most; 50 where absent."),
        ("after" = Option<String>, Query, description = "`next` of the page before."),
        ("name" = Option<String>, Query, description = "Only the site of this name.")),
    responses((status = 200, description = "Sites in the order they were made.", body = SitePage)),
    security(("token" = ["sites:read"])))]
pub(crate) async fn list(State(app): State<Arc<App>>, call: Call) -> Result<Json<SitePage>, Error> {
    let query = call.allow(Scope::SitesRead, &["limit", "after", "name"])?;
    let in_range = |limit: &u32| (1..=PAGE_MAX).contains(limit);
    let limit = query.parse("limit", in_range, "a number from 1 to 200")?.unwrap_or(PAGE_DEFAULT);
    let after: Option<SiteId> = query.parse("after", |_| true, "the id of a site")?;
    let name: Option<String> =
        query.parse("name", |name: &String| input::is_name(name), "a name of a site")?;
    let page = app.db.sites(after.as_ref(), name.as_deref(), limit).await?;
    let last = page.sites.last().map(|record| record.id.clone());
    Ok(Json(SitePage { sites: page.sites, next: last.filter(|_| page.more) }))
}

/// Read a site
#[utoipa::path(get, path = "/v1/sites/{site}", tag = "sites", operation_id = "readSite",
    params(("site" = String, Path, description = "The id or the name of a site."),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags the client has the site of.")),
    responses(
        (status = 200, description = "The site.", body = SiteRecord, headers(
            ("ETag" = String, description = "The revision in double quotes."))),
        (status = 304, description = "The client has the site as it is.", headers(
            ("ETag" = String, description = "The revision in double quotes.")))),
    security(("token" = ["sites:read"])))]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    call: Call,
    site: SiteRef,
) -> Result<Response, Error> {
    call.allow(Scope::SitesRead, &[])?;
    let condition = Condition::if_none_match(&call.headers)?;
    let record = app.db.site(&site).await?.ok_or(Error::Missing("such site"))?;
    if condition.is_some_and(|condition| condition.matches_weakly(record.revision)) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag(record.revision))]).into_response());
    }
    Ok(found(record))
}

fn found(record: SiteRecord) -> Response {
    ([(ETAG, etag(record.revision))], Json(record)).into_response()
}

/// Replace a site
///
/// A document equal to the one that is there changes nothing: the revision stays.
#[utoipa::path(put, path = "/v1/sites/{site}", tag = "sites", operation_id = "replaceSite",
    params(("site" = String, Path, description = "The id or the name of a site."),
        ("If-Match" = String, Header, description = "The `ETag` of what is replaced, or `*`.")),
    request_body(description = "At most 256 KiB.",
        content((Site = "application/json"), (String = "application/toml"))),
    responses((status = 200, description = "The site as it is now.", body = SiteRecord, headers(
        ("ETag" = String, description = "The revision in double quotes.")))),
    security(("token" = ["sites:write"])))]
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    call: Call,
    site: SiteRef,
    body: Body,
) -> Result<Response, Error> {
    call.allow(Scope::SitesWrite, &[])?;
    let condition = Condition::if_match(&call.headers)?.ok_or(Error::PreconditionRequired)?;
    let format = Format::of(&call.headers, &[Format::Json, Format::Toml])?;
    let body = input::body(&call.headers, body).await?;
    let document: Site = input::document(format, body).await?;
    let mut change = app.db.change().await?;
    let earlier = change.site(&site).await?.ok_or(Error::Missing("such site"))?;
    require(Some(&condition), &earlier)?;
    if earlier.site == document {
        return Ok(found(earlier));
    }
    refuse_taken(&mut change, &document, Some(&earlier.id)).await?;
    let record = change.put_site(earlier.id.clone(), document, Some(&earlier), now()).await?;
    change.commit().await?;
    app.domains.word.notify_one();
    Ok(found(record))
}

/// Remove a site
#[utoipa::path(delete, path = "/v1/sites/{site}", tag = "sites", operation_id = "removeSite",
    params(("site" = String, Path, description = "The id or the name of a site."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is removed, or `*`.")),
    responses((status = 204, description = "The site is gone.")),
    security(("token" = ["sites:write"])))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    call: Call,
    site: SiteRef,
) -> Result<StatusCode, Error> {
    call.allow(Scope::SitesWrite, &[])?;
    let condition = Condition::if_match(&call.headers)?;
    let mut change = app.db.change().await?;
    let earlier = change.site(&site).await?.ok_or(Error::Missing("such site"))?;
    require(condition.as_ref(), &earlier)?;
    change.remove_site(&earlier.id).await?;
    change.commit().await?;
    app.domains.word.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses a change whose `If-Match` does not name the revision that is there.
fn require(condition: Option<&Condition>, earlier: &SiteRecord) -> Result<(), Error> {
    let revision = earlier.revision;
    let holds = condition.is_none_or(|condition| condition.matches_strongly(revision));
    if holds { Ok(()) } else { Err(Error::Precondition { revision }) }
}

async fn refuse_taken(
    change: &mut Change<'_>,
    site: &Site,
    own: Option<&SiteId>,
) -> Result<(), Error> {
    let taken = change.taken(site, own).await?;
    if taken.is_empty() {
        return Ok(());
    }
    let errors = taken.into_iter().map(|taken| field_problem(taken, site)).collect();
    Err(Error::Taken { detail: "another site has the name or a host of this one", errors })
}

fn field_problem(taken: Taken, site: &Site) -> FieldProblem {
    let (field, detail, value) = match taken {
        Taken::Name => {
            ("name".to_owned(), "is the name of another site".to_owned(), Some(&site.name))
        }
        Taken::Host { index, site: other } => (
            format!("hosts[{index}]"),
            format!("is a host of site `{other}`"),
            site.hosts.get(index),
        ),
    };
    FieldProblem { field, detail, value: value.map(|value| format!("{value:?}")) }
}
