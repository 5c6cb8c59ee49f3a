//! What an operator changes of the standard's behaviour, each field seen from outside.

use crate::scene::{FRESH, Scene};
use serde_json::{Value, json};
use testkit::{Barrier, Response};

const MODIFIED: (&str, &str) = ("Last-Modified", "Thu, 01 Jan 2015 00:00:00 GMT");

async fn with(cache: Value) -> Scene {
    Scene::with(json!({ "cache": cache })).await
}

/// The second of two answers to a GET, where the origin always gives the same.
async fn second(scene: &Scene, status: u16, fields: &[(&str, &str)]) -> Response {
    let path = format!("/{}", scene.origin.requests().len());
    let answer = scene.origin.on(&path).respond(status).body("x");
    fields.iter().fold(answer, |answer, (name, value)| answer.header(name, value));
    scene.get(&path).await;
    scene.get(&path).await
}

#[tokio::test]
async fn lifetimes_by_status_store_what_says_nothing_of_its_own() {
    let scene = with(json!({
        "status_lifetimes_seconds": { "404": 600, "4xx": 0, "5xx": 60, "302": 30 },
        "default_lifetime_seconds": 45,
    }))
    .await;
    let check = async |status, fields: &[(&str, &str)], lifetime: Option<u32>| {
        let answer = second(&scene, status, fields).await;
        let told = answer.cache_status();
        assert_eq!((answer.status, answer.is_hit()), (status, lifetime.is_some()), "{told}");
        if let Some(lifetime) = lifetime {
            let ttl = told.rsplit_once("ttl=").and_then(|(_, rest)| rest.split(';').next());
            let ttl = ttl.and_then(|ttl| ttl.parse::<u32>().ok());
            // the test takes less
            let right = ttl.is_some_and(|ttl| ttl <= lifetime && ttl + 20 > lifetime);
            assert!(right, "{status} {told}");
        }
    };
    check(404, &[], Some(600)).await;
    check(404, &[("Cache-Control", "max-age=7000")], Some(7000)).await;
    check(404, &[("Cache-Control", "no-store")], None).await;
    check(403, &[], None).await;
    check(500, &[], Some(60)).await;
    check(503, &[MODIFIED], Some(60)).await;
    check(302, &[("Location", "/b")], Some(30)).await;
    check(200, &[], Some(45)).await;
    check(307, &[("Location", "/b")], None).await;
}

#[tokio::test]
async fn without_the_heuristic_an_old_page_is_asked_for_each_time() {
    let scene = Scene::with(json!({ "rules": [
        { "paths": ["/on/*"] },
        { "paths": ["/off/*"], "cache": { "heuristic": false } },
    ] }))
    .await;
    for (path, hit) in [("/on/a", true), ("/off/a", false)] {
        scene.origin.on(path).respond(200).header(MODIFIED.0, MODIFIED.1).body("x");
        scene.get(path).await;
        let answer = scene.get(path).await;
        assert_eq!(answer.is_hit(), hit, "{}", answer.head);
    }
}

#[tokio::test]
async fn surrogate_control_goes_before_cache_control_where_it_is_read() {
    let read = with(json!({ "surrogate_control": true })).await;
    let unread = Scene::start().await;
    let surrogate = |value| [("Surrogate-Control", value), ("Cache-Control", "no-cache")];
    for (value, hit) in
        [("max-age=3600", true), ("max-age=60, content=\"ESI/1.0\"", true), ("content=\"\"", false)]
    {
        let answer = second(&read, 200, &surrogate(value)).await;
        assert_eq!(answer.is_hit(), hit, "{value} {}", answer.head);
        assert!(!answer.fields.has("surrogate-control"), "{}", answer.head);
        assert!(!second(&unread, 200, &surrogate(value)).await.is_hit(), "{value}");
    }
    let refused = [("Surrogate-Control", "no-store"), ("Cache-Control", FRESH)];
    let answer = second(&read, 200, &refused).await;
    assert!(answer.cache_status().contains("detail=no-store"), "{}", answer.head);
    let both = [("Surrogate-Control", "no-store"), ("CDN-Cache-Control", FRESH)];
    assert!(second(&read, 200, &both).await.is_hit());
}

#[tokio::test]
async fn cdns_behind_this_one_get_cdn_cache_control_alone() {
    let forwards = with(json!({ "forward_cdn_cache_control": true })).await;
    let consumes = Scene::start().await;
    for (scene, told) in [(&forwards, Some(FRESH)), (&consumes, None)] {
        let answer =
            scene.origin.on("/a").respond(200).header("CDN-Cache-Control", FRESH).body("x");
        answer.header("Surrogate-Control", FRESH).header("Cache-Tag", "a");
        let later = scene.origin.on("/b").respond(200).header("CDN-Cache-Control", FRESH).body("x");
        later.header("Longshore-CDN-Cache-Control", "no-store");
        // fetched, by the short way, and by the long way; then one that is never stored
        let mut answers = vec![scene.get("/a").await, scene.get("/a").await];
        answers.push(scene.call("GET", "/a").header("Range", "bytes=0-0").send().await);
        answers.push(scene.get("/b").await);
        for answer in answers {
            assert_eq!(answer.field("cdn-cache-control"), told, "{}", answer.head);
            for name in ["surrogate-control", "cache-tag", "longshore-cdn-cache-control"] {
                assert!(!answer.fields.has(name), "{}", answer.head);
            }
        }
    }
}

