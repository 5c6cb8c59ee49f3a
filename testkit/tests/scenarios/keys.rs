//! What selects a stored response, beside its URL and `Vary`: a rule's key, and what the origin is told and asked.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scene::{FRESH, HOST, Scene, site};
use serde_json::{Value, json};
use std::net::SocketAddr;
use testkit::{Barrier, Edge, EdgeOptions, Feed, Origin, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

async fn with(key: Value) -> Scene {
    let scene = Scene::with(json!({ "cache": { "key": key } })).await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    scene
}

/// What the origin was asked for, in order.
fn asked(scene: &Scene) -> Vec<String> {
    scene.origin.requests().into_iter().map(|request| request.target).collect()
}

async fn get(scene: &Scene, target: &str, fields: &[(&str, &str)]) -> Response {
    let call = scene.call("GET", target);
    fields.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await
}

#[tokio::test]
async fn what_does_not_count_in_the_query_reaches_neither_name_nor_origin() {
    let check = async |key: Value, targets: &[&str], origin: &[&str]| {
        let scene = with(key.clone()).await;
        for target in targets {
            // the short way and the long way find the same
            let first = get(&scene, target, &[]).await;
            let long = get(&scene, target, &[("Pragma", "x")]).await;
            assert!(long.is_hit(), "{key} {target} {}", long.head);
            assert!(get(&scene, target, &[]).await.is_hit(), "{key} {target} {}", first.head);
        }
        assert_eq!(asked(&scene), origin, "{key}");
    };
    let targets = ["/a?b=1&a=2", "/a?a=2&b=1", "/a?a=2", "/a", "/a?"];
    check(json!({}), &targets, &targets).await;
    check(json!({ "query": "none" }), &targets, &["/a"]).await;
    check(json!({ "query": { "allow": ["a"] } }), &targets, &["/a?a=2", "/a"]).await;
    check(json!({ "query": { "deny": ["b", "utm_*"] } }), &targets, &["/a?a=2", "/a", "/a?"]).await;
    let utm = ["/a?utm_source=x&c", "/a?c&utm_medium=y", "/a?c&utm=z"];
    check(json!({ "query": { "deny": ["utm_*"] } }), &utm, &["/a?c", "/a?c&utm=z"]).await;
    let sorted = ["/a?a=2&b=1", "/a?a=2", "/a", "/a?"];
    check(json!({ "sort_query": true }), &targets, &sorted).await;
}

#[tokio::test]
async fn other_requests_take_the_query_as_it_came_and_reach_the_same_name() {
    let scene = Scene::with(json!({ "rules": [{
        "paths": ["/a"], "rewrite": { "to": "/b" },
        "cache": { "key": { "query": { "deny": ["u"] } }, "bypass": { "headers": ["X-Preview"] } },
    }] }))
    .await;
    scene.origin.on("/b").respond(200).header("Cache-Control", FRESH).body("x");
    get(&scene, "/a?u=1&v", &[]).await;
    assert!(get(&scene, "/a?v&u=2", &[]).await.is_hit());
    get(&scene, "/a?v&u=3", &[("X-Preview", "1")]).await;
    assert!(get(&scene, "/a?v", &[]).await.is_hit());
    scene.call("POST", "/a?u=4&v").body("x").send().await;
    assert!(!get(&scene, "/a?v", &[]).await.is_hit());
    assert_eq!(asked(&scene), ["/b?v", "/b?v&u=3", "/b?u=4&v", "/b?v"]);
}

#[tokio::test]
async fn location_is_invalidated_under_the_key_of_its_own_rule() {
    let scene = Scene::with(json!({ "rules": [
        { "paths": ["/plain"], "cache": { "key": { "query": "none" } } },
    ] }))
    .await;
    scene.origin.on("/plain").respond(200).header("Cache-Control", FRESH).body("x");
    scene.origin.on("/new").respond(201).header("Location", "/plain?x=1").body("made");
    get(&scene, "/plain?y=2", &[]).await;
    assert!(get(&scene, "/plain", &[]).await.is_hit());
    scene.call("POST", "/new").body("x").send().await;
    assert!(!get(&scene, "/plain?z", &[]).await.is_hit());
}

#[tokio::test]
async fn fields_and_cookies_select_and_an_unsafe_request_reaches_all() {
    let scene = with(json!({ "headers": ["X-Plan"], "cookies": ["group"] })).await;
    let clients: [&[(&str, &str)]; 4] = [
        &[],
        &[("X-Plan", "gold")],
        &[("X-Plan", "gold"), ("Cookie", "x=1; group=b")],
        &[("Cookie", "group=a")],
    ];
    for round in 1..=2 {
        for client in clients {
            let answer = get(&scene, "/a", client).await;
            assert!(!answer.is_hit(), "{round} {client:?} {}", answer.head);
        }
        for client in clients {
            let answer = get(&scene, "/a", client).await;
            assert!(answer.is_hit(), "{round} {client:?} {}", answer.head);
        }
        let same = get(&scene, "/a", &[("Cookie", "group=a; y=2"), ("X-Other", "1")]).await;
        assert!(same.is_hit(), "{}", same.head);
        assert_eq!(scene.origin.count("/a"), 5 * round - 1);
        scene.call("POST", "/a").body("x").send().await;
    }
}

#[tokio::test]
async fn a_key_and_vary_select_together() {
    let scene = with(json!({ "headers": ["X-Plan"] })).await;
    let answer = scene.origin.now_on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    answer.header("Vary", "Accept-Language");
    for plan in ["a", "b"] {
        for language in ["de", "en"] {
            let fields = [("X-Plan", plan), ("Accept-Language", language)];
            assert!(!get(&scene, "/a", &fields).await.is_hit());
            assert!(get(&scene, "/a", &fields).await.is_hit());
        }
    }
    assert_eq!(scene.origin.count("/a"), 4);
}

const PHONE: (&str, &str) =
    ("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4) Mobile/15E148");
const HINTED: (&str, &str) = ("Sec-CH-UA-Mobile", "?1");
const CRAWLER: (&str, &str) = ("User-Agent", "Mozilla/5.0 (compatible; Examplebot/1.0)");

#[tokio::test]
async fn classes_of_devices_have_responses_of_their_own() {
    let scene = with(json!({ "device": true })).await;
    for (fields, class) in [(&[PHONE][..], "mobile"), (&[CRAWLER], "bot"), (&[], "desktop")] {
        assert!(!get(&scene, "/a", fields).await.is_hit());
        assert_eq!(scene.origin.requests().last().unwrap().field("longshore-device"), Some(class));
    }
    for fields in [&[PHONE][..], &[CRAWLER], &[], &[HINTED]] {
        let answer = get(&scene, "/a", fields).await;
        assert!(answer.is_hit(), "{fields:?} {}", answer.head);
    }
    assert_eq!(scene.origin.count("/a"), 3);
}

/// The last of them takes the place of all, so they cost fetches; but never another's response.
#[tokio::test]
async fn classes_whose_responses_vary_differently_are_not_mixed_up() {
    let scene = Scene::with(json!({ "cache": { "key": { "device": true } } })).await;
    for round in 0..3 {
        for (client, class) in [(&[PHONE][..], "mobile"), (&[], "desktop")] {
            let answer = scene.origin.now_on("/a").respond(200).header("Cache-Control", FRESH);
            let answer = answer.body(class);
            if class == "mobile" {
                answer.header("Vary", "Accept-Language");
            }
            let language = if round == 1 { "de" } else { "en" };
            let fields = [client, &[("Accept-Language", language)]].concat();
            for _ in 0..2 {
                let answer = get(&scene, "/a", &fields).await;
                assert_eq!(answer.text(), class, "{round} {}", answer.head);
            }
            assert!(get(&scene, "/a", &fields).await.is_hit());
        }
    }
}

#[tokio::test]
async fn who_waits_for_a_fetch_of_another_class_gets_a_response_of_its_own() {
    let scene = Scene::with(json!({ "cache": { "key": { "device": true } } })).await;
    let barrier = Barrier::new();
    let slow = scene.origin.on("/a").wait(&barrier).respond(200);
    slow.header("Cache-Control", FRESH).body("phone");
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("desktop");
    let mut phone = scene.call("GET", "/a").header(PHONE.0, PHONE.1).open().await;
    scene.origin.arrived("/a", 1).await;
    let mut desktop = scene.call("GET", "/a").open().await;
    barrier.release();
    assert_eq!(phone.response().await.unwrap().text(), "phone");
    assert_eq!(desktop.response().await.unwrap().text(), "desktop");
    for (fields, body) in [(&[PHONE][..], "phone"), (&[], "desktop")] {
        let answer = get(&scene, "/a", fields).await;
        assert!(answer.is_hit() && answer.text() == body, "{}", answer.head);
    }
}

#[tokio::test]
async fn slices_are_under_the_key_as_well() {
    let key = json!({ "device": true, "query": { "deny": ["u"] } });
    let scene = Scene::with(json!({ "cache": { "key": key } })).await;
    let range = async |target: &str, client: &[(&str, &str)], byte: u8| {
        let fields = [client, &[("Range", "bytes=2000000-2000001")]].concat();
        let file = scene.origin.now_on("/a").respond(200).header("Cache-Control", FRESH);
        let tag = format!("\"{}\"", char::from(byte));
        file.header("ETag", &tag).body(vec![byte; 3_000_000]).ranged();
        let answer = get(&scene, target, &fields).await;
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (206, &[byte, byte][..]),
            "{}",
            answer.head
        );
        answer
    };
    range("/a?u=1", &[PHONE], b'm').await;
    assert!(range("/a?u=2", &[PHONE], b'm').await.is_hit());
    let seen = scene.origin.requests().pop().unwrap();
    assert_eq!((seen.target.as_str(), seen.field("longshore-device")), ("/a", Some("mobile")));
    assert!(!range("/a", &[], b'd').await.is_hit());
    let seen = scene.origin.requests().pop().unwrap();
    assert_eq!(seen.field("longshore-device"), Some("desktop"));
    range("/a", &[PHONE], b'm').await;
    range("/a", &[], b'd').await;
    scene.origin.now_on("/a").respond(204);
    scene.call("POST", "/a?u=3").body("x").send().await;
    range("/a", &[PHONE], b'n').await;
}

