//! `longshore explain` says beforehand what a request then shows.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scene::{HOST, Scene, site};
use api::purge::{Mode, Selector};
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
    assert!(text.contains("url: must be an http or https URL"), "{text}");
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

/// Has an explanation say this.
async fn check(
    scene: &Scene,
    path: &str,
    fields: &[&str],
    (outcome, status, why): (&str, Option<u16>, &str),
) {
    let told = explain(scene, path, fields).await;
    let expected = (json!(outcome), status.map_or(Value::Null, Value::from), json!(why));
    assert_eq!(
        (&told["outcome"], &told["status"], &told["why"]),
        (&expected.0, &expected.1, &expected.2),
        "{path} {fields:?}"
    );
}

#[tokio::test]
async fn what_is_answered_from_slices_is_told() {
    let scene = Scene::with_config("[memory]\nslice_bytes = 65536\n").await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=60");
    script.header("ETag", "\"1\"").body(vec![b'x'; 250_000]).ranged();
    let unknown = ("miss", None, "nothing is stored; the range is fetched in slices");
    check(&scene, "/a", &["Range: bytes=0-100000"], unknown).await;
    check(&scene, "/a", &[], ("miss", None, "nothing is stored under this name")).await;
    assert_eq!(scene.origin.requests().len(), 0);
    let first = scene.call("GET", "/a").header("Range", "bytes=0-100000").send().await;
    assert_eq!((first.status, first.body.len()), (206, 100_001));

    let all = |count| format!("it is put together from slices, all {count} of which are stored");
    check(&scene, "/a", &["Range: bytes=0-100000"], ("hit", Some(206), &all(2))).await;
    check(&scene, "/a", &["Range: bytes=5-9"], ("hit", Some(206), &all(1))).await;
    let some = ("miss", None, "1 of 2 slices of it are stored");
    check(&scene, "/a", &["Range: bytes=100000-150000"], some).await;
    check(&scene, "/a", &["Range: bytes=-1"], ("miss", None, "0 of 1 slices of it are stored"))
        .await;
    check(&scene, "/a", &[], ("miss", None, "2 of 4 slices of it are stored")).await;
    let asks =
        "it is put together from slices, all 2 of which are stored; 2 of them are validated first";
    let fields = ["Range: bytes=0-100000", "Cache-Control: no-cache"];
    check(&scene, "/a", &fields, ("validate", None, asks)).await;
    let only = ["Range: bytes=0-100000", "Cache-Control: only-if-cached"];
    let nothing = "nothing is stored under this name, and the request takes nothing else";
    check(&scene, "/a", &only, ("answered", Some(504), nothing)).await;

    assert_eq!(scene.get("/a").await.body.len(), 250_000);
    check(&scene, "/a", &[], ("hit", Some(200), &all(4))).await;
    let again = scene.get("/a").await;
    assert!(again.cache_status().starts_with("longshore; hit"), "{}", again.head);
    let none = ("hit", Some(416), "by its slices, it has no such bytes");
    check(&scene, "/a", &["Range: bytes=250000-"], none).await;
    let beyond = scene.call("GET", "/a").header("Range", "bytes=250000-").send().await;
    assert_eq!(beyond.status, 416);
}

#[tokio::test]
async fn what_is_remembered_is_told() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", "no-store").body("1");
    scene.get("/a").await;
    let why = "nothing is stored under this name; \
               the last response was not to be stored (no-store), so it waits for nobody";
    check(&scene, "/a", &[], ("miss", None, why)).await;
    check(&scene, "/a", &["Range: bytes=0-0"], ("miss", None, why)).await;
    let authorized = ["Authorization: Basic YTpi"];
    check(&scene, "/a", &authorized, ("miss", None, "nothing is stored under this name")).await;
}