#[tokio::test]
async fn what_bypasses_is_forwarded_and_not_stored() {
    let scene = with(json!({ "bypass": {
        "headers": ["X-Preview"], "cookies": ["session*"], "query": ["preview"],
    } }))
    .await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    let call = |target: &str| scene.call("GET", target);
    for (call, detail) in [
        (call("/a").header("X-Preview", "1"), "header"),
        (call("/a").header("Cookie", "a=b; session-id=1"), "cookie"),
        (call("/a?preview"), "query"),
        (call("/a?x=1&preview=2").header("Range", "bytes=0-0"), "query"),
    ] {
        for _ in 0..2 {
            let told = call.clone().send().await.cache_status();
            assert_eq!(told, format!("longshore; fwd=bypass; detail={detail}"));
        }
    }
    assert_eq!(scene.origin.count("/a"), 8);
    assert!(scene.get("/a").await.cache_status().contains("fwd=uri-miss; stored"));
    let answer = call("/a").header("Cookie", "a=session").send().await;
    assert!(answer.is_hit(), "{}", answer.head);
    let answer = call("/a").header("X-Preview", "").send().await;
    assert!(!answer.is_hit(), "what bypasses is not answered from the store: {}", answer.head);
}

/// Answers the next request for `/a` with a response that is as good as one to GET.
fn posted(scene: &Scene, location: &str, body: &'static str) {
    let answer = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    answer.header("Content-Location", location).body(body);
}

async fn post(scene: &Scene) -> Response {
    scene.call("POST", "/a").body("question").send().await
}

#[tokio::test]
async fn the_response_to_a_post_answers_gets_where_a_rule_says_so() {
    let scene = with(json!({ "store_post": true })).await;
    posted(&scene, "/a", "got");
    posted(&scene, "/a", "posted");
    posted(&scene, "http://a.example:80/a", "posted again");
    assert_eq!(scene.get("/a").await.text(), "got");
    for body in ["posted", "posted again"] {
        let answer = post(&scene).await;
        assert_eq!(answer.text(), body, "a post is always forwarded");
        let told = answer.cache_status();
        assert!(told.starts_with("longshore; fwd=method; stored; ttl="), "{told}");
        for _ in 0..2 {
            let answer = scene.get("/a").await;
            assert!(answer.is_hit() && answer.text() == body, "{}", answer.head);
        }
    }
    let part = scene.call("GET", "/a").header("Range", "bytes=0-2").send().await;
    assert_eq!((part.status, part.text()), (206, "pos"));
    assert_eq!(scene.origin.count("/a"), 3);
}

#[tokio::test]
async fn the_response_to_a_post_is_stored_whole_or_not_at_all() {
    let scene = with(json!({ "store_post": true })).await;
    let fresh = |path: &str| {
        let answer = scene.origin.on(path).respond(200).header("Cache-Control", FRESH);
        answer.header("Content-Location", path)
    };
    fresh("/chunked").chunked().body("one ").body("two");
    fresh("/empty").body("");
    fresh("/closed").until_close().body("all");
    for (path, body) in [("/chunked", "one two"), ("/empty", ""), ("/closed", "all")] {
        scene.call("POST", path).body("x").send().await;
        let answer = scene.get(path).await;
        assert!(answer.is_hit() && answer.text() == body, "{path} {}", answer.head);
    }
    fresh("/broken").length(100).body("half").close();
    fresh("/broken").body("whole");
    scene.call("POST", "/broken").body("x").try_send().await.unwrap_err();
    let answer = scene.get("/broken").await;
    assert!(!answer.is_hit() && answer.text() == "whole", "{}", answer.head);
}

#[tokio::test]
async fn what_a_post_does_not_give_for_get_is_not_stored() {
    let off = Scene::start().await;
    let keyed = with(json!({ "store_post": true, "key": { "query": { "deny": ["u"] } } })).await;
    let check = async |scene: &Scene, target: &str, fields: &[(&str, &str)]| {
        let answer = scene.origin.now_on("/a").respond(200).body("posted");
        fields.iter().fold(answer, |answer, (name, value)| answer.header(name, value));
        let told = scene.call("POST", target).body("x").send().await.cache_status();
        assert_eq!(told, "longshore; fwd=method", "{fields:?}");
        let answer = scene.get(target).await;
        assert!(!answer.is_hit(), "{fields:?} {}", answer.head);
        scene.call("DELETE", target).send().await;
    };
    let (fresh, own) = (("Cache-Control", FRESH), ("Content-Location", "/a"));
    check(&off, "/a", &[fresh, own]).await;
    check(&keyed, "/a", &[fresh]).await;
    check(&keyed, "/a", &[fresh, ("Content-Location", "/b")]).await;
    check(&keyed, "/a", &[("Cache-Control", "no-store"), own]).await;
    check(&keyed, "/a", &[own, MODIFIED]).await;
    // the origin saw more than the name says
    check(&keyed, "/a?u=1", &[fresh, ("Content-Location", "/a?u=1")]).await;
}

#[tokio::test]
async fn a_put_in_between_keeps_the_response_to_a_post_out() {
    let scene = with(json!({ "store_post": true })).await;
    let barrier = Barrier::new();
    let slow = scene.origin.on("/a").wait(&barrier).respond(200).header("Cache-Control", FRESH);
    slow.header("Content-Location", "/a").body("before");
    scene.origin.on("/a").respond(204);
    posted(&scene, "/a", "after");
    let mut early = scene.call("POST", "/a").body("x").open().await;
    scene.origin.arrived("/a", 1).await;
    assert_eq!(scene.call("PUT", "/a").body("y").send().await.status, 204);
    barrier.release();
    let answer = early.response_to("POST").await;
    assert_eq!(answer.expect("it is answered").text(), "before");
    assert_eq!(scene.get("/a").await.text(), "after");
}
