//! Parts of what is not stored whole are fetched and stored in slices.

use crate::scene::{FRESH, Scene};
use testkit::{Barrier, Live, Response};

const MIB: usize = 1 << 20;

/// Bytes that tell where they stand.
fn content(length: usize) -> Vec<u8> {
    let byte = |at| u8::try_from((at / 7 + at / MIB) % 251).unwrap_or_default();
    (0..length).map(byte).collect()
}

fn file(scene: &Scene, path: &str, length: usize, tag: &str) {
    let script = scene.origin.now_on(path).respond(200);
    script.header("Cache-Control", FRESH).header("ETag", tag).body(content(length)).ranged();
}

async fn range(scene: &Scene, path: &str, range: &str) -> Response {
    scene.call("GET", path).header("Range", range).send().await
}

/// What the origin was asked for, by `Range`; `-` for the whole.
fn asked(scene: &Scene) -> Vec<String> {
    let requests = scene.origin.requests();
    requests.iter().map(|request| request.field("range").unwrap_or("-").to_owned()).collect()
}

#[tokio::test]
async fn a_range_fetches_its_slices_and_no_more() {
    let scene = Scene::start().await;
    file(&scene, "/a", 10 * MIB, "\"v\"");
    let from = 3 * MIB - 5;
    let answer = range(&scene, "/a", &format!("bytes={from}-{}", from + 9)).await;
    assert_eq!(answer.status, 206);
    assert_eq!(answer.body, content(10 * MIB)[from..from + 10]);
    let expected = format!("bytes {from}-{}/{}", from + 9, 10 * MIB);
    assert_eq!(answer.field("content-range"), Some(expected.as_str()));
    let told = answer.cache_status();
    assert!(told.starts_with("longshore; fwd=uri-miss; stored; ttl="), "{told}");
    assert_eq!(asked(&scene), ["bytes=2097152-3145727", "bytes=3145728-4194303"]);

    let again = range(&scene, "/a", &format!("bytes={from}-{}", from + 9)).await;
    assert_eq!((again.status, &again.body), (206, &answer.body));
    assert!(again.field("cache-status").unwrap().starts_with("longshore; hit; ttl="));
    let partly = range(&scene, "/a", &format!("bytes={}-{}", 4 * MIB - 2, 4 * MIB + 1)).await;
    assert_eq!(partly.body, content(10 * MIB)[4 * MIB - 2..4 * MIB + 2]);
    assert!(partly.cache_status().starts_with("longshore; fwd=partial; stored; key="));
    assert_eq!(asked(&scene).len(), 3);
}

#[tokio::test]
async fn every_kind_of_range_is_right() {
    let scene = Scene::start().await;
    let length = 2 * MIB + 100;
    file(&scene, "/a", length, "\"v\"");
    let whole = content(length);
    let check = async |asked: &str, expected: Option<std::ops::Range<usize>>| {
        let answer = range(&scene, "/a", asked).await;
        let (status, told) = match &expected {
            Some(part) => (206, format!("bytes {}-{}/{length}", part.start, part.end - 1)),
            None => (416, format!("bytes */{length}")),
        };
        assert_eq!((answer.status, answer.field("content-range")), (status, Some(&*told)));
        assert_eq!(answer.body, whole[expected.unwrap_or_default()], "{asked}");
    };
    check("bytes=-50", Some(length - 50..length)).await;
    check(&format!("bytes={}-", 2 * MIB), Some(2 * MIB..length)).await;
    check(&format!("bytes={length}-"), None).await;
    check("bytes=99999999999-", None).await;
    check("bytes=18446744073709551615-", None).await;
    check("bytes=0-0", Some(0..1)).await;
    check("bytes=0-", Some(0..length)).await;
    check("bytes=0-99999999999", Some(0..length)).await;
    check(&format!("bytes={}-{}", MIB - 1, 2 * MIB), Some(MIB - 1..2 * MIB + 1)).await;
    check(&format!("bytes=-{length}"), Some(0..length)).await;
    // nothing was fetched twice
    let mut slices = asked(&scene);
    slices.sort();
    slices.dedup();
    assert_eq!(slices.len(), asked(&scene).len(), "{:?}", asked(&scene));
}

