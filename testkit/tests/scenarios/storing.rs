//! What is never stored (RFC 9111 §3).

use crate::scene::{FRESH, Scene};
use serde_json::json;

/// Asks twice with `request` fields and says whether the origin was asked once only.
async fn is_stored(scene: &Scene, request: &[(&str, &str)], response: &[(&str, &str)]) -> bool {
    let path = format!("/{}", scene.origin.requests().len());
    let answer = scene.origin.on(&path).respond(200).body("x");
    response.iter().fold(answer, |answer, (name, value)| answer.header(name, value));
    for _ in 0..2 {
        let call = scene.call("GET", &path);
        let call = request.iter().fold(call, |call, (name, value)| call.header(name, value));
        assert_eq!(call.send().await.text(), "x");
    }
    scene.origin.count(&path) == 1
}

#[tokio::test]
async fn responses_that_say_so_are_not_stored() {
    let scene = Scene::start().await;
    let fresh = ("Cache-Control", FRESH);
    assert!(is_stored(&scene, &[], &[fresh]).await);
    for field in ["no-store", "private", "max-age=3600, no-store", "private, max-age=3600"] {
        assert!(!is_stored(&scene, &[], &[("Cache-Control", field)]).await, "{field}");
    }
    assert!(!is_stored(&scene, &[], &[fresh, ("Set-Cookie", "a=b")]).await);
    assert!(!is_stored(&scene, &[], &[fresh, ("Vary", "*")]).await);
    assert!(!is_stored(&scene, &[], &[]).await, "nothing says how long it is fresh");
}

#[tokio::test]
async fn responses_to_credentials_are_not_stored_unless_they_say_so() {
    let scene = Scene::start().await;
    let request = [("Authorization", "Basic YTpi")];
    assert!(!is_stored(&scene, &request, &[("Cache-Control", FRESH)]).await);
    for field in ["public, max-age=3600", "s-maxage=3600", "must-revalidate, max-age=3600"] {
        assert!(is_stored(&scene, &request, &[("Cache-Control", field)]).await, "{field}");
    }
}

#[tokio::test]
async fn a_site_may_store_responses_with_cookies() {
    let scene = Scene::with(json!({ "cache": { "store_set_cookie": true } })).await;
    let response = [("Cache-Control", FRESH), ("Set-Cookie", "a=b")];
    assert!(is_stored(&scene, &[], &response).await);
}

#[tokio::test]
async fn s_maxage_goes_before_max_age_and_max_age_before_expires() {
    let scene = Scene::start().await;
    let past = ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT");
    let future = ("Expires", "Fri, 01 Jan 2100 00:00:00 GMT");
    assert!(is_stored(&scene, &[], &[("Cache-Control", "max-age=0, s-maxage=3600")]).await);
    assert!(!is_stored(&scene, &[], &[("Cache-Control", "max-age=3600, s-maxage=0")]).await);
    assert!(is_stored(&scene, &[], &[("Cache-Control", FRESH), past]).await);
    assert!(is_stored(&scene, &[], &[future]).await);
    assert!(!is_stored(&scene, &[], &[past]).await);
}

#[tokio::test]
async fn partial_responses_are_passed_on_and_not_stored() {
    let scene = Scene::start().await;
    let answer = scene.origin.on("/a").respond(206).header("Cache-Control", FRESH);
    answer.header("Content-Range", "bytes 0-1/10").body("01");
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("0123456789");
    let part = scene.call("GET", "/a").header("Range", "bytes=0-1").send().await;
    if part.status == 206 {
        assert_eq!(part.text(), "01");
    }
    let whole = scene.get("/a").await;
    assert_eq!((whole.status, whole.text()), (200, "0123456789"));
}

#[tokio::test]
async fn only_safe_methods_are_answered_from_the_cache() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    scene.get("/a").await;
    for (count, method) in [(2, "POST"), (3, "PUT"), (4, "DELETE"), (5, "PATCH")] {
        let answer = scene.call(method, "/a").body("y").send().await;
        assert!(!answer.is_hit(), "{}", answer.head);
        assert_eq!(scene.origin.count("/a"), count, "{method}");
    }
}

#[tokio::test]
async fn fields_that_must_not_be_reused_still_reach_the_first_client() {
    let scene = Scene::start().await;
    let answer = scene.origin.on("/a").respond(200).header("X-Once", "1");
    answer.header("Cache-Control", "max-age=3600, no-cache=\"x-once\"").body("x");
    assert_eq!(scene.get("/a").await.field("x-once"), Some("1"));
    let second = scene.get("/a").await;
    assert!(!second.is_hit() || !second.fields.has("x-once"), "{}", second.head);
}
