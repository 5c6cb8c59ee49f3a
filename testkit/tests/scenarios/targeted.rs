//! Fields for caches alone: `Longshore-CDN-Cache-Control` before `CDN-Cache-Control` before `Cache-Control` (RFC 9213).

use crate::scene::Scene;

/// Whether a response with these fields is stored, and what the client is told of them.
async fn check(scene: &Scene, fields: &[(&str, &str)], stored: bool) {
    let path = format!("/{}", scene.origin.requests().len());
    let script = scene.origin.on(&path).respond(200).body("x");
    fields.iter().fold(script, |script, (name, value)| script.header(name, value));
    for _ in 0..2 {
        let answer = scene.get(&path).await;
        for targeted in ["cdn-cache-control", "longshore-cdn-cache-control"] {
            assert_eq!(answer.field(targeted), None, "{fields:?}");
        }
    }
    assert_eq!(scene.origin.count(&path) == 1, stored, "{fields:?}");
}

const OURS: &str = "Longshore-CDN-Cache-Control";
const CDN: &str = "CDN-Cache-Control";
const ALL: &str = "Cache-Control";

#[tokio::test]
async fn the_most_targeted_field_that_is_valid_decides() {
    let scene = Scene::start().await;
    check(&scene, &[(CDN, "max-age=60")], true).await;
    check(&scene, &[(CDN, "max-age=60"), (ALL, "no-store")], true).await;
    check(&scene, &[(CDN, "no-store"), (ALL, "max-age=60")], false).await;
    check(&scene, &[(CDN, "private"), (ALL, "max-age=60")], false).await;
    check(&scene, &[(CDN, "max-age=0"), (ALL, "max-age=60")], false).await;
    check(&scene, &[(OURS, "max-age=60"), (CDN, "no-store"), (ALL, "no-store")], true).await;
    check(&scene, &[(OURS, "no-store"), (CDN, "max-age=60"), (ALL, "max-age=60")], false).await;
    let expires = ("Expires", "Fri, 01 Jan 2100 00:00:00 GMT");
    check(&scene, &[(CDN, "max-age=0"), expires], false).await;
}

#[tokio::test]
async fn a_targeted_field_that_is_not_structured_says_nothing() {
    let scene = Scene::start().await;
    check(&scene, &[(CDN, "no-store, max-age=\""), (ALL, "max-age=60")], true).await;
    check(&scene, &[(CDN, "max-age=60, &"), (ALL, "no-store")], false).await;
    check(&scene, &[(CDN, ""), (ALL, "max-age=60")], true).await;
    // a value of another type is no lifetime (RFC 9213 §2.1)
    check(&scene, &[(CDN, "max-age=\"60\""), (ALL, "no-store")], false).await;
}

#[tokio::test]
async fn clients_get_cache_control_as_it_came() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/a").respond(200).header(CDN, "max-age=60");
    script.header(ALL, "max-age=5, must-revalidate").body("x");
    for _ in 0..2 {
        let answer = scene.get("/a").await;
        assert_eq!(answer.field("cache-control"), Some("max-age=5, must-revalidate"));
    }
    assert_eq!(scene.origin.count("/a"), 1);
}