#[tokio::test]
async fn a_range_beyond_an_unknown_end_is_told_by_the_origin() {
    let scene = Scene::start().await;
    file(&scene, "/a", 100, "\"v\"");
    let answer = range(&scene, "/a", "bytes=5000000-").await;
    assert_eq!((answer.status, answer.field("content-range")), (416, Some("bytes */100")));
}

#[tokio::test]
async fn the_whole_is_completed_from_slices() {
    let scene = Scene::start().await;
    file(&scene, "/a", 3 * MIB, "\"v\"");
    range(&scene, "/a", &format!("bytes={MIB}-{}", MIB + 1)).await;
    let whole = scene.get("/a").await;
    assert_eq!((whole.status, whole.body.len()), (200, 3 * MIB));
    assert_eq!(whole.body, content(3 * MIB));
    assert_eq!(whole.field("content-range"), None);
    assert_eq!(
        asked(&scene),
        ["bytes=1048576-2097151", "bytes=0-1048575", "bytes=2097152-3145727"]
    );
}

#[tokio::test]
async fn a_range_does_not_wait_for_the_whole() {
    let scene = Scene::start().await;
    let live = Live::new();
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    script.header("ETag", "\"v\"").length(10 * MIB).live(&live);
    live.push(content(100));
    let mut first = scene.call("GET", "/a").open().await;
    first.head().await.unwrap();
    file(&scene, "/a", 10 * MIB, "\"v\"");
    let answer = range(&scene, "/a", "bytes=-10").await;
    assert_eq!(answer.body, content(10 * MIB)[10 * MIB - 10..]);
}

#[tokio::test]
async fn concurrent_ranges_share_their_slices() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let script = scene.origin.now_on("/a").wait(&barrier).respond(206);
    let script = script.header("Cache-Control", FRESH).header("ETag", "\"v\"");
    script.header("Content-Range", "bytes 0-99/100").body(content(100));
    let mut clients = Vec::new();
    for at in 0..20 {
        let call = scene.call("GET", "/a").header("Range", &format!("bytes={at}-{at}"));
        clients.push(call.open().await);
    }
    scene.origin.arrived("/a", 1).await;
    barrier.release();
    for (at, client) in clients.iter_mut().enumerate() {
        let answer = client.response().await.unwrap();
        assert_eq!((answer.status, answer.body), (206, content(100)[at..=at].to_vec()));
    }
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn slices_of_different_representations_are_never_mixed() {
    let scene = Scene::start().await;
    file(&scene, "/a", 3 * MIB, "\"one\"");
    range(&scene, "/a", "bytes=0-1").await;
    file(&scene, "/a", 3 * MIB, "\"two\"");
    // begins with what is stored, and breaks off where the next slice is of something else
    let mut client =
        scene.call("GET", "/a").header("Range", &format!("bytes=0-{}", 2 * MIB)).open().await;
    assert_eq!(client.head().await.unwrap().status, 206);
    assert!(client.rest_of_body().await.is_err());
    let answer = range(&scene, "/a", &format!("bytes=0-{}", 2 * MIB)).await;
    assert_eq!((answer.status, answer.field("etag")), (206, Some("\"two\"")));
    assert_eq!(answer.body.len(), 2 * MIB + 1);
}

#[tokio::test]
async fn conditions_and_if_range_hold() {
    let scene = Scene::start().await;
    file(&scene, "/a", 2 * MIB, "\"v\"");
    let ask = async |name: &str, value: &str| {
        let call = scene.call("GET", "/a").header("Range", "bytes=1-2");
        call.header(name, value).send().await.status
    };
    assert_eq!(ask("If-Range", "\"v\"").await, 206);
    assert_eq!(ask("If-Range", "\"w\"").await, 200);
    assert_eq!(ask("If-None-Match", "\"v\"").await, 304);
    assert_eq!(ask("If-Match", "\"w\"").await, 412);
}

