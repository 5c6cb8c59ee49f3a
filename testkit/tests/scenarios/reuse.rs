//! Reusing what is stored: hits, age, variants, collapsed requests (RFC 9111 §4).

use crate::scene::{FRESH, HOST, Scene};
use serde_json::json;
use testkit::Barrier;

#[tokio::test]
async fn the_second_request_is_a_hit() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    let miss = scene.get("/a").await;
    assert_eq!((miss.status, miss.text()), (200, "x"));
    let status = miss.cache_status();
    for part in ["longshore", "fwd=uri-miss", "stored"] {
        assert!(status.contains(part), "no `{part}` in `{status}`");
    }
    let hit = scene.get("/a").await;
    assert_eq!((hit.status, hit.text(), scene.origin.count("/a")), (200, "x", 1));
    assert!(hit.is_hit() && hit.cache_status().contains("ttl="), "{}", hit.head);
    assert!(hit.field("age").is_some() && hit.field("date").is_some(), "{}", hit.head);
}

#[tokio::test]
async fn hits_come_over_one_kept_connection() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    let mut client = scene.edge.connect().await;
    for _ in 0..3 {
        assert_eq!(client.get(HOST, "/a").await.text(), "x");
    }
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn the_age_an_origin_sends_counts() {
    let scene = Scene::start().await;
    let fresh = "max-age=100";
    scene.origin.on("/young").respond(200).header("Cache-Control", fresh).header("Age", "40");
    scene.origin.on("/old").respond(200).header("Cache-Control", fresh).header("Age", "100");
    scene.get("/young").await;
    let hit = scene.get("/young").await;
    let age: u32 = hit.field("age").unwrap().parse().unwrap();
    assert!(hit.is_hit() && (40..60).contains(&age), "{}", hit.head);
    scene.get("/old").await;
    assert!(!scene.get("/old").await.is_hit());
}

#[tokio::test]
async fn fifty_clients_cost_one_fetch() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let answer = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    answer.wait(&barrier).body("x");
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(scene.call("GET", "/a").open().await);
    }
    scene.origin.arrived("/a", 1).await;
    barrier.release();
    for client in &mut clients {
        assert_eq!(client.response().await.unwrap().text(), "x");
    }
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn queries_are_part_of_the_key_and_hosts_are_normalised() {
    let scene = Scene::start().await;
    scene.origin.on("/a?x=1").respond(200).header("Cache-Control", FRESH).body("one");
    scene.origin.on("/a?x=2").respond(200).header("Cache-Control", FRESH).body("two");
    assert_eq!(scene.get("/a?x=1").await.text(), "one");
    assert_eq!(scene.get("/a?x=2").await.text(), "two");
    let shouted = scene.edge.get("A.Example", "/a?x=1").await;
    assert!(shouted.is_hit() && shouted.text() == "one", "{}", shouted.head);
}

#[tokio::test]
async fn head_is_answered_from_a_stored_get() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("four");
    scene.get("/a").await;
    let head = scene.call("HEAD", "/a").send().await;
    assert!(head.is_hit() && head.body.is_empty(), "{}", head.head);
    assert_eq!((head.field("content-length"), scene.origin.count("/a")), (Some("4"), 1));
}

#[tokio::test]
async fn variants_are_kept_apart() {
    let scene = Scene::start().await;
    for body in ["en", "de"] {
        let answer = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
        answer.header("Vary", "Accept-Language").body(body);
    }
    let get = async |language: &str| {
        scene.call("GET", "/a").header("Accept-Language", language).send().await
    };
    assert_eq!(get("en").await.text(), "en");
    let other = get("de").await;
    assert_eq!(other.text(), "de");
    assert!(other.cache_status().contains("fwd=vary-miss"), "{}", other.head);
    for language in ["en", "de"] {
        let hit = get(language).await;
        assert!(hit.is_hit() && hit.text() == language, "{}", hit.head);
    }
    assert_eq!(scene.origin.count("/a"), 2);
}

