//! An edge that asks another one: what a purge has reached at the first is nothing that the second gives it again.

use crate::scene::{FRESH, HOST, site};
use api::purge::{Mode, Selector, Selectors};
use serde_json::{Value, json};
use testkit::{Barrier, Control, Edge, EdgeOptions, Feed, Origin, Response, eventually};

/// Two edges of one installation, each with a feed that the test holds back as it wants.
struct Shielded {
    origin: Origin,
    edge: Edge,
    edge_feed: Feed,
    shield: Edge,
    shield_feed: Feed,
}

impl Shielded {
    async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// One site for both, with some members besides its name, hosts and origins.
    async fn with(members: Value) -> Self {
        let origin = Origin::start().await;
        let (edge_feed, shield_feed) = (Feed::start().await, Feed::start().await);
        let options = EdgeOptions::new().config("[origins]\nshields = false\n");
        let shield = Edge::start(options.control(&shield_feed.url(), "ls_test")).await;
        let options = EdgeOptions::new().control(&edge_feed.url(), "ls_test");
        let edge = Edge::start(options).await;
        let mut document = site("a", HOST, "", members);
        document["origins"] = json!([
            { "name": "shield", "url": format!("http://{}", shield.http()), "shield": true },
            { "name": "main", "url": origin.url() },
        ]);
        for feed in [&edge_feed, &shield_feed] {
            feed.adopted(feed.put_site(1, document.clone())).await;
        }
        Self { origin, edge, edge_feed, shield, shield_feed }
    }

    async fn get(&self, path: &str) -> Response {
        self.edge.get(HOST, path).await
    }

    fn answers(&self, path: &str, body: &'static str) {
        let script = self.origin.now_on(path).respond(200).header("Cache-Control", FRESH);
        script.header("Cache-Tag", "t, u").header("ETag", &format!("\"{body}\"")).body(body);
    }

    async fn purge(feed: &Feed, selector: Selector, mode: Mode) {
        feed.adopted(feed.purge_by(1, selector, mode)).await;
    }

    async fn purge_both(&self, selector: Selector, mode: Mode) {
        for feed in [&self.shield_feed, &self.edge_feed] {
            Self::purge(feed, selector.clone(), mode).await;
        }
    }

    /// Whether the origin was told nothing that edges tell each other.
    fn assert_origin_knows_nothing(&self) {
        for request in self.origin.requests() {
            assert_eq!(request.field("longshore-applied"), None, "{request:?}");
        }
    }
}

fn tag(tag: &str) -> Selector {
    Selector::Any(Selectors { tags: vec![tag.to_owned()], ..Selectors::default() })
}

#[tokio::test]
async fn what_a_shield_has_of_before_a_purge_is_not_taken_for_new() {
    let scene = Shielded::start().await;
    scene.answers("/a", "old");
    assert_eq!(scene.get("/a").await.text(), "old");
    assert!(scene.get("/a").await.is_hit());
    assert!(scene.shield.get(HOST, "/a").await.is_hit());
    scene.answers("/a", "new");
    // the shield has not heard of it
    Shielded::purge(&scene.edge_feed, Selector::Everything, Mode::Hard).await;
    let answer = scene.get("/a").await;
    assert_eq!(answer.text(), "new");
    let told = answer.cache_status();
    assert!(told.starts_with("longshore; fwd=bypass; detail=feed-behind, longshore;"), "{told}");
    let again = scene.get("/a").await;
    assert_eq!(
        (again.text(), again.cache_status().contains("longshore; hit; ttl=")),
        ("new", true)
    );
    assert!(scene.shield.get(HOST, "/a").await.text() == "old", "it stored nothing");
    Shielded::purge(&scene.shield_feed, Selector::Everything, Mode::Hard).await;
    assert_eq!(scene.shield.get(HOST, "/a").await.text(), "new");
    let metrics = scene.shield.metrics().await;
    assert_eq!(metrics.sum("longshore_edge_shield_waits_total", &["result=\"behind\""]), 1.0);
    scene.assert_origin_knows_nothing();
}

#[tokio::test]
async fn a_shield_that_catches_up_in_time_answers_from_its_store() {
    let scene = Shielded::start().await;
    scene.answers("/a", "old");
    scene.answers("/b", "kept");
    for path in ["/a", "/b"] {
        scene.get(path).await;
        scene.answers(path, "new");
    }
    let url = Selectors { urls: vec!["/a".to_owned()], ..Selectors::default() };
    Shielded::purge(&scene.edge_feed, Selector::Any(url.clone()), Mode::Hard).await;
    let mut client = scene.edge.call("GET", HOST, "/a").open().await;
    Shielded::purge(&scene.shield_feed, Selector::Any(url), Mode::Hard).await;
    let answer = client.response().await.unwrap();
    assert_eq!(answer.text(), "new");
    assert!(
        answer.cache_status().starts_with("longshore; fwd=uri-miss; stored"),
        "{}",
        answer.head
    );
    assert!(scene.shield.get(HOST, "/a").await.is_hit());
    assert_eq!(scene.origin.count("/a"), 2);
}

