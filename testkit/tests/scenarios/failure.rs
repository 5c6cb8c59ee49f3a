//! What clients see when the origin fails: RFC 9110 §15.6, RFC 9209, RFC 5861 §4.

use crate::scene::{Scene, site};
use serde_json::json;
use testkit::{Origin, Response, Unreachable};

fn check_problem(answer: &Response, status: u16, error: &str) {
    assert_eq!(answer.status, status, "{}{}", answer.head, answer.text());
    let proxy_status = answer.field("proxy-status").unwrap_or_default();
    assert!(proxy_status.contains(&format!("error={error}")), "`{error}` in `{proxy_status}`");
    let cache_status = answer.cache_status();
    assert!(cache_status.contains("fwd="), "{}", answer.head);
    assert!(cache_status.contains(&format!("detail={error}")), "{}", answer.head);
    assert!(!answer.body.is_empty() && answer.body.len() < 4_096);
    let cache_control = answer.field("cache-control").unwrap_or("no-store");
    assert!(cache_control.contains("no-store"), "{cache_control}");
}

#[tokio::test]
async fn an_origin_that_refuses_is_502() {
    let nobody = Unreachable::take();
    let origin = Origin::start().await;
    let scene =
        Scene::with_document(origin, site("a", "a.example", &nobody.url(), json!({}))).await;
    check_problem(&scene.get("/a").await, 502, "connection_refused");
    let post = scene.call("POST", "/a").body("x").send().await;
    check_problem(&post, 502, "connection_refused");
}

#[tokio::test]
async fn an_origin_that_says_nothing_is_504() {
    let origin = Origin::start().await;
    origin.on("/silent").hang();
    let origins = json!([{ "name": "main", "url": origin.url(), "read_timeout_seconds": 1 }]);
    let document = site("a", "a.example", &origin.url(), json!({ "origins": origins }));
    let scene = Scene::with_document(origin, document).await;
    check_problem(&scene.get("/silent").await, 504, "http_response_timeout");
}

#[tokio::test]
async fn an_origin_that_closes_or_talks_nonsense_is_502() {
    let scene = Scene::start().await;
    scene.origin.on("/close").close();
    scene.origin.on("/reset").reset();
    scene.origin.on("/nonsense").raw("220 mail.example ESMTP\r\n\r\n").close();
    scene.origin.on("/head").raw("HTTP/1.1 200 OK\r\nContent-Le").close();
    for path in ["/close", "/reset", "/nonsense", "/head"] {
        let answer = scene.get(path).await;
        assert_eq!(answer.status, 502, "{path}: {}", answer.head);
        assert!(answer.fields.has("proxy-status"), "{path}: {}", answer.head);
    }
}

#[tokio::test]
async fn a_body_that_is_no_http_is_the_origins_fault() {
    let scene = Scene::start().await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    scene.origin.on("/a").raw(format!("{head}ZZ\r\nabc\r\n0\r\n\r\n"));
    // the head may have been passed on before
    if let Ok(answer) = scene.call("GET", "/a").try_send().await {
        check_problem(&answer, 502, "http_protocol_error");
    }
}

#[tokio::test]
async fn an_origin_that_comes_back_is_used_at_once() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).body("before");
    assert_eq!(scene.get("/a").await.text(), "before");
    let address = scene.origin.address();
    scene.origin.stop().await;
    assert_eq!(scene.edge.get("a.example", "/a").await.status, 502);
    let back = Origin::start_at(address).await;
    back.on("/a").respond(200).body("after");
    assert_eq!(scene.edge.get("a.example", "/a").await.text(), "after");
}

#[tokio::test]
async fn a_stale_response_survives_an_origin_outage() {
    let scene = Scene::with(json!({ "cache": { "stale_if_error_seconds": 3600 } })).await;
    let answer = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=0");
    answer.header("ETag", "\"v1\"").body("x");
    scene.origin.on("/a").close();
    scene.origin.on("/a").respond(503).body("why");
    scene.get("/a").await;
    for _ in 0..2 {
        let stale = scene.get("/a").await;
        assert_eq!((stale.status, stale.text()), (200, "x"), "{}", stale.head);
    }
}

#[tokio::test]
async fn errors_of_the_origin_are_passed_on() {
    let scene = Scene::start().await;
    for status in [400, 404, 410, 500, 503] {
        let path = format!("/{status}");
        scene.origin.on(&path).respond(status).body("why");
        let answer = scene.get(&path).await;
        assert_eq!((answer.status, answer.text()), (status, "why"));
    }
}

#[tokio::test]
async fn a_response_that_allows_it_is_used_after_an_error_even_where_it_was_never_fresh() {
    let scene = Scene::start().await;
    let answer = scene.origin.on("/a").respond(200);
    answer.header("Cache-Control", "max-age=0, stale-if-error=60").body("x");
    scene.origin.on("/a").close();
    scene.get("/a").await;
    let stale = scene.get("/a").await;
    assert_eq!((stale.status, stale.text()), (200, "x"), "{}", stale.head);
    assert!(stale.cache_status().contains("detail=stale-if-error"), "{}", stale.head);
}

#[tokio::test]
async fn what_was_not_forwarded_does_not_say_so() {
    let scene = Scene::start().await;
    let call = scene.call("GET", "/a").header("Cache-Control", "only-if-cached");
    let answer = call.send().await;
    assert_eq!(answer.status, 504);
    let told = answer.cache_status();
    assert!(!told.contains("fwd") && told.ends_with("detail=http_request_denied"), "{told}");
    assert_eq!(scene.origin.count("/a"), 0);
}

#[tokio::test]
async fn a_whole_answer_reaches_a_client_whose_body_nobody_read() {
    let nobody = Unreachable::take();
    let origin = Origin::start().await;
    let scene =
        Scene::with_document(origin, site("a", "a.example", &nobody.url(), json!({}))).await;
    for size in [10, 50_000] {
        let mut client = scene.edge.connect().await;
        let head = format!("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: {size}\r\n\r\n");
        client.send(head).await;
        client.send(vec![b'x'; size]).await;
        let answer = client.response().await.unwrap();
        assert_eq!((answer.status, answer.field("connection")), (502, Some("close")), "{size}");
        assert!(client.until_closed().await.unwrap().is_empty());
    }
}
