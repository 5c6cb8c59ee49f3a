//! What origins and clients see of a message that passes: RFC 9110 §7, RFC 7239, RFC 8586.

use crate::scene::{HOST, Scene};
use testkit::Client;

#[tokio::test]
async fn the_origin_learns_who_asked_and_how() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).body("x");
    let answer = scene.call("GET", "/a").header("X-Own", "kept").send().await;
    let request = &scene.origin.requests()[0];
    assert_eq!(request.field("host"), Some(HOST));
    assert_eq!(request.field("x-own"), Some("kept"));
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some(HOST));
    let forwarded = request.field("forwarded").unwrap().to_ascii_lowercase();
    for part in ["for=127.0.0.1", "proto=http", "host="] {
        assert!(forwarded.contains(part), "{forwarded}");
    }
    assert!(request.field("via").unwrap().starts_with("1.1 "), "{:?}", request.fields);
    assert!(request.fields.has("cdn-loop"), "{:?}", request.fields);
    assert!(answer.field("via").is_none_or(|via| via.starts_with("1.1 ")), "{}", answer.head);
}

#[tokio::test]
async fn a_client_cannot_say_for_whom_it_forwards() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).body("x");
    let call = scene.call("GET", "/a").header("X-Forwarded-For", "10.9.9.9");
    let call = call.header("X-Forwarded-Proto", "https").header("X-Forwarded-Host", "evil");
    call.header("Forwarded", "for=10.9.9.9;proto=https").send().await;
    let request = &scene.origin.requests()[0];
    let last = |name| request.field(name).and_then(|value| value.rsplit(", ").next());
    assert_eq!(last("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.fields.all("x-forwarded-proto"), ["http"]);
    assert_eq!(request.fields.all("x-forwarded-host"), [HOST]);
    assert!(last("forwarded").unwrap().to_ascii_lowercase().contains("proto=http"));
}

#[tokio::test]
async fn a_loop_is_508() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).body("x");
    scene.get("/a").await;
    let seen = scene.origin.requests()[0].field("cdn-loop").unwrap().to_owned();
    let answer = scene.call("GET", "/b").header("CDN-Loop", &seen).send().await;
    assert_eq!(answer.status, 508, "{seen}");
    let call = scene.call("GET", "/b").header("CDN-Loop", "other.example; x=1");
    assert_eq!(call.header("CDN-Loop", &seen).send().await.status, 508);
    let other = scene.call("GET", "/a").header("CDN-Loop", "other.example").send().await;
    assert_eq!((other.status, scene.origin.count("/b")), (200, 0));
    let passed = scene.origin.requests()[1].fields.all("cdn-loop").join(", ");
    assert!(passed.contains("other.example") && passed.contains(&seen), "{passed}");
}

#[tokio::test]
async fn hop_by_hop_fields_stop_here_both_ways() {
    let scene = Scene::start().await;
    let answer = scene.origin.on("/a").respond(200).header("Connection", "X-Hop-Out");
    let answer = answer.header("X-Hop-Out", "1").header("Keep-Alive", "timeout=5");
    answer.header("Proxy-Connection", "keep-alive").header("X-End", "1").body("x");
    let call = scene.call("GET", "/a").header("Connection", "x-hop-in, keep-alive");
    let call = call.header("X-Hop-In", "1").header("Keep-Alive", "timeout=5");
    let call = call.header("TE", "trailers").header("Proxy-Connection", "keep-alive");
    let answer = call.header("X-End", "1").send().await;
    let request = &scene.origin.requests()[0];
    for name in ["x-hop-in", "keep-alive", "te", "proxy-connection"] {
        assert!(!request.fields.has(name), "{name} went to the origin: {:?}", request.fields);
    }
    for name in ["x-hop-out", "proxy-connection"] {
        assert!(!answer.fields.has(name), "{name} went to the client: {}", answer.head);
    }
    assert_eq!((request.field("x-end"), answer.field("x-end")), (Some("1"), Some("1")));
}

#[tokio::test]
async fn connections_to_the_origin_are_kept() {
    let scene = Scene::start().await;
    scene.origin.on("/*").respond(200).body("x");
    let mut client = scene.edge.connect().await;
    for path in ["/1", "/2", "/3"] {
        client.get(HOST, path).await;
    }
    assert_eq!((scene.origin.count("/*"), scene.origin.connections()), (3, 1));
}

async fn upgrade(scene: &Scene) -> Client {
    let call = scene.call("GET", "/ws").header("Connection", "Upgrade");
    let call = call.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
    call.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").open().await
}

#[tokio::test]
async fn a_websocket_passes_bytes_both_ways() {
    let scene = Scene::start().await;
    let answer = scene.origin.on("/ws").respond(101).header("Connection", "Upgrade");
    answer.header("Upgrade", "websocket").raw("hello").echo();
    let mut client = upgrade(&scene).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status, head.field("upgrade")), (101, Some("websocket")));
    assert_eq!(client.some().await.unwrap().unwrap(), "hello");
    for message in ["\x01\x02", "second"] {
        client.send(message).await;
        assert_eq!(client.some().await.unwrap().unwrap(), message);
    }
    let request = &scene.origin.requests()[0];
    assert_eq!(request.field("upgrade"), Some("websocket"));
    assert_eq!(request.field("sec-websocket-version"), Some("13"));
}

#[tokio::test]
async fn a_refused_upgrade_is_a_plain_answer() {
    let scene = Scene::start().await;
    scene.origin.on("/ws").respond(403).body("no");
    let answer = upgrade(&scene).await.response().await.unwrap();
    assert_eq!((answer.status, answer.text()), (403, "no"));
}
