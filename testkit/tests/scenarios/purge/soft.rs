//! What was purged softly is stale: used while one request fetches it anew, and when the origin fails.

use super::{purge, tag, url};
use crate::scene::{FRESH, Scene};
use api::purge::{Mode, Selector};
use testkit::{Barrier, Client, eventually};

const CLIENTS: usize = 100;

fn old(scene: &Scene, path: &str, cache_control: &str) {
    let script = scene.origin.on(path).respond(200).header("Cache-Control", cache_control);
    script.header("ETag", "\"1\"").header("Cache-Tag", "t").body("old");
}

#[tokio::test]
async fn a_hundred_at_once_are_answered_and_one_fetch_is_made() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    old(&scene, "/a", FRESH);
    let script = scene.origin.on("/a").wait(&barrier).respond(200);
    script.header("Cache-Control", FRESH).header("Cache-Tag", "t").body("new");
    scene.get("/a").await;
    purge(&scene, tag("t"), Mode::Soft).await;
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(scene.call("GET", "/a").open().await);
    }
    for client in &mut clients {
        let answer = client.response().await.expect("every client is answered");
        let told = answer.cache_status();
        assert!(answer.text() == "old" && told.contains("detail=stale-while-revalidate"), "{told}");
    }
    let asked = scene.origin.arrived("/a", 2).await;
    assert_eq!(asked.field("if-none-match"), Some("\"1\""));
    barrier.release();
    let new = eventually("the new response to be used", || async {
        Some(scene.get("/a").await).filter(|answer| answer.text() == "new")
    });
    assert!(new.await.is_hit());
    assert_eq!(scene.origin.count("/a"), 2);
}

#[tokio::test]
async fn a_304_after_the_purge_makes_it_current() {
    let scene = Scene::start().await;
    old(&scene, "/a", FRESH);
    scene.origin.on("/a").respond(304).header("ETag", "\"1\"").header("Cache-Control", FRESH);
    scene.get("/a").await;
    purge(&scene, Selector::Everything, Mode::Soft).await;
    assert!(scene.get("/a").await.cache_status().contains("detail=stale-while-revalidate"));
    eventually("it to be current", || async {
        let told = scene.get("/a").await.cache_status();
        (told.starts_with("longshore; hit; ttl=") && !told.contains("detail")).then_some(())
    })
    .await;
    assert_eq!(scene.origin.count("/a"), 2);
}

#[tokio::test]
async fn what_may_not_be_used_stale_is_validated() {
    let scene = Scene::start().await;
    for (path, word) in [("/must", "must-revalidate"), ("/proxy", "proxy-revalidate")] {
        old(&scene, path, &format!("{FRESH}, {word}"));
        scene.origin.on(path).respond(503).body("failed");
        let script = scene.origin.on(path).respond(304).header("ETag", "\"1\"");
        script.header("Cache-Control", FRESH);
        scene.get(path).await;
        purge(&scene, url(path), Mode::Soft).await;
        let failed = scene.get(path).await;
        assert_eq!(failed.status, 503, "{path}: {}", failed.head);
        let answer = scene.get(path).await;
        let told = answer.cache_status();
        assert!(answer.text() == "old" && told.contains("fwd=stale; fwd-status=304"), "{told}");
        assert!(scene.get(path).await.is_hit());
    }
}

#[tokio::test]
async fn who_may_have_nothing_stale_waits_for_one_validation() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    old(&scene, "/a", &format!("{FRESH}, must-revalidate"));
    let script = scene.origin.on("/a").wait(&barrier).respond(304).header("ETag", "\"1\"");
    script.header("Cache-Control", &format!("{FRESH}, must-revalidate"));
    scene.get("/a").await;
    purge(&scene, Selector::Everything, Mode::Soft).await;
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(scene.call("GET", "/a").open().await);
    }
    scene.origin.arrived("/a", 2).await;
    barrier.release();
    for client in &mut clients {
        assert_eq!(client.response().await.expect("every client is answered").text(), "old");
    }
    assert_eq!(scene.origin.count("/a"), 2);
}

