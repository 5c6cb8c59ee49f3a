//! Requests that come before the answers to those ahead of them (RFC 9112 §9.3.2): each is answered, in order, whatever it
//! is and however it ended, and what one says is never read as another's.

use crate::scene::{FRESH, HOST, Scene};
use serde_json::json;
use testkit::Client;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn chunked(path: &str, chunks: &str) -> String {
    format!("PUT {path} HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

async fn check(client: &mut Client, expected: &[(u16, &str)]) {
    for (number, (status, body)) in expected.iter().enumerate() {
        let answer = client.response().await.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!((answer.status, answer.text()), (*status, *body), "{number}: {}", answer.head);
    }
}

async fn scene() -> Scene {
    let scene = Scene::start().await;
    for path in ["/1", "/2", "/3"] {
        scene.origin.on(path).respond(200).header("Cache-Control", FRESH).body(path);
    }
    scene.origin.on("/live").respond(200).header("Cache-Control", "no-store").body("live");
    scene
        .origin
        .on("/chunked")
        .respond(200)
        .header("Cache-Control", "no-store")
        .chunked()
        .body("c");
    scene.origin.on("/post").respond(201).body("made");
    scene
}

#[tokio::test]
async fn misses_hits_and_bodies_in_one_write_are_all_answered() {
    let scene = scene().await;
    scene.get("/1").await;
    let mut client = scene.edge.connect().await;
    let requests = [
        get("/1"),
        get("/2"),
        post("/post", "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        get("/live"),
        chunked("/post", "3;x=y\r\nabc\r\n0\r\nX-Trailer: y\r\n\r\n"),
        get("/chunked"),
        get("/2"),
        post("/post", ""),
        get("/3"),
    ];
    client.send(requests.concat()).await;
    let expected = ["/1", "/2", "made", "live", "made", "c", "/2", "made", "/3"]
        .map(|body| (if body == "made" { 201 } else { 200 }, body));
    check(&mut client, &expected).await;
    let asked = scene.origin.requests();
    assert!(!asked.iter().any(|request| request.target.contains("smuggled")));
    let put = asked.iter().find(|request| request.method == "PUT").unwrap();
    assert_eq!(put.body, b"abc");
}

#[tokio::test]
async fn requests_in_pieces_are_the_same_requests() {
    let scene = scene().await;
    let bytes = [get("/live"), chunked("/post", "2\r\nab\r\n0\r\n\r\n"), get("/2")].concat();
    for size in [1, 7, 50] {
        let mut client = scene.edge.connect().await;
        for piece in bytes.as_bytes().chunks(size) {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        check(&mut client, &[(200, "live"), (201, "made"), (200, "/2")]).await;
    }
}

#[tokio::test]
async fn conditional_misses_keep_their_connection() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/*").respond(200).header("Cache-Control", FRESH);
    script.header("ETag", "\"v1\"").body("x".repeat(20_000));
    let mut client = scene.edge.connect().await;
    for number in 0..500 {
        let request =
            |field: &str| format!("GET /{number} HTTP/1.1\r\nHost: {HOST}\r\n{field}\r\n\r\n");
        client.send(request("If-None-Match: \"v1\"")).await;
        let answer = client.response().await.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!(answer.status, 304, "{number}: {}", answer.head);
        assert!(answer.cache_status().contains("fwd=uri-miss"), "{}", answer.cache_status());
        client.send(request("Range: bytes=0-1")).await;
        let answer = client.response().await.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!((answer.status, answer.text()), (206, "xx"), "{number}");
    }
}

#[tokio::test]
async fn failures_keep_their_connection() {
    let scene = Scene::with(json!({})).await;
    scene.origin.on("/broken").close();
    scene.origin.on("/garbage").raw("no head\r\n\r\n");
    scene.origin.on("/2").respond(200).body("/2");
    let mut client = scene.edge.connect().await;
    client
        .send([get("/broken"), get("/garbage"), post("/broken", "abc"), get("/2")].concat())
        .await;
    for number in 0..3 {
        let answer = client.response().await.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!(answer.status, 502, "{number}");
        assert_eq!(answer.field("connection"), Some("keep-alive"), "{number}: {}", answer.head);
    }
    check(&mut client, &[(200, "/2")]).await;
}

#[tokio::test]
async fn what_follows_a_wrong_body_is_not_read_as_a_request() {
    let scene = scene().await;
    for chunks in [
        "x\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3;\nabc\r\n0\r\n\r\n",
        "3\r\nabcX\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\n\r\n",
    ] {
        let mut client = scene.edge.connect().await;
        client.send([chunked("/post", chunks), get("/smuggled")].concat()).await;
        let answer = client.response().await.unwrap_or_else(|error| panic!("{chunks:?}: {error}"));
        assert_eq!(answer.status, 400, "{chunks:?}: {}", answer.head);
        assert_eq!(answer.field("connection"), Some("close"), "{chunks:?}");
        assert!(client.response().await.is_err(), "{chunks:?}");
    }
    let asked = scene.origin.requests();
    assert!(!asked.iter().any(|request| request.target.contains("smuggled")), "{asked:?}");
}

/// CVE-2026-2833: bytes after a request for an upgrade are no body and no other protocol's before the origin agrees.
#[tokio::test]
async fn what_follows_a_request_for_an_upgrade_waits_for_the_answer() {
    let scene = scene().await;
    let upgrade = format!(
        "GET /live HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    let mut client = scene.edge.connect().await;
    client.send([upgrade, get("/2")].concat()).await;
    check(&mut client, &[(200, "live"), (200, "/2")]).await;
    let asked = scene.origin.requests();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0].body, b"");
}

/// CVE-2025-4366: a hit leaves the body of its request, which is no request of its own.
#[tokio::test]
async fn the_body_of_a_request_that_is_a_hit_is_read_past() {
    let scene = scene().await;
    scene.get("/1").await;
    let inner = get("/smuggled");
    let length = inner.len();
    let mut client = scene.edge.connect().await;
    let with_body =
        format!("GET /1 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n{inner}");
    client.send(with_body).await;
    check(&mut client, &[(200, "/1")]).await;
    // kept or closed: either is right, and a further answer is not
    client.try_send(get("/2")).await.ok();
    if let Ok(answer) = client.response().await {
        assert_eq!(answer.text(), "/2");
    }
    let asked = scene.origin.requests();
    assert!(!asked.iter().any(|request| request.target.contains("smuggled")), "{asked:?}");
}
