//! `/v1/certificates`: those that were uploaded, and what is known of all.

use crate::certificate::{self, Checked};
use crate::clock::{Moment, now};
use crate::db::Change;
use crate::db::certificates::{Need, Selection};
use crate::db::idempotency::Given;
use crate::idempotent;
use crate::input::{self, Call, Format};
use crate::precondition::{Condition, etag};
use crate::problem::Error;
use crate::router::App;
use api::certificates::{
    CertificatePage, CertificateRecord, CertificateUpload, PAGE_DEFAULT, PAGE_MAX,
};
use api::id::CertificateId;
use api::problem::FieldProblem;
use api::site::host::HostPattern;
use api::site::tls::CertificateSource;
use api::token::Scope;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::ETAG;
use std::sync::Arc;
use zeroize::{Zeroize as _, Zeroizing};

const MISSING: Error = Error::Missing("such certificate");

/// The certificate named in the path, looked at once the caller may know whether there is one.
type Named = Result<Path<CertificateId>, PathRejection>;

fn named(path: Named) -> Result<CertificateId, Error> {
    path.map(|Path(id)| id).map_err(|_| MISSING)
}

/// Upload a certificate
///
/// It serves every site whose hosts it names, at once. Everything wrong with it is reported at once. Its private key is in
/// no answer.
#[utoipa::path(post, path = "/v1/certificates", tag = "certificates", operation_id = "createCertificate",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "Sent again with the same request, gives the same answer again for 24 hours; only successes are kept.")),
    request_body(description = "At most 256 KiB.", content = CertificateUpload),
    responses((status = 201, description = "The certificate is kept.", body = CertificateRecord, headers(
        ("Location" = String, description = "Where the certificate is."),
        ("ETag" = String, description = "The revision in double quotes.")))),
    security(("token" = ["sites:write"])))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    call: Call,
    body: Body,
) -> Result<Response, Error> {
    call.allow(Scope::SitesWrite, &[])?;
    Format::of(&call.headers, &[Format::Json])?;
    let body = Zeroizing::new(input::body(&call.headers, body).await?);
    let attempt = app.in_flight.enter(&call, &body)?;
    let checked = checked(body).await?;
    let mut change = app.db.change().await?;
    if let Some(attempt) = &attempt
        && let Some(given) = attempt.earlier(&mut change).await?
    {
        return Ok(idempotent::response(given));
    }
    let (id, source) = (certificate::new_id(), CertificateSource::Uploaded);
    let record = change.put_certificate(id, source, &checked, None, now()).await?;
    let given = created(&record);
    if let Some(attempt) = &attempt {
        attempt.keep(&mut change, &given).await?;
    }
    change.commit().await?;
    Ok(idempotent::response(given))
}

fn created(record: &CertificateRecord) -> Given {
    Given {
        status: StatusCode::CREATED.as_u16(),
        headers: vec![
            ("location".to_owned(), format!("/v1/certificates/{}", record.id)),
            ("etag".to_owned(), format!("\"{}\"", record.revision)),
        ],
        body: idempotent::json(record),
    }
}

/// Reads and checks what was uploaded. Nothing of it is in a problem but what its certificates say.
async fn checked(body: Zeroizing<Vec<u8>>) -> Result<Checked, Error> {
    let read = move || {
        let value = Format::Json.read(&body)?;
        let mut upload: CertificateUpload =
            serde_path_to_error::deserialize(value).map_err(|error| not_read(&error))?;
        let checked = certificate::check(&upload.chain, &upload.key, now());
        upload.key.zeroize();
        checked.map_err(Error::Invalid)
    };
    // a runtime that stops abandons the task; then nobody waits for the answer
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(Error::Body))
}

/// A fixed text: what stands in the wrong place may be a key.
fn not_read(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let field = match error.path().to_string().as_str() {
        known @ ("chain" | "key") => known.to_owned(),
        _ => String::new(),
    };
    let detail = match field.is_empty() {
        true => "must be an object with the members `chain` and `key`, and no others",
        false => "must be a text in PEM",
    };
    Error::Invalid(vec![FieldProblem { field, detail: detail.to_owned(), value: None }])
}

/// List certificates
///
/// Without their chains. Pages follow each other by `after`; where `next` is absent there are no more.
#[utoipa::path(get, path = "/v1/certificates", tag = "certificates", operation_id = "listCertificates",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Certificates on a page at most; 50 where absent."),
        ("after" = Option<String>, Query, description = "`next` of the page before."),
        ("source" = Option<CertificateSource>, Query, description = "Only those from there."),
        ("host" = Option<String>, Query, description = "Only those for this host, wildcards too.")),
    responses((status = 200, description = "Certificates in the order they were made known.", body = CertificatePage)),
    security(("token" = ["sites:read"])))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<CertificatePage>, Error> {
    let query = call.allow(Scope::SitesRead, &["limit", "after", "source", "host"])?;
    let in_range = |limit: &u32| (1..=PAGE_MAX).contains(limit);
    let limit = query.parse("limit", in_range, "a number from 1 to 200")?.unwrap_or(PAGE_DEFAULT);
    let after: Option<CertificateId> = query.parse("after", |_| true, "the id of a certificate")?;
    let source = query.parse("source", |_| true, "uploaded, acme or local")?;
    let is_host = |host: &String| HostPattern::parse(host).is_ok();
    let host: Option<String> = query.parse("host", is_host, "a host")?;
    let host = host.and_then(|host| HostPattern::parse(&host).ok()).map(|host| host.to_string());
    let selection = Selection {
        after: after.as_ref(),
        source,
        host: host.as_deref().map(|host| host.trim_matches(['[', ']'])),
    };
    let page = app.db.certificates(&selection, limit).await?;
    let last = page.certificates.last().map(|record| record.id.clone());
    Ok(Json(CertificatePage { certificates: page.certificates, next: last.filter(|_| page.more) }))
}

