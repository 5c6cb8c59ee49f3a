//! What is stored, in each form, and each way to select it.

use super::{Installation, SELECTORS, parsed};
use crate::scene::FRESH;
use serde_json::json;
use testkit::eventually;

#[tokio::test]
async fn every_selector_reaches_what_it_selects_and_only_that() {
    let own = Installation::start().await;
    own.script("/other", "other");
    for selector in SELECTORS {
        for path in ["/a", "/a?b=1"] {
            own.store_old(path, selector).await;
        }
        own.get("/other").await;
        own.purge(&parsed(selector)).await;
        for path in ["/a", "/a?b=1"] {
            own.script(path, "new");
            own.check(path, "new", selector).await;
        }
        let stays = selector.contains("urls");
        assert!(!stays || own.get("/other").await.is_hit(), "{selector}");
        own.purge(&json!({ "everything": true })).await;
    }
}

#[tokio::test]
async fn each_of_several_tags_reaches_a_response() {
    let own = Installation::start().await;
    for tag in ["a", "b", "c", "d", "e", "F"] {
        let script = own.origin.now_on("/a").respond(200).header("Cache-Control", FRESH);
        let script = script.header("Cache-Tag", "a, b").header("Surrogate-Key", "c d");
        script.header("xkey", "e").header("xkey", "f").body("old");
        own.check_stored("/a", "old", tag).await;
        own.purge(&json!({ "tags": ["nobody"] })).await;
        assert!(own.get("/a").await.is_hit(), "{tag}");
        own.purge(&json!({ "tags": [tag] })).await;
        own.script("/a", "new");
        own.check("/a", "new", tag).await;
        own.purge(&json!({ "everything": true })).await;
    }
}

#[tokio::test]
async fn every_variant_is_reached() {
    let own = Installation::start().await;
    let languages = ["en", "de", "fr"];
    let get = async |language: &str| {
        own.call("/a").header("Accept-Language", language).send().await.text().to_owned()
    };
    for selector in SELECTORS {
        let script = |body: &'static str| {
            let answer = own.origin.now_on("/a").respond(200).header("Cache-Control", FRESH);
            answer.header("Vary", "Accept-Language").header("Cache-Tag", "two").body(body);
        };
        script("old");
        for language in languages {
            assert_eq!(get(language).await, "old", "{selector}");
            let again = own.call("/a").header("Accept-Language", language).send().await;
            assert!(again.is_hit(), "{selector} {language}");
        }
        own.purge(&parsed(selector)).await;
        script("new");
        for language in languages {
            assert_eq!(get(language).await, "new", "{selector} {language}");
        }
        own.purge(&json!({ "everything": true })).await;
    }
}

#[tokio::test]
async fn slices_are_reached_as_one() {
    const BYTES: usize = 5 << 20;
    let own = Installation::start().await;
    let script = |byte: u8, tag: &str| {
        let script = own.origin.now_on("/a").respond(200).header("Cache-Control", FRESH);
        let script = script.header("ETag", tag).header("Cache-Tag", "two");
        script.body(vec![byte; BYTES]).ranged();
    };
    for selector in SELECTORS {
        script(b'o', "\"old\"");
        for range in ["bytes=0-9", "bytes=3000000-3000009"] {
            assert_eq!(own.call("/a").header("Range", range).send().await.body, b"oooooooooo");
            assert!(own.call("/a").header("Range", range).send().await.is_hit(), "{selector}");
        }
        own.purge(&parsed(selector)).await;
        script(b'n', "\"new\"");
        for range in ["bytes=3000000-3000009", "bytes=0-9"] {
            let answer = own.call("/a").header("Range", range).send().await;
            assert_eq!(answer.body, b"nnnnnnnnnn", "{selector}: {}", answer.head);
        }
        own.purge(&json!({ "everything": true })).await;
    }
}

#[tokio::test]
async fn two_purges_at_once_are_both_in_force() {
    let own = Installation::start().await;
    for path in ["/a", "/b"] {
        own.store_old(path, path).await;
    }
    let bodies = [json!({ "urls": ["/a"] }), json!({ "urls": ["/b"] })];
    let (first, second) = tokio::join!(own.purge(&bodies[0]), own.purge(&bodies[1]));
    assert_eq!(first.seq.abs_diff(second.seq), 1);
    for path in ["/a", "/b"] {
        own.script(path, "new");
        own.check(path, "new", path).await;
    }
}

#[tokio::test]
async fn a_dry_run_counts_and_purges_nothing() {
    let own = Installation::start().await;
    own.store_old("/a", "dry run").await;
    let seq = own.accepted(&json!({ "tags": ["one"], "dry_run": true })).await;
    eventually("the edge to have counted", || async {
        let answer = own.control.call("GET", &format!("/v1/purges/{seq}")).send().await;
        let status: api::purge::PurgeStatus = serde_json::from_slice(&answer.body).ok()?;
        (status.complete && status.matched == 1).then_some(())
    })
    .await;
    assert!(own.get("/a").await.is_hit());
}

/// The largest request that control takes is an entry that edges take.
#[tokio::test]
async fn the_largest_purge_is_adopted_like_any_other() {
    let scene = Installation::start().await;
    scene.script("/a", "old");
    scene.get("/a").await;
    scene.script("/a", "new");
    let (tags, bytes) = (api::purge::PURGE_SELECTORS_MAX, api::purge::PURGE_BODY_MAX_BYTES);
    let around = json!({"tags": [], "wait": "all", "timeout_ms": 9_000}).to_string().len();
    let each = (bytes - around) / tags - 3;
    let mut names: Vec<String> = (0..tags).map(|tag| format!("{tag:0each$}")).collect();
    names[0] = "TWO".to_owned();
    let spare = bytes - around - (names.iter().map(|name| name.len() + 3).sum::<usize>() - 1);
    names.iter_mut().skip(1).take(spare).for_each(|name| name.push('x'));
    let body = json!({"tags": names, "wait": "all", "timeout_ms": 9_000}).to_string();
    assert_eq!(body.len(), bytes);
    let call = scene.control.call("POST", "/v1/sites/a/purge");
    let answer = call.header("Content-Type", "application/json").body(body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(scene.get("/a").await.text(), "new");
}
