//! Edges: what they report, and how it is listed.

use crate::client::{Answer, Client};
use crate::feed::Feed;
use crate::on_both_databases;
use crate::service::{Database, site};
use serde_json::{Value, json};

on_both_databases!(edges_report_and_are_listed, wrong_reports_are_refused);

const EDGE: &str = "edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2";

fn report(log: Option<&str>, adopted: u64) -> Value {
    json!({
        "http_address": "127.0.0.1:8080", "admin_address": "127.0.0.1:9180",
        "software_version": "0.1.0", "log": log, "adopted": adopted, "later": { "member": 1 },
    })
}

async fn put(control: &Client, id: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    control.send("PUT", &format!("/v1/edges/{id}"), &headers, body.to_string()).await
}

async fn edges_report_and_are_listed(database: Database) {
    let service = database.start().await;
    let edge = service.client(&["edge"]).await;
    for name in ["a", "b"] {
        service.admin.post("/v1/sites", &site(name)).await.expect(201);
    }
    let log = Feed::open(&edge, "").await.hello().await.log.to_string();
    let listed = async || service.admin.get("/v1/edges").await.expect(200).json()["edges"].clone();
    assert_eq!(listed().await, json!([]));
    put(&edge, EDGE, &report(None, 0)).await.expect(204);
    assert_eq!(listed().await[0]["lag"], 2);
    let mut second = report(Some(&log), 1);
    second["rejected"] = json!([{ "site_id": "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2", "seq": 1,
        "problems": [{ "field": "rules", "detail": "is new" }] }]);
    put(&edge, EDGE, &second).await.expect(204);
    put(&edge, "edge_11J9Z3K8Q4W5E6R7T8Y9V0B1N2", &report(Some(&log), 2)).await.expect(204);
    let edges = listed().await;
    assert_eq!(edges.as_array().unwrap().len(), 2);
    let first = &edges[0];
    assert_eq!((&first["id"], &first["newest"]), (&json!(EDGE), &json!(2)));
    assert_eq!((&first["adopted"], &first["lag"]), (&json!(1), &json!(1)));
    assert_eq!((&first["connected"], &first["rejected"][0]["seq"]), (&json!(true), &json!(1)));
    assert_eq!(edges[1]["lag"], 0);
    let path = format!("/v1/edges/{EDGE}");
    service.admin.send("DELETE", &path, &[], "").await.expect(204);
    service.admin.send("DELETE", &path, &[], "").await.expect(404);
    assert_eq!(listed().await.as_array().unwrap().len(), 1);
}

async fn wrong_reports_are_refused(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    for id in ["x", "edge_", "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2", "%00", "..", "%ff"] {
        put(control, id, &report(None, 0)).await.expect(404);
    }
    let field = async |member: &str, value: Value| {
        let mut report = report(None, 0);
        report[member] = value;
        put(control, EDGE, &report).await.expect(422).fields()
    };
    assert_eq!(field("adopted", json!(-1)).await, ["adopted"]);
    assert_eq!(field("log", json!("log_")).await, ["log"]);
    assert_eq!(field("http_address", json!("x".repeat(256))).await, ["http_address"]);
    let rejected =
        json!({ "site_id": "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2", "seq": 1, "problems": [] });
    assert_eq!(field("rejected", json!(vec![rejected; 101])).await, ["rejected"]);
    assert_eq!(field("rejected", json!([{ "seq": 1 }])).await, ["rejected[0]"]);
    for region in ["", "EU", "eu west", "é", &"r".repeat(65)] {
        assert_eq!(field("region", json!(region)).await, ["region"]);
    }
    assert_eq!(field("progress", json!(vec![json!({ "seq": 1 }); 101])).await, ["progress"]);
    assert_eq!(field("progress", json!([{ "matched": 1 }])).await, ["progress[0]"]);
    put(control, EDGE, &json!([])).await.expect(422);
    // a number beyond what the database counts, and a text no database likes
    let mut odd = report(None, u64::MAX);
    odd["http_address"] = json!("\u{0}");
    odd["progress"] = json!([{ "seq": u64::MAX, "matched": u64::MAX, "finished": true }]);
    put(control, EDGE, &odd).await.expect(204);
    let listed = control.get("/v1/edges").await.expect(200).json();
    assert_eq!(listed["edges"][0]["http_address"], "\u{0}");
}
