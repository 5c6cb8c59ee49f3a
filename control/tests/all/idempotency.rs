//! `Idempotency-Key` on POST.

use crate::client::{Answer, Client};
use crate::on_both_databases;
use crate::service::{Database, site};
use serde_json::{Value, json};

on_both_databases!(
    the_same_request_has_the_same_answer,
    a_key_is_of_one_request_and_one_token,
    a_refused_request_may_be_mended_under_its_key,
    requests_at_one_time_make_one_site,
);

async fn post(control: &Client, key: &str, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    control.send("POST", path, &headers, body.to_string()).await
}

async fn the_same_request_has_the_same_answer(database: Database) {
    let service = database.start().await;
    let first = post(&service.admin, "k", "/v1/sites", &site("a")).await.expect(201);
    service
        .admin
        .put("/v1/sites/a", "*", &crate::service::changed("a", "b.example"))
        .await
        .expect(200);
    let token = service.admin.token.clone();
    service.stop().await;
    let service = database.start().await;
    let control = service.admin.with(token);
    let again = post(&control, "k", "/v1/sites", &site("a")).await.expect(201);
    assert_eq!(first.body, again.body);
    for name in ["location", "etag", "content-type"] {
        assert_eq!(first.header(name), again.header(name));
    }
    let purge = json!({ "everything": true });
    let first = post(&control, "p", "/v1/sites/a/purge", &purge).await.expect(202);
    let again = post(&control, "p", "/v1/sites/a/purge", &purge).await.expect(202);
    assert_eq!((first.body, again.json()["seq"].clone()), (again.body.clone(), json!(3)));
    let other = post(&control, "q", "/v1/sites/a/purge", &purge).await.expect(202);
    assert_eq!(other.json()["seq"], 4);
}

async fn a_key_is_of_one_request_and_one_token(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    post(control, "k", "/v1/sites", &site("a")).await.expect(201);
    post(control, "k", "/v1/sites", &site("b")).await.expect(422);
    post(control, "k", "/v1/sites/a/purge", &json!({ "everything": true })).await.expect(422);
    let other = service.client(&["sites:write"]).await;
    post(&other, "k", "/v1/sites", &site("b")).await.expect(201);
    for wrong in ["", "a b", &"k".repeat(256)] {
        post(control, wrong, "/v1/sites", &site("c")).await.expect(400);
    }
    post(control, &"k".repeat(255), "/v1/sites", &site("c")).await.expect(201);
}

async fn a_refused_request_may_be_mended_under_its_key(database: Database) {
    let service = database.start().await;
    post(&service.admin, "k", "/v1/sites", &json!({})).await.expect(422);
    post(&service.admin, "k", "/v1/sites", &site("a")).await.expect(201);
    post(&service.admin, "l", "/v1/sites", &site("a")).await.expect(409);
    service.admin.send("DELETE", "/v1/sites/a", &[], "").await.expect(204);
    post(&service.admin, "l", "/v1/sites", &site("a")).await.expect(201);
}

async fn requests_at_one_time_make_one_site(database: Database) {
    let service = database.start().await;
    let (site, same) = (site("a"), |answer: &Answer| answer.status.as_u16());
    let requests = (0..8).map(|_| post(&service.admin, "k", "/v1/sites", &site));
    let answers = futures_util::future::join_all(requests).await;
    let statuses: Vec<u16> = answers.iter().map(same).collect();
    assert!(statuses.iter().all(|status| matches!(status, 201 | 409)), "{statuses:?}");
    let mut bodies = answers.iter().filter(|answer| same(answer) == 201).map(|answer| &answer.body);
    let first = bodies.next().unwrap();
    assert!(bodies.all(|body| body == first));
    let sites = service.admin.get("/v1/sites").await.json();
    assert_eq!(sites["sites"].as_array().unwrap().len(), 1);
}
