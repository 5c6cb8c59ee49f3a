//! Variants of one name: chosen by Vary, renewed apart from each other (RFC 9111 §4.1).

use crate::scene::{FRESH, Scene};
use testkit::Response;

async fn get(scene: &Scene, language: &str) -> Response {
    scene.call("GET", "/a").header("Accept-Language", language).send().await
}

/// Answers the next request for `/a`.
fn answer(scene: &Scene, fields: &[(&str, &str)], body: &str) {
    let answer =
        scene.origin.on("/a").respond(200).header("Vary", "Accept-Language").body(body.to_owned());
    fields.iter().fold(answer, |answer, (name, value)| answer.header(name, value));
}

#[tokio::test]
async fn a_variant_that_comes_with_an_age_is_found_again() {
    let scene = Scene::start().await;
    answer(&scene, &[("Cache-Control", FRESH)], "en");
    answer(&scene, &[("Cache-Control", FRESH), ("Age", "100")], "de");
    get(&scene, "en").await;
    get(&scene, "de").await;
    let hit = get(&scene, "de").await;
    assert!(hit.is_hit() && hit.text() == "de", "{}", hit.head);
    let age: u32 = hit.field("age").unwrap().parse().unwrap();
    assert!((100..130).contains(&age), "{}", hit.head);
}

#[tokio::test]
async fn a_renewed_first_variant_leaves_the_others() {
    let scene = Scene::start().await;
    answer(&scene, &[("Cache-Control", "max-age=0"), ("ETag", "\"v1\"")], "en");
    answer(&scene, &[("Cache-Control", FRESH)], "de");
    let renewed = scene.origin.on("/a").respond(304).header("Cache-Control", "max-age=0");
    renewed.header("ETag", "\"v1\"");
    answer(&scene, &[("Cache-Control", FRESH), ("ETag", "\"v2\"")], "en again");
    get(&scene, "en").await;
    get(&scene, "de").await;
    for body in ["en", "en again"] {
        assert_eq!(get(&scene, "en").await.text(), body);
        let hit = get(&scene, "de").await;
        assert!(hit.is_hit() && hit.text() == "de", "after {body}: {}", hit.head);
    }
    assert!(get(&scene, "en").await.is_hit());
    assert_eq!(scene.origin.count("/a"), 4);
}

#[tokio::test]
async fn a_renewed_variant_stays_reachable() {
    let scene = Scene::start().await;
    answer(&scene, &[("Cache-Control", FRESH)], "en");
    answer(&scene, &[("Cache-Control", "max-age=0"), ("ETag", "\"v1\"")], "de");
    let renewed = scene.origin.on("/a").respond(304).header("Cache-Control", FRESH);
    renewed.header("ETag", "\"v1\"");
    get(&scene, "en").await;
    get(&scene, "de").await;
    assert_eq!(get(&scene, "de").await.text(), "de");
    for language in ["en", "de"] {
        assert!(get(&scene, language).await.is_hit(), "{language}");
    }
    assert_eq!(scene.origin.count("/a"), 3);
}

#[tokio::test]
async fn a_request_that_prefers_the_stored_language_is_answered_with_it() {
    let scene = Scene::start().await;
    let german = [("Cache-Control", FRESH), ("Content-Language", "de")];
    answer(&scene, &german, "de");
    answer(&scene, &[("Cache-Control", FRESH), ("Content-Language", "fr")], "fr");
    answer(&scene, &german, "de-CH");
    get(&scene, "en, de").await;
    for language in ["fr;q=0.5, de;q=1.0", "DE", "de, en", "en, de"] {
        let hit = get(&scene, language).await;
        assert!(hit.is_hit() && hit.text() == "de", "{language}: {}", hit.head);
    }
    for (language, body) in [("de;q=0.5, fr", "fr"), ("de-CH, de", "de-CH")] {
        assert_eq!(get(&scene, language).await.text(), body, "{language}");
        let hit = get(&scene, language).await;
        assert!(hit.is_hit() && hit.text() == body, "{language}: {}", hit.head);
    }
    assert_eq!(scene.origin.count("/a"), 3);
}

#[tokio::test]
async fn a_stale_response_in_the_preferred_language_is_validated_for_both_requests() {
    let scene = Scene::start().await;
    let stale = [("Cache-Control", "max-age=0"), ("ETag", "\"v1\""), ("Content-Language", "de")];
    answer(&scene, &stale, "de");
    let renewed = scene.origin.on("/a").respond(304).header("Cache-Control", FRESH);
    renewed.header("ETag", "\"v1\"");
    get(&scene, "en, de").await;
    assert_eq!(get(&scene, "fr;q=0.5, de").await.text(), "de");
    for language in ["fr;q=0.5, de", "en, de"] {
        let hit = get(&scene, language).await;
        assert!(hit.is_hit() && hit.text() == "de", "{language}: {}", hit.head);
    }
    assert_eq!(scene.origin.count("/a"), 2);
}