#[tokio::test]
async fn an_origin_without_ranges_is_asked_for_the_whole_from_then_on() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body(content(500));
    let answer = range(&scene, "/a", "bytes=100-199").await;
    assert_eq!((answer.status, answer.body), (206, content(500)[100..200].to_vec()));
    let again = range(&scene, "/a", "bytes=1-2").await;
    assert_eq!(again.status, 206);
    assert!(again.field("cache-status").unwrap().contains("hit"));
    assert_eq!(asked(&scene), ["bytes=0-1048575", "-"]);
}

#[tokio::test]
async fn slices_without_a_strong_validator_are_not_put_together() {
    let scene = Scene::start().await;
    file(&scene, "/a", 2 * MIB, "W/\"v\"");
    let answer = range(&scene, "/a", "bytes=100-199").await;
    assert_eq!((answer.status, answer.body), (206, content(2 * MIB)[100..200].to_vec()));
    assert_eq!(asked(&scene), ["bytes=0-1048575", "-"]);
}

#[tokio::test]
async fn parts_that_may_not_be_stored_are_asked_for_as_the_client_asks() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", "no-store");
    script.header("ETag", "\"v\"").body(content(2 * MIB)).ranged();
    for _ in 0..2 {
        let answer = range(&scene, "/a", "bytes=100-199").await;
        assert_eq!((answer.status, &*answer.body), (206, &content(2 * MIB)[100..200]));
        assert!(!answer.cache_status().contains("stored"), "{}", answer.cache_status());
    }
    assert_eq!(asked(&scene), ["bytes=0-1048575", "bytes=100-199"]);
}

#[tokio::test]
async fn a_failure_is_the_answer() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(503).header("Retry-After", "9").body("later");
    let answer = range(&scene, "/a", "bytes=1-2").await;
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("9")));
    assert_eq!(answer.body, b"later");
    scene.origin.on("/b").reset();
    let answer = range(&scene, "/b", "bytes=1-2").await;
    assert_eq!(answer.status, 502);
    assert!(answer.field("proxy-status").is_some());
    scene.origin.on("/c").respond(404).header("Cache-Control", FRESH).body("none");
    assert_eq!(range(&scene, "/c", "bytes=1-2").await.status, 404);
    assert_eq!(range(&scene, "/c", "bytes=1-2").await.status, 404);
    assert_eq!(scene.origin.count("/c"), 2);
}

#[tokio::test]
async fn a_slice_that_breaks_off_is_never_an_end() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/a").respond(206).header("Cache-Control", FRESH);
    let script = script.header("ETag", "\"v\"").header("Content-Range", "bytes 0-99/100");
    script.length(100).body(content(50)).close();
    let mut client = scene.call("GET", "/a").header("Range", "bytes=10-90").open().await;
    // 502 where nothing was sent before it broke off
    let answer = client.response().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 502));
    file(&scene, "/a", 100, "\"v\"");
    assert_eq!(range(&scene, "/a", "bytes=10-90").await.body, content(100)[10..91]);
}

#[tokio::test]
async fn an_unsafe_request_gives_up_the_slices() {
    let scene = Scene::start().await;
    file(&scene, "/a", 2 * MIB, "\"one\"");
    range(&scene, "/a", "bytes=0-1").await;
    scene.origin.now_on("/a").respond(204);
    scene.call("DELETE", "/a").send().await;
    file(&scene, "/a", 2 * MIB, "\"two\"");
    assert_eq!(range(&scene, "/a", "bytes=0-1").await.field("etag"), Some("\"two\""));
}

