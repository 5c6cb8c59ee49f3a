//! Validation and ranges: 304 and 206 from what is stored (RFC 9110 §13, §14).

use crate::scene::{FRESH, Scene};
use testkit::Barrier;

const MODIFIED: &str = "Wed, 01 Jan 2020 00:00:00 GMT";

async fn with_validators() -> Scene {
    let scene = Scene::start().await;
    let answer = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    answer.header("ETag", "\"v1\"").header("Last-Modified", MODIFIED).body("0123456789");
    scene.get("/a").await;
    scene
}

#[tokio::test]
async fn a_client_that_has_it_gets_304() {
    let scene = with_validators().await;
    for (name, value, status) in [
        ("If-None-Match", "\"v1\"", 304),
        ("If-None-Match", "W/\"v1\"", 304),
        ("If-None-Match", "\"v0\", \"v1\"", 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", "\"v2\"", 200),
        ("If-Modified-Since", MODIFIED, 304),
        ("If-Modified-Since", "Tue, 31 Dec 2019 00:00:00 GMT", 200),
    ] {
        let answer = scene.call("GET", "/a").header(name, value).send().await;
        assert_eq!(answer.status, status, "{name}: {value}");
        assert_eq!(answer.body.is_empty(), status == 304);
        assert_eq!(answer.field("etag"), Some("\"v1\""));
    }
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn a_stale_response_is_validated_and_used_again() {
    let scene = Scene::start().await;
    let stale = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=0");
    stale.header("ETag", "\"v1\"").body("x");
    let same = scene.origin.on("/a").respond(304).header("Cache-Control", FRESH);
    same.header("ETag", "\"v1\"");
    scene.get("/a").await;
    let validated = scene.get("/a").await;
    assert_eq!((validated.status, validated.text()), (200, "x"));
    assert!(validated.cache_status().contains("fwd=stale"), "{}", validated.head);
    assert_eq!(scene.origin.requests()[1].field("if-none-match"), Some("\"v1\""));
    let hit = scene.get("/a").await;
    assert!(hit.is_hit() && scene.origin.count("/a") == 2, "{}", hit.head);
}

#[tokio::test]
async fn ranges_are_cut_from_what_is_stored() {
    let scene = with_validators().await;
    for (range, body, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
    ] {
        let answer = scene.call("GET", "/a").header("Range", range).send().await;
        assert_eq!((answer.status, answer.text()), (206, body), "{range}");
        assert_eq!(answer.field("content-range"), Some(content_range));
    }
    let beyond = scene.call("GET", "/a").header("Range", "bytes=10-").send().await;
    assert_eq!((beyond.status, beyond.field("content-range")), (416, Some("bytes */10")));
    assert!(beyond.is_hit(), "{}", beyond.head);
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn odd_ranges_are_answered_by_the_rules() {
    let scene = with_validators().await;
    let parts =
        |count| (0..count).map(|at| format!("{0}-{0}", at * 2)).collect::<Vec<_>>().join(",");
    let long = scene.origin.on("/long").respond(200).header("Cache-Control", FRESH);
    long.body("x".repeat(100));
    scene.get("/long").await;
    for (lines, status) in [
        ("Range: bytes=-0".to_owned(), 416),
        (format!("Range: bytes={}", parts(16)), 206),
        (format!("Range: bytes={}", parts(17)), 200),
        ("Range: bytes=0-1\r\nRange: bytes=0-1".to_owned(), 200),
        ("Range: bytes=4-5,0-1".to_owned(), 200),
        ("Range: bytes=2-1".to_owned(), 200),
        ("Range: bytes=".to_owned(), 200),
        ("Range: lines=0-1".to_owned(), 200),
    ] {
        let mut client = scene.edge.connect().await;
        client.send(format!("GET /long HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n\r\n")).await;
        let answer = client.response().await.unwrap();
        assert_eq!(answer.status, status, "{lines}");
        if status == 200 {
            assert_eq!(answer.body.len(), 100, "{lines}");
        }
        assert_eq!(answer.field("content-range"), (status == 416).then_some("bytes */100"));
    }
    assert_eq!(scene.origin.count("/long"), 1);
}

#[tokio::test]
async fn several_ranges_come_in_parts() {
    let scene = with_validators().await;
    let answer = scene.call("GET", "/a").header("Range", "bytes=0-1,4-5,-2").send().await;
    assert_eq!((answer.status, answer.field("content-range")), (206, None));
    let kind = answer.field("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let parts: Vec<&str> = answer.text().split(&format!("--{boundary}")).collect();
    assert_eq!((parts.first(), parts.last()), (Some(&"\r\n"), Some(&"--\r\n")));
    let contents = parts.iter().filter_map(|part| Some(part.split_once("\r\n\r\n")?.1));
    assert!(contents.eq(["01\r\n", "45\r\n", "89\r\n"]), "{}", answer.text());
}

#[tokio::test]
async fn if_range_guards_a_range() {
    let scene = with_validators().await;
    for (validator, status) in [("\"v1\"", 206), ("\"v2\"", 200), ("W/\"v1\"", 200)] {
        let call = scene.call("GET", "/a").header("Range", "bytes=0-1");
        let answer = call.header("If-Range", validator).send().await;
        assert_eq!(answer.status, status, "{validator}");
    }
}

#[tokio::test]
async fn a_304_for_another_entity_tag_does_not_renew_what_is_stored() {
    let scene = Scene::start().await;
    let stale = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=0");
    stale.header("ETag", "\"v1\"").body("one");
    scene.origin.on("/a").respond(304).header("Cache-Control", FRESH).header("ETag", "\"v2\"");
    let anew = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    anew.header("ETag", "\"v2\"").body("two");
    assert_eq!(scene.get("/a").await.text(), "one");
    for _ in 0..2 {
        let answer = scene.get("/a").await;
        let pair = (answer.field("etag"), answer.text());
        assert!(matches!(pair, (Some("\"v1\""), "one") | (Some("\"v2\""), "two")), "{pair:?}");
    }
    let requests = scene.origin.requests();
    assert_eq!(requests[1].field("if-none-match"), Some("\"v1\""));
    assert_eq!(requests[2].field("if-none-match"), None, "asked again without the condition");
}

#[tokio::test]
async fn entity_tags_may_contain_any_byte_above_ascii() {
    let scene = Scene::start().await;
    let head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\nETag: \"\xfc\"\r\n\r\nx";
    scene.origin.on("/a").raw(head.to_vec());
    scene.get("/a").await;
    let mut client = scene.edge.connect().await;
    client.send(b"GET /a HTTP/1.1\r\nHost: a.example\r\nIf-None-Match: \"\xfc\"\r\n\r\n").await;
    assert_eq!(client.response().await.unwrap().status, 304);
}

#[tokio::test]
async fn a_late_304_leaves_the_response_that_replaced_the_one_it_is_about() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let answer = |status, cache_control, tag, body: &'static str| {
        let answer = scene.origin.on("/a").respond(status).header("Cache-Control", cache_control);
        answer.header("ETag", tag).body(body);
    };
    answer(200, "max-age=0", "\"a\"", "aaaa");
    // from here on nobody waits for another's fetch
    answer(200, "private", "\"p\"", "p");
    let late = scene.origin.on("/a").wait(&barrier).respond(304).header("Cache-Control", FRESH);
    late.header("ETag", "\"a\"");
    answer(200, FRESH, "\"b\"", "bbbbbbbb");
    scene.get("/a").await;
    scene.get("/a").await;
    let mut first = scene.call("GET", "/a").open().await;
    let validating = scene.origin.arrived("/a", 3).await;
    assert_eq!(validating.field("if-none-match"), Some("\"a\""));
    assert_eq!(scene.get("/a").await.text(), "bbbbbbbb");
    barrier.release();
    let validated = first.response().await.unwrap();
    assert_eq!((validated.field("etag"), validated.text()), (Some("\"a\""), "aaaa"));
    let hit = scene.get("/a").await;
    assert_eq!((hit.field("etag"), hit.text()), (Some("\"b\""), "bbbbbbbb"), "{}", hit.head);
    assert!(hit.is_hit() && hit.field("content-length") == Some("8"), "{}", hit.head);
}