#[tokio::test]
async fn a_fill_of_before_a_purge_answers_nobody_who_knows_of_it() {
    for selector in [tag("t"), Selector::Everything] {
        for mode in [Mode::Hard, Mode::Soft] {
            let scene = Shielded::start().await;
            let barrier = Barrier::new();
            let script = scene.origin.on("/a").wait(&barrier).respond(200);
            script.header("Cache-Control", FRESH).header("Cache-Tag", "t").body("old");
            let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
            script.header("Cache-Tag", "t").body("new");
            // a client of the shield's own
            let mut first = scene.shield.call("GET", HOST, "/a").open().await;
            scene.origin.arrived("/a", 1).await;
            scene.purge_both(selector.clone(), mode).await;
            let mut second = scene.edge.call("GET", HOST, "/a").open().await;
            if mode == Mode::Hard && selector == Selector::Everything {
                scene.origin.arrived("/a", 2).await;
            }
            barrier.release();
            assert_eq!(first.response().await.unwrap().text(), "old");
            let answer = second.response().await.unwrap();
            assert_eq!(answer.text(), "new", "{selector:?} {mode:?}: {}", answer.head);
            assert_eq!(scene.get("/a").await.text(), "new");
        }
    }
}

#[tokio::test]
async fn what_was_purged_softly_at_a_shield_is_fresh_at_no_edge() {
    let scene = Shielded::start().await;
    scene.answers("/a", "old");
    scene.get("/a").await;
    scene.answers("/a", "new");
    scene.purge_both(Selector::Everything, Mode::Soft).await;
    assert_eq!(scene.get("/a").await.text(), "old", "while a new one is fetched");
    scene.origin.arrived("/a", 2).await;
    assert_eq!(scene.origin.requests()[1].field("if-none-match"), Some("\"old\""));
    let answer = eventually("the new one", || async {
        Some(scene.get("/a").await).filter(|answer| answer.text() == "new")
    })
    .await;
    assert!(answer.is_hit());
    assert_eq!(scene.origin.count("/a"), 2);
}

#[tokio::test]
async fn a_strangers_word_means_nothing() {
    let scene = Shielded::start().await;
    scene.answers("/a", "body");
    scene.get("/a").await;
    for said in ["log_01J9Z3K8Q4W5E6R7T8Y9V0B1N2;99;00".to_owned(), "x".to_owned(), {
        format!("log_01J9Z3K8Q4W5E6R7T8Y9V0B1N2;99;{}", "0".repeat(64))
    }] {
        let call = scene.shield.call("GET", HOST, "/a").header("Longshore-Applied", &said);
        let answer = call.send().await;
        assert!(answer.is_hit() && !answer.cache_status().contains("bypass"), "{}", answer.head);
        for name in ["cache-tag", "longshore-applied"] {
            assert_eq!(answer.field(name), None);
        }
        let call = scene.edge.call("GET", HOST, "/other").header("Longshore-Applied", &said);
        assert_eq!(call.send().await.status, 404);
    }
    let metrics = scene.shield.metrics().await;
    assert_eq!(metrics.sum("longshore_edge_shield_waits_total", &[]), 0.0);
    let log = scene.shield.program.log();
    assert!(!log.is_empty() && !log.contains(Feed::key().reveal()), "the key is not logged");
    scene.assert_origin_knows_nothing();
}

#[tokio::test]
async fn tags_reach_the_edge_and_no_client() {
    let scene = Shielded::start().await;
    scene.answers("/a", "old");
    for _ in 0..2 {
        let answer = scene.get("/a").await;
        for name in ["cache-tag", "longshore-applied"] {
            assert_eq!(answer.field(name), None);
        }
    }
    let barrier = scene.origin.count("/a");
    scene.answers("/a", "new");
    scene.purge_both(tag("U"), Mode::Hard).await;
    assert_eq!((barrier, scene.get("/a").await.text()), (1, "new"));
}

#[tokio::test]
async fn one_fetch_is_for_all_edges_and_its_age_is_kept() {
    let scene = Shielded::start().await;
    let barrier = Barrier::new();
    let script = scene.origin.on("/a").wait(&barrier).respond(200);
    script.header("Cache-Control", FRESH).header("Age", "100").body("body");
    let mut first = scene.shield.call("GET", HOST, "/a").open().await;
    scene.origin.arrived("/a", 1).await;
    let mut second = scene.edge.call("GET", HOST, "/a").open().await;
    barrier.release();
    for client in [&mut first, &mut second] {
        assert_eq!(client.response().await.unwrap().text(), "body");
    }
    assert_eq!(scene.origin.count("/a"), 1);
    let answer = scene.get("/a").await;
    let age: u64 = answer.field("age").unwrap().parse().unwrap();
    assert!(answer.is_hit() && (100..200).contains(&age), "{}", answer.head);
}

