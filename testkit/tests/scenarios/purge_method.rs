//! The PURGE method: handed on to control where the edge is told to, an ordinary method elsewhere.

use crate::scene::{HOST, Scene};
use serde_json::{Value, json};

const ON: &str = "[purge]\nmethod = true\n";
const PATH: &str = "/v1/sites/*";

fn body(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

#[tokio::test]
async fn a_purge_is_handed_on_with_the_callers_token() {
    let scene = Scene::with_config(ON).await;
    let control = scene.feed.control();
    control.on(PATH).respond(202).body(r#"{"seq":7}"#);
    let call = scene.call("PURGE", "/a?b").header("Authorization", "Bearer ls_own");
    let answer = call.send().await;
    assert_eq!(
        (answer.status, body(answer.text().as_bytes())),
        (200, json!({"status": "ok", "id": "7"}))
    );
    let call = scene.call("PURGE", "/a").header("Fastly-Key", "ls_own");
    let call = call.header("Surrogate-Key", "x y").header("Fastly-Soft-Purge", "1");
    assert_eq!(call.send().await.status, 200);
    let first = control.received(PATH, 1).await;
    assert_eq!(first.field("authorization"), Some("Bearer ls_own"));
    assert_eq!(body(&first.body)["urls"], json!([format!("http://{HOST}/a?b")]));
    let second = body(&control.received(PATH, 2).await.body);
    assert_eq!(
        (&second["tags"], &second["urls"], &second["mode"]),
        (&json!(["x", "y"]), &json!([]), &json!("soft"))
    );
    assert!(scene.origin.requests().is_empty());
    let log = serde_json::to_string(&scene.edge.access_log_lines(2).await).unwrap();
    assert!(!log.contains("ls_own"));
}

#[tokio::test]
async fn what_is_no_purge_is_refused() {
    let scene = Scene::with_config(ON).await;
    assert_eq!(scene.call("PURGE", "/a").send().await.status, 401);
    let call = scene.call("PURGE", "/a").header("Fastly-Key", "ls_own").body("x");
    assert_eq!(call.send().await.status, 400);
    let call = scene.edge.call("PURGE", "unknown.example", "/a").header("Fastly-Key", "ls_own");
    assert_eq!(call.send().await.status, 421);
    let control = scene.feed.control();
    assert_eq!(control.count(PATH), 0);
    control.on(PATH).respond(403).body(r#"{"title":"no"}"#);
    let answer = scene.call("PURGE", "/a").header("Fastly-Key", "ls_own").send().await;
    assert_eq!((answer.status, answer.text()), (403, r#"{"title":"no"}"#));
    assert!(scene.origin.requests().is_empty());
}

#[tokio::test]
async fn it_is_the_origins_where_it_is_not_turned_on() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).body("own");
    assert_eq!(scene.call("PURGE", "/a").send().await.text(), "own");
}
