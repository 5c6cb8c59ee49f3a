//! `longshore cache` tells what is stored, and nothing of it changes by that.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scene::{FRESH, HOST, Scene};
use api::purge::{Mode, Selector, Selectors};
use serde_json::{Value, json};
use testkit::{Barrier, Call, Feed, program_path};
use tokio::process::Command;

/// What `longshore cache` prints, and its exit code.
async fn run(scene: &Scene, arguments: &[&str]) -> (String, Option<i32>) {
    run_at(&format!("http://{}", scene.edge.admin()), arguments).await
}

async fn run_at(edge: &str, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(program_path("longshore"));
    command.arg("cache").args(arguments).args(["--edge", edge]);
    let output = command.output().await.expect("the program runs");
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (String::from_utf8(text).expect("it prints text"), output.status.code())
}

async fn json(scene: &Scene, arguments: &[&str]) -> Value {
    let printed = run(scene, &[arguments, &["--json"]].concat()).await.0;
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("it prints JSON, not {printed}"))
}

/// The URLs of a list, in order.
async fn urls(scene: &Scene, arguments: &[&str]) -> Vec<String> {
    let page = json(scene, &[&["list"], arguments].concat()).await;
    let responses = page["responses"].as_array().expect("a page has responses").iter();
    responses.map(|stored| stored["url"].as_str().expect("each has a URL").to_owned()).collect()
}

fn stores(scene: &Scene, path: &str, cache_control: &str, body: &'static str) {
    let script = scene.origin.on(path).respond(200).header("Cache-Control", cache_control);
    script.header("ETag", "\"1\"").body(body);
}

#[tokio::test]
async fn a_list_tells_what_is_stored_in_the_order_it_was() {
    let scene = Scene::start().await;
    for (path, cache_control) in
        [("/img/a", FRESH), ("/img/b", "max-age=0, stale-while-revalidate=60"), ("/doc", FRESH)]
    {
        stores(&scene, path, cache_control, "12345");
        scene.get(path).await;
    }
    scene.get("/doc?q=1").await;
    let all = json(&scene, &["list"]).await;
    let told = |stored: &Value| {
        let facts = ["url", "state", "status", "body_bytes", "tiers"];
        facts.map(|fact| stored[fact].clone())
    };
    let of = |path: &str, state: &str| {
        [
            json!(format!("http://{HOST}{path}")),
            json!(state),
            json!(200),
            json!(5),
            json!(["memory"]),
        ]
    };
    let told: Vec<_> = all["responses"].as_array().unwrap().iter().map(told).collect();
    let expected = [
        of("/img/a", "fresh"),
        of("/img/b", "stale"),
        of("/doc", "fresh"),
        of("/doc?q=1", "fresh"),
    ];
    assert_eq!(told, expected, "{all}");
    assert_eq!(all["next"], Value::Null);

    let url = |path: &str| format!("http://{HOST}{path}");
    assert_eq!(urls(&scene, &["--prefix", "/img/"]).await, [url("/img/a"), url("/img/b")]);
    let prefix = format!("http://{}:80/doc?", HOST.to_uppercase());
    assert_eq!(urls(&scene, &["--prefix", &prefix]).await, [url("/doc?q=1")]);
    assert_eq!(urls(&scene, &["--site", "a", "--tier", "memory"]).await.len(), 4);
    let (id, other) = (Feed::site_id(1).to_string(), Feed::site_id(2).to_string());
    assert_eq!(urls(&scene, &["--site", &id]).await.len(), 4);
    assert_eq!(urls(&scene, &["--site", &other]).await, [""; 0]);
    assert_eq!(urls(&scene, &["--tier", "disk"]).await, [""; 0]);

    assert_eq!(urls(&scene, &["--limit", "3"]).await.len(), 3);
    let (text, _) = run(&scene, &["list", "--prefix", "/img"]).await;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("STATE") && lines.len() == 3, "{text}");
    assert!(lines[2].starts_with("stale ") && lines[2].ends_with("/img/b"), "{text}");
    assert_eq!(scene.origin.requests().len(), 4, "nobody was asked");
}

