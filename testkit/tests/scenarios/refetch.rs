//! Revalidation by command: what a purge selects is fetched anew, that first which is asked for most.

use crate::scene::{FRESH, Scene};
use api::feed::Change;
use api::purge::{Mode, Progress, Purge, Selector, Selectors};
use testkit::{Barrier, Feed};

fn tagged(tag: &str, refetch: u32) -> Change {
    let selector = Selector::Any(Selectors { tags: vec![tag.to_owned()], ..Selectors::default() });
    let (site_id, regions) = (Feed::site_id(1), Vec::new());
    Change::Purge(Purge { site_id, selector, mode: Mode::Soft, regions, refetch })
}

/// Has the origin answer with these bodies, one after the other.
fn script(scene: &Scene, path: &str, tag: &str, bodies: &[&'static str]) {
    for body in bodies {
        let answer = scene.origin.on(path).respond(200).header("Cache-Control", FRESH);
        answer.header("Cache-Tag", tag).body(*body);
    }
}

async fn finished(scene: &Scene, seq: u64) -> Progress {
    scene.feed.progress(seq, |progress| progress.finished).await
}

async fn is_hit_of(scene: &Scene, path: &str, body: &str) {
    let answer = scene.get(path).await;
    assert!(answer.is_hit() && answer.text() == body, "{path} {}", answer.head);
}

#[tokio::test]
async fn what_is_asked_for_most_is_fetched_anew() {
    let scene = Scene::start().await;
    for path in ["/often", "/at-times", "/once"] {
        script(&scene, path, "t", &["old", "new"]);
    }
    script(&scene, "/other", "u", &["old", "new"]);
    for (path, times) in [("/often", 9), ("/once", 1), ("/at-times", 4), ("/other", 9)] {
        for _ in 0..times {
            assert_eq!(scene.get(path).await.text(), "old");
        }
    }
    let seq = scene.feed.entry(tagged("t", 2));
    let progress = finished(&scene, seq).await;
    assert_eq!((progress.to_fetch, progress.fetched, progress.failed), (2, 2, 0));
    assert_eq!(progress.bytes, 6);
    is_hit_of(&scene, "/often", "new").await;
    is_hit_of(&scene, "/at-times", "new").await;
    is_hit_of(&scene, "/other", "old").await;
    assert_eq!(scene.origin.count("/once"), 1);
    let asked = &scene.origin.requests()[4];
    assert_eq!(asked.field("cookie"), None);
    // nobody asked for it
    let log = scene.edge.access_log_lines(9 + 1 + 4 + 9 + 3).await;
    assert_eq!(log.len(), 9 + 1 + 4 + 9 + 3, "{log:?}");
}

#[tokio::test]
async fn what_the_origin_confirms_is_current_again() {
    let scene = Scene::start().await;
    let first = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    first.header("Cache-Tag", "t").header("ETag", "\"1\"").body("same");
    scene.origin.on("/a").respond(304).header("ETag", "\"1\"").header("Cache-Control", FRESH);
    scene.get("/a").await;
    let seq = scene.feed.entry(tagged("t", 10));
    let progress = finished(&scene, seq).await;
    assert_eq!((progress.to_fetch, progress.fetched, progress.failed), (1, 1, 0));
    is_hit_of(&scene, "/a", "same").await;
    assert_eq!(scene.origin.count("/a"), 2);
    assert_eq!(scene.origin.requests()[1].field("if-none-match"), Some("\"1\""));
}

#[tokio::test]
async fn what_the_origin_does_not_give_is_told_as_failed_and_stays_stale() {
    let scene = Scene::start().await;
    let first = scene.origin.on("/a").respond(200);
    first
        .header("Cache-Control", "max-age=3600, stale-if-error=3600")
        .header("Cache-Tag", "t")
        .body("old");
    scene.origin.on("/a").respond(503).body("no");
    scene.get("/a").await;
    let seq = scene.feed.entry(tagged("t", 10));
    let progress = finished(&scene, seq).await;
    assert_eq!((progress.to_fetch, progress.fetched, progress.failed), (1, 0, 1));
    assert_eq!(scene.get("/a").await.text(), "old");
}

#[tokio::test]
async fn a_fetch_that_began_before_the_purge_is_not_taken_for_a_new_one() {
    let scene = Scene::start().await;
    script(&scene, "/a", "t", &["older"]);
    scene.get("/a").await;
    let barrier = Barrier::new();
    let first = scene.feed.entry(tagged("t", 0));
    scene.feed.adopted(first).await;
    // renewed in the background for a client, which takes its time
    let slow = scene.origin.on("/a").wait(&barrier).respond(200).header("Cache-Control", FRESH);
    slow.header("Cache-Tag", "t").body("old");
    script(&scene, "/a", "t", &["new"]);
    assert_eq!(scene.get("/a").await.text(), "older");
    scene.origin.arrived("/a", 2).await;
    let seq = scene.feed.entry(tagged("t", 10));
    scene.feed.progress(seq, |progress| progress.to_fetch == 1).await;
    barrier.release();
    let progress = finished(&scene, seq).await;
    assert_eq!((progress.fetched, progress.failed), (1, 0));
    is_hit_of(&scene, "/a", "new").await;
}

#[tokio::test]
async fn no_client_can_ask_as_the_edge_itself_does() {
    let scene = Scene::start().await;
    script(&scene, "/a", "t", &["old", "new"]);
    scene.get("/a").await;
    scene.feed.adopted(scene.feed.entry(tagged("t", 0))).await;
    let call = scene.call("GET", "/a").header("User-Agent", "longshore-edge");
    assert_eq!(call.send().await.text(), "old");
}