#[tokio::test]
async fn a_rule_is_applied_once() {
    let scene = Shielded::with(json!({ "rules": [{
        "paths": ["/in/*"],
        "rewrite": { "to": "/in/out/$1" },
        "response_headers": { "set": { "Cache-Control": "no-store" } },
        "request_headers": { "set": { "X-Set": "1" } },
    }] }))
    .await;
    scene.answers("/in/out/a", "body");
    let call = scene.edge.call("GET", HOST, "/in/a?q=1");
    assert_eq!(call.send().await.text(), "body");
    let answer = scene.get("/in/a?q=1").await;
    assert!(answer.cache_status().contains("longshore; hit; ttl="), "{}", answer.head);
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let request = &scene.origin.requests()[0];
    assert_eq!((request.target.as_str(), request.field("x-set")), ("/in/out/a?q=1", Some("1")));
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn slices_come_through_a_shield() {
    const MIB: usize = 1 << 20;
    let scene = Shielded::start().await;
    let content: Vec<u8> = (0..3 * MIB).map(|at| u8::try_from(at / 7 % 251).unwrap()).collect();
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    script.header("ETag", "\"v\"").body(content.clone()).ranged();
    for is_hit in [false, true] {
        let from = 2 * MIB - 5;
        let range = format!("bytes={from}-{}", from + 9);
        let answer = scene.edge.call("GET", HOST, "/a").header("Range", &range).send().await;
        assert_eq!((answer.status, &answer.body[..]), (206, &content[from..from + 10]));
        let told = answer.cache_status();
        assert_eq!(
            told.rsplit(", ").next().unwrap().starts_with("longshore; hit"),
            is_hit,
            "{told}"
        );
    }
    assert_eq!(scene.origin.count("/a"), 2, "two slices");
}

#[tokio::test]
async fn edges_that_shield_each_other_are_a_loop() {
    let (one_feed, other_feed) = (Feed::start().await, Feed::start().await);
    let one = Edge::start(EdgeOptions::new().control(&one_feed.url(), "ls_test")).await;
    let other = Edge::start(EdgeOptions::new().control(&other_feed.url(), "ls_test")).await;
    for (feed, asked) in [(&one_feed, &other), (&other_feed, &one)] {
        let mut document = site("a", HOST, "", json!({}));
        let url = format!("http://{}", asked.http());
        document["origins"] = json!([{ "name": "shield", "url": url, "shield": true }]);
        feed.adopted(feed.put_site(1, document)).await;
    }
    let answer = one.get(HOST, "/a").await;
    assert_eq!(answer.status, 508, "{}", answer.head);
}

#[tokio::test]
async fn what_answers_without_understanding_is_not_stored() {
    let scene = Shielded::start().await;
    let mut document = site("a", HOST, "", json!({}));
    let url = scene.origin.url();
    document["origins"] = json!([{ "name": "shield", "url": url, "shield": true }]);
    scene.edge_feed.adopted(scene.edge_feed.put_site(1, document)).await;
    scene.answers("/a", "body");
    for _ in 0..2 {
        let answer = scene.get("/a").await;
        let told = answer.cache_status();
        assert_eq!(answer.text(), "body");
        assert!(told.contains("fwd=uri-miss;"), "{told}");
        assert!(told.ends_with("detail=unconfirmed"), "{told}");
    }
    assert_eq!(scene.origin.count("/a"), 2);
}

#[tokio::test]
async fn controls_edges_know_each_other_also_without_control() {
    let (origin, mut control) = (Origin::start().await, Control::start().await);
    let shield = control.edge_with("[origins]\nshields = false\n").await;
    let mut edge = control.edge().await;
    let mut document = site("a", HOST, "", json!({}));
    document["origins"] = json!([
        { "name": "shield", "url": format!("http://{}", shield.http()), "shield": true },
        { "name": "main", "url": origin.url() },
    ]);
    let record = control.put_site(&document).await;
    for own in [&shield, &edge] {
        control.wait_adopted(own, record.seq).await;
    }
    for body in ["old", "new"] {
        origin.on("/a").respond(200).header("Cache-Control", FRESH).body(body);
    }
    assert_eq!(edge.get(HOST, "/a").await.text(), "old");
    let purged = control.purge("a").await;
    for own in [&edge, &shield] {
        control.wait_adopted(own, purged).await;
    }
    assert_eq!(edge.get(HOST, "/a").await.text(), "new");
    control.program.kill().await;
    edge.program.stop().await;
    edge.start_again().await;
    let answer = edge.get(HOST, "/a").await;
    let told = answer.cache_status();
    assert!(told.starts_with("longshore; hit;") && told.contains("; stored;"), "{told}");
    assert!(edge.get(HOST, "/a").await.is_hit());
    assert_eq!(origin.count("/a"), 2);
}
