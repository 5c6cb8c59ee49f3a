//! Purges that come while something is fetched: its readers get it, and nobody after it.

use super::{purge, tag, url};
use crate::scene::{FRESH, Scene};
use api::purge::{Mode, Selector};
use serde_json::json;
use testkit::{Barrier, Live};

const MODES: [Mode; 2] = [Mode::Hard, Mode::Soft];

fn selectors() -> [Selector; 3] {
    [url("/a"), tag("t"), Selector::Everything]
}

/// Whether an answer says that it is used fresh.
fn is_fresh(answer: &testkit::Response) -> bool {
    answer.is_hit() && !answer.cache_status().contains("detail")
}

#[tokio::test]
async fn what_was_asked_for_before_a_purge_is_not_fresh_after_it() {
    for mode in MODES {
        for selector in selectors() {
            let scene = Scene::start().await;
            let barrier = Barrier::new();
            let script = scene.origin.on("/a").wait(&barrier).respond(200);
            script.header("Cache-Control", FRESH).header("Cache-Tag", "t").body("old");
            let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
            script.header("Cache-Tag", "t").body("new");
            let mut client = scene.call("GET", "/a").open().await;
            scene.origin.arrived("/a", 1).await;
            purge(&scene, selector.clone(), mode).await;
            barrier.release();
            let answer = client.response().await.expect("who asked before the purge is answered");
            assert_eq!(answer.text(), "old", "{selector:?}");
            let answer = scene.get("/a").await;
            assert!(!is_fresh(&answer), "{selector:?} {mode:?}: {}", answer.head);
            assert_eq!(answer.text(), if mode == Mode::Hard { "new" } else { "old" });
            scene.origin.arrived("/a", 2).await;
        }
    }
}

#[tokio::test]
async fn a_body_that_comes_across_a_purge_is_for_those_who_read_it() {
    for selector in selectors() {
        let scene = Scene::start().await;
        let live = Live::new();
        let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
        script.header("Cache-Tag", "t").chunked().live(&live);
        let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
        script.body("new");
        live.push("old ");
        let mut first = scene.call("GET", "/a").open().await;
        first.head().await.expect("the head is there");
        let mut second = scene.call("GET", "/a").open().await;
        second.head().await.expect("it reads along");
        purge(&scene, selector.clone(), Mode::Hard).await;
        let after = scene.get("/a").await;
        assert_eq!(after.text(), "new", "{selector:?}: {}", after.head);
        live.push("still");
        live.end();
        for client in [&mut first, &mut second] {
            let body = client.rest_of_body().await.expect("it is whole");
            assert_eq!(body, b"old still", "{selector:?}");
        }
        let after = scene.get("/a").await;
        assert!(after.text() == "new" && after.is_hit(), "{selector:?}: {}", after.head);
        assert_eq!(scene.origin.count("/a"), 2);
    }
}

#[tokio::test]
async fn who_comes_after_a_purge_of_the_url_does_not_wait_for_what_began_before() {
    let scene = Scene::start().await;
    let (before, after) = (Barrier::new(), Barrier::new());
    let script = scene.origin.on("/a").wait(&before).respond(200);
    script.header("Cache-Control", FRESH).body("old");
    let script = scene.origin.on("/a").wait(&after).respond(200);
    script.header("Cache-Control", FRESH).body("new");
    let mut first = scene.call("GET", "/a").open().await;
    scene.origin.arrived("/a", 1).await;
    purge(&scene, url("/a"), Mode::Hard).await;
    // the origin never answers the first, and the others share one fetch
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(scene.call("GET", "/a").open().await);
    }
    scene.origin.arrived("/a", 2).await;
    after.release();
    for client in &mut clients {
        let answer = client.response().await.expect("it is answered");
        assert_eq!(answer.text(), "new");
    }
    before.release();
    assert_eq!(first.response().await.expect("it is answered").text(), "old");
    // the old one came last, and is not used
    for _ in 0..2 {
        assert_eq!(scene.get("/a").await.text(), "new");
    }
    assert!(scene.origin.count("/a") <= 3);
}

#[tokio::test]
async fn who_waited_for_what_a_purge_of_its_tag_reaches_fetches_anew_together() {
    let scene = Scene::start().await;
    let (before, after) = (Barrier::new(), Barrier::new());
    for (barrier, body) in [(&before, "old"), (&after, "new")] {
        let script = scene.origin.on("/a").wait(barrier).respond(200);
        script.header("Cache-Control", FRESH).header("Surrogate-Key", "t").body(body);
    }
    let mut first = scene.call("GET", "/a").open().await;
    scene.origin.arrived("/a", 1).await;
    purge(&scene, tag("t"), Mode::Hard).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(scene.call("GET", "/a").open().await);
    }
    before.release();
    assert_eq!(first.response().await.expect("it is answered").text(), "old");
    scene.origin.arrived("/a", 2).await;
    after.release();
    for client in &mut clients {
        let answer = client.response().await.expect("it is answered");
        assert_eq!(answer.text(), "new", "{}", answer.head);
    }
    assert_eq!(scene.origin.count("/a"), 2);
}

#[tokio::test]
async fn a_renewal_under_way_does_not_undo_a_purge_of_what_it_renews() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=0");
    script.header("ETag", "\"1\"").header("Cache-Tag", "old").body("old");
    let script = scene.origin.on("/a").wait(&barrier).respond(304).header("ETag", "\"1\"");
    script.header("Cache-Control", FRESH).header("Cache-Tag", "new");
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("new");
    scene.get("/a").await;
    let mut client = scene.call("GET", "/a").open().await;
    scene.origin.arrived("/a", 2).await;
    // by the tag that the renewed head won't have any more
    purge(&scene, tag("old"), Mode::Hard).await;
    barrier.release();
    assert_eq!(client.response().await.expect("it is answered").text(), "old");
    let answer = scene.get("/a").await;
    assert_eq!(answer.text(), "new", "{}", answer.head);
}

#[tokio::test]
async fn a_head_or_a_post_under_way_does_not_outlive_a_purge() {
    let scene = Scene::with(json!({ "cache": { "store_post": true } })).await;
    let (head, post) = (Barrier::new(), Barrier::new());
    let script = scene.origin.on("/head").respond(200).header("Cache-Control", "max-age=0");
    script.header("ETag", "\"1\"").body("x");
    let script = scene.origin.on("/head").wait(&head).respond(200).header("Cache-Control", FRESH);
    script.header("ETag", "\"1\"").body("x");
    scene.origin.on("/head").respond(200).header("Cache-Control", FRESH).body("new");
    let script = scene.origin.on("/post").wait(&post).respond(200).header("Cache-Control", FRESH);
    script.header("Content-Location", "/post").body("old");
    scene.origin.on("/post").respond(200).header("Cache-Control", FRESH).body("new");
    scene.get("/head").await;
    let mut heading = scene.call("HEAD", "/head").open().await;
    let mut posting = scene.call("POST", "/post").body("a").open().await;
    scene.origin.arrived("/head", 2).await;
    scene.origin.received("/post", 1).await;
    purge(&scene, Selector::Everything, Mode::Hard).await;
    head.release();
    post.release();
    heading.response_to("HEAD").await.expect("it is answered");
    assert_eq!(posting.response().await.expect("it is answered").text(), "old");
    assert_eq!(scene.get("/head").await.text(), "new");
    assert_eq!(scene.get("/post").await.text(), "new");
}
