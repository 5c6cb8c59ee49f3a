//! The OpenAPI document: as it is checked in, and complete.

use crate::service::Database;
use serde_json::Value;

#[test]
fn the_checked_in_document_is_what_is_generated() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        checked_in == control::openapi(),
        "control/openapi.json has drifted; write it anew: \
         cargo run -p control -- openapi > control/openapi.json"
    );
}

#[test]
fn every_operation_is_described() {
    let document: Value = serde_json::from_str(control::openapi()).unwrap();
    let problem = "#/components/schemas/ProblemDetails";
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            let needs_token = path.starts_with("/v1/") && path != "/v1/authority";
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{name}");
            assert_eq!(operation.get("security").is_some(), needs_token, "{name}");
            let parameters = operation["parameters"].as_array().map_or(0, Vec::len);
            assert!(parameters >= path.matches('{').count(), "{name}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let content = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(content == problem, status.as_str() >= "400", "{name} {status}");
            }
        }
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["Site", "SiteRecord", "SitePage", "ProblemDetails", "FieldProblem", "EdgeList"] {
        assert!(schemas.contains_key(name), "{name}");
    }
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is referred to and not there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served() {
    let service = Database::sqlite().start().await;
    let served = service.admin.with(None).get("/openapi.json").await.expect(200);
    assert_eq!(served.body, control::openapi());
    assert_eq!(served.header("content-type"), "application/json");
}
