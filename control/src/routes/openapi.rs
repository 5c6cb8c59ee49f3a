//! `/openapi.json`: what control answers, generated from the operations. `control/openapi.json` is its copy.

use api::problem::{MEDIA_TYPE, ProblemDetails};
use api::purge::PurgeStatus;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use std::sync::LazyLock;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(title = "Longshore control", description = "Sites, their certificates, their feed to the edges, what edges are to do with stored responses, and the edges.",
        license(name = "")),
    paths(
        super::sites::create, super::sites::list, super::sites::read, super::sites::replace,
        super::sites::remove, super::certificates::create, super::certificates::list,
        super::certificates::read, super::certificates::replace, super::certificates::remove, super::authority::read, super::purge::purge, super::purge::revalidate, super::purge::warm,
        super::purges::list, super::purges::read, super::feed::follow, super::edges::report,
        super::domains::list, super::domains::read, super::domains::verify, super::domains::renew,
        super::domains::revoke,
        super::edges::list, super::edges::forget, super::health::health, super::health::ready,
        super::health::metrics, document,
    ),
    components(schemas(ProblemDetails, PurgeStatus)),
    modifiers(&Refusals),
    tags((name = "sites", description = "What operators write."),
        (name = "certificates", description = "For the hosts of sites. No answer has a private key."),
        (name = "purges", description = "What edges do with stored responses."),
        (name = "domains", description = "Whose certificates an ACME authority issues."),
        (name = "edges", description = "What edges follow and report."),
        (name = "operation", description = "What those who watch over control ask.")),
)]
struct Document;

/// Adds the token, and to each operation the problems it can answer with.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        document.info.license = None;
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of `longshore-control token create`: `ls_…`."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
            operations.into_iter().flatten().for_each(add_refusals);
        }
    }
}

/// What an operation can refuse beyond what each with a token can.
fn refusals(operation: &str) -> &'static [u16] {
    match operation {
        "createSite" | "createCertificate" => &[408, 409, 413, 415, 422],
        "readSite" | "readCertificate" | "readPurge" | "forgetEdge" | "readDomain"
        | "verifyDomain" | "renewDomain" | "revokeDomain" => &[404],
        "replaceSite" | "replaceCertificate" => &[404, 408, 409, 412, 413, 415, 422, 428],
        "removeSite" => &[404, 412],
        "readAuthority" => &[404, 500, 503],
        "removeCertificate" => &[404, 409, 412],
        "purgeSite" | "revalidateSite" | "warmSite" | "reportEdge" => {
            &[404, 408, 409, 413, 415, 422]
        }
        "readiness" => &[503],
        _ => &[],
    }
}

fn add_refusals(operation: &mut Operation) {
    let common: &[u16] =
        if operation.security.is_some() { &[400, 401, 403, 500, 503] } else { &[] };
    let own = refusals(operation.operation_id.as_deref().unwrap_or_default());
    for status in common.iter().chain(own) {
        let reason = StatusCode::from_u16(*status).ok().and_then(|it| it.canonical_reason());
        let schema = Ref::from_schema_name("ProblemDetails");
        let response = ResponseBuilder::new()
            .description(reason.unwrap_or_default())
            .content(MEDIA_TYPE, ContentBuilder::new().schema(Some(schema)).build());
        operation.responses.responses.insert(status.to_string(), response.build().into());
    }
}

/// The document, as it is served and checked in.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
});

/// The OpenAPI document.
pub(crate) fn text() -> &'static str {
    &TEXT
}

/// Read this document
#[utoipa::path(get, path = "/openapi.json", tag = "operation", operation_id = "openapi",
    responses((status = 200, description = "The OpenAPI document.", body = Object)))]
pub(crate) async fn document() -> ([(http::HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], text())
}
