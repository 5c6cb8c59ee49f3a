//! Stale responses are used where they may be, and nowhere else (RFC 5861, RFC 9111 §4.2.4).

use crate::scene::Scene;
use serde_json::json;
use testkit::{Barrier, Response, eventually};

/// Stale when it arrives: its age is beyond its lifetime.
fn stale(scene: &Scene, path: &str, cache_control: &str) {
    let script = scene.origin.on(path).respond(200).header("Cache-Control", cache_control);
    script.header("Age", "10").header("ETag", "\"1\"").body("old");
}

fn is_stale(answer: &Response, detail: &str) -> bool {
    let told = answer.cache_status();
    answer.text() == "old" && told.contains("hit") && told.contains(&format!("detail={detail}"))
}

#[tokio::test]
async fn one_request_revalidates_while_all_others_are_answered_at_once() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    stale(&scene, "/a", "max-age=5, stale-while-revalidate=3600");
    let script = scene.origin.on("/a").wait(&barrier).respond(200);
    script.header("Cache-Control", "max-age=3600").body("new");
    scene.get("/a").await;
    for _ in 0..20 {
        let answer = scene.get("/a").await;
        assert!(is_stale(&answer, "stale-while-revalidate"), "{}", answer.head);
    }
    let asked = scene.origin.arrived("/a", 2).await;
    assert_eq!(asked.field("if-none-match"), Some("\"1\""));
    assert_eq!(scene.origin.count("/a"), 2);
    barrier.release();
    let new = eventually("the new response to be used", || async {
        Some(scene.get("/a").await).filter(|answer| answer.text() == "new")
    });
    assert!(new.await.is_hit());
    assert_eq!(scene.origin.count("/a"), 2);
}

#[tokio::test]
async fn a_revalidation_that_fails_is_tried_again_and_disturbs_nobody() {
    let scene = Scene::start().await;
    stale(&scene, "/a", "max-age=5, stale-while-revalidate=3600");
    scene.origin.on("/a").reset();
    scene.get("/a").await;
    let tried_again = eventually("it to be tried again and again", || async {
        let answer = scene.get("/a").await;
        assert!(is_stale(&answer, "stale-while-revalidate"), "{}", answer.head);
        (scene.origin.count("/a") > 3).then_some(())
    });
    tried_again.await;
}

#[tokio::test]
async fn after_the_window_the_origin_is_waited_for() {
    let scene = Scene::start().await;
    stale(&scene, "/a", "max-age=5, stale-while-revalidate=2");
    scene.origin.on("/a").respond(200).body("new");
    scene.get("/a").await;
    let answer = scene.get("/a").await;
    assert_eq!(answer.text(), "new");
    assert!(answer.cache_status().contains("fwd=stale"), "{}", answer.head);
}

#[tokio::test]
async fn an_origin_that_fails_is_covered_for_while_that_is_allowed() {
    let scene = Scene::start().await;
    for (path, status) in [("/500", 500), ("/502", 502), ("/503", 503), ("/504", 504)] {
        stale(&scene, path, "max-age=5, stale-if-error=3600");
        scene.origin.on(path).respond(status).body("failed");
    }
    stale(&scene, "/close", "max-age=5, stale-if-error=3600");
    scene.origin.on("/close").close();
    stale(&scene, "/nonsense", "max-age=5, stale-if-error=3600");
    scene.origin.on("/nonsense").raw("no HTTP\r\n\r\n").close();
    for path in ["/500", "/502", "/503", "/504", "/close", "/nonsense"] {
        scene.get(path).await;
        let answer = scene.get(path).await;
        assert!(is_stale(&answer, "stale-if-error"), "{path}: {}", answer.head);
    }
    stale(&scene, "/404", "max-age=5, stale-if-error=3600");
    scene.origin.on("/404").respond(404).body("gone");
    scene.get("/404").await;
    assert_eq!(scene.get("/404").await.status, 404, "404 is no failure of the origin");
}

#[tokio::test]
async fn what_forbids_stale_use_forbids_it_whatever_the_site_allows() {
    let windows = json!({ "stale_while_revalidate_seconds": 3600, "stale_if_error_seconds": 3600 });
    let scene = Scene::with(json!({ "cache": windows })).await;
    for (path, forbidding) in [
        ("/1", "max-age=5, must-revalidate"),
        ("/2", "max-age=5, proxy-revalidate"),
        ("/3", "s-maxage=5"),
        ("/4", "max-age=5, no-cache"),
        ("/5", "max-age=5, stale-if-error=3600, must-revalidate"),
    ] {
        stale(&scene, path, forbidding);
        scene.origin.on(path).respond(503).body("failed");
        scene.get(path).await;
        assert_eq!(scene.get(path).await.status, 503, "{forbidding}");
    }
    stale(&scene, "/6", "max-age=5");
    scene.origin.on("/6").respond(503).body("failed");
    scene.get("/6").await;
    let answer = scene.get("/6").await;
    assert!(is_stale(&answer, "stale-while-revalidate"), "{}", answer.head);
}

#[tokio::test]
async fn a_stored_failure_does_not_stand_in_for_a_newer_one() {
    let scene = Scene::start().await;
    let first = scene.origin.on("/a").respond(503).header("Cache-Control", "max-age=3600");
    first.body("old");
    scene.origin.on("/a").respond(503).body("new");
    scene.get("/a").await;
    assert_eq!(scene.get("/a").await.text(), "old");
    let call = scene.call("GET", "/a").header("Cache-Control", "max-age=0");
    assert_eq!(call.send().await.text(), "new");
}
