//! Who is waited for, and until when.

use super::{standings, status_of, with_site};
use crate::client::Client;
use crate::fleet::Edge;
use crate::on_both_databases;
use crate::service::{Database, Service};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

on_both_databases!(
    an_answer_waits_for_every_edge,
    only_the_edges_of_the_regions_are_waited_for,
    work_is_waited_for_until_it_is_finished,
    without_an_edge_nothing_is_complete,
    stalled_edges_are_not_waited_for,
    acknowledgements_at_another_replica_are_seen,
    places_to_wait_are_bounded_and_given_back,
    a_control_that_stops_answers_those_that_wait,
    many_reports_at_one_time_are_kept,
);

const NEWEST: &str = "longshore_control_feed_newest_seq";
const WAITERS: &str = "longshore_control_purge_waiters";

async fn metric(control: &Client, name: &str) -> u64 {
    let text = String::from_utf8(control.get("/metrics").await.body.to_vec()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
    line.parse().unwrap()
}

/// Waits until a metric has a value.
async fn metric_is(control: &Client, name: &str, expected: u64) {
    let wait = async { while metric(control, name).await != expected {} };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}

/// Waits until what has the number `seq` was accepted, and so many requests wait for edges.
async fn accepted(control: &Client, seq: u64, waiters: u64) {
    metric_is(control, NEWEST, seq).await;
    metric_is(control, WAITERS, waiters).await;
}

async fn fleet(service: &Service, regions: &[Option<&'static str>]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (index, region) in (0..).zip(regions) {
        let edge = Edge::new(&service.admin, index, *region).await;
        edge.adopt(1).await;
        edges.push(edge);
    }
    edges
}

/// A request that waits, while `meanwhile` happens.
async fn waited(
    control: &Client,
    path: &str,
    body: Value,
    meanwhile: impl AsyncFnOnce(),
) -> (u16, Value) {
    let asking = async { control.post(&format!("/v1/sites/a/{path}"), &body).await };
    let seq = metric(control, NEWEST).await + 1;
    let happening = async {
        accepted(control, seq, 1).await;
        meanwhile().await;
    };
    let (answer, ()) = futures_util::future::join(asking, happening).await;
    (answer.status.as_u16(), answer.json())
}

async fn an_answer_waits_for_every_edge(database: Database) {
    let service = with_site(&database).await;
    let edges = fleet(&service, &[None, Some("eu")]).await;
    let body = json!({ "tags": ["x"], "wait": "all", "timeout_ms": 20_000 });
    let (code, status) = waited(&service.admin, "purge", body, async || {
        edges[0].adopt(2).await;
        let half = status_of(&service.admin, 2).await;
        assert_eq!(standings(&half), ["done", "waiting"]);
        assert_eq!((&half["complete"], half.get("adopted_ms")), (&json!(false), None));
        assert!(half["edges"][0]["adopted_ms"].is_u64());
        edges[1].adopt(3).await;
        assert_eq!(
            standings(&status_of(&service.admin, 2).await),
            ["done", "waiting"],
            "3 is beyond the log"
        );
        edges[1].adopt(2).await;
    })
    .await;
    assert_eq!((code, &status["complete"]), (200, &json!(true)));
    assert_eq!(standings(&status), ["done", "done"]);
    let times = [&status["edges"][0]["adopted_ms"], &status["edges"][1]["adopted_ms"]];
    let slowest = times.iter().filter_map(|time| time.as_u64()).max();
    assert_eq!(status["adopted_ms"].as_u64(), slowest);
    assert_eq!(status_of(&service.admin, 2).await, status);
    // an edge that comes later has it too, and was not slow
    Edge::new(&service.admin, 9, None).await.adopt(2).await;
    let later = status_of(&service.admin, 2).await;
    assert_eq!((standings(&later)[2], later["edges"][2].get("adopted_ms")), ("done", None));
    assert_eq!(later["adopted_ms"], status["adopted_ms"]);
    // time is up
    let body = json!({ "tags": ["x"], "wait": "all", "timeout_ms": 30 });
    let late = service.admin.post("/v1/sites/a/purge", &body).await.expect(202).json();
    assert_eq!((&late["seq"], standings(&late)), (&json!(3), vec!["waiting"; 3]));
}

async fn only_the_edges_of_the_regions_are_waited_for(database: Database) {
    let service = with_site(&database).await;
    let edges = fleet(&service, &[Some("eu"), Some("us"), None]).await;
    for wait in ["region", "all"] {
        let body = json!({ "tags": ["x"], "regions": ["eu"], "wait": wait, "timeout_ms": 20_000 });
        let (code, status) = waited(&service.admin, "purge", body, async || {
            let newest = metric(&service.admin, NEWEST).await;
            edges[0].adopt(newest).await;
        })
        .await;
        assert_eq!((code, standings(&status)), (200, vec!["done", "elsewhere", "elsewhere"]));
    }
    let body = json!({ "tags": ["x"], "regions": ["asia"], "wait": "region" });
    let nobody = service.admin.post("/v1/sites/a/purge", &body).await.expect(202).json();
    assert_eq!((&nobody["complete"], standings(&nobody)), (&json!(false), vec!["elsewhere"; 3]));
}

async fn work_is_waited_for_until_it_is_finished(database: Database) {
    let service = with_site(&database).await;
    let edges = fleet(&service, &[None]).await;
    for (seq, path, body) in [
        (2, "purge", json!({ "everything": true, "dry_run": true })),
        (3, "revalidate", json!({ "paths": ["/a"] })),
        (4, "warm", json!({ "urls": ["http://a.example/"] })),
    ] {
        let mut body = body;
        body["wait"] = json!("all");
        body["timeout_ms"] = json!(20_000);
        let (code, status) = waited(&service.admin, path, body, async || {
            edges[0].work(seq, json!({ "seq": seq, "matched": 1 })).await;
            assert_eq!(standings(&status_of(&service.admin, seq).await), ["working"]);
            edges[0].work(seq, json!({ "seq": seq, "matched": 5, "finished": true })).await;
        })
        .await;
        assert_eq!((code, &status["matched"], standings(&status)), (200, &json!(5), vec!["done"]));
    }
    // nothing to fetch is nothing to wait for
    let body = json!({ "tags": ["x"], "refetch": 0, "wait": "all", "timeout_ms": 20_000 });
    let (code, _) =
        waited(&service.admin, "revalidate", body, async || edges[0].adopt(5).await).await;
    assert_eq!(code, 200);
}

async fn without_an_edge_nothing_is_complete(database: Database) {
    let service = with_site(&database).await;
    let began = Instant::now();
    let body = json!({ "everything": true, "wait": "all", "timeout_ms": 300_000 });
    let answer = service.admin.post("/v1/sites/a/purge", &body).await.expect(202).json();
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!((&answer["complete"], &answer["edges"]), (&json!(false), &json!([])));
}

async fn stalled_edges_are_not_waited_for(database: Database) {
    let service = database.start_with(|config| config.ack_limit_seconds = 1).await;
    service.admin.post("/v1/sites", &crate::service::site("a")).await.expect(201);
    let edges = fleet(&service, &[None, None]).await;
    let body = json!({ "tags": ["x"], "wait": "all", "timeout_ms": 20_000 });
    let (code, status) = waited(&service.admin, "purge", body, async || {
        edges[0].adopt(2).await;
        edges[1].adopt(1).await;
        edges[1].adopt(1).await;
    })
    .await;
    assert_eq!((code, standings(&status)), (200, vec!["done", "stalled"]));
    assert!(status["adopted_ms"].is_u64());
    let listed = service.admin.get("/v1/edges").await.json()["edges"].clone();
    let flags = |index: usize| (listed[index]["stalled"].clone(), listed[index]["lag"].clone());
    assert_eq!((flags(0), flags(1)), ((json!(false), json!(0)), (json!(true), json!(1))));
    assert!(listed[1]["lag_seconds"].as_u64().unwrap() >= 1);
    assert_eq!(metric(&service.admin, "longshore_control_edges_stalled").await, 1);
    // it goes on
    edges[1].adopt(2).await;
    let after = status_of(&service.admin, 2).await;
    assert_eq!(standings(&after), ["done", "done"]);
    assert_eq!(metric(&service.admin, "longshore_control_edges_stalled").await, 0);
}

async fn acknowledgements_at_another_replica_are_seen(database: Database) {
    let service = with_site(&database).await;
    let other = database.start().await;
    let edges = fleet(&service, &[None]).await;
    let edge = edges[0].at(&other.admin);
    let body = json!({ "tags": ["x"], "wait": "all", "timeout_ms": 20_000 });
    let (code, status) = waited(&service.admin, "purge", body, async || edge.adopt(2).await).await;
    assert_eq!((code, standings(&status)), (200, vec!["done"]));
    assert_eq!(status_of(&other.admin, 2).await, status);
}

async fn places_to_wait_are_bounded_and_given_back(database: Database) {
    let service = database.start_with(|config| config.waiters_max = 1).await;
    service.admin.post("/v1/sites", &crate::service::site("a")).await.expect(201);
    fleet(&service, &[None]).await;
    let body = json!({ "tags": ["x"], "wait": "all", "timeout_ms": 300_000 });
    let control = service.admin.clone();
    let waits = tokio::spawn({
        let (control, body) = (control.clone(), body.clone());
        async move { control.post("/v1/sites/a/purge", &body).await }
    });
    accepted(&control, 2, 1).await;
    let refused = control.post("/v1/sites/a/purge", &body).await.expect(503);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.json()["detail"], "1 requests wait for edges already");
    // who doesn't wait needs no place, and who was refused has purged nothing
    let plain = control.post("/v1/sites/a/purge", &json!({ "tags": ["x"] })).await.expect(202);
    assert_eq!(plain.json()["seq"], 3);
    // the client goes away
    waits.abort();
    metric_is(&control, WAITERS, 0).await;
    assert_eq!(standings(&status_of(&control, 2).await), ["waiting"]);
}

