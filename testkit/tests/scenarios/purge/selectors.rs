//! Which responses each selector reaches, whichever tier they are in.

use super::{purge, select, tag, url};
use crate::scene::{FRESH, HOST, Scene, site};
use api::purge::{Mode, Selector, Selectors};
use serde_json::json;
use tempfile::TempDir;
use testkit::{Response, eventually};

const OTHER: &str = "b.example";

/// A response: its host, its target, the language of its request, and its tags.
type Stored = (&'static str, &'static str, &'static str, &'static str);

const STORED: [Stored; 8] = [
    (HOST, "/x/1", "en", "one, all"),
    (HOST, "/x/1", "de", "one, all, german"),
    (HOST, "/x/1?q=1", "en", "query, all"),
    (HOST, "/x/1?q=2", "en", "all"),
    (HOST, "/x/2", "en", "two, all"),
    (HOST, "/y", "en", ""),
    (OTHER, "/x/1", "en", "one, all"),
    (OTHER, "/other", "en", "Two"),
];

/// Little memory, so that what is large is on disk alone.
const LITTLE_MEMORY: &str = "[memory]\ncapacity_bytes = 8388608\nfilling_max_bytes = 3145728\n\
     [disk]\nindex_max_bytes = 65536\nqueue_max_bytes = 2621440\n";
const LARGE_BYTES: usize = 200_000;

async fn ask(scene: &Scene, (host, target, language, _): Stored) -> Response {
    scene.edge.call("GET", host, target).header("Accept-Language", language).send().await
}

/// Has everything stored anew, and whole.
async fn fill(scene: &Scene, body_bytes: usize) {
    purge(scene, Selector::Everything, Mode::Hard).await;
    for stored in STORED {
        let script = scene.origin.now_on(stored.1).respond(200).header("Cache-Control", FRESH);
        let script = script.header("Vary", "Accept-Language").header("Cache-Tag", stored.3);
        script.body(vec![b'x'; body_bytes]);
        ask(scene, stored).await;
    }
    eventually("everything to be stored", || async {
        let metrics = scene.edge.metrics().await;
        let waits = ["longshore_edge_store_filling", "longshore_edge_store_queue_bytes"];
        waits.iter().all(|name| metrics.sum(name, &[]) == 0.0).then_some(())
    })
    .await;
}

/// Which of what is stored is used after a purge by each selector, as places in [`STORED`].
async fn check_all(scene: &Scene, body_bytes: usize) {
    let check = async |selector: Selector, expected: &[usize]| {
        fill(scene, body_bytes).await;
        for stored in STORED {
            let answer = ask(scene, stored).await;
            assert!(answer.is_hit(), "{stored:?}: {}", answer.head);
        }
        let about = format!("{selector:?}");
        purge(scene, selector, Mode::Hard).await;
        let mut purged = Vec::new();
        for (place, stored) in STORED.into_iter().enumerate() {
            if !ask(scene, stored).await.is_hit() {
                purged.push(place);
            }
        }
        assert_eq!(purged, expected, "{about}");
    };
    let prefix = |prefix: &str| select(|selectors| selectors.prefixes.push(prefix.to_owned()));
    let host = |host: &str| select(|selectors| selectors.hosts.push(host.to_owned()));
    check(url("/x/1"), &[0, 1, 2, 3, 6]).await;
    check(url(&format!("https://{HOST}/x/1")), &[0, 1, 2, 3]).await;
    check(url(&format!("http://{HOST}/x/1?q=1")), &[2]).await;
    check(url("/x/1?q=2"), &[3]).await;
    check(url("/x"), &[]).await;
    check(prefix("/x/"), &[0, 1, 2, 3, 4, 6]).await;
    check(prefix(&format!("{OTHER}/")), &[6, 7]).await;
    check(tag("one"), &[0, 1, 6]).await;
    check(tag("TWO"), &[4, 7]).await;
    check(tag("german"), &[1]).await;
    check(tag("nobody's"), &[]).await;
    check(host(OTHER), &[6, 7]).await;
    check(Selector::Everything, &[0, 1, 2, 3, 4, 5, 6, 7]).await;
    let several = Selectors {
        tags: vec!["query".to_owned()],
        urls: vec!["/y".to_owned()],
        prefixes: vec!["/x/2".to_owned()],
        hosts: vec![OTHER.to_owned()],
    };
    check(Selector::Any(several), &[2, 4, 5, 6, 7]).await;
}

async fn with_two_hosts(config: &str) -> Scene {
    let scene = Scene::with_config(config).await;
    let members = json!({ "hosts": [HOST, OTHER] });
    let document = site("a", HOST, &scene.origin.url(), members);
    scene.feed.adopted(scene.feed.put_site(1, document)).await;
    scene
}

#[tokio::test]
async fn each_selector_reaches_what_it_selects_in_memory() {
    let scene = with_two_hosts("").await;
    check_all(&scene, 10).await;
}

