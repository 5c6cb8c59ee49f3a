//! Tokens: who may do what.

use crate::client::Client;
use crate::on_both_databases;
use crate::service::Database;
use control::config::TokenCommand;
use control::token;
use serde_json::{Value, json};

on_both_databases!(
    a_token_is_needed_and_revoked_at_once,
    each_operation_needs_its_scope,
    secrets_are_stored_nowhere,
);

pub(crate) async fn revoke(database: &Database, id: &str) {
    let revoke =
        TokenCommand::Revoke { place: database.place(), id: id.parse().unwrap(), json: false };
    token::run(revoke).await.unwrap();
}

async fn a_token_is_needed_and_revoked_at_once(database: Database) {
    let service = database.start().await;
    let (id, secret) = database.token(&["sites:read"]).await;
    let control = service.admin.with(Some(secret.clone()));
    control.get("/v1/sites").await.expect(200);
    revoke(&database, &id).await;
    control.get("/v1/sites").await.expect(401);
    let again =
        TokenCommand::Revoke { place: database.place(), id: id.parse().unwrap(), json: false };
    assert!(token::run(again).await.is_err());
    let unknown = format!("ls_{}", "0".repeat(64));
    let other_case = secret.to_uppercase();
    for wrong in
        [None, Some(unknown), Some(String::new()), Some(other_case), Some("x".repeat(9_000))]
    {
        let refused = service.admin.with(wrong).get("/v1/sites").await.expect(401);
        assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"longshore\"");
    }
    let twice = [("authorization", "Bearer x")];
    service.admin.send("GET", "/v1/sites", &twice, "").await.expect(401);
    let basic = [("authorization", "Basic eDp5")];
    service.admin.with(None).send("GET", "/v1/sites", &basic, "").await.expect(401);
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        service.admin.with(None).get(path).await.expect(200);
    }
}

/// Every operation of the document, sent with nothing in it.
async fn statuses(control: &Client) -> Vec<(String, u16)> {
    let document: Value = serde_json::from_str(control::openapi()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{edge}", "edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2")
            .replace("{certificate}", "crt_01J9Z3K8Q4W5E6R7T8Y9V0B1N2")
            .replace("{host}", "none.example")
            .replace("{site}", "none")
            .replace("{seq}", "1");
        for (method, operation) in item.as_object().unwrap() {
            if operation.get("security").is_some() {
                let method = method.to_uppercase();
                let response = control.open(&method, &path, &[], bytes::Bytes::new()).await;
                let id = operation["operationId"].as_str().unwrap().to_owned();
                found.push((id, response.status().as_u16()));
            }
        }
    }
    found.sort();
    found
}

async fn each_operation_needs_its_scope(database: Database) {
    let service = database.start().await;
    let all = statuses(&service.admin.with(None)).await;
    assert!(all.len() >= 10 && all.iter().all(|(_, status)| *status == 401), "{all:?}");
    let reads = [
        "listCertificates",
        "listDomains",
        "listEdges",
        "listPurges",
        "listSites",
        "readCertificate",
        "readDomain",
        "readPurge",
        "readSite",
    ];
    let changes = [
        "createCertificate",
        "createSite",
        "removeCertificate",
        "removeSite",
        "renewDomain",
        "replaceCertificate",
        "replaceSite",
        "revokeDomain",
        "verifyDomain",
    ];
    let mut writes = [&reads[..], &changes].concat();
    writes.sort_unstable();
    let purges = ["listPurges", "purgeSite", "readPurge", "revalidateSite", "warmSite"];
    for (scope, allowed) in [
        ("sites:read", &reads[..]),
        ("sites:write", &writes[..]),
        ("purge", &purges),
        ("edge", &["followFeed", "reportEdge"]),
    ] {
        let found = statuses(&service.client(&[scope]).await).await;
        let may = found.iter().filter(|(_, status)| *status != 403);
        assert_eq!(may.map(|(id, _)| id.as_str()).collect::<Vec<_>>(), allowed, "{scope}");
    }
    assert!(statuses(&service.admin).await.iter().all(|(_, status)| *status != 403));
    let both = service.client(&["purge", "sites:read"]).await;
    both.get("/v1/sites").await.expect(200);
    let refused = both.post("/v1/sites", &json!({})).await.expect(403);
    assert!(refused.json()["detail"].as_str().unwrap().contains("sites:write"));
    assert!(refused.header("www-authenticate").contains("insufficient_scope"));
}

async fn secrets_are_stored_nowhere(database: Database) {
    let _service = database.start().await;
    let (id, secret) = database.token(&["admin"]).await;
    for json in [false, true] {
        let list = TokenCommand::List { place: database.place(), json };
        let printed = token::run(list).await.unwrap();
        assert!(printed.contains(&id) && printed.contains("admin"));
        assert!(!printed.contains(&secret) && !printed.contains("ls_"));
    }
    for entry in std::fs::read_dir(database.place().data_dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let digits = secret.trim_start_matches("ls_").as_bytes();
        assert!(!bytes.windows(digits.len()).any(|window| window == digits));
    }
}
