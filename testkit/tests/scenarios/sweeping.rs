//! What becomes of purged responses, and of purges, in the background: room given back, matches counted, purges forgotten.

use crate::scene::{FRESH, HOST, Scene};
use api::feed::Change;
use api::purge::{Count, Mode, Purge, Selector, Selectors};
use std::collections::HashSet;
use tempfile::TempDir;
use testkit::{Barrier, Feed, eventually};

const HELD: &str = "longshore_edge_purges";
const COARSENED: &str = "longshore_edge_purges_coarsened_total";

/// A directory that keeps what it has found for as long as a test takes.
fn directory(home: &TempDir) -> String {
    let path = home.path().join("store");
    format!(
        "[memory]\ncapacity_bytes = 16777216\n[disk]\nindex_max_bytes = 1048576\n\
         [[disk.directories]]\npath = \"{}\"\ncapacity_bytes = 67108864\n",
        path.display()
    )
}

fn tag(tag: &str) -> Selector {
    Selector::Any(Selectors { tags: vec![tag.to_owned()], ..Selectors::default() })
}

fn purge(selector: Selector, mode: Mode) -> Change {
    let (site_id, regions, refetch) = (Feed::site_id(1), Vec::new(), 0);
    Change::Purge(Purge { site_id, selector, mode, regions, refetch })
}

fn count(selector: Selector) -> Change {
    Change::Count(Count { site_id: Feed::site_id(1), selector, regions: Vec::new() })
}

/// Has the origin answer for a path with responses of this tag.
fn script(scene: &Scene, path: &str, tag: &str, bytes: usize) {
    let script = scene.origin.on(path).respond(200).header("Cache-Control", FRESH);
    script.header("Cache-Tag", tag).body(vec![b'x'; bytes]);
}

async fn metric(scene: &Scene, name: &str, labels: &[&str]) -> f64 {
    scene.edge.metrics().await.sum(name, labels)
}

async fn written(scene: &Scene) {
    eventually("nothing to wait to be written", || async {
        (metric(scene, "longshore_edge_store_queue_bytes", &[]).await == 0.0).then_some(())
    })
    .await;
}

