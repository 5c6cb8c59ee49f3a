//! Heads that mean different things to different parsers are refused and go no further (RFC 9112 §2.2, §3, §5, §6).

use crate::scene::{FRESH, Scene};
use serde_json::json;
use testkit::Response;

const HOSTILE: [(&str, &str); 20] = [
    (
        "a length that ends with the connection",
        "POST /a HTTP/1.1\r\nHost: a.example\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nabcde",
    ),
    (
        "chunks that end with the connection",
        "POST /a HTTP/1.1\r\nHost: a.example\r\nConnection: close, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a Host that ends with the connection",
        "GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: host\r\n\r\n",
    ),
    ("no Host", "GET /a HTTP/1.1\r\n\r\n"),
    ("two Hosts", "GET /a HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n"),
    ("a list of Hosts", "GET /a HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n"),
    ("a space before the colon", "GET /a HTTP/1.1\r\nHost : a.example\r\n\r\n"),
    ("a folded line", "GET /a HTTP/1.1\r\nHost: a.example\r\nX: a\r\n b\r\n\r\n"),
    ("a space before the first field", "GET /a HTTP/1.1\r\n Host: a.example\r\n\r\n"),
    ("a bare CR", "GET /a HTTP/1.1\r\nHost: a.example\r\nX: a\rb\r\n\r\n"),
    ("a NUL", "GET /a HTTP/1.1\r\nHost: a.example\r\nX: a\0b\r\n\r\n"),
    ("a nameless field", "GET /a HTTP/1.1\r\nHost: a.example\r\n: x\r\n\r\n"),
    (
        "two lengths",
        "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ),
    ("a signed length", "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: +1\r\n\r\na"),
    (
        "a length and chunks",
        "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a coding that is not chunked",
        "POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked twice",
        "POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks in HTTP/1.0",
        "POST /a HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("two spaces in the request line", "GET  /a HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    ("another host in the target", "GET http://b.example/a HTTP/1.1\r\nHost: a.example\r\n\r\n"),
];

/// A refusal is dated, and says why like every other answer made here.
fn check_told(answer: &Response) {
    assert_eq!(answer.cache_status(), "longshore; detail=http_request_error");
    assert_eq!(answer.field("proxy-status"), Some("longshore; error=http_request_error"));
    assert!(answer.field("date").is_some_and(|date| date.ends_with(" GMT")), "{}", answer.head);
}

#[tokio::test]
async fn hostile_heads_are_400_and_go_no_further() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).body("x");
    let mut wrong = Vec::new();
    for (name, bytes) in HOSTILE {
        let mut client = scene.edge.connect().await;
        client.send(bytes).await;
        match client.response().await {
            Ok(answer) if answer.status == 400 => check_told(&answer),
            Ok(answer) => wrong.push(format!("{name}: {}", answer.status)),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "not answered with 400:\n{}", wrong.join("\n"));
    assert_eq!(scene.origin.requests(), []);
    assert_eq!(scene.get("/a").await.text(), "x");
}

#[tokio::test]
async fn a_head_over_the_limits_is_431() {
    let scene = Scene::start().await;
    let long = format!("GET /a HTTP/1.1\r\nHost: a.example\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    let many = format!("GET /a HTTP/1.1\r\nHost: a.example\r\n{}\r\n", "X: y\r\n".repeat(200));
    for (name, bytes) in [("long", long), ("many", many)] {
        let mut client = scene.edge.connect().await;
        client.send(bytes).await;
        let answer = client.response().await.unwrap();
        assert_eq!(answer.status, 431, "{name}");
        check_told(&answer);
    }
    assert_eq!(scene.origin.requests(), []);
}

#[tokio::test]
async fn a_method_of_no_registry_is_501() {
    let scene = Scene::start().await;
    for method in ["get", "abcGET", "MKCOLA"] {
        let mut client = scene.edge.connect().await;
        client.send(format!("{method} /a HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
        let answer = client.response().await.unwrap();
        assert_eq!(answer.status, 501, "{method}");
        check_told(&answer);
    }
    assert_eq!(scene.origin.requests(), []);
}

#[tokio::test]
async fn another_version_is_505() {
    let scene = Scene::start().await;
    let mut client = scene.edge.connect().await;
    client.send("GET /a HTTP/2.0\r\nHost: a.example\r\n\r\n").await;
    let answer = client.response().await.unwrap();
    assert_eq!(answer.status, 505);
    check_told(&answer);
}

#[tokio::test]
async fn what_follows_a_refused_head_is_not_read_as_a_request() {
    let scene = Scene::start().await;
    scene.origin.on("/*").respond(200).header("Cache-Control", FRESH).body("x");
    let mut client = scene.edge.connect().await;
    let refused = "GET /a HTTP/1.1\r\nHost : a.example\r\n\r\n";
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";
    client.send([refused, smuggled].concat()).await;
    assert_eq!(client.response().await.unwrap().status, 400);
    assert!(client.response().await.is_err());
    assert_eq!(scene.origin.requests(), []);
}

#[tokio::test]
async fn pipelined_requests_are_all_answered_in_order() {
    let scene = Scene::start().await;
    for (path, body) in [("/1", "one"), ("/2", "two"), ("/3", "three")] {
        scene.origin.on(path).respond(200).header("Cache-Control", FRESH).body(body);
        scene.get(path).await;
    }
    let request = |path| format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let mut client = scene.edge.connect().await;
    client.send(["/1", "/2", "/3"].map(request).concat()).await;
    for body in ["one", "two", "three"] {
        assert_eq!(client.response().await.unwrap().text(), body);
    }
}

#[tokio::test]
async fn fields_that_end_with_the_connection_decide_nothing() {
    let scene =
        Scene::with(json!({ "cache": { "key": { "device": true, "headers": ["X-A"] } } })).await;
    for path in ["/vary", "/key", "/device"] {
        let script = scene.origin.on(path).respond(200).header("Cache-Control", "max-age=3600");
        script.header("Vary", "Origin").body("x");
    }
    for (path, name, value) in [
        ("/vary", "Origin", "https://app.example"),
        ("/key", "X-A", "admin"),
        ("/device", "User-Agent", "iPhone Mobile"),
    ] {
        let named = if path == "/device" { "longshore-device" } else { name };
        let call = scene.call("GET", path).header(name, value);
        call.header("Connection", &format!("close, {named}")).send().await;
        let first = scene.origin.arrived(path, 1).await;
        assert!(first.field("longshore-device").is_some(), "{path}");
        let answer = scene.call("GET", path).header(name, value).send().await;
        if path == "/device" {
            assert_eq!(first.field("longshore-device"), Some("mobile"));
        } else {
            assert_eq!(first.field(name), None, "{path}");
            assert!(!answer.is_hit(), "{path}: {}", answer.head);
            assert_eq!(scene.origin.arrived(path, 2).await.field(name), Some(value));
        }
    }
}

#[tokio::test]
async fn what_an_origin_was_not_asked_for_is_its_fault() {
    let scene = Scene::start().await;
    scene
        .origin
        .on("/101")
        .raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    scene.origin.on("/304").respond(304).header("ETag", "\"1\"");
    for path in ["/101", "/304"] {
        let answer = scene.get(path).await;
        assert_eq!(answer.status, 502, "{path}: {}", answer.head);
    }
    let passed = scene.call("GET", "/304").header("If-None-Match", "\"1\"");
    let passed = passed.header("Cache-Control", "no-store").send().await;
    assert_eq!(passed.status, 304);
}
