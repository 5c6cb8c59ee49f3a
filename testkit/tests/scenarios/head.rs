//! HEAD: answered from what is stored, forwarded as it is, and freshening what is stored (RFC 9111 §4.3.5).

use crate::scene::{FRESH, Scene};
use testkit::{Barrier, Response};

const STALE: &str = "max-age=0";

async fn head(scene: &Scene) -> Response {
    scene.call("HEAD", "/a").send().await
}

/// Answers the next request for `/a`.
fn answer(scene: &Scene, status: u16, fields: &[(&str, &str)], body: &'static str) {
    let answer = scene.origin.on("/a").respond(status).body(body);
    fields.iter().fold(answer, |answer, (name, value)| answer.header(name, value));
}

/// The methods that the origin was asked with.
fn methods(scene: &Scene) -> Vec<String> {
    scene.origin.requests().into_iter().map(|request| request.method).collect()
}

#[tokio::test]
async fn head_of_what_is_not_stored_is_forwarded_as_it_is() {
    let scene = Scene::start().await;
    answer(&scene, 200, &[("Cache-Control", FRESH)], "four");
    for _ in 0..2 {
        let head = head(&scene).await;
        assert_eq!((head.status, head.field("content-length")), (200, Some("4")), "{}", head.head);
        assert_eq!(head.cache_status_but_key(), "longshore; fwd=uri-miss; detail=method");
    }
    assert_eq!(scene.get("/a").await.text(), "four");
    assert!(head(&scene).await.is_hit());
    assert_eq!(methods(&scene), ["HEAD", "HEAD", "GET"]);
}

#[tokio::test]
async fn head_waits_for_no_fetch_and_keeps_none_waiting() {
    let scene = Scene::start().await;
    let barriers = [Barrier::new(), Barrier::new()];
    for (barrier, body) in barriers.iter().zip(["head", "body"]) {
        let answer = scene.origin.on("/a").wait(barrier).respond(200);
        answer.header("Cache-Control", FRESH).body(body);
    }
    let mut first = scene.call("HEAD", "/a").open().await;
    scene.origin.arrived("/a", 1).await;
    let mut get = scene.call("GET", "/a").open().await;
    scene.origin.arrived("/a", 2).await;
    let mut second = scene.call("HEAD", "/a").open().await;
    scene.origin.arrived("/a", 3).await;
    barriers.iter().for_each(Barrier::release);
    for head in [&mut first, &mut second] {
        assert_eq!(head.head().await.unwrap().status, 200);
    }
    assert_eq!(get.response().await.unwrap().text(), "body");
}

#[tokio::test]
async fn a_200_to_head_freshens_the_stored_response() {
    let scene = Scene::start().await;
    answer(
        &scene,
        200,
        &[("Cache-Control", STALE), ("ETag", "\"1\""), ("A", "1"), ("B", "1")],
        "x",
    );
    answer(&scene, 200, &[("Cache-Control", FRESH), ("ETag", "\"1\""), ("A", "2")], "y");
    scene.get("/a").await;
    let answer = head(&scene).await;
    let status = answer.cache_status_but_key();
    assert!(status.starts_with("longshore; fwd=stale; stored; ttl=3"), "{status}");
    assert_eq!((answer.field("a"), answer.field("b")), (Some("2"), Some("1")), "{}", answer.head);
    let hit = scene.get("/a").await;
    assert!(hit.is_hit() && hit.text() == "x", "{}", hit.head);
    assert_eq!((hit.field("a"), hit.field("b")), (Some("2"), Some("1")), "{}", hit.head);
    assert_eq!(methods(&scene), ["GET", "HEAD"]);
}

#[tokio::test]
async fn a_200_to_head_that_tells_of_another_response_ends_the_stored_one() {
    let etag = ("ETag", "\"1\"");
    for (fields, body) in [
        ([("Cache-Control", FRESH), ("ETag", "\"2\"")], "x"),
        ([("Cache-Control", FRESH), etag], "longer"),
        ([("Cache-Control", "no-store"), etag], "x"),
    ] {
        let scene = Scene::start().await;
        answer(&scene, 200, &[("Cache-Control", FRESH), etag], "x");
        answer(&scene, 200, &fields, body);
        answer(&scene, 200, &[("Cache-Control", FRESH)], "new");
        scene.get("/a").await;
        let head = scene.call("HEAD", "/a").header("Cache-Control", "no-cache").send().await;
        assert_eq!(head.cache_status_but_key(), "longshore; fwd=request; detail=method");
        assert_eq!(scene.get("/a").await.text(), "new", "{fields:?} {body}");
    }
}