#[tokio::test]
async fn a_hard_purge_while_it_is_fetched_in_the_background_holds_nobody_up() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    old(&scene, "/a", FRESH);
    let script = scene.origin.on("/a").wait(&barrier).respond(200);
    script.header("Cache-Control", FRESH).header("Cache-Tag", "t").body("between");
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    script.body("new");
    scene.get("/a").await;
    purge(&scene, url("/a"), Mode::Soft).await;
    assert_eq!(scene.get("/a").await.text(), "old");
    scene.origin.arrived("/a", 2).await;
    purge(&scene, url("/a"), Mode::Hard).await;
    assert_eq!(scene.get("/a").await.text(), "new");
    barrier.release();
    for _ in 0..3 {
        let answer = scene.get("/a").await;
        assert!(answer.is_hit() && answer.text() == "new", "{}", answer.head);
    }
    assert_eq!(scene.origin.count("/a"), 3);
}

#[tokio::test]
async fn what_a_request_asks_counts() {
    let scene = Scene::start().await;
    old(&scene, "/a", FRESH);
    scene.origin.on("/a").reset();
    scene.get("/a").await;
    purge(&scene, url("/a"), Mode::Soft).await;
    let ask = async |cache_control: &str| {
        scene.call("GET", "/a").header("Cache-Control", cache_control).send().await
    };
    let cached = ask("only-if-cached").await;
    assert!(cached.is_hit() && cached.text() == "old", "{}", cached.head);
    assert_eq!(ask("no-cache").await.status, 502);
    // it is not fresh enough, but the origin fails
    let answer = ask("max-age=3600").await;
    assert!(answer.cache_status().contains("detail=stale-if-error"), "{}", answer.head);
    let head = scene.call("HEAD", "/a").send().await;
    assert!(head.status == 200 && head.is_hit(), "{}", head.head);
}

#[tokio::test]
async fn it_is_used_for_as_long_as_the_origin_fails() {
    let scene = Scene::start().await;
    old(&scene, "/a", FRESH);
    scene.origin.on("/a").respond(503).body("failed");
    scene.get("/a").await;
    purge(&scene, tag("t"), Mode::Soft).await;
    let tried_again = eventually("it to be tried again and again", || async {
        let answer = scene.get("/a").await;
        assert!(answer.is_hit() && answer.text() == "old", "{}", answer.head);
        (scene.origin.count("/a") > 3).then_some(())
    });
    tried_again.await;
    purge(&scene, tag("t"), Mode::Hard).await;
    assert_eq!(scene.get("/a").await.status, 503);
}

#[tokio::test]
async fn a_validation_that_began_before_the_purge_leaves_it_stale() {
    let scene = Scene::start().await;
    let (first, second) = (Barrier::new(), Barrier::new());
    old(&scene, "/a", "max-age=0, stale-while-revalidate=3600");
    for barrier in [&first, &second] {
        let script = scene.origin.on("/a").wait(barrier).respond(304).header("ETag", "\"1\"");
        script.header("Cache-Control", FRESH);
    }
    scene.get("/a").await;
    scene.get("/a").await;
    scene.origin.arrived("/a", 2).await;
    purge(&scene, url("/a"), Mode::Soft).await;
    first.release();
    // it is renewed, and has an age of its own now, but is stale all the same
    eventually("it to be validated again", || async {
        let answer = scene.get("/a").await;
        assert!(answer.cache_status().contains("stale-while-revalidate"), "{}", answer.head);
        (scene.origin.count("/a") == 3).then_some(())
    })
    .await;
    second.release();
    eventually("it to be current", || async {
        let told = scene.get("/a").await.cache_status();
        (!told.contains("stale-while-revalidate")).then_some(())
    })
    .await;
    assert_eq!(scene.origin.count("/a"), 3);
}