/// Waits until so many selectors are held, and at least so few.
async fn holds(scene: &Scene, most: f64) {
    eventually("purges to be forgotten", || async {
        (metric(scene, HELD, &[]).await <= most).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_room_of_what_was_purged_is_given_back_in_all_tiers() {
    let home = TempDir::new().expect("a temporary directory can be made");
    let scene = Scene::with_config(&directory(&home)).await;
    script(&scene, "/a*", "a", 400_000);
    script(&scene, "/b*", "b", 1_000);
    let mut client = scene.edge.connect().await;
    client.get(HOST, "/b").await;
    for number in 0..100 {
        client.get(HOST, &format!("/a{number}")).await;
        if number % 10 == 0 {
            written(&scene).await;
        }
    }
    written(&scene).await;
    let disk = ["tier=\"disk\""];
    let before = metric(&scene, "longshore_edge_store_bytes", &disk).await;
    assert_eq!(metric(&scene, "longshore_edge_store_responses", &disk).await, 101.0);
    let seq = scene.feed.entry(purge(tag("A"), Mode::Hard));
    let progress = scene.feed.progress(seq, |progress| progress.finished).await;
    assert_eq!(progress.matched, 100);
    assert_eq!(metric(&scene, "longshore_edge_store_responses", &disk).await, 1.0);
    assert_eq!(metric(&scene, "longshore_edge_swept_responses_total", &[]).await, 100.0);
    eventually("room to be given back", || async {
        let bytes = metric(&scene, "longshore_edge_store_bytes", &disk).await;
        (bytes < before / 2.0).then_some(())
    })
    .await;
    holds(&scene, 0.0).await;
    assert!(client.get(HOST, "/b").await.is_hit() && !client.get(HOST, "/a7").await.is_hit());
}

#[tokio::test]
async fn a_dry_run_counts_what_is_stored_and_leaves_it() {
    let home = TempDir::new().expect("a temporary directory can be made");
    let scene = Scene::with_config(&directory(&home)).await;
    script(&scene, "/large*", "a", 400_000);
    script(&scene, "/small*", "a, b", 1_000);
    for path in ["/large1", "/large2", "/small1", "/small2", "/small3"] {
        scene.get(path).await;
    }
    written(&scene).await;
    let select = |change: fn(&mut Selectors)| {
        let mut selectors = Selectors::default();
        change(&mut selectors);
        count(Selector::Any(selectors))
    };
    let questions = [
        (count(tag("a")), 5),
        (count(tag("b")), 3),
        (count(tag("c")), 0),
        (count(Selector::Everything), 5),
        (select(|selectors| selectors.prefixes.push("/la".to_owned())), 2),
    ];
    let asked = questions.map(|(change, expected)| (scene.feed.entry(change), expected));
    for (seq, expected) in asked {
        let progress = scene.feed.progress(seq, |progress| progress.finished).await;
        assert_eq!(progress.matched, expected, "{seq}");
    }
    scene.feed.adopted(scene.feed.entry(purge(tag("b"), Mode::Hard))).await;
    let seq = scene.feed.entry(count(tag("a")));
    assert_eq!(scene.feed.progress(seq, |progress| progress.finished).await.matched, 2);
    assert!(scene.get("/large1").await.is_hit(), "it was only counted");
}

#[tokio::test]
async fn what_requests_meet_first_is_counted_once() {
    let scene = Scene::start().await;
    script(&scene, "/a*", "a", 100);
    for path in ["/a1", "/a2", "/a3"] {
        scene.get(path).await;
    }
    let seq = scene.feed.entry(purge(tag("a"), Mode::Hard));
    scene.feed.adopted(seq).await;
    assert!(!scene.get("/a1").await.is_hit() && scene.get("/a1").await.is_hit());
    let progress = scene.feed.progress(seq, |progress| progress.finished).await;
    assert_eq!(progress.matched, 3);
}

#[tokio::test]
async fn a_purge_is_forgotten_once_nothing_older_is_stored_or_under_way() {
    let home = TempDir::new().expect("a temporary directory can be made");
    let scene = Scene::with_config(&directory(&home)).await;
    script(&scene, "/a*", "a", 100);
    script(&scene, "/other", "b", 100);
    let barrier = Barrier::new();
    let slow = scene.origin.on("/slow").respond(200).header("Cache-Control", FRESH);
    slow.header("Cache-Tag", "a").chunked().body("old").wait(&barrier).body("er");
    script(&scene, "/slow", "a", 100);
    scene.get("/a").await;
    scene.get("/other").await;
    let mut under_way = scene.call("GET", "/slow").open().await;
    under_way.head().await.expect("a head comes");
    let seq = scene.feed.entry(purge(tag("a"), Mode::Hard));
    scene.feed.progress(seq, |progress| progress.finished).await;
    assert_eq!(metric(&scene, HELD, &[]).await, 1.0, "a fetch that began before is under way");
    barrier.release();
    under_way.rest_of_body().await.expect("the response is whole");
    holds(&scene, 0.0).await;
    assert!(!scene.get("/slow").await.is_hit(), "it was fetched before the purge");
    assert!(!scene.get("/a").await.is_hit() && scene.get("/other").await.is_hit());
    assert!(scene.get("/slow").await.is_hit());
}

#[tokio::test]
async fn what_lasts_and_is_not_stored_holds_no_purge_back() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let upgraded = scene.origin.on("/ws").respond(101).header("Connection", "Upgrade");
    upgraded.header("Upgrade", "websocket").raw("hello").echo();
    let passing = scene.origin.on("/passing").respond(200).header("Cache-Control", "no-store");
    passing.chunked().body("so far").wait(&barrier).body("!");
    script(&scene, "/hit", "b", 30_000_000);
    script(&scene, "/a", "a", 100);
    for path in ["/hit", "/a"] {
        scene.get(path).await;
    }
    let upgrade = scene.call("GET", "/ws").header("Connection", "Upgrade");
    let calls = [
        upgrade.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13"),
        scene.call("GET", "/passing"),
        // more than a connection holds that nobody reads
        scene.call("GET", "/hit").header("Accept", "*/*"),
        scene.call("GET", "/hit").header("Range", "bytes=10-"),
    ];
    let mut clients = Vec::new();
    for call in calls {
        let mut client = call.open().await;
        client.head().await.expect("a head comes");
        clients.push(client);
    }
    let seq = scene.feed.entry(purge(tag("a"), Mode::Hard));
    scene.feed.progress(seq, |progress| progress.finished).await;
    holds(&scene, 0.0).await;
    assert!(scene.get("/hit").await.is_hit());
    barrier.release();
}

#[tokio::test]
async fn a_soft_purge_is_held_as_long_as_something_is_stale_by_it() {
    let scene = Scene::start().await;
    script(&scene, "/a", "a", 100);
    script(&scene, "/b", "b", 100);
    for path in ["/a", "/b"] {
        scene.get(path).await;
    }
    let seq = scene.feed.entry(purge(tag("a"), Mode::Soft));
    let progress = scene.feed.progress(seq, |progress| progress.finished).await;
    assert_eq!(progress.matched, 1);
    let hard = scene.feed.entry(purge(tag("b"), Mode::Hard));
    scene.feed.progress(hard, |progress| progress.finished).await;
    holds(&scene, 1.0).await;
    assert_eq!(metric(&scene, HELD, &[]).await, 1.0);
    // nothing that is stored matches it any more
    scene.feed.entry(purge(Selector::Everything, Mode::Hard));
    holds(&scene, 0.0).await;
}

#[tokio::test]
async fn where_there_is_no_room_for_purges_too_much_is_purged_and_never_too_little() {
    // room for 32
    let scene = Scene::with_config("[memory]\npurges_max_bytes = 1024\n").await;
    for number in 0..40 {
        script(&scene, &format!("/{number}"), &format!("t{number}"), 100);
    }
    for number in 0..40 {
        scene.get(&format!("/{number}")).await;
    }
    // so that nothing is forgotten meanwhile
    let barrier = Barrier::new();
    let slow = scene.origin.on("/slow").respond(200).header("Cache-Control", FRESH);
    slow.chunked().body("old").wait(&barrier).body("er");
    let mut under_way = scene.call("GET", "/slow").open().await;
    under_way.head().await.expect("a head comes");
    let mut last = 0;
    for number in 0..39 {
        last = scene.feed.entry(purge(tag(&format!("t{number}")), Mode::Hard));
    }
    scene.feed.adopted(last).await;
    assert!(metric(&scene, COARSENED, &[]).await > 0.0);
    assert!(metric(&scene, HELD, &[]).await <= 32.0);
    for number in 0..39 {
        assert!(!scene.get(&format!("/{number}")).await.is_hit(), "{number}");
    }
    for number in 0..40 {
        scene.get(&format!("/{number}")).await;
        assert!(scene.get(&format!("/{number}")).await.is_hit(), "{number}: fetched since");
    }
    barrier.release();
    under_way.rest_of_body().await.expect("the response is whole");
}

/// Numbers that look random, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[tokio::test]
async fn what_is_purged_is_a_miss_once_and_all_else_a_hit_while_purges_are_forgotten() {
    const PATHS: u64 = 40;
    const TAGS: u64 = 8;
    let home = TempDir::new().expect("a temporary directory can be made");
    let scene = Scene::with_config(&directory(&home)).await;
    for path in 0..PATHS {
        let bytes = if path % 4 == 0 { 200_000 } else { 500 };
        let tags = format!("t{} u{}", path % TAGS, path % 3);
        script(&scene, &format!("/{path}"), &tags, bytes);
    }
    let (mut chance, mut stored) = (Chance(7), HashSet::new());
    let mut client = scene.edge.connect().await;
    for step in 0..1_000 {
        if step % 20 == 19 {
            let number = chance.below(TAGS);
            let seq = scene.feed.entry(purge(tag(&format!("t{number}")), Mode::Hard));
            scene.feed.adopted(seq).await;
            stored.retain(|path| path % TAGS != number);
        }
        if step % 500 == 499 {
            holds(&scene, 0.0).await;
        }
        let path = chance.below(PATHS);
        let answer = client.get(HOST, &format!("/{path}")).await;
        let is_new = stored.insert(path);
        assert_eq!(answer.is_hit(), !is_new, "step {step}: /{path} {}", answer.head);
    }
    for path in 0..PATHS {
        let answer = client.get(HOST, &format!("/{path}")).await;
        assert_eq!(answer.is_hit(), stored.contains(&path), "/{path}");
    }
}