#[tokio::test]
async fn what_a_client_says_of_itself_in_our_fields_never_counts() {
    let scene = with(json!({ "device": true })).await;
    let plain = Scene::start().await;
    plain.origin.on("/a").respond(200).body("x");
    let claims =
        [("Longshore-Device", "bot"), ("longshore_device", "bot"), ("Longshore-Country", "FR")];
    for (scene, device) in [(&scene, Some("desktop")), (&plain, None)] {
        get(scene, "/a", &claims).await;
        let seen = scene.origin.requests().pop().unwrap();
        assert_eq!(seen.fields.all("longshore-device"), Vec::from_iter(device));
        assert!(!seen.fields.has("longshore-country") && !seen.fields.has("longshore_device"));
    }
    assert!(get(&scene, "/a", &[]).await.is_hit(), "it was stored for what it is");
    scene.call("POST", "/a").header("Longshore-Device", "bot").body("x").send().await;
    let posted = scene.origin.requests().pop().unwrap();
    assert_eq!(posted.fields.all("longshore-device"), ["desktop"], "every request is told");
}

#[tokio::test]
async fn a_fetch_in_the_background_is_for_the_same_class() {
    let scene = with(json!({ "device": true })).await;
    let stale = "max-age=0, stale-while-revalidate=3600";
    scene.origin.now_on("/a").respond(200).header("Cache-Control", stale).body("old");
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("new");
    get(&scene, "/a", &[PHONE]).await;
    assert_eq!(get(&scene, "/a", &[PHONE]).await.text(), "old");
    let renewing = scene.origin.received("/a", 2).await;
    assert_eq!(renewing.field("longshore-device"), Some("mobile"));
    testkit::eventually("the new response to be stored for phones", || async {
        let answer = get(&scene, "/a", &[PHONE]).await;
        (answer.is_hit() && answer.text() == "new").then_some(())
    })
    .await;
    assert!(!get(&scene, "/a", &[]).await.is_hit());
}