#[tokio::test]
async fn each_selector_reaches_what_it_selects_on_disk() {
    let home = TempDir::new().expect("a temporary directory can be made");
    let directory = format!("[[disk.directories]]\npath = \"{}\"\n", home.path().display());
    let scene =
        with_two_hosts(&format!("{LITTLE_MEMORY}{directory}capacity_bytes = 67108864\n")).await;
    check_all(&scene, LARGE_BYTES).await;
    let metrics = scene.edge.metrics().await;
    assert!(metrics.sum("longshore_edge_store_hits_total", &["tier=\"disk\""]) > 0.0);
}

#[tokio::test]
async fn a_purge_reaches_no_other_site() {
    let scene = Scene::start().await;
    let other = site("b", OTHER, &scene.origin.url(), json!({}));
    scene.feed.adopted(scene.feed.put_site(2, other)).await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    script.header("Surrogate-Key", "t").body("x");
    scene.edge.get(OTHER, "/a").await;
    let theirs = [
        tag("t"),
        url("/a"),
        url(&format!("https://{OTHER}/a")),
        select(|selectors| selectors.prefixes.push("/".to_owned())),
        select(|selectors| selectors.hosts.push(OTHER.to_owned())),
        Selector::Everything,
    ];
    for selector in theirs {
        purge(&scene, selector, Mode::Hard).await;
        assert!(scene.edge.get(OTHER, "/a").await.is_hit());
    }
}

#[tokio::test]
async fn tags_of_all_fields_count_and_clients_are_sent_none() {
    let scene = Scene::start().await;
    for field in ["Cache-Tag", "Surrogate-Key", "xkey"] {
        for tags in ["t", "s, t", "s  t u", "T,s"] {
            let script = scene.origin.now_on("/a").respond(200).header("Cache-Control", FRESH);
            script.header("Cache-Tag", "first").header("xkey", "second").header(field, tags);
            let answer = scene.get("/a").await;
            assert_eq!(answer.field(field), None, "{}", answer.head);
            assert!(scene.get("/a").await.is_hit());
            purge(&scene, tag("t"), Mode::Hard).await;
            assert!(!scene.get("/a").await.is_hit(), "{field}: {tags}");
            purge(&scene, tag("second"), Mode::Hard).await;
        }
    }
}

#[tokio::test]
async fn a_response_whose_tags_were_cut_is_reached_by_any() {
    let scene = Scene::start().await;
    let many: Vec<_> = (0..1_001).map(|number| number.to_string()).collect();
    let cases =
        [("/many", many.join(" ")), ("/long", "x".repeat(1_025)), ("/few", "x".repeat(1_024))];
    for (path, tags) in &cases {
        let script = scene.origin.on(path).respond(200).header("Cache-Control", FRESH);
        script.header("Surrogate-Key", tags).body("x");
        scene.get(path).await;
        assert!(scene.get(path).await.is_hit());
    }
    let cut = scene.edge.metrics().await.sum("longshore_edge_tags_cut_total", &[]);
    assert_eq!(cut, 2.0);
    purge(&scene, tag("other"), Mode::Hard).await;
    let hits = [("/many", false), ("/long", false), ("/few", true)];
    for (path, expected) in hits {
        assert_eq!(scene.get(path).await.is_hit(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_renewal_brings_its_tags() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=0");
    script.header("ETag", "\"1\"").header("Cache-Tag", "old").body("x");
    let script = scene.origin.on("/a").respond(304).header("Cache-Control", FRESH);
    script.header("ETag", "\"1\"").header("Cache-Tag", "new");
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("y");
    scene.get("/a").await;
    scene.get("/a").await;
    purge(&scene, tag("old"), Mode::Hard).await;
    let answer = scene.get("/a").await;
    assert!(answer.is_hit() && answer.text() == "x", "{}", answer.head);
    purge(&scene, tag("new"), Mode::Hard).await;
    assert_eq!(scene.get("/a").await.text(), "y");
}

#[tokio::test]
async fn what_head_and_post_have_stored_is_reached_by_its_tags() {
    let scene = Scene::with(json!({ "cache": { "store_post": true } })).await;
    let script = scene.origin.on("/head").respond(200).header("Cache-Control", "max-age=0");
    script.header("ETag", "\"1\"").header("Cache-Tag", "old").body("x");
    let script = scene.origin.on("/head").respond(200).header("Cache-Control", FRESH);
    script.header("ETag", "\"1\"").header("Cache-Tag", "new").body("x");
    scene.get("/head").await;
    scene.call("HEAD", "/head").send().await;
    assert!(scene.get("/head").await.is_hit());
    let script = scene.origin.on("/post").respond(200).header("Cache-Control", FRESH);
    script.header("Content-Location", "/post").header("xkey", "new").body("x");
    scene.call("POST", "/post").body("a").send().await;
    assert!(scene.get("/post").await.is_hit());
    purge(&scene, tag("new"), Mode::Hard).await;
    assert!(!scene.get("/head").await.is_hit() && !scene.get("/post").await.is_hit());
}