#[tokio::test]
async fn an_answer_to_head_that_is_no_measure_leaves_what_is_stored() {
    let no_cache = [("Cache-Control", "no-cache")];
    let authorized = [("Cache-Control", "no-cache"), ("Authorization", "Basic eA==")];
    let no_store = [("Cache-Control", "no-cache, no-store")];
    for (status, request) in
        [(500, &no_cache[..]), (404, &no_cache), (200, &authorized), (200, &no_store)]
    {
        let scene = Scene::start().await;
        answer(&scene, 200, &[("Cache-Control", FRESH), ("A", "1")], "x");
        answer(&scene, status, &[("Cache-Control", FRESH), ("A", "2")], "other");
        scene.get("/a").await;
        let call = scene.call("HEAD", "/a");
        let call = request.iter().fold(call, |call, (name, value)| call.header(name, value));
        assert_eq!(call.send().await.status, status);
        let hit = scene.get("/a").await;
        assert!(hit.is_hit() && hit.field("a") == Some("1"), "{status} {request:?} {}", hit.head);
    }
}

#[tokio::test]
async fn an_answer_to_head_that_is_for_one_client_ends_nothing() {
    for (cache_control, tag) in [
        ("private", Some("\"mine\"")),
        ("no-store", Some("\"mine\"")),
        ("private", None),
        ("no-store", None),
    ] {
        let scene = Scene::start().await;
        answer(&scene, 200, &[("Cache-Control", FRESH), ("ETag", "\"1\"")], "x");
        let fields = [("Cache-Control", cache_control)].into_iter();
        let fields: Vec<_> = fields.chain(tag.map(|tag| ("ETag", tag))).collect();
        answer(&scene, 200, &fields, "y");
        scene.get("/a").await;
        let call = scene.call("HEAD", "/a").header("Cache-Control", "no-cache");
        let own = call.header("Cookie", "a=b").send().await;
        assert_eq!(own.cache_status_but_key(), "longshore; fwd=request; detail=method");
        let hit = scene.get("/a").await;
        assert!(hit.is_hit() && hit.text() == "x", "{cache_control} {tag:?} {}", hit.head);
    }
}

#[tokio::test]
async fn a_late_answer_to_head_leaves_what_was_stored_meanwhile() {
    for tag in ["\"1\"", "\"2\""] {
        let scene = Scene::start().await;
        let barrier = Barrier::new();
        answer(&scene, 200, &[("Cache-Control", FRESH), ("ETag", "\"1\""), ("A", "1")], "x");
        let late = scene.origin.on("/a").wait(&barrier).respond(200);
        late.header("Cache-Control", FRESH).header("ETag", "\"1\"").header("A", "late").body("x");
        answer(&scene, 200, &[("Cache-Control", FRESH), ("ETag", tag), ("A", "2")], "y");
        scene.get("/a").await;
        let call = |method| scene.call(method, "/a").header("Cache-Control", "no-cache");
        let mut head = call("HEAD").open().await;
        scene.origin.arrived("/a", 2).await;
        assert_eq!(call("GET").send().await.text(), "y");
        barrier.release();
        assert_eq!(head.head().await.unwrap().field("a"), Some("late"));
        let hit = scene.get("/a").await;
        assert!(hit.is_hit() && hit.text() == "y", "{tag} {}", hit.head);
        assert_eq!(hit.field("a"), Some("2"), "{tag} {}", hit.head);
    }
}

