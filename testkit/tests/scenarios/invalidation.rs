//! What unsafe requests make of what is stored, and of what is on its way (RFC 9111 §4.4).

use crate::scene::{FRESH, Scene};
use testkit::Barrier;

/// Gives `/a` its answers in order.
fn script(scene: &Scene, bodies: &[&'static str]) {
    for body in bodies {
        let answer = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
        answer.header("Vary", "Accept-Language").body(*body);
    }
}

#[tokio::test]
async fn a_successful_post_removes_what_is_stored_every_variant() {
    let scene = Scene::start().await;
    script(&scene, &["en", "de", "posted", "new en", "new de"]);
    let get = async |language: &str| {
        let answer = scene.call("GET", "/a").header("Accept-Language", language).send().await;
        answer.text().to_owned()
    };
    for body in ["en", "de", "en", "de"] {
        assert_eq!(get(body).await, body);
    }
    assert_eq!(scene.call("POST", "/a").body("x").send().await.text(), "posted");
    for _ in 0..2 {
        assert_eq!(get("en").await, "new en");
        assert_eq!(get("de").await, "new de");
    }
    assert_eq!(scene.origin.count("/a"), 5);
}

#[tokio::test]
async fn a_post_that_fails_removes_nothing() {
    let scene = Scene::start().await;
    script(&scene, &["x"]);
    scene.origin.on("/a").respond(503).body("no");
    scene.get("/a").await;
    assert_eq!(scene.call("POST", "/a").body("x").send().await.status, 503);
    assert!(scene.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_post_reaches_a_response_that_is_being_filled() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let slow = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).chunked();
    slow.body("old").wait(&barrier).body(" news");
    script(&scene, &["posted", "new"]);
    let mut early = scene.call("GET", "/a").open().await;
    early.head().await.unwrap();
    assert_eq!(scene.call("POST", "/a").body("x").send().await.text(), "posted");
    assert_eq!(scene.get("/a").await.text(), "new");
    barrier.release();
    assert_eq!(early.rest_of_body().await.unwrap(), b"old news");
    let hit = scene.get("/a").await;
    assert!(hit.is_hit() && hit.text() == "new", "{}", hit.head);
}

#[tokio::test]
async fn a_post_reaches_a_response_that_is_yet_to_come() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let slow = scene.origin.on("/a").wait(&barrier).respond(200);
    slow.header("Cache-Control", FRESH).body("old");
    script(&scene, &["posted", "new"]);
    let mut early = scene.call("GET", "/a").open().await;
    scene.origin.arrived("/a", 1).await;
    assert_eq!(scene.call("POST", "/a").body("x").send().await.text(), "posted");
    barrier.release();
    assert_eq!(early.response().await.unwrap().text(), "old");
    for _ in 0..2 {
        assert_eq!(scene.get("/a").await.text(), "new");
    }
    assert_eq!(scene.origin.count("/a"), 3);
}