#[tokio::test]
async fn a_stale_slice_is_validated() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=0");
    script.header("ETag", "\"v\"").body(content(100)).ranged();
    assert_eq!(range(&scene, "/a", "bytes=0-1").await.status, 206);
    let again = range(&scene, "/a", "bytes=0-1").await;
    assert_eq!((again.status, &*again.body), (206, &content(100)[..2]));
    let second = scene.origin.arrived("/a", 2).await;
    assert_eq!(second.field("if-none-match"), Some("\"v\""));
    assert!(again.field("cache-status").unwrap().contains("fwd=stale"));
}

#[tokio::test]
async fn a_rule_has_the_whole_fetched() {
    let scene = Scene::with(serde_json::json!({ "cache": { "slices": false } })).await;
    file(&scene, "/a", 2 * MIB, "\"v\"");
    let answer = range(&scene, "/a", "bytes=100-199").await;
    assert_eq!((answer.status, answer.body.len()), (206, 100));
    assert_eq!(asked(&scene), ["-"]);
}

#[tokio::test]
async fn slices_are_as_large_as_configured() {
    let scene = Scene::with_config("[memory]\nslice_bytes = 65536\n").await;
    file(&scene, "/a", MIB, "\"v\"");
    range(&scene, "/a", "bytes=65536-65537").await;
    assert_eq!(asked(&scene), ["bytes=65536-131071"]);
}

#[tokio::test]
async fn two_clients_for_one_slice_leave_it_stored() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let script = scene.origin.now_on("/a").wait(&barrier).respond(206);
    let script = script.header("Cache-Control", FRESH).header("ETag", "\"v\"");
    script.header("Content-Range", &format!("bytes 0-{}/{}", MIB - 1, 3 * MIB)).body(content(MIB));
    let call = || scene.call("GET", "/a").header("Range", "bytes=1-1");
    let (mut first, mut second) = (call().open().await, call().open().await);
    scene.origin.arrived("/a", 1).await;
    barrier.release();
    for client in [&mut first, &mut second] {
        assert_eq!(client.response().await.unwrap().status, 206);
    }
    assert!(range(&scene, "/a", "bytes=5-6").await.is_hit());
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn what_one_client_may_not_share_takes_nothing_from_others() {
    let scene = Scene::start().await;
    file(&scene, "/a", 3 * MIB, "\"v\"");
    range(&scene, "/a", "bytes=0-1").await;
    let call = scene.call("GET", "/a").header("Range", &format!("bytes={MIB}-{MIB}"));
    let answer = call.header("Authorization", "x").send().await;
    assert_eq!((answer.status, answer.is_hit()), (206, false));
    assert!(range(&scene, "/a", "bytes=0-1").await.is_hit());
    let other = range(&scene, "/a", &format!("bytes={MIB}-{MIB}")).await;
    assert!(other.cache_status().contains("stored"), "{}", other.cache_status());
}

#[tokio::test]
async fn after_a_purge_slices_are_fetched_anew() {
    let scene = Scene::start().await;
    file(&scene, "/a", 3 * MIB, "\"v\"");
    scene.get("/a").await;
    scene.feed.adopted(scene.feed.purge(1)).await;
    let answer = range(&scene, "/a", "bytes=0-1").await;
    assert_eq!((answer.status, answer.is_hit()), (206, false));
    assert_eq!(asked(&scene), ["-", "bytes=0-1048575"]);
    assert!(range(&scene, "/a", "bytes=1-2").await.is_hit());
}

#[tokio::test]
async fn an_old_client_gets_no_chunks() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(503).chunked().body("later");
    let mut client = scene.edge.connect().await;
    let request = "GET /a HTTP/1.0\r\nHost: a.example\r\nRange: bytes=0-1\r\n\r\n";
    client.send(request).await;
    let answer = client.until_closed().await.unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(text.starts_with("HTTP/1.1 503") && text.ends_with("\r\n\r\nlater"), "{text}");
}