#[tokio::test]
async fn a_key_that_is_given_up_leaves_its_responses_to_nobody() {
    let scene = with(json!({ "device": true })).await;
    get(&scene, "/a", &[PHONE]).await;
    let document = site("a", HOST, &scene.origin.url(), json!({}));
    scene.feed.adopted(scene.feed.put_site(1, document)).await;
    for _ in 0..2 {
        get(&scene, "/a", &[]).await;
    }
    assert!(get(&scene, "/a", &[]).await.is_hit() && get(&scene, "/a", &[PHONE]).await.is_hit());
    assert_eq!(scene.origin.count("/a"), 2);
    let seen = scene.origin.requests().pop().unwrap();
    assert!(!seen.fields.has("longshore-device"));
}

/// A database of two networks, 127.0.0.0/9 in Germany and 127.128.0.0/9 in France (MaxMind DB file format 2.0).
fn countries() -> Vec<u8> {
    let text = |text: &str| {
        let size = u8::try_from(text.len()).expect("texts are short");
        [&[2 << 5 | size], text.as_bytes()].concat()
    };
    let number = |kind: u8, number: u8| vec![kind << 5 | 1, number];
    let map = |members: &[(&str, Vec<u8>)]| {
        let size = u8::try_from(members.len()).expect("maps are small");
        let members = members.iter().flat_map(|(key, value)| [text(key), value.clone()].concat());
        [7 << 5 | size].into_iter().chain(members).collect::<Vec<u8>>()
    };
    let country = |code| map(&[("country", map(&[("iso_code", text(code))]))]);
    let (germany, france) = (country("DE"), country("FR"));
    // a node for each of the bits 0 1111111, and one for the ninth
    let nodes: u8 = 9;
    let data = |offset: usize| nodes + 16 + u8::try_from(offset).expect("records are small");
    let path = (1..nodes).map(|next| if next == 1 { [next, nodes] } else { [nodes, next] });
    let last = [data(0), data(germany.len())];
    let tree = path.chain([last]).flatten().flat_map(|record| [0, 0, record]);
    let metadata = map(&[
        ("binary_format_major_version", number(5, 2)),
        ("binary_format_minor_version", number(5, 0)),
        ("build_epoch", vec![0x01, 0x02, 1]),
        ("database_type", text("Test")),
        ("description", map(&[("en", text("test"))])),
        ("ip_version", number(5, 4)),
        ("languages", vec![0x00, 0x04]),
        ("node_count", number(6, nodes)),
        ("record_size", number(5, 24)),
    ]);
    let marker = b"\xab\xcd\xefMaxMind.com".to_vec();
    tree.chain([0; 16]).chain([germany, france, marker, metadata].concat()).collect()
}

