//! Metrics and the access log say what happened, and say the same.

use crate::scene::{FRESH, HOST, Scene};
use serde_json::Value;
use testkit::{Call, Edge, EdgeOptions};

#[tokio::test]
async fn every_request_is_one_line_of_the_access_log() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    // over one connection: a line is written when its request is done, which can be after the client has the answer
    let mut client = scene.edge.connect().await;
    for path in ["/a", "/a", "/missing"] {
        client.get(HOST, path).await;
    }
    let lines = scene.edge.access_log_lines(3).await;
    assert_eq!(lines.len(), 3);
    let statuses: Vec<Option<u64>> =
        lines.iter().map(|line| line.get("status").and_then(Value::as_u64)).collect();
    assert_eq!(statuses, [Some(200), Some(200), Some(404)]);
    let ids: Vec<_> = lines.iter().map(|line| line.get("request_id")).collect();
    assert!(ids.iter().all(Option::is_some) && ids[0] != ids[1], "{lines:?}");
    assert!(lines[1].to_string().contains("hit"), "{}", lines[1]);
}

#[tokio::test]
async fn metrics_are_described_and_count_every_request() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    for path in ["/a", "/a", "/a", "/missing"] {
        scene.get(path).await;
    }
    let lines = scene.edge.access_log_lines(4).await;
    let metrics = scene.edge.metrics().await;
    let names = metrics.names();
    assert!(!names.is_empty());
    for name in &names {
        assert!(metrics.is_described(name), "{name} has no HELP");
    }
    let requests = metrics.sum("longshore_edge_requests_total", &[]);
    assert_eq!(requests.to_string(), lines.len().to_string(), "{names:?}");
}

#[tokio::test]
async fn the_admin_port_answers_for_health() {
    let scene = Scene::start().await;
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/nowhere", 404)] {
        let answer = Call::new(scene.edge.admin(), "GET", "admin", path).send().await;
        assert_eq!(answer.status, status, "{path}");
    }
    assert_eq!(scene.get("/metrics").await.status, 404, "metrics are not for clients");
}

#[tokio::test]
async fn the_client_is_known_though_its_host_or_its_way_is_refused() {
    let scene = Scene::start().await;
    let looped = {
        scene.origin.on("/a").respond(200).body("x");
        scene.get("/a").await;
        scene.origin.requests()[0].field("cdn-loop").unwrap().to_owned()
    };
    let again = scene.call("GET", "/a").header("CDN-Loop", &looped).send().await;
    assert_eq!(again.status, 508);
    assert_eq!(scene.edge.get("a..b", "/a").await.status, 400);
    let lines = scene.edge.access_log_lines(3).await;
    for line in &lines[1..] {
        assert_eq!(line["client"], "127.0.0.1", "{line}");
    }
}

#[tokio::test]
async fn an_empty_path_is_no_access_log() {
    let options = EdgeOptions::new().without_access_log().config("[access_log]\npath = \"\"\n");
    let edge = Edge::start(options).await;
    assert_eq!(edge.get(HOST, "/").await.status, 421);
    assert!(edge.access_log().is_empty());
}