#[tokio::test]
async fn what_is_stored_is_used_whatever_came_last() {
    let scene = Scene::start().await;
    file(&scene, "/a", 3 * MIB, "\"v\"");
    range(&scene, "/a", "bytes=0-1").await;
    let script = scene.origin.now_on("/a").respond(200).header("Cache-Control", FRESH);
    let script = script.header("ETag", "\"v\"").header("Set-Cookie", "a=b");
    script.body(content(3 * MIB)).ranged();
    assert_eq!(range(&scene, "/a", &format!("bytes={MIB}-{MIB}")).await.status, 206);
    assert!(range(&scene, "/a", "bytes=0-1").await.is_hit());
}

#[tokio::test]
async fn what_the_client_wants_unstored_is_asked_for_as_it_asks() {
    let scene = Scene::start().await;
    file(&scene, "/a", 3 * MIB, "\"v\"");
    let call = scene.call("GET", "/a").header("Range", "bytes=-1");
    let answer = call.header("Cache-Control", "no-store").send().await;
    assert_eq!((answer.status, answer.body.len()), (206, 1));
    assert_eq!(asked(&scene), ["bytes=-1"]);
}

const SMALL: &str = "[memory]\nslice_bytes = 65536\n";
const SLICE: usize = 65_536;

/// A whole that is too large to be anything but cut.
const LARGE: usize = 20 * SLICE + 100;

#[tokio::test]
async fn a_large_whole_is_cut_into_slices_while_it_passes() {
    let scene = Scene::with_config(SMALL).await;
    file(&scene, "/a", LARGE, "\"v\"");
    let first = scene.get("/a").await;
    assert_eq!((first.status, &first.body), (200, &content(LARGE)));
    let told = first.cache_status();
    assert!(told.starts_with("longshore; fwd=uri-miss; stored; ttl="), "{told}");
    let part = range(&scene, "/a", &format!("bytes={}-{}", 3 * SLICE - 1, 5 * SLICE)).await;
    assert_eq!(part.body, content(LARGE)[3 * SLICE - 1..=5 * SLICE]);
    let (tail, again) = (range(&scene, "/a", "bytes=-5").await, scene.get("/a").await);
    assert_eq!(tail.body, content(LARGE)[LARGE - 5..]);
    assert_eq!((again.status, &again.body), (200, &content(LARGE)));
    assert!(part.is_hit() && tail.is_hit() && again.is_hit(), "{}", again.cache_status());
    assert_eq!(asked(&scene), ["-"]);
}

#[tokio::test]
async fn what_is_larger_than_may_be_stored_is_cut_too() {
    let config = "[memory]\nslice_bytes = 65536\nresponse_max_bytes = 100000\n";
    let scene = Scene::with_config(config).await;
    file(&scene, "/a", LARGE, "\"v\"");
    assert_eq!(scene.get("/a").await.body, content(LARGE));
    assert!(scene.get("/a").await.is_hit());
    assert_eq!(asked(&scene), ["-"]);
}

#[tokio::test]
async fn a_whole_that_breaks_off_leaves_its_complete_slices() {
    let scene = Scene::with_config(SMALL).await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    let script = script.header("ETag", "\"v\"").length(LARGE);
    script.body(content(2 * SLICE + 10)).close();
    let mut client = scene.call("GET", "/a").open().await;
    client.head().await.unwrap();
    assert!(client.rest_of_body().await.is_err());
    file(&scene, "/a", LARGE, "\"v\"");
    let part = range(&scene, "/a", &format!("bytes=5-{}", 2 * SLICE - 1)).await;
    assert_eq!((part.status, part.is_hit()), (206, true), "{}", part.cache_status());
    let rest = range(&scene, "/a", &format!("bytes={}-{}", 2 * SLICE, 2 * SLICE + 20)).await;
    assert_eq!(rest.body, content(LARGE)[2 * SLICE..=2 * SLICE + 20]);
    assert_eq!(asked(&scene), ["-", "bytes=131072-196607"]);
}