async fn a_control_that_stops_answers_those_that_wait(database: Database) {
    let service = with_site(&database).await;
    fleet(&service, &[None]).await;
    let body = json!({ "tags": ["x"], "wait": "all", "timeout_ms": 300_000 });
    let control = service.admin.clone();
    let asking = tokio::spawn({
        let control = control.clone();
        async move { control.post("/v1/sites/a/purge", &body).await }
    });
    accepted(&control, 2, 1).await;
    service.stop().await;
    let answer = asking.await.unwrap().expect(202).json();
    assert_eq!((&answer["seq"], standings(&answer)), (&json!(2), vec!["waiting"]));
}

async fn many_reports_at_one_time_are_kept(database: Database) {
    let service = with_site(&database).await;
    let first = Edge::new(&service.admin, 0, None).await;
    let edges: Vec<Edge> = (0..200).map(|index| first.another(index)).collect();
    join_all(edges.iter().map(|edge| edge.adopt(1))).await;
    service.admin.post("/v1/sites/a/purge", &json!({ "tags": ["x"] })).await.expect(202);
    let reports = edges.iter().map(|edge| edge.work(2, json!({ "seq": 2, "matched": 2 })));
    join_all(reports).await;
    let status = status_of(&service.admin, 2).await;
    assert_eq!((&status["complete"], &status["matched"]), (&json!(true), &json!(400)));
    assert_eq!(standings(&status), vec!["done"; 200]);
    let transactions = metric(&service.admin, "longshore_control_report_transactions_total").await;
    assert!(transactions <= 200, "{transactions} of 400 reports");
}
