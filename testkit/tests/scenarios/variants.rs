//! Variants of one name: chosen by Vary, renewed apart from each other (RFC 9111 §4.1).

use crate::scene::{FRESH, HOST, Scene};
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

/// A request for `/a` by these fields, as `(name, value)`.
async fn ask(scene: &Scene, fields: &[(&str, &str)]) -> Response {
    let call = scene.call("GET", "/a");
    fields.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await
}

/// Answers the next request for `/a` with this `Vary`, none where it is empty.
fn vary(scene: &Scene, names: &str, cache_control: &str, body: &str) {
    let answer = scene.origin.on("/a").respond(200).header("Cache-Control", cache_control);
    let answer = if names.is_empty() { answer } else { answer.header("Vary", names) };
    answer.header("ETag", "\"1\"").body(body.to_owned());
}

/// The fields of a request, the body of its answer, and whether it is a hit.
type Asked<'a> = (&'a [(&'a str, &'a str)], &'a str, bool);

/// Asks in order, and expects the body, and whether it is a hit.
async fn check(scene: &Scene, asked: &[Asked<'_>]) {
    for (number, (fields, body, hit)) in asked.iter().enumerate() {
        let answer = ask(scene, fields).await;
        let seen = (answer.text(), answer.is_hit());
        assert_eq!(seen, (*body, *hit), "request {number}, {fields:?}: {}", answer.head);
    }
}

const STALE: &str = "max-age=0";

#[tokio::test]
async fn a_response_that_varies_by_another_field_replaces_the_first_variant() {
    let scene = Scene::start().await;
    vary(&scene, "A", STALE, "a1");
    vary(&scene, "A", FRESH, "a2");
    vary(&scene, "B", FRESH, "a1 b1");
    vary(&scene, "B", FRESH, "a2 b2");
    check(
        &scene,
        &[
            (&[("A", "1"), ("B", "1")], "a1", false),
            (&[("A", "2"), ("B", "1")], "a2", false),
            (&[("A", "2"), ("B", "1")], "a2", true),
            // the first one is renewed, and from now on B selects
            (&[("A", "1"), ("B", "1")], "a1 b1", false),
            (&[("A", "2"), ("B", "1")], "a1 b1", true),
            (&[("A", "2"), ("B", "2")], "a2 b2", false),
            (&[("A", "1"), ("B", "2")], "a2 b2", true),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_variant_that_varies_by_another_field_becomes_the_first() {
    let scene = Scene::start().await;
    vary(&scene, "A", FRESH, "a1");
    vary(&scene, "B", FRESH, "b1");
    check(
        &scene,
        &[
            (&[("A", "1"), ("B", "1")], "a1", false),
            (&[("A", "2"), ("B", "1")], "b1", false),
            (&[("A", "1"), ("B", "1")], "b1", true),
            (&[("A", "3"), ("B", "1")], "b1", true),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_response_that_varies_no_more_is_for_every_request() {
    let scene = Scene::start().await;
    vary(&scene, "A", STALE, "a1");
    vary(&scene, "A", FRESH, "a2");
    vary(&scene, "", FRESH, "all");
    check(
        &scene,
        &[
            (&[("A", "1")], "a1", false),
            (&[("A", "2")], "a2", false),
            (&[("A", "1")], "all", false),
            (&[("A", "2")], "all", true),
            (&[], "all", true),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_response_that_begins_to_vary_is_for_requests_like_its_own() {
    let scene = Scene::start().await;
    vary(&scene, "", STALE, "all");
    vary(&scene, "A", FRESH, "a1");
    vary(&scene, "A", FRESH, "a2");
    check(
        &scene,
        &[
            (&[], "all", false),
            (&[("A", "1")], "a1", false),
            (&[("A", "2")], "a2", false),
            (&[("A", "1")], "a1", true),
            (&[("A", "2")], "a2", true),
        ],
    )
    .await;
}

/// Answers the next request for `/a` with 304 and this `Vary`.
fn not_modified(scene: &Scene, names: &str) {
    let answer = scene.origin.on("/a").respond(304).header("Cache-Control", FRESH);
    answer.header("Vary", names).header("ETag", "\"1\"");
}

#[tokio::test]
async fn a_304_that_begins_to_vary_selects_from_then_on() {
    let scene = Scene::start().await;
    vary(&scene, "", STALE, "all");
    not_modified(&scene, "A");
    vary(&scene, "A", FRESH, "a2");
    check(
        &scene,
        &[
            (&[], "all", false),
            (&[("A", "1")], "all", false),
            (&[("A", "1")], "all", true),
            (&[("A", "2")], "a2", false),
            (&[("A", "1")], "all", true),
            (&[("A", "2")], "a2", true),
        ],
    )
    .await;
    assert_eq!(ask(&scene, &[("A", "1")]).await.field("vary"), Some("A"));
}

#[tokio::test]
async fn a_304_that_varies_by_another_field_selects_by_it() {
    let scene = Scene::start().await;
    vary(&scene, "A", STALE, "a1");
    vary(&scene, "A", FRESH, "a2");
    not_modified(&scene, "B");
    vary(&scene, "B", FRESH, "b2");
    check(
        &scene,
        &[
            (&[("A", "1")], "a1", false),
            (&[("A", "2")], "a2", false),
            (&[("A", "1"), ("B", "1")], "a1", false),
            (&[("A", "2"), ("B", "1")], "a1", true),
            (&[("A", "2")], "b2", false),
            (&[("A", "1")], "b2", true),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_304_for_another_variant_that_changes_vary_makes_it_the_first() {
    let scene = Scene::start().await;
    vary(&scene, "A", FRESH, "a1");
    vary(&scene, "A", STALE, "a2");
    not_modified(&scene, "B");
    check(
        &scene,
        &[
            (&[("A", "1")], "a1", false),
            (&[("A", "2")], "a2", false),
            (&[("A", "2"), ("B", "1")], "a2", false),
            (&[("A", "2"), ("B", "1")], "a2", true),
            (&[("A", "1"), ("B", "1")], "a2", true),
        ],
    )
    .await;
}

#[tokio::test]
async fn two_thousand_variants_take_no_more_room_than_sixty_four() {
    let scene = Scene::start().await;
    let answer = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    answer.header("Vary", "X-Random").body(vec![b'x'; 1_000]);
    let mut client = scene.edge.connect().await;
    let mut ask = async |random: usize| {
        let head = format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\nX-Random: {random}\r\n\r\n");
        client.send(head).await;
        client.response().await.unwrap()
    };
    ask(0).await;
    for random in 1..=2_000 {
        assert_eq!(ask(random).await.status, 200);
        if random % 200 == 0 {
            assert!(ask(0).await.is_hit(), "after {random}");
        }
    }
    assert!(ask(2_000).await.is_hit() && !ask(1).await.is_hit());
    let metrics = scene.edge.metrics().await;
    let number =
        |name, labels: &[&str]| metrics.sum(&format!("longshore_edge_store_{name}"), labels);
    assert_eq!(number("responses", &[]), 64.0);
    assert!(number("bytes", &[]) < 64.0 * 4_000.0, "{}", number("bytes", &[]));
    assert_eq!(number("removed_responses", &["cause=\"variants\""]), 2_001.0 - 63.0);
}