#[tokio::test]
async fn clients_at_once_share_what_is_cut() {
    let scene = Scene::with_config(SMALL).await;
    let barrier = Barrier::new();
    let script = scene.origin.on("/a").wait(&barrier).respond(200);
    let script = script.header("Cache-Control", FRESH).header("ETag", "\"v\"");
    script.body(content(LARGE)).ranged();
    file_on(&scene, "/a", LARGE);
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(scene.call("GET", "/a").open().await);
    }
    scene.origin.arrived("/a", 1).await;
    barrier.release();
    for client in &mut clients {
        let answer = client.response().await.unwrap();
        assert_eq!((answer.status, answer.body), (200, content(LARGE)));
    }
    let mut asked = asked(&scene);
    let wholes = asked.iter().filter(|range| *range == "-").count();
    asked.sort();
    asked.dedup();
    assert_eq!(wholes, 1);
    assert_eq!(asked.len(), scene.origin.count("/a"), "each slice was asked for once at most");
}

fn file_on(scene: &Scene, path: &str, length: usize) {
    let script = scene.origin.on(path).respond(200);
    script.header("Cache-Control", FRESH).header("ETag", "\"v\"").body(content(length)).ranged();
}

#[tokio::test]
async fn a_slow_client_of_a_whole_that_is_cut_holds_up_nobody() {
    let scene = Scene::with_config(SMALL).await;
    let live = Live::new();
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    script.header("ETag", "\"v\"").length(LARGE).live(&live);
    live.push(content(LARGE)[..SLICE + 7].to_vec());
    let mut first = scene.call("GET", "/a").open().await;
    first.head().await.unwrap();
    first.at_least(SLICE + 7).await.unwrap();
    file(&scene, "/a", LARGE, "\"v\"");
    let answer = scene.get("/a").await;
    assert_eq!((answer.status, answer.body), (200, content(LARGE)));
    // the first slice had been cut
    assert!(!asked(&scene).contains(&"bytes=0-65535".to_owned()));
    live.push(content(LARGE)[SLICE + 7..].to_vec());
    live.end();
    assert_eq!(first.rest_of_body().await.unwrap(), content(LARGE)[SLICE + 7..]);
}

#[tokio::test]
async fn an_unsafe_request_reaches_what_is_being_cut() {
    let scene = Scene::with_config(SMALL).await;
    let live = Live::new();
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    script.header("ETag", "\"one\"").length(LARGE).live(&live);
    live.push(content(LARGE)[..SLICE + 7].to_vec());
    let mut first = scene.call("GET", "/a").open().await;
    first.head().await.unwrap();
    first.at_least(SLICE + 7).await.unwrap();
    scene.origin.now_on("/a").respond(204);
    scene.call("DELETE", "/a").send().await;
    live.push(content(LARGE)[SLICE + 7..].to_vec());
    live.end();
    assert_eq!(first.rest_of_body().await.unwrap().len(), LARGE - SLICE - 7);
    file(&scene, "/a", LARGE, "\"two\"");
    for at in [0, 2 * SLICE] {
        let answer = range(&scene, "/a", &format!("bytes={at}-{}", at + 1)).await;
        assert_eq!((answer.field("etag"), answer.is_hit()), (Some("\"two\""), false));
    }
}

#[tokio::test]
async fn a_purge_reaches_what_is_being_cut() {
    let scene = Scene::with_config(SMALL).await;
    let live = Live::new();
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    script.header("ETag", "\"v\"").length(LARGE).live(&live);
    let mut first = scene.call("GET", "/a").open().await;
    live.push(content(LARGE)[..SLICE + 7].to_vec());
    first.head().await.unwrap();
    first.at_least(SLICE + 7).await.unwrap();
    scene.feed.adopted(scene.feed.purge(1)).await;
    live.push(content(LARGE)[SLICE + 7..].to_vec());
    live.end();
    first.rest_of_body().await.unwrap();
    file(&scene, "/a", LARGE, "\"v\"");
    for at in [0, 2 * SLICE] {
        assert!(!range(&scene, "/a", &format!("bytes={at}-{}", at + 1)).await.is_hit());
    }
}