#[tokio::test]
async fn a_rule_gives_lifetimes_and_turns_caching_off() {
    let scene = Scene::with(json!({
        "cache": { "default_lifetime_seconds": 3600 },
        "rules": [
            { "paths": ["/live/*"], "cache": { "enabled": false } },
            { "paths": ["/forced/*"], "cache": { "lifetime_seconds": 3600 } },
        ],
    }))
    .await;
    scene.origin.on("/quiet").respond(200).body("x");
    scene.origin.on("/live/x").respond(200).header("Cache-Control", FRESH).body("x");
    scene.origin.on("/forced/x").respond(200).header("Cache-Control", "max-age=0").body("x");
    for (path, fetches) in [("/quiet", 1), ("/live/x", 2), ("/forced/x", 1)] {
        scene.get(path).await;
        let second = scene.get(path).await;
        assert_eq!(second.is_hit(), fetches == 1, "{path} {}", second.head);
        assert_eq!(scene.origin.count(path), fetches, "{path}");
    }
}

#[tokio::test]
async fn a_purge_takes_everything_of_one_site() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("old");
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("new");
    let other = crate::scene::site("b", "b.example", &scene.origin.url(), json!({}));
    scene.feed.adopted(scene.feed.put_site(2, other)).await;
    scene.origin.on("/b").respond(200).header("Cache-Control", FRESH).body("b");
    scene.get("/a").await;
    scene.edge.get("b.example", "/b").await;
    scene.feed.adopted(scene.feed.purge(1)).await;
    assert_eq!(scene.get("/a").await.text(), "new");
    assert!(scene.get("/a").await.is_hit());
    assert!(scene.edge.get("b.example", "/b").await.is_hit());
}

#[tokio::test]
async fn a_fill_that_began_before_a_purge_is_not_reused() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let first = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).chunked();
    first.body("old").wait(&barrier);
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("new");
    let mut early = scene.call("GET", "/a").open().await;
    scene.origin.arrived("/a", 1).await;
    scene.feed.adopted(scene.feed.purge(1)).await;
    barrier.release();
    assert_eq!(early.response().await.unwrap().text(), "old");
    assert_eq!(scene.get("/a").await.text(), "new");
}

#[tokio::test]
async fn the_age_an_origin_sends_goes_on_to_the_first_client() {
    let scene = Scene::start().await;
    let answer = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    answer.header("Age", "30").body("x");
    let miss = scene.get("/a").await;
    let age = miss.field("age").and_then(|age| age.parse::<u32>().ok());
    assert!(age.is_some_and(|age| age >= 30), "{}", miss.head);
}

#[tokio::test]
async fn the_date_an_origin_sends_stays() {
    let scene = Scene::start().await;
    let date = "Fri, 20 Nov 2020 10:00:00 GMT";
    let answer = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=999999999");
    answer.header("Date", date).body("x");
    assert_eq!(scene.get("/a").await.fields.all("date"), [date]);
    let hit = scene.get("/a").await;
    assert!(hit.is_hit() && hit.fields.all("date") == [date], "{}", hit.head);
}

#[tokio::test]
async fn an_age_that_is_none_goes_no_further() {
    let scene = Scene::start().await;
    for (n, age) in ["abc", "-7200", "7200.5", "\"7200\""].into_iter().enumerate() {
        let path = format!("/{n}");
        let script = scene.origin.on(&path).respond(200).header("Cache-Control", FRESH);
        script.header("Age", age).body("x");
        assert_eq!(scene.get(&path).await.field("age"), None, "{age}");
    }
    let script = scene.origin.on("/list").respond(200).header("Cache-Control", FRESH);
    script.header("Age", "7, 9").body("x");
    assert_eq!(scene.get("/list").await.field("age"), Some("7"));
}

#[tokio::test]
async fn a_304_brings_its_client_the_fields_that_are_not_stored() {
    let scene = Scene::start().await;
    for (status, value) in [(200, "1"), (304, "2")] {
        let script = scene.origin.on("/a").respond(status).header("ETag", "\"1\"");
        script.header("Cache-Control", "max-age=0, no-cache=\"X-Once\"").header("X-Once", value);
    }
    assert_eq!(scene.get("/a").await.field("x-once"), Some("1"));
    let answer = scene.get("/a").await;
    assert_eq!((answer.status, answer.field("x-once")), (200, Some("2")));
}