#[tokio::test]
async fn a_part_of_what_is_stored_is_told() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=60");
    script.header("ETag", "\"1\"").body("12345");
    scene.get("/a").await;
    let fresh = async |fields: &[&str], status| {
        let told = ("hit", Some(status), "the stored response is fresh");
        check(&scene, "/a", fields, told).await;
        let mut call = scene.call("GET", "/a");
        for field in fields {
            let (name, value) = field.split_once(": ").unwrap();
            call = call.header(name, value);
        }
        assert_eq!(call.send().await.status, status, "{fields:?}");
    };
    fresh(&["Range: bytes=1-2"], 206).await;
    fresh(&["Range: bytes=0-0,2-2"], 206).await;
    fresh(&["Range: bytes=5-"], 416).await;
    fresh(&["Range: bytes=1-2", "If-Range: \"2\""], 200).await;
    fresh(&["Range: bytes=1-2", "If-None-Match: \"1\""], 304).await;
    let told = ("hit", Some(200), "the stored response is fresh");
    check(&scene, "/a", &["Range: bytes=1-2", "Connection: close, Range"], told).await;
}

#[tokio::test]
async fn a_request_that_is_not_as_it_seems_is_refused() {
    let scene = Scene::start().await;
    let url = format!("http://{HOST}/a");
    let (text, code) = run(&scene, &[&url, "-H", "Accept: */*", "-H", "Host: b.example"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("fields[1].name: must not be Host: the URL tells the host"), "{text}");
    let (text, code) = run(&scene, &[&url, "-X", "CONNECT"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("method: must not be CONNECT"), "{text}");
    let told = explain(&scene, "/a", &["Expect: tea"]).await;
    assert_eq!((&told["outcome"], &told["status"]), (&json!("answered"), &json!(417)), "{told}");
    assert_eq!(scene.call("GET", "/a").header("Expect", "tea").send().await.status, 417);
}

#[tokio::test]
async fn a_forwarded_head_is_told() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=60");
    script.header("ETag", "\"1\"").body("12345");
    let url = format!("http://{HOST}/a");
    let check = async |field: &str, expected: &str| {
        let (text, _) = run(&scene, &[&url, "-X", "HEAD", "-H", field]).await;
        assert!(text.ends_with(&format!("now       {expected}\n")), "`{expected}` in\n{text}");
    };
    let forwarded = "miss: nothing is stored under this name; HEAD is forwarded as it is";
    check("Accept: */*", forwarded).await;
    scene.get("/a").await;
    check("Accept: */*", "hit, 200: the stored response is fresh").await;
    let more = "miss: the stored response is fresh, but not enough for the request's own directives; \
                HEAD is forwarded as it is";
    check("Cache-Control: no-cache", more).await;
}

#[tokio::test]
async fn slices_that_can_not_be_had_are_not_told_of() {
    let nothing = ("miss", None, "nothing is stored under this name");
    let scene = Scene::with(json!({ "cache": { "slices": false } })).await;
    check(&scene, "/a", &["Range: bytes=0-0"], nothing).await;
    let scene = Scene::start().await;
    // without a validator, it can't be put together
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=60");
    script.body("12345").ranged();
    scene.origin.on("/a").respond(500).body("");
    let sent = scene.call("GET", "/a").header("Range", "bytes=0-0").send().await;
    assert_eq!(sent.status, 500, "{}", sent.head);
    check(&scene, "/a", &["Range: bytes=0-0"], nothing).await;
}

#[tokio::test]
async fn the_purge_that_reached_a_response_is_named() {
    let scene = Scene::start().await;
    for (path, more) in [("/a", ""), ("/must", ", must-revalidate")] {
        let script = scene.origin.on(path).respond(200).header("ETag", "\"1\"");
        script.header("Cache-Control", &format!("max-age=600{more}")).body("x");
        scene.get(path).await;
    }
    let why = async |path: &str, outcome: &str| {
        let explained = explain(&scene, path, &[]).await;
        assert_eq!(explained["outcome"], outcome, "{explained}");
        explained["why"].as_str().unwrap_or_default().to_owned()
    };
    let soft = scene.feed.purge_by(1, Selector::Everything, Mode::Soft);
    scene.feed.adopted(soft).await;
    let expected = format!(
        "the stored response is stale by the soft purge {soft}, and may be used while the origin is asked in the background"
    );
    assert_eq!(why("/a", "stale_hit").await, expected);
    let expected = format!(
        "the stored response is made stale by the soft purge {soft}; the origin is asked whether it still holds"
    );
    assert_eq!(why("/must", "validate").await, expected);
    let hard = scene.feed.purge(1);
    scene.feed.adopted(hard).await;
    let expected = format!("what is stored was purged by the purge {hard}");
    assert_eq!(why("/a", "miss").await, expected);
}