#[tokio::test]
async fn an_origin_that_knows_no_ranges_never_breaks_an_answer_off() {
    let config = "[memory]\nslice_bytes = 65536\nresponse_max_bytes = 100000\n";
    let scene = Scene::with_config(config).await;
    // what passes before it breaks off is cut
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    let script = script.header("ETag", "\"v\"").length(LARGE);
    script.body(content(2 * SLICE)).close();
    let whole = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    whole.header("ETag", "\"v\"").body(content(LARGE));
    let mut client = scene.call("GET", "/a").open().await;
    client.head().await.unwrap();
    client.rest_of_body().await.unwrap_err();
    for _ in 0..2 {
        let answer = scene.get("/a").await;
        assert_eq!((answer.status, answer.body), (200, content(LARGE)));
    }
    let part = range(&scene, "/a", &format!("bytes=9-{}", 3 * SLICE)).await;
    assert_eq!((part.status, &*part.body), (206, &content(LARGE)[9..=3 * SLICE]));
}

#[tokio::test]
async fn variants_are_cut_apart() {
    let scene = Scene::with_config(SMALL).await;
    for _ in 0..2 {
        let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
        let script = script.header("ETag", "\"v\"").header("Vary", "X");
        script.body(content(LARGE)).ranged();
    }
    let get = async |value: &str| scene.call("GET", "/a").header("X", value).send().await;
    assert_eq!(get("1").await.body, content(LARGE));
    assert!(get("1").await.is_hit());
    let other = get("2").await;
    assert_eq!((other.is_hit(), other.body), (false, content(LARGE)));
    assert!(get("1").await.is_hit());
}

#[tokio::test]
async fn a_stale_slice_is_used_where_the_origin_fails() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/a").respond(200);
    let script = script.header("Cache-Control", "max-age=0, stale-if-error=60");
    script.header("ETag", "\"v\"").body(content(100)).ranged();
    range(&scene, "/a", "bytes=0-1").await;
    scene.origin.now_on("/a").respond(503).body("later");
    let stale = range(&scene, "/a", "bytes=1-2").await;
    assert_eq!((stale.status, &*stale.body), (206, &content(100)[1..3]));
    assert!(stale.cache_status().contains("detail=stale-if-error"), "{}", stale.cache_status());
}

#[tokio::test]
async fn while_a_slice_is_validated_others_use_it_stale() {
    let scene = Scene::start().await;
    let cache_control = "max-age=0, stale-while-revalidate=60";
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", cache_control);
    script.header("ETag", "\"v\"").body(content(100)).ranged();
    range(&scene, "/a", "bytes=0-1").await;
    let barrier = Barrier::new();
    let script = scene.origin.now_on("/a").wait(&barrier).respond(304);
    script.header("Cache-Control", cache_control).header("ETag", "\"v\"");
    let call = scene.call("GET", "/a").header("Range", "bytes=0-1");
    let mut validating = call.open().await;
    scene.origin.arrived("/a", 2).await;
    let stale = range(&scene, "/a", "bytes=1-2").await;
    assert_eq!((stale.status, &*stale.body), (206, &content(100)[1..3]));
    assert!(stale.cache_status().contains("stale-while-revalidate"), "{}", stale.cache_status());
    barrier.release();
    assert_eq!(validating.response().await.unwrap().status, 206);
}

#[tokio::test]
async fn a_file_that_changes_under_way_is_never_mixed() {
    let scene = Scene::with_config(SMALL).await;
    file(&scene, "/a", LARGE, "\"v\"");
    range(&scene, "/a", "bytes=0-1").await;
    // it has grown, and its validator tells nothing of it
    file(&scene, "/a", 2 * LARGE, "\"v\"");
    let mut client = scene.call("GET", "/a").header("Range", "bytes=0-99999").open().await;
    client.head().await.unwrap();
    client.rest_of_body().await.unwrap_err();
    let answer = range(&scene, "/a", "bytes=0-99999").await;
    let expected = format!("bytes 0-99999/{}", 2 * LARGE);
    assert_eq!(answer.field("content-range"), Some(expected.as_str()));
    assert_eq!(answer.body, content(2 * LARGE)[..100_000]);
}