#[tokio::test]
async fn pages_are_put_together() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("1");
    let mut client = scene.edge.connect().await;
    for number in 0..1_100 {
        client.get(HOST, &format!("/a?{number}")).await;
    }
    let expected: Vec<_> = (0..1_100).map(|number| format!("http://{HOST}/a?{number}")).collect();
    assert_eq!(urls(&scene, &["--limit", "2000"]).await, expected);
    assert_eq!(urls(&scene, &["--limit", "1050"]).await, expected[..1_050]);

    let page = json(&scene, &["list", "--limit", "7", "--tier", "memory"]).await;
    let after = page["next"].as_str().expect("more follows");
    let path = format!("/cache/list?limit=3&tier=memory&after={after}");
    let next = Call::new(scene.edge.admin(), "GET", "admin", &path).send().await;
    let next: Value = serde_json::from_str(next.text()).unwrap();
    assert_eq!(next["responses"][0]["url"], expected[7]);
    assert_eq!(next["responses"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn an_inspection_tells_every_variant() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=600");
    script.header("Vary", "Accept-Language").header("Age", "7").body("12345");
    let url = format!("http://{HOST}/a");
    let nothing = json(&scene, &["inspect", &url]).await;
    assert_eq!((&nothing["variants"], &nothing["slices"]), (&json!([]), &Value::Null));
    for language in ["de", "fr"] {
        scene.call("GET", "/a").header("Accept-Language", language).send().await;
    }
    let found = json(&scene, &["inspect", &url, "-H", "Accept-Language: fr"]).await;
    assert_eq!(found["key"]["parts"][4], "/a");
    let variants = found["variants"].as_array().unwrap();
    let selected: Vec<_> = variants.iter().map(|variant| &variant["selected"]).collect();
    assert_eq!(selected, [&json!(false), &json!(true)], "{found}");
    for variant in variants {
        assert_eq!(variant["tiers"], json!(["memory"]));
        assert_eq!((&variant["state"], &variant["applied"]), (&json!("fresh"), &json!(1)));
        assert_eq!((&variant["status"], &variant["body_bytes"]), (&json!(200), &json!(5)));
        assert_eq!(variant["freshness"]["lifetime_seconds"], 600);
        assert_eq!(variant["freshness"]["initial_age_seconds"], 7);
        assert!(variant["head_bytes"].as_u64().unwrap() > 100, "{variant}");
    }
    assert_ne!(variants[0]["variant"], variants[1]["variant"]);
    let (text, code) = run(&scene, &["inspect", &url, "-H", "Accept-Language: fr"]).await;
    assert_eq!(code, Some(0), "{text}");
    for line in
        ["memory, fresh, selected; head ", ", feed 1", "200, 5 bytes", "vary: Accept-Language"]
    {
        assert!(text.contains(line), "`{line}` in\n{text}");
    }
    assert_eq!(scene.origin.requests().len(), 2, "nobody was asked");
}

#[tokio::test]
async fn what_was_purged_or_whose_site_is_gone_is_told_so() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    script.header("Cache-Tag", "one,Two").header("xkey", "three").body("x");
    scene.get("/a").await;
    let url = format!("http://{HOST}/a");
    let listed = async || json(&scene, &["list"]).await["responses"][0].clone();
    let state = async || listed().await["state"].clone();
    assert_eq!(state().await, "fresh");
    assert_eq!(listed().await["tags"], json!(["one", "Two", "three"]));
    let selector = Selector::Any(Selectors { tags: vec!["two".into()], ..Selectors::default() });
    let soft = scene.feed.purge_by(1, selector, Mode::Soft);
    scene.feed.adopted(soft).await;
    assert_eq!(state().await, "stale");
    assert_eq!(listed().await["purged"], json!({"seq": soft, "mode": "soft"}));
    let (text, _) = run(&scene, &["inspect", &url]).await;
    assert!(text.contains(&format!("purged softly by {soft}")), "{text}");
    assert!(text.contains("one Two three"), "{text}");
    let (text, _) = run(&scene, &["list"]).await;
    assert!(text.contains(&format!("stale by {soft}")), "{text}");
    let hard = scene.feed.purge(1);
    scene.feed.adopted(hard).await;
    assert_eq!(state().await, "purged");
    let found = json(&scene, &["inspect", &url]).await;
    let variant = &found["variants"][0];
    let expected = (&json!("purged"), &json!({"seq": hard, "mode": "hard"}));
    assert_eq!((&variant["state"], &variant["purged"]), expected);
    scene.feed.adopted(scene.feed.remove_site(1)).await;
    assert_eq!(state().await, "unreachable");
    let (text, code) = run(&scene, &["inspect", &url]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("url: is answered 421: No site is served here"), "{text}");
}

