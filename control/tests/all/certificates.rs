//! Certificates: upload, list, replace, remove; what sites get of the local authority; that keys stay secret.

use crate::client::{Answer, Client};
use crate::on_both_databases;
use crate::service::{Database, Service, site};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases!(
    a_certificate_is_uploaded_read_replaced_and_removed,
    everything_wrong_with_it_is_named_and_nothing_of_its_key,
    the_last_one_for_a_host_is_kept_unless_forced,
    lists_have_pages_and_are_of_a_source_or_a_host,
    who_may_see_and_change_them,
    sites_that_ask_for_it_have_one_of_the_local_authority,
    keys_are_in_no_answer_and_not_in_the_feed,
    the_key_of_secrets_can_be_replaced,
);

/// A certificate of its own for these names, and its key.
fn pair(names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn upload(names: &[&str]) -> Value {
    let (chain, key) = pair(names);
    json!({ "chain": chain, "key": key })
}

async fn put_up(control: &Client, names: &[&str]) -> String {
    let made = control.post("/v1/certificates", &upload(names)).await.expect(201);
    made.json()["id"].as_str().unwrap().to_owned()
}

async fn a_certificate_is_uploaded_read_replaced_and_removed(database: Database) {
    let service = database.start().await;
    let control = service.client(&["sites:write"]).await;
    let body = upload(&["B.example", "*.a.example"]);
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let post = || control.send("POST", "/v1/certificates", &headers, body.to_string());
    let made = post().await.expect(201);
    assert_eq!(post().await.expect(201).body, made.body);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/v1/certificates/{id}"));
    let path = format!("/v1/certificates/{id}");
    let read = control.get(&path).await.expect(200);
    assert_eq!((read.json(), read.header("etag")), (made.json(), "\"1\""));
    assert_eq!(read.json()["names"], json!(["*.a.example", "b.example"]));
    assert_eq!(read.json()["source"], "uploaded");
    control.send("GET", &path, &[("if-none-match", "\"1\"")], "").await.expect(304);
    assert_eq!(control.put(&path, "*", &body).await.expect(200).json(), made.json());
    let other = upload(&["b.example"]);
    control.put(&path, "\"7\"", &other).await.expect(412);
    control.send("PUT", &path, &headers[..1], other.to_string()).await.expect(428);
    let replaced = control.put(&path, "\"1\"", &other).await.expect(200).json();
    assert_eq!((&replaced["revision"], &replaced["seq"]), (&json!(2), &json!(2)));
    assert_ne!(replaced["fingerprint"], made.json()["fingerprint"]);
    control.send("DELETE", &path, &[("if-match", "\"1\"")], "").await.expect(412);
    control.send("DELETE", &path, &[], "").await.expect(204);
    control.send("DELETE", &path, &[], "").await.expect(404);
    control.get(&path).await.expect(404);
    control.get("/v1/certificates/x").await.expect(404);
}

async fn everything_wrong_with_it_is_named_and_nothing_of_its_key(database: Database) {
    let service = database.start().await;
    let (chain, key) = pair(&["a.example"]);
    let (_, other) = pair(&["a.example"]);
    let check = async |body: Value, fields: &[&str]| {
        let answer = service.admin.post("/v1/certificates", &body).await.expect(422);
        assert_eq!(answer.fields(), fields, "{}", answer.json());
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        let secret = key.get(40..70).unwrap();
        assert!(!said.contains(secret), "{said}");
    };
    check(json!({ "chain": chain, "key": other }), &["key"]).await;
    check(json!({ "chain": "x", "key": "y" }), &["chain", "key"]).await;
    check(json!({ "chain": [chain], "key": key }), &["chain"]).await;
    check(json!({ "chain": chain, "key": [key] }), &["key"]).await;
    check(json!({ "chain": chain, "key": key, "more": key }), &[""]).await;
    check(json!({ "chain": chain }), &[""]).await;
    check(json!(key), &[""]).await;
    check(json!({ "chain": format!("{chain}{key}"), "key": key }), &["chain"]).await;
    assert!(service.admin.get("/v1/certificates").await.json()["certificates"] == json!([]));
}

async fn the_last_one_for_a_host_is_kept_unless_forced(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    let mut document = site("a");
    document["hosts"] = json!(["x.a.example", "*.b.example", "127.0.0.1"]);
    control.post("/v1/sites", &document).await.expect(201);
    let remove = async |id: &str, query: &str| {
        control.send("DELETE", &format!("/v1/certificates/{id}{query}"), &[], "").await
    };
    let exact = put_up(control, &["x.a.example", "y.a.example"]).await;
    let refused = remove(&exact, "").await.expect(409);
    assert_eq!(refused.fields(), ["names[0]"]);
    let wildcard = put_up(control, &["*.a.example"]).await;
    remove(&exact, "").await.expect(204);
    remove(&wildcard, "").await.expect(409);
    remove(&wildcard, "?force=no").await.expect(400);
    remove(&wildcard, "?force=true").await.expect(204);
    for names in [&["*.b.example"][..], &["deep.down.b.example"], &["127.0.0.1"]] {
        let id = put_up(control, names).await;
        remove(&id, "").await.expect(409);
    }
    let elsewhere = put_up(control, &["c.example", "*.example", "a.example"]).await;
    remove(&elsewhere, "").await.expect(204);
}

async fn lists_have_pages_and_are_of_a_source_or_a_host(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    let mut ids = Vec::new();
    for names in [&["a.example"][..], &["*.example"], &["b.example", "::1"]] {
        ids.push(put_up(control, names).await);
    }
    let list = async |query: &str| {
        let page = control.get(&format!("/v1/certificates?{query}")).await.expect(200).json();
        let certificates = page["certificates"].as_array().unwrap().clone();
        assert!(certificates.iter().all(|certificate| certificate.get("chain").is_none()));
        let ids: Vec<Value> = certificates.iter().map(|one| one["id"].clone()).collect();
        (json!(ids), page["next"].clone())
    };
    assert_eq!(list("").await, (json!(ids), Value::Null));
    let (first, next) = list("limit=2").await;
    assert_eq!(first, json!(ids[..2]));
    let rest = list(&format!("limit=2&after={}", next.as_str().unwrap())).await;
    assert_eq!(rest, (json!(ids[2..]), Value::Null));
    for (host, expected) in [
        ("A.example", &ids[..2]),
        ("c.example", &ids[1..2]),
        ("d.c.example", &[]),
        ("[::1]", &ids[2..]),
    ] {
        assert_eq!(list(&format!("host={host}")).await.0, json!(expected), "{host}");
    }
    assert_eq!(list("source=acme").await.0, json!([]));
    for wrong in ["limit=0", "limit=201", "after=x", "source=magic", "host=a/b", "x=1"] {
        control.get(&format!("/v1/certificates?{wrong}")).await.expect(400);
    }
}

async fn who_may_see_and_change_them(database: Database) {
    let service = database.start().await;
    let id = put_up(&service.admin, &["a.example"]).await;
    let path = format!("/v1/certificates/{id}");
    for (scope, read, write) in [
        ("edge", 403, 403),
        ("purge", 403, 403),
        ("sites:read", 200, 403),
        ("sites:write", 200, 201),
    ] {
        let client = service.client(&[scope]).await;
        client.get("/v1/certificates").await.expect(read);
        client.get(&path).await.expect(read);
        client.post("/v1/certificates", &upload(&["b.example"])).await.expect(write);
        if write == 403 {
            client.put(&path, "*", &upload(&["a.example"])).await.expect(403);
            client.send("DELETE", &path, &[], "").await.expect(403);
        }
    }
    service.admin.with(None).get("/v1/certificates").await.expect(401);
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come");
}

/// The certificates of the local authority, when there are so many for this host.
async fn local(service: &Service, host: &str, count: usize) -> Vec<Value> {
    let path = format!("/v1/certificates?source=local&host={host}");
    eventually(&format!("{count} for {host}"), async || {
        let page = service.admin.get(&path).await.expect(200).json();
        let found = page["certificates"].as_array().unwrap().clone();
        (found.len() == count).then_some(found)
    })
    .await
}

async fn sites_that_ask_for_it_have_one_of_the_local_authority(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    control.with(None).get("/v1/authority").await.expect(404);
    let mut document = site("a");
    document["hosts"] = json!(["a.localhost", "*.a.localhost", "[::1]", "127.0.0.1"]);
    document["tls"] = json!({ "certificate": "local" });
    control.post("/v1/sites", &document).await.expect(201);
    let made = local(&service, "a.localhost", 1).await;
    assert_eq!(made[0]["names"], json!(["*.a.localhost", "127.0.0.1", "::1", "a.localhost"]));
    let root = control.with(None).get("/v1/authority").await.expect(200);
    assert!(root.body.starts_with(b"-----BEGIN CERTIFICATE-----"));
    document["hosts"] = json!(["b.localhost"]);
    control.put("/v1/sites/a", "*", &document).await.expect(200);
    let again = local(&service, "b.localhost", 1).await;
    assert_eq!((&again[0]["id"], &again[0]["revision"]), (&made[0]["id"], &json!(2)));
    let path = format!("/v1/certificates/{}", made[0]["id"].as_str().unwrap());
    control.put(&path, "*", &upload(&["b.localhost"])).await.expect(409);
    document["tls"] = json!({});
    control.put("/v1/sites/a", "*", &document).await.expect(200);
    local(&service, "b.localhost", 0).await;
    document["tls"] = json!({ "certificate": "local" });
    control.put("/v1/sites/a", "*", &document).await.expect(200);
    local(&service, "b.localhost", 1).await;
    control.send("DELETE", "/v1/sites/a", &[], "").await.expect(204);
    local(&service, "b.localhost", 0).await;
    // the root is the one that was made at first
    service.stop().await;
    let service = database.start().await;
    assert_eq!(service.admin.get("/v1/authority").await.expect(200).body, root.body);
}

/// What the feed says first, up to `current`.
async fn feed(service: &Service) -> String {
    let edge = service.client(&["edge"]).await;
    let response = edge.open("GET", "/v1/feed?after=0", &[], "".into()).await;
    let mut body = axum::body::Body::new(response.into_body()).into_data_stream();
    let mut text = String::new();
    while !text.contains("event: current") {
        let next =
            tokio::time::timeout(Duration::from_secs(10), futures_util::StreamExt::next(&mut body));
        let bytes = next.await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

async fn keys_are_in_no_answer_and_not_in_the_feed(database: Database) {
    let service = database.start().await;
    let body = upload(&["a.example"]);
    let answer = service.admin.post("/v1/certificates", &body).await.expect(201);
    let path = format!("/v1/certificates/{}", answer.json()["id"].as_str().unwrap());
    let mut answers: Vec<Answer> = vec![answer];
    for path in [path.as_str(), "/v1/certificates", "/v1/certificates?limit=1", "/metrics"] {
        answers.push(service.admin.get(path).await.expect(200));
    }
    let answers = answers.iter().map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
    let mut said: Vec<String> = answers.collect();
    said.push(feed(&service).await);
    assert!(said.last().unwrap().contains("certificate_put"));
    let key = body["key"].as_str().unwrap();
    // any line of it, and as it would stand in JSON or base64 of the whole text
    let lines: Vec<&str> = key.lines().filter(|line| line.len() > 40).collect();
    for text in &said {
        assert!(!text.contains("PRIVATE KEY") && !lines.iter().any(|line| text.contains(line)));
    }
}

async fn the_key_of_secrets_can_be_replaced(database: Database) {
    use control::config::{SecretsCommand, SecretsPlace};
    let service = database.start().await;
    let id = put_up(&service.admin, &["a.example"]).await;
    let before = feed(&service).await;
    let key_of = |text: &str| {
        let hello = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        serde_json::from_str::<Value>(hello).unwrap()["key"].clone()
    };
    let new_key = database.place().data_dir.join("new.key");
    let rotate = SecretsCommand::Rotate {
        place: database.place(),
        secrets: SecretsPlace { key_file: None },
        new_key_file: new_key.clone(),
        json: true,
    };
    let printed: Value = serde_json::from_str(&control::keys::run(rotate).await.unwrap()).unwrap();
    assert_eq!(printed["resealed"], 3);
    // the one that runs has the old key: it serves on, and keeps nothing under it
    service.admin.get(&format!("/v1/certificates/{id}")).await.expect(200);
    service.admin.post("/v1/certificates", &upload(&["b.example"])).await.expect(500);
    service.admin.post("/v1/sites", &site("a")).await.expect(201);
    service.stop().await;
    let wrong = database.try_start_with(|_| {}).await.err().unwrap();
    assert!(wrong.contains("is not the one this database was sealed under"), "{wrong}");
    let set = |config: &mut control::config::Serve| config.secrets.key_file = Some(new_key.clone());
    let service = database.start_with(set).await;
    service.admin.post("/v1/certificates", &upload(&["b.example"])).await.expect(201);
    assert_eq!(key_of(&feed(&service).await), key_of(&before));
    service.stop().await;
    std::fs::remove_file(&new_key).unwrap();
    let missing = database.try_start_with(set).await.err().unwrap();
    assert!(missing.contains("the database has secrets, and their key is not in"), "{missing}");
}