#[tokio::test]
async fn positions_are_right_beyond_all_that_is_stored_anywhere() {
    let scene = Scene::with_config(SMALL).await;
    for (first, length) in [(10_000_000_000_u64, 20_000_000_000), (1 << 63, u64::MAX)] {
        let (begin, path) = (first / 65_536 * 65_536, format!("/{first}"));
        let script = scene.origin.on(&path).respond(206).header("Cache-Control", FRESH);
        let script = script.header("ETag", "\"v\"");
        let told = format!("bytes {begin}-{}/{length}", begin + 65_535);
        script.header("Content-Range", &told).body(content(SLICE));
        for _ in 0..2 {
            let answer = range(&scene, &path, &format!("bytes={first}-{}", first + 9)).await;
            let at = usize::try_from(first - begin).unwrap();
            assert_eq!((answer.status, &*answer.body), (206, &content(SLICE)[at..at + 10]));
            let told = format!("bytes {first}-{}/{length}", first + 9);
            assert_eq!(answer.field("content-range"), Some(told.as_str()));
        }
        assert_eq!(scene.origin.count(&path), 1);
    }
}

#[tokio::test]
async fn the_next_slice_comes_while_one_is_sent() {
    let scene = Scene::with_config(SMALL).await;
    let live = Live::new();
    let part = |range: &str| {
        let script = scene.origin.on("/a").respond(206).header("Cache-Control", FRESH);
        script.header("ETag", "\"v\"").header("Content-Range", range)
    };
    part(&format!("bytes 0-65535/{LARGE}")).length(SLICE).live(&live);
    part(&format!("bytes 65536-131071/{LARGE}")).body(content(LARGE)[SLICE..2 * SLICE].to_vec());
    live.push(content(LARGE)[..10].to_vec());
    let mut client = scene.call("GET", "/a").header("Range", "bytes=0-65536").open().await;
    let second = scene.origin.arrived("/a", 2).await;
    assert_eq!(second.field("range"), Some("bytes=65536-131071"));
    live.push(content(LARGE)[10..SLICE].to_vec());
    live.end();
    client.head().await.unwrap();
    assert_eq!(client.rest_of_body().await.unwrap(), content(LARGE)[..=SLICE]);
}

#[tokio::test]
async fn a_response_that_has_become_empty_is_answered_as_a_whole() {
    let scene = Scene::start().await;
    file(&scene, "/a", 3 * MIB, "\"v\"");
    assert_eq!(range(&scene, "/a", &format!("bytes={}-", 2 * MIB)).await.status, 206);
    file(&scene, "/a", 0, "\"w\"");
    let answer = scene.get("/a").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", answer.head);
    let answer =
        scene.call("GET", "/a").header("Range", "bytes=2097152-").header("If-Range", "\"v\"");
    let answer = answer.send().await;
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", answer.head);
}

#[tokio::test]
async fn a_post_reaches_a_large_response_that_is_yet_to_come() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let slow = scene.origin.on("/a").wait(&barrier).respond(200).header("ETag", "\"old\"");
    slow.header("Cache-Control", FRESH).body(content(9 * MIB));
    let mut early = scene.call("GET", "/a").open().await;
    scene.origin.arrived("/a", 1).await;
    scene.origin.on("/a").respond(204);
    assert_eq!(scene.call("POST", "/a").body("x").send().await.status, 204);
    barrier.release();
    assert_eq!(early.response().await.unwrap().field("etag"), Some("\"old\""));
    file(&scene, "/a", 9 * MIB, "\"new\"");
    for asked in ["bytes=0-9", "bytes=0-9", "bytes=5000000-5000009"] {
        let answer = range(&scene, "/a", asked).await;
        assert_eq!(answer.field("etag"), Some("\"new\""), "{}", answer.head);
    }
    assert_eq!(scene.get("/a").await.field("etag"), Some("\"new\""));
}
