//! `/v1/domains`: the hosts whose certificates an ACME authority issues.

use crate::acme::domain::{Domain, Wish};
use crate::clock::Moment;
use crate::db::domains::Selection;
use crate::input::Call;
use crate::problem::Error;
use crate::router::App;
use api::domains::{
    DnsRecord, DomainError, DomainPage, DomainRecord, DomainState, OWNERSHIP_PREFIX, PAGE_DEFAULT,
    PAGE_MAX, ownership_name,
};
use api::id::SiteId;
use api::site::host::HostPattern;
use api::token::Scope;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use std::sync::Arc;

const MISSING: Error = Error::Missing("domain of this host");

/// List domains
///
/// The hosts of sites whose `tls.certificate` is `acme`. Pages follow each other by `after`.
#[utoipa::path(get, path = "/v1/domains", tag = "domains", operation_id = "listDomains",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Domains on a page at most; 50 where absent."),
        ("after" = Option<String>, Query, description = "`next` of the page before."),
        ("state" = Option<DomainState>, Query, description = "Only those in this state."),
        ("site" = Option<String>, Query, description = "Only those of the site with this id.")),
    responses((status = 200, description = "Domains in the order of their hosts.", body = DomainPage)),
    security(("token" = ["sites:read"])))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<DomainPage>, Error> {
    let query = call.allow(Scope::SitesRead, &["limit", "after", "state", "site"])?;
    let in_range = |limit: &u32| (1..=PAGE_MAX).contains(limit);
    let limit = query.parse("limit", in_range, "a number from 1 to 200")?.unwrap_or(PAGE_DEFAULT);
    let after: Option<String> =
        query.parse("after", |text: &String| text.len() <= 255, "a host")?;
    let expected = "pending_verification, verified, issuing, issued, renewing or failed";
    let state: Option<DomainState> = query.parse("state", |_| true, expected)?;
    let site: Option<SiteId> = query.parse("site", |_| true, "the id of a site")?;
    let selection = Selection { after: after.as_deref(), state, site: site.as_ref() };
    let mut domains = app.db.domains(&selection, limit + 1).await?;
    let more = domains.len() > limit as usize;
    domains.truncate(limit as usize);
    let next = domains.last().map(|domain| domain.host.clone()).filter(|_| more);
    let domains = domains.into_iter().map(|domain| record(domain, &app)).collect();
    Ok(Json(DomainPage { domains, next }))
}

/// Read a domain
#[utoipa::path(get, path = "/v1/domains/{host}", tag = "domains", operation_id = "readDomain",
    params(("host" = String, Path, description = "The host, as its site names it.")),
    responses((status = 200, description = "How far it is.", body = DomainRecord)),
    security(("token" = ["sites:read"])))]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    call: Call,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<DomainRecord>, Error> {
    call.allow(Scope::SitesRead, &[])?;
    found(&app, &host(path)?).await
}

/// Verify a domain
///
/// DNS is asked at once whose the host is, whatever `next_attempt_at` says; then a certificate is ordered, where there is
/// none.
#[utoipa::path(post, path = "/v1/domains/{host}/verify", tag = "domains", operation_id = "verifyDomain",
    params(("host" = String, Path, description = "The host, as its site names it.")),
    responses((status = 202, description = "It will be done. The domain as it was.", body = DomainRecord)),
    security(("token" = ["sites:write"])))]
pub(crate) async fn verify(
    State(app): State<Arc<App>>,
    call: Call,
    path: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, Json<DomainRecord>), Error> {
    ask(&app, &call, path, Wish::Verify).await
}

/// Renew a certificate
///
/// One is ordered at once. Edges keep the certificate that they have until there is another.
#[utoipa::path(post, path = "/v1/domains/{host}/renew", tag = "domains", operation_id = "renewDomain",
    params(("host" = String, Path, description = "The host, as its site names it.")),
    responses((status = 202, description = "It will be done. The domain as it was.", body = DomainRecord)),
    security(("token" = ["sites:write"])))]
pub(crate) async fn renew(
    State(app): State<Arc<App>>,
    call: Call,
    path: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, Json<DomainRecord>), Error> {
    ask(&app, &call, path, Wish::Renew).await
}

/// Revoke a certificate
///
/// The authority revokes it, and one with another key is ordered at once.
#[utoipa::path(post, path = "/v1/domains/{host}/revoke", tag = "domains", operation_id = "revokeDomain",
    params(("host" = String, Path, description = "The host, as its site names it.")),
    responses((status = 202, description = "It will be done. The domain as it was.", body = DomainRecord)),
    security(("token" = ["sites:write"])))]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    call: Call,
    path: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, Json<DomainRecord>), Error> {
    ask(&app, &call, path, Wish::Revoke).await
}

async fn ask(
    app: &App,
    call: &Call,
    path: Result<Path<String>, PathRejection>,
    wish: Wish,
) -> Result<(StatusCode, Json<DomainRecord>), Error> {
    call.allow(Scope::SitesWrite, &[])?;
    let host = host(path)?;
    if !app.db.ask_domain(&host, wish).await? {
        return Err(MISSING);
    }
    app.domains.word.notify_one();
    Ok((StatusCode::ACCEPTED, found(app, &host).await?))
}

async fn found(app: &App, host: &str) -> Result<Json<DomainRecord>, Error> {
    let domain = app.db.domain(host).await?.ok_or(MISSING)?;
    Ok(Json(record(domain, app)))
}

/// The host in the path, in its one spelling.
fn host(path: Result<Path<String>, PathRejection>) -> Result<String, Error> {
    let Path(text) = path.map_err(|_| MISSING)?;
    HostPattern::parse(&text).map(|host| host.to_string()).map_err(|_| MISSING)
}

fn record(domain: Domain, app: &App) -> DomainRecord {
    let certificate = domain.certificate.as_ref();
    let is_under_way = matches!(domain.state, DomainState::Issuing | DomainState::Renewing);
    DomainRecord {
        ownership: DnsRecord {
            name: ownership_name(&domain.host),
            kind: "TXT".to_owned(),
            value: format!("{OWNERSHIP_PREFIX}{}", domain.token),
        },
        points_to: app.domains.points_to.clone(),
        verified_at: domain.verified_at.map(Moment::rfc3339),
        method: domain.method,
        certificate_id: certificate.map(|held| held.id.clone()),
        not_after: certificate.map(|held| held.not_after.rfc3339()),
        renew_at: certificate.map(|held| held.renew_at.rfc3339()),
        last_error: domain.error.map(|error| DomainError {
            kind: error.kind,
            detail: error.detail,
            at: Moment(error.at).rfc3339(),
        }),
        attempts: domain.attempts,
        next_attempt_at: (!is_under_way).then(|| domain.next_attempt_at.rfc3339()),
        created_at: domain.created_at.rfc3339(),
        updated_at: domain.updated_at.rfc3339(),
        host: domain.host,
        site_id: domain.site_id,
        state: domain.state,
    }
}
