//! Plain requests are answered the short way; what they get must be what every other request gets.

use crate::scene::{FRESH, HOST, Scene};
use serde_json::json;
use testkit::Response;

/// A field that changes nothing about the answer, but takes a request the long way.
const LONG_WAY: (&str, &str) = ("Pragma", "x");

/// Everything of an answer that doesn't depend on the time, or on how the connection goes on.
fn told(response: &Response) -> (u16, String, Vec<(String, String)>) {
    let mut fields: Vec<(String, String)> = response
        .fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .filter(|(name, _)| !matches!(name.as_str(), "age" | "connection" | "transfer-encoding"))
        // the Date of what is not stored is that of its answer
        .filter(|(name, _)| name != "date" || response.is_hit())
        .map(|(name, value)| match name.as_str() {
            "cache-status" => (name, value.split("; ttl").next().unwrap_or_default().to_owned()),
            _ => (name, value),
        })
        .collect();
    fields.sort();
    (response.status, response.text().to_owned(), fields)
}

#[tokio::test]
async fn plain_requests_pass_the_same_stages() {
    let scene = Scene::with(json!({ "rules": [
        { "paths": ["/changed"], "response_headers": { "set": { "X-Set": "1" }, "remove": ["Server"] } },
        { "paths": ["/moved"], "redirect": { "to": "/elsewhere" } },
        { "paths": ["/off"], "cache": { "enabled": false } },
    ] }))
    .await;
    let on =
        |path: &str, status| scene.origin.on(path).respond(status).header("Cache-Control", FRESH);
    on("/sized", 200).header("Server", "o").header("ETag", "\"1\"").body("x");
    on("/empty", 200).body("");
    on("/chunked", 200).chunked().body("abcd");
    on("/gone", 404).body("no");
    on("/away", 301).header("Location", "/sized").body("there");
    on("/varied", 200).header("Vary", "Accept-Language, X-None").body("de");
    on("/tagged", 200)
        .header("Cache-Tag", "a, b")
        .header("CDN-Cache-Control", "max-age=99")
        .body("t");
    on("/told", 200).header("Cache-Status", "origin; hit").header("Via", "1.1 o").body("v");
    on("/twice", 200).header("X-Two", "1").header("X-Two", "2").body("2");
    on("/changed", 200).header("Server", "o").body("c");
    on("/off", 200).body("o");
    on("/q?a=1", 200).body("q");
    for path in [
        "/sized", "/empty", "/chunked", "/gone", "/away", "/varied", "/tagged", "/told", "/twice",
        "/changed", "/moved", "/off", "/q?a=1",
    ] {
        let ask = || scene.call("GET", path).header("Accept-Language", "de");
        ask().send().await;
        let plain = ask().send().await;
        let long = ask().header(LONG_WAY.0, LONG_WAY.1).send().await;
        assert_eq!(told(&plain), told(&long), "{path}\n{}\n{}", plain.head, long.head);
        assert_eq!(plain.is_hit(), !matches!(path, "/moved" | "/off"), "{path}\n{}", plain.head);
    }
}

#[tokio::test]
async fn another_variant_is_not_answered_by_the_first() {
    let scene = Scene::start().await;
    let vary = |language| {
        let answer = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
        answer.header("Vary", "Accept-Language").body(language);
    };
    let get = |language| scene.call("GET", "/a").header("Accept-Language", language).send();
    vary("de");
    assert_eq!(get("de").await.text(), "de");
    vary("en");
    assert_eq!(get("en").await.text(), "en");
    for _ in 0..3 {
        let (german, english) = (get("de").await, get("en").await);
        assert_eq!((german.text(), english.text()), ("de", "en"));
        assert!(german.is_hit(), "{}", german.head);
    }
}

#[tokio::test]
async fn plain_requests_in_one_write_are_answered_in_order() {
    let scene = Scene::start().await;
    for path in ["/a", "/b", "/c"] {
        scene.origin.on(path).respond(200).header("Cache-Control", FRESH).body(path);
        scene.get(path).await;
    }
    let mut client = scene.edge.connect().await;
    // the third takes the long way, and the fourth waits behind it
    let requests = [("/a", ""), ("/b", ""), ("/c", "Range: bytes=0-0\r\n"), ("/a", "")];
    let bytes: String = requests
        .iter()
        .map(|(path, field)| format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{field}\r\n"))
        .collect();
    client.send(bytes).await;
    for (status, body) in [(200, "/a"), (200, "/b"), (206, "/"), (200, "/a")] {
        let response = client.response().await.unwrap();
        assert_eq!((response.status, response.text()), (status, body), "{}", response.head);
    }
}