/// The answer to a GET from an address of this machine's own network.
async fn get_from(edge: &Edge, client: [u8; 4], path: &str) -> String {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.bind(SocketAddr::from((client, 0))).expect("127.0.0.0/8 is this machine");
    let mut stream = socket.connect(edge.http()).await.expect("the edge listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the edge answers in text");
    answer
}

#[tokio::test]
async fn countries_have_responses_of_their_own() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let database = directory.path().join("countries.mmdb");
    std::fs::write(&database, countries()).expect("the directory can be written");
    let (origin, feed) = (Origin::start().await, Feed::start().await);
    let config = format!("[geo]\ndatabase = {database:?}\n");
    let options = EdgeOptions::new().control(&feed.url(), "ls_test").config(&config);
    let edge = Edge::start(options).await;
    let members = json!({ "cache": { "key": { "country": true } } });
    feed.adopted(feed.put_site(1, site("a", HOST, &origin.url(), members))).await;
    origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    for (client, country) in [([127, 0, 0, 1], "DE"), ([127, 128, 0, 1], "FR")] {
        assert!(get_from(&edge, client, "/a").await.contains("fwd="));
        assert_eq!(origin.requests().last().unwrap().field("longshore-country"), Some(country));
    }
    for client in [[127, 0, 0, 1], [127, 128, 0, 1], [127, 3, 2, 1], [127, 200, 0, 9]] {
        let answer = get_from(&edge, client, "/a").await;
        assert!(answer.contains("longshore; hit"), "{client:?} {answer}");
    }
    assert_eq!(origin.count("/a"), 2);
    // a fetch in the background is for the country of who has it done
    let stale = "max-age=0, stale-while-revalidate=3600";
    origin.on("/b").respond(200).header("Cache-Control", stale).body("x");
    for _ in 0..2 {
        get_from(&edge, [127, 128, 0, 1], "/b").await;
    }
    assert_eq!(origin.received("/b", 2).await.field("longshore-country"), Some("FR"));
}

#[tokio::test]
async fn a_country_that_no_database_knows_is_one_too() {
    let scene = with(json!({ "country": true })).await;
    get(&scene, "/a", &[("Longshore-Country", "DE")]).await;
    assert_eq!(scene.origin.requests().last().unwrap().field("longshore-country"), Some("XX"));
    assert!(get(&scene, "/a", &[]).await.is_hit());
}