#[tokio::test]
async fn slices_and_fills_are_told() {
    let scene = Scene::with_config("[memory]\nslice_bytes = 65536\n").await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    script.header("ETag", "\"1\"").body(vec![b'x'; 250_000]).ranged();
    scene.call("GET", "/a").header("Range", "bytes=70000-140000").send().await;
    let page = json(&scene, &["list"]).await;
    let mut slices: Vec<_> = page["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stored| (stored["slice"]["first_byte"].as_u64(), stored["body_bytes"].as_u64()))
        .collect();
    slices.sort_unstable();
    assert_eq!(slices, [(Some(65_536), Some(65_536)), (Some(131_072), Some(65_536))], "{page}");
    let url = format!("http://{HOST}/a");
    let found = json(&scene, &["inspect", &url]).await;
    let expected = json!({
        "complete_length": 250_000, "slice_bytes": 65_536, "count": 4, "looked_for": 4,
        "stored": 2, "stored_bytes": 131_072, "selected": true,
    });
    assert_eq!((&found["slices"], &found["variants"]), (&expected, &json!([])));
    let (text, _) = run(&scene, &["inspect", &url]).await;
    assert!(text.contains("2 of 4 stored, 128.0 KiB of 244.1 KiB; 64.0 KiB each"), "{text}");

    let barrier = Barrier::new();
    let script = scene.origin.on("/b").respond(200).header("Cache-Control", FRESH);
    script.length(2).body("1").wait(&barrier).body("2");
    let mut client = scene.call("GET", "/b").open().await;
    client.head().await.unwrap();
    let page = json(&scene, &["list", "--tier", "filling"]).await;
    let filling = &page["responses"][0];
    assert_eq!(
        (&filling["tiers"], &filling["body_bytes"]),
        (&json!(["filling"]), &Value::Null),
        "{page}"
    );
    let statistics = json(&scene, &["stats"]).await;
    assert_eq!(statistics["fills"]["count"], 1);
    assert_eq!(statistics["slices"]["names"], 1);
    barrier.release();
    client.rest_of_body().await.unwrap();
}

/// What is left of 10 MB for stored responses, without directories.
const MEMORY_BYTES: u32 = 5_625_000;

#[tokio::test]
async fn statistics_are_those_of_the_metrics() {
    let scene = Scene::with_config("[memory]\ncapacity_bytes = 10000000\n").await;
    stores(&scene, "/a", FRESH, "12345");
    for _ in 0..3 {
        scene.get("/a").await;
    }
    let found = json(&scene, &["stats"]).await;
    let memory = &found["memory"];
    assert_eq!(
        (&memory["responses"], &memory["capacity_bytes"], &memory["hits_total"]),
        (&json!(1), &json!(MEMORY_BYTES), &json!(2)),
        "{found}"
    );
    assert_eq!(found["disk"]["directories"], json!([]));
    let metrics = scene.edge.metrics().await;
    let tier = ["tier=\"memory\""];
    assert_eq!(metrics.sum("longshore_edge_store_hits_total", &tier), 2.0);
    assert_eq!(Some(metrics.sum("longshore_edge_store_bytes", &tier)), memory["bytes"].as_f64());
    assert_eq!(metrics.sum("longshore_edge_store_capacity_bytes", &tier), f64::from(MEMORY_BYTES));
    let files = metrics.sum("longshore_edge_open_files", &[]);
    assert!(files > 5.0 && files < metrics.sum("longshore_edge_open_files_max", &[]), "{files}");
    let (text, code) = run(&scene, &["stats"]).await;
    assert_eq!(code, Some(0), "{text}");
    for line in ["1 responses, ", " of 5.3 MiB; 2 hits", "disk      no directories"] {
        assert!(text.contains(line), "`{line}` in\n{text}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_limits() {
    let scene = Scene::start().await;
    let check = async |arguments: &[&str], code: i32, expected: &[&str]| {
        let (text, exited) = run(&scene, arguments).await;
        assert_eq!(exited, Some(code), "{arguments:?} {text}");
        for line in expected {
            assert!(text.contains(line), "`{line}` in\n{text}");
        }
    };
    let wrong = ["list", "--prefix", "ftp://a", "--site", "nobody", "--tier", "tape"];
    let told = [
        "prefix: must begin with `http://` or `https://`, or with `/` for a path of any host (got ftp://a)",
        "site: must be the name of a site that is served here, or the id of any (got nobody)",
        "tier: must be filling, memory or disk (got tape)",
    ];
    check(&wrong, 1, &told).await;
    check(&["list", "--limit", "0"], 2, &["--limit"]).await;
    check(&["inspect", "no url"], 1, &["url: must be an http or https URL"]).await;
    check(&["inspect", "http://b.example/"], 1, &["url: is answered 421: No site is served here"])
        .await;
    check(&["inspect", &format!("http://{HOST}/"), "-H", "no line"], 2, &["is no field line"])
        .await;
    let page = Call::new(scene.edge.admin(), "GET", "admin", "/cache/list?limit=1001").send().await;
    assert_eq!(page.status, 422);
    assert!(page.text().contains("must be 1 to 1000"), "{}", page.text());
    for arguments in [&["stats"][..], &["list"], &["inspect", "http://a.example/"]] {
        let (text, code) = run_at("http://127.0.0.1:1", arguments).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("can't ask the edge at http://127.0.0.1:1"), "{text}");
    }
}
