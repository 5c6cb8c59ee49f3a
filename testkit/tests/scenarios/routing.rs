//! Which site and rule a request belongs to: hosts, redirects, rewrites, fields set and removed.

use crate::scene::{FRESH, Scene, site};
use serde_json::{Value, json};
use testkit::Origin;

#[tokio::test]
async fn hosts_are_exact_wildcard_or_misdirected() {
    let scene = Scene::start().await;
    scene.origin.on("/").respond(200).body("exact");
    let below = Origin::start().await;
    below.on("/").respond(200).body("below");
    let document = site("b", "*.example", &below.url(), json!({}));
    scene.feed.adopted(scene.feed.put_site(2, document)).await;
    for (host, body) in [
        ("a.example", "exact"),
        ("A.EXAMPLE:80", "exact"),
        ("b.example", "below"),
        ("c.b.example", "below"),
    ] {
        assert_eq!(scene.edge.get(host, "/").await.text(), body, "{host}");
    }
    for host in ["example", "a.example.org", "127.0.0.1", "xexample"] {
        let answer = scene.edge.get(host, "/").await;
        assert_eq!(answer.status, 421, "{host}");
        assert!(answer.fields.has("cache-status"), "{}", answer.head);
    }
}

#[tokio::test]
async fn rules_choose_the_origin() {
    let scene = Scene::start().await;
    let other = Origin::start().await;
    other.on("/api/x").respond(200).body("other");
    scene.origin.on("/x").respond(200).body("main");
    let document = site(
        "a",
        "a.example",
        &scene.origin.url(),
        json!({
            "origins": [
                { "name": "main", "url": scene.origin.url() },
                { "name": "other", "url": other.url(), "host_header": "inside.example" },
            ],
            "rules": [{ "paths": ["/api/*"], "origin": "other" }],
        }),
    );
    scene.feed.adopted(scene.feed.put_site(1, document)).await;
    assert_eq!(scene.get("/x").await.text(), "main");
    assert_eq!(scene.get("/api/x").await.text(), "other");
    assert_eq!(scene.origin.requests()[0].field("host"), Some("a.example"));
    assert_eq!(other.requests()[0].field("host"), Some("inside.example"));
}

fn redirects() -> Value {
    json!({ "rules": [
        { "paths": ["/old/*"], "redirect": { "to": "/new/$1", "status": 308 } },
        { "paths": ["/away"], "redirect": { "to": "https://b.example/x?y=1" } },
        { "paths": ["/app/*/data"], "rewrite": { "to": "/v2/$1.json" } },
    ] })
}

#[tokio::test]
async fn redirects_carry_captures_and_queries() {
    let scene = Scene::with(redirects()).await;
    for (path, status, location) in [
        ("/old/a/b", 308, "/new/a/b"),
        ("/old/a?q=1", 308, "/new/a?q=1"),
        ("/away?q=1", 302, "https://b.example/x?y=1"),
    ] {
        let answer = scene.get(path).await;
        assert_eq!((answer.status, answer.field("location")), (status, Some(location)), "{path}");
    }
    assert!(scene.origin.requests().is_empty());
}

#[tokio::test]
async fn rewrites_ask_for_another_path() {
    let scene = Scene::with(redirects()).await;
    scene.origin.on("/v2/x.json").respond(200).header("Cache-Control", FRESH).body("data");
    assert_eq!(scene.get("/app/x/data?q=1").await.text(), "data");
    assert_eq!(scene.origin.requests()[0].target, "/v2/x.json?q=1");
    assert!(scene.get("/app/x/data?q=1").await.is_hit());
}

#[tokio::test]
async fn fields_are_removed_and_set_on_the_way() {
    let scene = Scene::with(json!({ "rules": [{
        "paths": ["/*"],
        "request_headers": { "set": { "X-In": "edge" }, "remove": ["Cookie"] },
        "response_headers": { "set": { "X-Out": "edge" }, "remove": ["Server"] },
    }] }))
    .await;
    let answer = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    answer.header("Server", "secret").header("X-Out", "origin").body("x");
    for _ in 0..2 {
        let call = scene.call("GET", "/a").header("Cookie", "a=b").header("X-In", "client");
        let answer = call.send().await;
        assert_eq!(answer.fields.all("x-out"), ["edge"]);
        assert!(!answer.head.contains("secret"), "{}", answer.head);
    }
    let [request] = &scene.origin.requests()[..] else { panic!("one fetch") };
    assert_eq!(request.fields.all("x-in"), ["edge"]);
    assert_eq!(request.field("cookie"), None);
}
