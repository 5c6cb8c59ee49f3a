//! Connections of clients: kept after every answer that does not say `Connection: close`, closed after one that does
//! (RFC 9112 §9.3).

use crate::scene::{FRESH, HOST, Scene};
use serde_json::json;

/// A request of every kind that the edge answers in a way of its own.
const REQUESTS: [(&str, &str); 16] = [
    ("miss", "GET /stored HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    ("hit", "GET /stored HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    ("304", "GET /stored HTTP/1.1\r\nHost: a.example\r\nIf-None-Match: \"v1\"\r\n\r\n"),
    ("206", "GET /stored HTTP/1.1\r\nHost: a.example\r\nRange: bytes=0-1\r\n\r\n"),
    ("416", "GET /stored HTTP/1.1\r\nHost: a.example\r\nRange: bytes=99-\r\n\r\n"),
    ("chunked 404", "GET /none HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    ("uncacheable", "GET /live HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    ("until close", "GET /close HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    ("redirect", "GET /old HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    ("421", "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n"),
    ("502", "GET /broken HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    ("504", "GET /x HTTP/1.1\r\nHost: a.example\r\nCache-Control: only-if-cached\r\n\r\n"),
    ("PUT", "PUT /put HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nab"),
    ("stale miss", "GET /stale HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    ("stale validated", "GET /stale HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    ("stale after an error", "GET /stale HTTP/1.1\r\nHost: a.example\r\n\r\n"),
];

async fn scene() -> Scene {
    let scene = Scene::with(json!({
        "cache": { "stale_if_error_seconds": 3600 },
        "rules": [{ "paths": ["/old"], "redirect": { "to": "/new" } }],
    }))
    .await;
    let origin = &scene.origin;
    let stored = origin.on("/stored").respond(200).header("Cache-Control", FRESH);
    stored.header("ETag", "\"v1\"").body("0123456789");
    origin.on("/none").respond(404).chunked().body("none");
    origin.on("/live").respond(200).header("Cache-Control", "no-store").body("x");
    origin.on("/close").respond(200).until_close().body("x");
    origin.on("/broken").close();
    origin.on("/put").respond(201).body("made");
    let stale = origin.on("/stale").respond(200).header("Cache-Control", "max-age=0");
    stale.header("ETag", "\"v1\"").body("x");
    origin.on("/stale").respond(304).header("ETag", "\"v1\"");
    origin.on("/stale").close();
    scene
}

#[tokio::test]
async fn connections_are_kept_unless_the_answer_says_close() {
    let scene = scene().await;
    let mut broken = Vec::new();
    for (name, request) in REQUESTS {
        let mut client = scene.edge.connect().await;
        client.send(request).await;
        let answer = client.response().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        if answer.field("connection").is_some_and(|value| value.contains("close")) {
            assert!(client.until_closed().await.is_ok(), "{name}");
            continue;
        }
        client.send(format!("GET /live HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
        match client.response().await {
            Ok(next) => assert_eq!(next.text(), "x", "after {name}"),
            Err(error) => broken.push(format!("{name}: {error}\n{}", answer.head)),
        }
    }
    assert!(broken.is_empty(), "closed without saying so after\n{}", broken.join("\n"));
}

#[tokio::test]
async fn an_asked_for_close_comes_after_the_answer() {
    let scene = scene().await;
    for path in ["/stored", "/stored", "/none", "/old", "/broken"] {
        let mut client = scene.call("GET", path).header("Connection", "close").open().await;
        let answer = client.response().await.unwrap();
        assert_eq!(answer.field("connection"), Some("close"), "{path}: {}", answer.head);
        assert!(client.until_closed().await.unwrap().is_empty());
    }
}
