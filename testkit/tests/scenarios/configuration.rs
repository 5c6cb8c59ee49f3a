//! How configuration reaches an edge, and what it does without control.

use crate::scene::{FRESH, HOST, Scene, site};
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::{Control, Edge, EdgeOptions, Feed, Origin, Unreachable, eventually};

async fn installation() -> (Origin, Control, Edge) {
    let origin = Origin::start().await;
    let control = Control::start().await;
    let edge = control.edge().await;
    let record = control.put_site(&site("a", HOST, &origin.url(), json!({}))).await;
    control.wait_adopted(&edge, record.seq).await;
    (origin, control, edge)
}

#[tokio::test]
async fn a_change_is_adopted_within_a_second() {
    let (origin, control, edge) = installation().await;
    origin.on("/a").respond(200).body("x");
    assert_eq!(edge.get(HOST, "/a").await.text(), "x");
    let rules = json!({ "rules": [{ "paths": ["/a"], "redirect": { "to": "/b" } }] });
    let began = Instant::now();
    control.put_site(&site("a", HOST, &origin.url(), rules)).await;
    eventually("the redirect", || async {
        (edge.get(HOST, "/a").await.status == 302).then_some(())
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn control_lists_the_edge_and_what_it_adopted() {
    let (_origin, control, edge) = installation().await;
    let edges = control.edges().await;
    let [status] = &edges[..] else { panic!("one edge, not {edges:?}") };
    assert_eq!(status.report.http_address, edge.http().to_string());
    assert_eq!(status.report.admin_address, edge.admin().to_string());
    assert_eq!((status.report.adopted, status.lag), (status.newest, 0));
    assert!(status.connected && status.report.rejected.is_empty());
}

#[tokio::test]
async fn a_removed_site_is_misdirected() {
    let (origin, control, edge) = installation().await;
    origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    assert_eq!(edge.get(HOST, "/a").await.status, 200);
    control.delete_site("a").await;
    eventually("421 for the removed site", || async {
        (edge.get(HOST, "/a").await.status == 421).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_purge_through_control_reaches_the_edge() {
    let (origin, control, edge) = installation().await;
    origin.on("/a").respond(200).header("Cache-Control", FRESH).body("old");
    origin.on("/a").respond(200).header("Cache-Control", FRESH).body("new");
    edge.get(HOST, "/a").await;
    assert!(edge.get(HOST, "/a").await.is_hit());
    let seq = control.purge("a").await;
    control.wait_adopted(&edge, seq).await;
    assert_eq!(edge.get(HOST, "/a").await.text(), "new");
}

#[tokio::test]
async fn an_edge_serves_and_starts_without_control_and_catches_up() {
    let (origin, mut control, mut edge) = installation().await;
    origin.on("/*").respond(200).body("x");
    assert_eq!(control.program.stop().await, Some(0));
    assert_eq!(edge.get(HOST, "/1").await.text(), "x");
    assert_eq!(edge.program.stop().await, Some(0));
    edge.start_again().await;
    edge.wait_ready().await;
    assert_eq!(edge.get(HOST, "/2").await.text(), "x");
    control.start_again().await;
    let record = control.put_site(&site("b", "b.example", &origin.url(), json!({}))).await;
    control.wait_adopted(&edge, record.seq).await;
    assert_eq!(edge.get("b.example", "/3").await.text(), "x");
    assert_eq!(control.edges().await.len(), 1, "the edge kept its id");
}

#[tokio::test]
async fn an_edge_that_was_killed_starts_with_what_it_had() {
    let (origin, mut control, mut edge) = installation().await;
    origin.on("/a").respond(200).body("x");
    edge.program.kill().await;
    control.program.kill().await;
    edge.start_again().await;
    edge.wait_ready().await;
    assert_eq!(edge.get(HOST, "/a").await.text(), "x");
}

#[tokio::test]
async fn a_change_made_while_an_edge_was_away_is_caught_up() {
    let (origin, control, mut edge) = installation().await;
    edge.program.stop().await;
    control.delete_site("a").await;
    let record = control.put_site(&site("b", "b.example", &origin.url(), json!({}))).await;
    edge.start_again().await;
    control.wait_adopted(&edge, record.seq).await;
    origin.on("/").respond(200).body("x");
    assert_eq!(edge.get(HOST, "/").await.status, 421);
    assert_eq!(edge.get("b.example", "/").await.text(), "x");
}

#[tokio::test]
async fn a_bad_document_leaves_its_site_on_the_last_good_one() {
    let scene = Scene::start().await;
    scene.origin.on("/*").respond(200).body("x");
    let bad = scene.feed.put_site(1, json!({ "name": "a", "hosts": 7, "colour": "red" }));
    let good = site("b", "b.example", &scene.origin.url(), json!({}));
    let later = scene.feed.put_site(2, good);
    let report = scene.feed.adopted(later).await;
    let [rejected] = &report.rejected[..] else { panic!("one rejected site, not {report:?}") };
    assert_eq!((rejected.site_id.clone(), rejected.seq), (Feed::site_id(1), bad));
    assert!(rejected.problems.iter().any(|problem| problem.field == "hosts"), "{rejected:?}");
    assert_eq!(scene.get("/1").await.text(), "x");
    assert_eq!(scene.edge.get("b.example", "/2").await.text(), "x");
}

#[tokio::test]
async fn a_bad_document_put_right_is_no_longer_reported() {
    let scene = Scene::start().await;
    scene.feed.put_site(1, json!(["no site at all"]));
    let document = site("a", HOST, &scene.origin.url(), json!({}));
    let report = scene.feed.adopted(scene.feed.put_site(1, document)).await;
    assert!(report.rejected.is_empty(), "{report:?}");
}

#[tokio::test]
async fn a_token_in_the_environment_goes_before_the_files() {
    let feed = Feed::start().await;
    let config = "[control]\ntoken_file = \"nowhere\"\n";
    let edge = Edge::start(EdgeOptions::new().config(config).control(&feed.url(), "ls_test")).await;
    feed.adopted(feed.put_site(1, site("a", HOST, "http://127.0.0.1:9", json!({})))).await;
    assert_eq!(edge.get("other.example", "/").await.status, 421);
}

#[tokio::test]
async fn why_control_cannot_be_reached_is_said() {
    let nobody = Unreachable::take();
    let mut edge = Edge::start(EdgeOptions::new().control(&nobody.url(), "ls_test")).await;
    eventually("the reason", || async {
        edge.program.log().contains("Connection refused").then_some(())
    })
    .await;
    assert_eq!(edge.program.stop().await, Some(0));
}

#[tokio::test]
async fn what_came_before_a_stream_broke_is_served() {
    let scene = Scene::start().await;
    scene.origin.on("/").respond(200).body("b");
    let entry = json!({
        "version": 1, "seq": 50, "kind": "site_put", "site_id": Feed::site_id(2),
        "site": site("b", "b.example", &scene.origin.url(), json!({})),
    });
    // in one write, so that both are read together
    scene.feed.raw(&format!("event: entry\ndata: {entry}\n\nevent: current\ndata: {{\n\n"));
    eventually("the site before the break to be served", || async {
        (scene.edge.get("b.example", "/").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_entry_that_cannot_be_understood_holds_nothing_up() {
    let scene = Scene::start().await;
    for body in ["old", "new"] {
        scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body(body);
    }
    scene.get("/a").await;
    assert_eq!(scene.get("/a").await.text(), "old");
    let entry = json!({
        "version": 1, "seq": 51, "kind": "site_put", "site_id": Feed::site_id(2),
        "site": site("b", "b.example", &scene.origin.url(), json!({})),
    });
    scene.feed.raw(&format!("event: entry\nid: 50\ndata: {{\n\nevent: entry\ndata: {entry}\n\n"));
    assert_eq!(scene.feed.adopted(51).await.adopted, 51);
    // it may have been a purge of anything
    assert_eq!(scene.get("/a").await.text(), "new");
}