/// Read a certificate
#[utoipa::path(get, path = "/v1/certificates/{certificate}", tag = "certificates", operation_id = "readCertificate",
    params(("certificate" = String, Path, description = "The id of a certificate."),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags the client has the certificate of.")),
    responses(
        (status = 200, description = "The certificate.", body = CertificateRecord, headers(
            ("ETag" = String, description = "The revision in double quotes."))),
        (status = 304, description = "The client has the certificate as it is.", headers(
            ("ETag" = String, description = "The revision in double quotes.")))),
    security(("token" = ["sites:read"])))]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    call: Call,
    path: Named,
) -> Result<Response, Error> {
    call.allow(Scope::SitesRead, &[])?;
    let id = named(path)?;
    let condition = Condition::if_none_match(&call.headers)?;
    let record = app.db.certificate(&id).await?.ok_or(MISSING)?;
    if condition.is_some_and(|condition| condition.matches_weakly(record.revision)) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag(record.revision))]).into_response());
    }
    Ok(found(record))
}

fn found(record: CertificateRecord) -> Response {
    ([(ETAG, etag(record.revision))], Json(record)).into_response()
}

/// Replace a certificate
///
/// Edges use the new one from then on; connections that are open stay. The chain that is there already changes nothing.
/// Only uploaded certificates can be replaced: others are renewed by themselves.
#[utoipa::path(put, path = "/v1/certificates/{certificate}", tag = "certificates", operation_id = "replaceCertificate",
    params(("certificate" = String, Path, description = "The id of a certificate."),
        ("If-Match" = String, Header, description = "The `ETag` of what is replaced, or `*`.")),
    request_body(description = "At most 256 KiB.", content = CertificateUpload),
    responses((status = 200, description = "The certificate as it is now.", body = CertificateRecord, headers(
        ("ETag" = String, description = "The revision in double quotes.")))),
    security(("token" = ["sites:write"])))]
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    call: Call,
    path: Named,
    body: Body,
) -> Result<Response, Error> {
    call.allow(Scope::SitesWrite, &[])?;
    let id = named(path)?;
    let condition = Condition::if_match(&call.headers)?.ok_or(Error::PreconditionRequired)?;
    Format::of(&call.headers, &[Format::Json])?;
    let body = Zeroizing::new(input::body(&call.headers, body).await?);
    let checked = checked(body).await?;
    let mut change = app.db.change().await?;
    let earlier = change.certificate(&id).await?.ok_or(MISSING)?;
    require(Some(&condition), &earlier)?;
    if earlier.source != CertificateSource::Uploaded {
        let detail = "only uploaded certificates can be replaced; this one is renewed by itself";
        return Err(Error::Taken { detail, errors: Vec::new() });
    }
    if earlier.chain.as_ref() == Some(&checked.chain) {
        return Ok(found(earlier));
    }
    let record =
        change.put_certificate(id, earlier.source, &checked, Some(&earlier), now()).await?;
    change.commit().await?;
    Ok(found(record))
}

/// Remove a certificate
///
/// Refused while it is the only valid one for a host of a site, unless `force` is `true`. One that control made
/// for a site goes with the site.
#[utoipa::path(delete, path = "/v1/certificates/{certificate}", tag = "certificates", operation_id = "removeCertificate",
    params(("certificate" = String, Path, description = "The id of a certificate."),
        ("force" = Option<bool>, Query, description = "Whether it is removed though hosts need it."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is removed, or `*`.")),
    responses((status = 204, description = "The certificate is gone.")),
    security(("token" = ["sites:write"])))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    call: Call,
    path: Named,
) -> Result<StatusCode, Error> {
    let query = call.allow(Scope::SitesWrite, &["force"])?;
    let id = named(path)?;
    let force = query.parse("force", |_| true, "true or false")?.unwrap_or(false);
    let condition = Condition::if_match(&call.headers)?;
    let mut change = app.db.change().await?;
    let earlier = change.certificate(&id).await?.ok_or(MISSING)?;
    require(condition.as_ref(), &earlier)?;
    if !force {
        refuse_needed(&mut change, &earlier, now()).await?;
    }
    change.remove_certificate(&id).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses a change whose `If-Match` does not name the revision that is there.
fn require(condition: Option<&Condition>, earlier: &CertificateRecord) -> Result<(), Error> {
    let revision = earlier.revision;
    let holds = condition.is_none_or(|condition| condition.matches_strongly(revision));
    if holds { Ok(()) } else { Err(Error::Precondition { revision }) }
}

async fn refuse_needed(
    change: &mut Change<'_>,
    record: &CertificateRecord,
    now: Moment,
) -> Result<(), Error> {
    let needs = change.needs(record, now).await?;
    if needs.is_empty() {
        return Ok(());
    }
    let errors = needs.into_iter().map(|need| field_problem(&need, record)).collect();
    let detail = "the certificate is the only valid one for hosts of sites; `force=true` \
        removes it all the same";
    Err(Error::Taken { detail, errors })
}

fn field_problem(need: &Need, record: &CertificateRecord) -> FieldProblem {
    let index = record.names.iter().position(|name| *name == need.name).unwrap_or_default();
    FieldProblem {
        field: format!("names[{index}]"),
        detail: format!(
            "is for the host `{}` of site `{}`, as no other valid certificate is",
            need.host, need.site
        ),
        value: Some(format!("{:?}", need.name)),
    }
}