#[tokio::test]
async fn head_is_about_the_variant_it_selects() {
    let scene = Scene::start().await;
    for (cache_control, body) in [(FRESH, "one"), (STALE, "two"), (FRESH, "two"), (FRESH, "three")]
    {
        answer(
            &scene,
            200,
            &[("Cache-Control", cache_control), ("Vary", "N"), ("ETag", "\"1\"")],
            body,
        );
    }
    let call = async |method, value| scene.call(method, "/a").header("N", value).send().await;
    call("GET", "1").await;
    call("GET", "2").await;
    assert!(call("HEAD", "1").await.is_hit());
    assert!(call("HEAD", "2").await.cache_status_but_key().contains("fwd=stale; stored"));
    let missed = call("HEAD", "3").await;
    assert_eq!(missed.cache_status_but_key(), "longshore; fwd=vary-miss; detail=method");
    for (value, body) in [("1", "one"), ("2", "two")] {
        let hit = call("GET", value).await;
        assert!(hit.is_hit() && hit.text() == body, "{value} {}", hit.head);
    }
}

#[tokio::test]
async fn what_was_purged_is_not_freshened_by_head() {
    let scene = Scene::start().await;
    answer(&scene, 200, &[("Cache-Control", FRESH), ("ETag", "\"1\"")], "old");
    answer(&scene, 200, &[("Cache-Control", FRESH), ("ETag", "\"1\"")], "new");
    scene.get("/a").await;
    scene.feed.adopted(scene.feed.purge(1)).await;
    assert_eq!(head(&scene).await.cache_status_but_key(), "longshore; fwd=uri-miss; detail=method");
    assert_eq!(scene.get("/a").await.text(), "new");
}

#[tokio::test]
async fn stale_answers_head_while_it_is_renewed() {
    let scene = Scene::start().await;
    answer(&scene, 200, &[("Cache-Control", "max-age=0, stale-while-revalidate=60")], "x");
    answer(&scene, 200, &[("Cache-Control", FRESH)], "y");
    scene.get("/a").await;
    assert!(head(&scene).await.cache_status_but_key().contains("detail=stale-while-revalidate"));
    scene.origin.arrived("/a", 2).await;
    testkit::eventually("the response fetched in the background", || async {
        let head = head(&scene).await;
        (head.is_hit() && !head.cache_status().contains("detail")).then_some(())
    })
    .await;
    assert_eq!(methods(&scene), ["GET", "GET"]);
}

#[tokio::test]
async fn stale_answers_head_where_the_origin_fails() {
    let scene = Scene::start().await;
    let stale = [("Cache-Control", "max-age=0, stale-if-error=60"), ("ETag", "\"1\"")];
    answer(&scene, 200, &stale, "four");
    answer(&scene, 503, &[], "");
    scene.origin.on("/a").reset();
    scene.get("/a").await;
    for _ in 0..2 {
        let head = head(&scene).await;
        assert_eq!((head.status, head.field("content-length")), (200, Some("4")), "{}", head.head);
        assert!(head.field("age").is_some() && head.field("etag") == Some("\"1\""));
        assert!(head.is_hit() && head.cache_status().contains("detail=stale-if-error"));
    }
    let unchanged = scene.call("HEAD", "/a").header("If-None-Match", "\"1\"").send().await;
    assert_eq!(unchanged.status, 304, "{}", unchanged.head);
    assert!(methods(&scene).iter().skip(1).all(|method| method == "HEAD"), "{:?}", methods(&scene));
    let insisting = scene.call("HEAD", "/a").header("Cache-Control", "no-cache").send().await;
    assert_eq!(insisting.status, 502);
}

#[tokio::test]
async fn a_stale_204_tells_no_length_to_head() {
    let scene = Scene::start().await;
    answer(&scene, 204, &[("Cache-Control", "max-age=0, stale-if-error=60"), ("A", "1")], "");
    scene.origin.on("/a").reset();
    scene.get("/a").await;
    let head = head(&scene).await;
    assert!(head.is_hit() && head.cache_status().contains("detail=stale-if-error"));
    assert_eq!((head.status, head.field("a")), (204, Some("1")), "{}", head.head);
    assert_eq!(head.field("content-length"), None, "{}", head.head);
}

#[tokio::test]
async fn head_only_if_cached_is_not_forwarded() {
    let scene = Scene::start().await;
    let only = scene.call("HEAD", "/a").header("Cache-Control", "only-if-cached").send().await;
    assert_eq!((only.status, scene.origin.count("/a")), (504, 0));
}
