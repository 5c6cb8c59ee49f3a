//! `longshore explain` says beforehand what a request then shows.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scene::{HOST, Scene, site};
use serde_json::{Value, json};
use testkit::{Barrier, Origin, program_path};
use tokio::process::Command;

/// What `longshore explain` prints, and its exit code.
async fn run(scene: &Scene, arguments: &[&str]) -> (String, Option<i32>) {
    let edge = format!("http://{}", scene.edge.admin());
    let mut command = Command::new(program_path("longshore"));
    command.arg("explain").args(arguments).args(["--edge", &edge]);
    let output = command.output().await.expect("the program runs");
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (String::from_utf8(text).expect("it prints text"), output.status.code())
}

async fn explain(scene: &Scene, path: &str, fields: &[&str]) -> Value {
    let url = format!("http://{HOST}{path}");
    let mut arguments = vec!["--json", &url];
    for field in fields {
        arguments.extend(["-H", field]);
    }
    serde_json::from_str(&run(scene, &arguments).await.0).expect("it prints JSON")
}

#[tokio::test]
async fn an_explanation_is_what_then_happens() {
    let scene = Scene::start().await;
    let script =
        scene.origin.on("/a").respond(200).header("Cache-Control", "s-maxage=600, max-age=5");
    let script = script.header("Age", "7").header("ETag", "\"1\"");
    script.header("Vary", "Accept-Encoding").body("12345");
    let miss = explain(&scene, "/a", &["Accept-Encoding: br"]).await;
    assert_eq!(miss["outcome"], "miss", "{miss}");
    assert_eq!(scene.origin.requests().len(), 0, "an explanation asks nobody");
    let call = scene.call("GET", "/a").header("Accept-Encoding", "br");
    let answer = call.send().await;
    let hash = miss["key"]["hash"].as_str().unwrap();
    assert!(answer.cache_status().contains(&format!("key=\"{hash}\"")), "{}", answer.head);

    let hit = explain(&scene, "/a", &["accept-encoding: br"]).await;
    assert_eq!((&hit["outcome"], &hit["status"]), (&json!("hit"), &json!(200)), "{hit}");
    let stored = &hit["stored"];
    assert_eq!(stored["body_bytes"], 5);
    assert_eq!(stored["selected_by"], json!([["Accept-Encoding", "br"]]));
    let fresh = &stored["freshness"];
    assert_eq!(fresh["lifetime_from"], "s-maxage in cache-control");
    assert_eq!(
        (&fresh["lifetime_seconds"], &fresh["initial_age_seconds"]),
        (&json!(600), &json!(7))
    );
    assert_eq!(fresh["forbids_stale"], true);

    let other = explain(&scene, "/a", &["Accept-Encoding: gzip"]).await;
    assert_eq!((&other["outcome"], &other["stored"]["selected"]), (&json!("miss"), &json!(false)));
    let held = explain(&scene, "/a", &["Accept-Encoding: br", "If-None-Match: \"1\""]).await;
    assert_eq!((&held["outcome"], &held["status"]), (&json!("hit"), &json!(304)));
    let asks = explain(&scene, "/a", &["Accept-Encoding: br", "Cache-Control: no-cache"]).await;
    assert_eq!(asks["outcome"], "validate", "{asks}");
    assert_eq!(scene.origin.requests().len(), 1);
}

#[tokio::test]
async fn people_are_told_in_lines() {
    let origin = Origin::start().await;
    origin.on("/old/a").respond(200).header("Cache-Control", "max-age=60").body("x");
    let rules =
        json!([{ "paths": ["/old/*"] }, { "paths": ["/to"], "redirect": { "to": "/new" } }]);
    let document = site("a", HOST, &origin.url(), json!({ "rules": rules }));
    let scene = Scene::with_document(origin, document).await;
    scene.get("/old/a").await;
    let (text, code) = run(&scene, &["http://a.example/old/a"]).await;
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "rule /old/*, origin main",
        "200, 1 bytes, received",
        "60 s, by max-age in cache-control",
        "hit, 200: the stored response is fresh",
    ] {
        assert!(text.contains(line), "`{line}` in\n{text}");
    }
    let (text, _) = run(&scene, &["http://a.example/to"]).await;
    assert!(
        text.contains("answered, 301")
            || text.contains("answered, 302")
            || text.contains("redirects to /new"),
        "{text}"
    );
    let (text, code) = run(&scene, &["no url"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("url: must be an http URL"), "{text}");
}

#[tokio::test]
async fn what_is_being_filled_is_read_along_with() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=60");
    script.length(2).body("1").wait(&barrier).body("2");
    let mut client = scene.call("GET", "/a").open().await;
    client.head().await.unwrap();
    assert_eq!(explain(&scene, "/a", &[]).await["outcome"], "collapsed");
    barrier.release();
    client.rest_of_body().await.unwrap();
}
