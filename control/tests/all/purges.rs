//! Purges: what is accepted, what edges are told, who is waited for, and what is said of it later.

#[path = "purges/refused.rs"]
mod refused;
#[path = "purges/waiting.rs"]
mod waiting;

use crate::client::{Answer, Client};
use crate::feed::Feed;
use crate::fleet::Edge;
use crate::on_both_databases;
use crate::service::{Database, Service, changed, site};
use api::feed::Change;
use serde_json::{Value, json};

on_both_databases!(
    one_request_is_one_entry,
    ten_thousand_selectors_are_one_entry,
    each_kind_tells_edges_what_it_asks,
    a_key_gives_one_number_and_waits_again,
    the_newest_come_first,
    a_status_outlives_control,
    progress_is_of_what_was_asked,
);

/// A service with the site `a`.
pub(crate) async fn with_site(database: &Database) -> Service {
    let service = database.start().await;
    service.admin.post("/v1/sites", &site("a")).await.expect(201);
    service
}

pub(crate) async fn status_of(control: &Client, seq: u64) -> Value {
    control.get(&format!("/v1/purges/{seq}")).await.expect(200).json()
}

/// The standing of each edge, in the order of their ids.
pub(crate) fn standings(status: &Value) -> Vec<&str> {
    let edges = status["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["standing"].as_str().unwrap()).collect()
}

async fn changes(control: &Client, after: u64) -> Vec<Change> {
    let log = Feed::open(control, "").await.hello().await.log;
    let mut feed = Feed::open(control, &format!("?after={after}&log={log}")).await;
    feed.hello().await;
    let (entries, _) = feed.until_current().await;
    entries.into_iter().map(|entry| entry.change).collect()
}

async fn one_request_is_one_entry(database: Database) {
    let service = with_site(&database).await;
    let control = service.client(&["purge"]).await;
    let body = json!({
        "tags": ["one", "Two"], "urls": ["/a?b", "https://a.example/c"], "prefixes": ["/d"],
        "hosts": ["A.example:8080"], "mode": "soft", "regions": ["eu-west", "us"],
    });
    let accepted = control.post("/v1/sites/a/purge", &body).await.expect(202);
    assert_eq!(accepted.json(), json!({ "seq": 2 }));
    assert_eq!(accepted.header("location"), "/v1/purges/2");
    let changes = changes(&service.admin, 1).await;
    let [Change::Purge(purge)] = &changes[..] else { panic!("{changes:?}") };
    let site_id = service.admin.get("/v1/sites/a").await.json()["id"].clone();
    let expected = json!({
        "site_id": site_id, "mode": "soft", "regions": ["eu-west", "us"],
        "selector": { "any": {
            "tags": ["one", "Two"], "urls": ["/a?b", "https://a.example/c"], "prefixes": ["/d"],
            "hosts": ["A.example:8080"],
        } },
    });
    assert_eq!(serde_json::to_value(purge).unwrap(), expected);
    let mut status = status_of(&control, 2).await;
    assert!(status["created_at"].as_str().unwrap().ends_with('Z'));
    status["created_at"] = json!("");
    let expected = json!({
        "seq": 2, "kind": "purge", "site_id": site_id, "mode": "soft", "regions": ["eu-west", "us"],
        "selectors": { "tags": 2, "urls": 2, "prefixes": 1, "hosts": 1, "everything": false },
        "created_at": "", "complete": false, "matched": 0, "edges": [],
    });
    assert_eq!(status, expected);
    // two in one moment are two, in order
    let tag = json!({ "tags": ["x"] });
    let both = futures_util::future::join(
        control.post("/v1/sites/a/purge", &tag),
        control.post("/v1/sites/a/purge", &tag),
    );
    let (one, other) = both.await;
    let mut seqs = [one.json()["seq"].clone(), other.json()["seq"].clone()];
    seqs.sort_by_key(Value::as_u64);
    assert_eq!(seqs, [3, 4]);
}

async fn ten_thousand_selectors_are_one_entry(database: Database) {
    let service = with_site(&database).await;
    let control = service.client(&["purge"]).await;
    let path = "x".repeat(350);
    let urls: Vec<String> = (0..10_000).map(|n| format!("https://a.example/{n}/{path}")).collect();
    control.post("/v1/sites/a/purge", &json!({ "urls": urls })).await.expect(202);
    let changes = changes(&service.admin, 1).await;
    assert_eq!(changes.len(), 1);
    assert_eq!(status_of(&control, 2).await["selectors"]["urls"], 10_000);
    // one that is wrong purges none
    let mut tags: Vec<String> = (0..9_999).map(|n| format!("tag-{n}")).collect();
    tags.push("a tag".to_owned());
    let refused = control.post("/v1/sites/a/purge", &json!({ "tags": tags })).await.expect(422);
    assert_eq!(refused.fields(), ["tags[9999]"]);
    let large = json!({ "urls": vec![format!("/{}", "x".repeat(8_000)); 600] });
    let refused = control.post("/v1/sites/a/purge", &large).await.expect(413).json();
    assert_eq!(refused["detail"], "the body is longer than 4194304 bytes");
    let (_, newest) = {
        let mut feed = Feed::open(&service.admin, "").await;
        feed.hello().await;
        feed.numbers().await
    };
    assert_eq!(newest, 2);
}

async fn each_kind_tells_edges_what_it_asks(database: Database) {
    let service = with_site(&database).await;
    let control = service.client(&["purge"]).await;
    let ask = async |path: &str, body: Value| {
        let answer = control.post(&format!("/v1/sites/a/{path}"), &body).await.expect(202);
        let seq = answer.json()["seq"].as_u64().unwrap();
        let mut told = serde_json::to_value(changes(&service.admin, seq - 1).await).unwrap();
        told[0]["site_id"].take();
        (told[0].take(), status_of(&control, seq).await)
    };
    let (told, status) = ask("purge", json!({ "everything": true, "dry_run": true })).await;
    assert_eq!(told, json!({ "kind": "count", "site_id": null, "selector": "everything" }));
    assert_eq!(
        (&status["kind"], &status["selectors"]["everything"]),
        (&json!("count"), &json!(true))
    );
    let body = json!({ "paths": ["/a"], "tags": ["t"], "refetch": 7, "regions": ["eu"] });
    let (told, status) = ask("revalidate", body).await;
    let selector = json!({ "any": { "tags": ["t"], "urls": ["/a"] } });
    let expected = json!({ "kind": "purge", "site_id": null, "selector": selector, "mode": "soft",
        "regions": ["eu"], "refetch": 7 });
    assert_eq!(told, expected);
    assert_eq!((&status["kind"], &status["mode"]), (&json!("revalidate"), &json!("soft")));
    let body = json!({ "urls": ["https://a.example/x"], "sitemaps": ["http://a.example/s.xml"] });
    let (told, status) = ask("warm", body).await;
    let expected = json!({ "kind": "warm", "site_id": null, "urls": ["https://a.example/x"],
        "sitemaps": ["http://a.example/s.xml"], "rate": 10 });
    assert_eq!(told, expected);
    assert_eq!((&status["kind"], &status["selectors"]["urls"]), (&json!("warm"), &json!(2)));
    let text = String::from_utf8(service.admin.get("/metrics").await.body.to_vec()).unwrap();
    for line in [
        r#"longshore_control_purges_total{kind="count",mode="hard"} 1"#,
        r#"longshore_control_purges_total{kind="revalidate",mode="soft"} 1"#,
        r#"longshore_control_purges_total{kind="purge",mode="hard"} 0"#,
        "longshore_control_purge_waiters 0",
        "longshore_control_database_up 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

async fn post(control: &Client, key: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    control.send("POST", "/v1/sites/a/purge", &headers, body.to_string()).await
}

async fn a_key_gives_one_number_and_waits_again(database: Database) {
    let service = with_site(&database).await;
    let edge = Edge::new(&service.admin, 1, None).await;
    edge.adopt(1).await;
    let body = json!({ "tags": ["x"], "wait": "all", "timeout_ms": 50 });
    let first = post(&service.admin, "k", &body).await.expect(202).json();
    assert_eq!((&first["seq"], standings(&first)), (&json!(2), vec!["waiting"]));
    edge.adopt(2).await;
    let again = post(&service.admin, "k", &body).await.expect(200).json();
    assert_eq!((&again["seq"], &again["complete"]), (&json!(2), &json!(true)));
    post(&service.admin, "k", &json!({ "tags": ["y"] })).await.expect(422);
    // what was accepted stays so, whatever became of the site since
    let mut other = changed("a", "b.example");
    other["name"] = json!("b");
    service.admin.put("/v1/sites/a", "*", &other).await.expect(200);
    post(&service.admin, "k", &body).await.expect(200);
    post(&service.admin, "l", &body).await.expect(404);
}

async fn the_newest_come_first(database: Database) {
    let service = with_site(&database).await;
    let control = service.client(&["purge", "sites:write"]).await;
    control.post("/v1/sites", &site("b")).await.expect(201);
    for name in ["a", "b", "a", "a"] {
        let path = format!("/v1/sites/{name}/purge");
        control.post(&path, &json!({ "everything": true })).await.expect(202);
    }
    let list = async |query: &str| {
        let page = control.get(&format!("/v1/purges{query}")).await.expect(200).json();
        let seqs = page["purges"].as_array().unwrap().iter().map(|purge| purge["seq"].as_u64());
        (seqs.map(Option::unwrap).collect::<Vec<_>>(), page["next"].as_u64())
    };
    assert_eq!(list("").await, (vec![6, 5, 4, 3], None));
    assert_eq!(list("?limit=3").await, (vec![6, 5, 4], Some(4)));
    assert_eq!(list("?limit=3&before=4").await, (vec![3], None));
    let id = control.get("/v1/sites/a").await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(list(&format!("?site={id}&limit=2")).await, (vec![6, 5], Some(5)));
    assert_eq!(list(&format!("?site={id}&before=5")).await, (vec![3], None));
    for query in ["?limit=0", "?limit=201", "?before=x", "?site=a", "?after=1"] {
        control.get(&format!("/v1/purges{query}")).await.expect(400);
    }
    for seq in ["1", "7", "0", "x", "-1", "18446744073709551616"] {
        control.get(&format!("/v1/purges/{seq}")).await.expect(404);
    }
}

async fn a_status_outlives_control(database: Database) {
    let service = with_site(&database).await;
    let edge = Edge::new(&service.admin, 1, Some("eu")).await;
    edge.adopt(1).await;
    service.admin.post("/v1/sites/a/purge", &json!({ "tags": ["x"] })).await.expect(202);
    service.stop().await;
    let service = database.start().await;
    let before = status_of(&service.admin, 2).await;
    assert_eq!((&before["complete"], standings(&before)), (&json!(false), vec!["waiting"]));
    edge.at(&service.admin).adopt(2).await;
    let after = status_of(&service.admin, 2).await;
    assert_eq!((&after["complete"], standings(&after)), (&json!(true), vec!["done"]));
    assert_eq!(
        (&after["edges"][0]["region"], &after["edges"][0]["adopted_ms"]),
        (&json!("eu"), &after["adopted_ms"])
    );
    service.stop().await;
    let service = database.start().await;
    assert_eq!(status_of(&service.admin, 2).await, after);
}

async fn progress_is_of_what_was_asked(database: Database) {
    let service = with_site(&database).await;
    let edges =
        [Edge::new(&service.admin, 1, None).await, Edge::new(&service.admin, 2, None).await];
    service.admin.post("/v1/sites/a/purge", &json!({ "tags": ["x"] })).await.expect(202);
    for (edge, matched) in edges.iter().zip([3, 4]) {
        edge.work(2, json!({ "seq": 2, "matched": matched })).await;
        // of what nobody asked, nothing is kept
        edge.work(2, json!({ "seq": 1, "matched": 9 })).await;
        edge.adopt(2).await;
    }
    let status = status_of(&service.admin, 2).await;
    assert_eq!((&status["matched"], &status["complete"]), (&json!(7), &json!(true)));
    assert_eq!(status["edges"][1]["progress"]["matched"], 4);
    let edges = service.admin.get("/v1/edges").await.json();
    assert_eq!(edges["edges"][0].get("progress"), None);
}
