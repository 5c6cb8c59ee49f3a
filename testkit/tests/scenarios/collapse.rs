//! Who waits for whose fetch, and that nobody waits in vain for long (RFC 9111 §4).
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scene::{FRESH, Scene};
use testkit::{Barrier, Client, Response, eventually};

const CLIENTS: usize = 50;

/// Clients that have all asked for `/a`, with these field lines.
async fn ask(scene: &Scene, count: usize, fields: &[(&str, &str)]) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let call = scene.call("GET", "/a");
        let call = fields.iter().fold(call, |call, (name, value)| call.header(name, value));
        clients.push(call.open().await);
    }
    clients
}

async fn answers(clients: &mut [Client]) -> Vec<Response> {
    let mut answers = Vec::new();
    for client in clients {
        answers.push(client.response().await.expect("every client is answered"));
    }
    answers
}

/// Answers the next request for `/a` when `barrier` is released.
fn answer(scene: &Scene, barrier: &Barrier, status: u16, fields: &[(&str, &str)]) {
    let answer = scene.origin.on("/a").wait(barrier).respond(status);
    fields.iter().fold(answer, |answer, (name, value)| answer.header(name, value)).body("x");
}

/// Has as many clients as `CLIENTS` ask, of which one is answered by `fields`, and sees that all others are at the
/// origin then, before any of them is answered.
async fn told_by_the_head(scene: &Scene, fields: &[(&str, &str)]) {
    let (first, rest) = (Barrier::new(), Barrier::new());
    answer(scene, &first, 200, fields);
    answer(scene, &rest, 200, fields);
    let mut clients = ask(scene, CLIENTS, &[]).await;
    scene.origin.arrived("/a", 1).await;
    first.release();
    scene.origin.arrived("/a", CLIENTS).await;
    rest.release();
    answers(&mut clients).await;
}

async fn uncollapsed(scene: &Scene) -> f64 {
    scene.edge.metrics().await.sum("longshore_edge_uncollapsed_requests_total", &[])
}

#[tokio::test]
async fn an_uncacheable_head_lets_all_go_and_is_remembered() {
    let scene = Scene::start().await;
    told_by_the_head(&scene, &[("Cache-Control", "no-store")]).await;
    let before = uncollapsed(&scene).await;
    // now nobody waits for anybody: nothing is answered before all have asked
    let barrier = Barrier::new();
    scene.origin.now_on("/a").wait(&barrier).respond(200).header("Cache-Control", "no-store");
    let mut clients = ask(&scene, CLIENTS, &[]).await;
    scene.origin.arrived("/a", 2 * CLIENTS).await;
    barrier.release();
    for answer in answers(&mut clients).await {
        assert_eq!(answer.cache_status_but_key(), "longshore; fwd=uri-miss; detail=no-store");
    }
    assert_eq!(uncollapsed(&scene).await - before, 50.0);
}

#[tokio::test]
async fn a_response_that_is_stored_ends_the_memory() {
    let scene = Scene::start().await;
    let open = Barrier::new();
    open.release();
    answer(&scene, &open, 200, &[("Cache-Control", "private")]);
    answer(&scene, &open, 200, &[("Cache-Control", FRESH), ("Vary", "Accept-Language")]);
    let barrier = Barrier::new();
    answer(&scene, &barrier, 200, &[("Cache-Control", FRESH), ("Vary", "Accept-Language")]);
    scene.get("/a").await;
    let stored = scene.get("/a").await;
    assert!(stored.cache_status_but_key().contains("fwd=uri-miss; stored"), "{}", stored.head);
    assert!(scene.get("/a").await.is_hit());
    // another variant is fetched once
    let mut clients = ask(&scene, CLIENTS, &[("Accept-Language", "de")]).await;
    scene.origin.arrived("/a", 3).await;
    barrier.release();
    answers(&mut clients).await;
    assert_eq!(scene.origin.count("/a"), 3);
}

#[tokio::test]
async fn what_is_stored_is_used_whatever_is_remembered() {
    let scene = Scene::start().await;
    let answer = |fields: &[(&str, &str)], body: &'static str| {
        let answer = scene.origin.on("/a").respond(200).header("Vary", "A");
        fields.iter().fold(answer, |answer, (name, value)| answer.header(name, value)).body(body);
    };
    answer(&[("Cache-Control", FRESH)], "one");
    answer(&[("Cache-Control", "no-store")], "two");
    for (value, expected) in [("1", false), ("2", false), ("1", true), ("2", false), ("1", true)] {
        let answer = scene.call("GET", "/a").header("A", value).send().await;
        assert_eq!(answer.is_hit(), expected, "{value}: {}", answer.head);
    }
    let only = scene.call("GET", "/a").header("A", "1").header("Cache-Control", "only-if-cached");
    assert!(only.send().await.is_hit());
}

#[tokio::test]
async fn nobody_waits_for_an_uncacheable_variant_of_what_is_stored() {
    let scene = Scene::start().await;
    let (open, barrier) = (Barrier::new(), Barrier::new());
    open.release();
    answer(&scene, &open, 200, &[("Cache-Control", FRESH), ("Vary", "A")]);
    answer(&scene, &open, 200, &[("Cache-Control", "no-store"), ("Vary", "A")]);
    answer(&scene, &barrier, 200, &[("Cache-Control", "no-store"), ("Vary", "A")]);
    scene.get("/a").await;
    answers(&mut ask(&scene, 1, &[("A", "2")]).await).await;
    let mut clients = ask(&scene, CLIENTS, &[("A", "2")]).await;
    scene.origin.arrived("/a", 2 + CLIENTS).await;
    assert!(scene.get("/a").await.is_hit());
    barrier.release();
    for answer in answers(&mut clients).await {
        assert_eq!(answer.cache_status_but_key(), "longshore; fwd=vary-miss; detail=no-store");
    }
}

#[tokio::test]
async fn what_one_request_or_a_failure_has_caused_is_not_remembered() {
    let check = async |status, response: &[(&str, &str)], request: &[(&str, &str)]| {
        let scene = Scene::start().await;
        let open = Barrier::new();
        open.release();
        answer(&scene, &open, status, response);
        let barrier = Barrier::new();
        answer(&scene, &barrier, 200, &[("Cache-Control", FRESH)]);
        answers(&mut ask(&scene, 1, request).await).await;
        let mut clients = ask(&scene, CLIENTS, &[]).await;
        scene.origin.arrived("/a", 2).await;
        barrier.release();
        answers(&mut clients).await;
        assert_eq!(scene.origin.count("/a"), 2, "{status} {response:?} {request:?}");
        assert_eq!(uncollapsed(&scene).await, 0.0);
    };
    let fresh = [("Cache-Control", FRESH)];
    check(200, &fresh, &[("Cache-Control", "no-store")]).await;
    check(200, &fresh, &[("Authorization", "Basic eA==")]).await;
    check(503, &[("Cache-Control", "no-store")], &[]).await;
    check(429, &[("Cache-Control", "no-store")], &[]).await;
    check(401, &[("Cache-Control", "no-store")], &[]).await;
}

#[tokio::test]
async fn an_authorized_fetch_leaves_the_others_one_fetch() {
    let scene = Scene::start().await;
    let (first, rest) = (Barrier::new(), Barrier::new());
    answer(&scene, &first, 200, &[("Cache-Control", FRESH)]);
    answer(&scene, &rest, 200, &[("Cache-Control", FRESH)]);
    let authorization = [("Authorization", "Basic eA==")];
    let mut clients = ask(&scene, 1, &authorization).await;
    scene.origin.arrived("/a", 1).await;
    clients.extend(ask(&scene, 20, &[]).await);
    clients.extend(ask(&scene, 20, &authorization).await);
    first.release();
    // the authorized ones each, and of the others one
    scene.origin.arrived("/a", 1 + 20 + 1).await;
    rest.release();
    answers(&mut clients).await;
    assert_eq!(scene.origin.count("/a"), 22);
}

#[tokio::test]
async fn what_is_forwarded_by_memory_goes_as_the_client_asked() {
    let scene = Scene::start().await;
    let private = ("Cache-Control", "private");
    let open = Barrier::new();
    open.release();
    answer(&scene, &open, 200, &[private, ("ETag", "\"1\"")]);
    scene.origin.on("/a").respond(304).header(private.0, private.1).header("ETag", "\"1\"");
    scene.get("/a").await;
    let answer = scene.call("GET", "/a").header("If-None-Match", "\"1\"").send().await;
    assert_eq!(answer.status, 304);
    assert_eq!(answer.cache_status_but_key(), "longshore; fwd=uri-miss; detail=private");
    assert_eq!(scene.origin.arrived("/a", 2).await.field("if-none-match"), Some("\"1\""));
}

#[tokio::test]
async fn a_304_that_forbids_storing_ends_the_use_of_what_it_validates() {
    let scene = Scene::start().await;
    let stored = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    stored.header("ETag", "\"1\"").body("x");
    scene.origin.on("/a").respond(304).header("Cache-Control", "no-store").header("ETag", "\"1\"");
    scene.origin.on("/a").respond(200).header("Cache-Control", "no-store").body("y");
    scene.get("/a").await;
    let validated = scene.call("GET", "/a").header("Cache-Control", "no-cache").send().await;
    assert_eq!((validated.status, validated.text()), (200, "x"));
    assert_eq!(scene.get("/a").await.text(), "y");
}

/// One client whose fetch is under way, and others that wait for it.
async fn waiting(scene: &Scene) -> (Client, Vec<Client>) {
    let fetcher = scene.call("GET", "/a").open().await;
    scene.origin.arrived("/a", 1).await;
    (fetcher, ask(scene, 5, &[]).await)
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_leaves_its_fetch_to_the_others() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    answer(&scene, &barrier, 200, &[("Cache-Control", FRESH)]);
    let (fetcher, mut clients) = waiting(&scene).await;
    fetcher.reset();
    barrier.release();
    for answer in answers(&mut clients).await {
        assert_eq!(answer.text(), "x");
    }
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn a_client_that_leaves_before_an_uncacheable_head_lets_the_others_go() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    answer(&scene, &barrier, 200, &[("Cache-Control", "no-store")]);
    let (fetcher, mut clients) = waiting(&scene).await;
    fetcher.reset();
    barrier.release();
    answers(&mut clients).await;
    assert_eq!(scene.origin.count("/a"), 6);
}

#[tokio::test]
async fn a_fetcher_that_breaks_is_followed_at_once() {
    let head = "HTTP/1.1 200 OK\r\nCache-Con";
    for broken in ["", head] {
        let scene = Scene::start().await;
        let barrier = Barrier::new();
        let cut = scene.origin.on("/a").wait(&barrier);
        if broken.is_empty() {
            cut.reset()
        } else {
            cut.raw(broken).reset()
        };
        scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
        let (mut fetcher, mut clients) = waiting(&scene).await;
        barrier.release();
        assert_eq!(fetcher.response().await.unwrap().status, 502, "{broken}");
        for answer in answers(&mut clients).await {
            assert_eq!(answer.text(), "x", "{broken}");
        }
        assert_eq!(scene.origin.count("/a"), 2, "{broken}");
    }
}

#[tokio::test]
async fn a_fetcher_that_leaves_and_breaks_is_followed_at_once() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    scene.origin.on("/a").wait(&barrier).reset();
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    let (fetcher, mut clients) = waiting(&scene).await;
    fetcher.reset();
    barrier.release();
    for answer in answers(&mut clients).await {
        assert_eq!(answer.text(), "x");
    }
    assert_eq!(scene.origin.count("/a"), 2);
}

#[tokio::test]
async fn one_who_wants_only_what_is_stored_keeps_nobody_waiting() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    let only = scene.call("GET", "/a").header("Cache-Control", "only-if-cached").send().await;
    assert_eq!(only.status, 504);
    assert_eq!(scene.get("/a").await.text(), "x");
}

#[tokio::test]
async fn one_who_wants_only_what_is_stored_gets_stale_that_is_renewed_behind() {
    let scene = Scene::start().await;
    let stale = "max-age=0, stale-while-revalidate=60";
    scene.origin.on("/a").respond(200).header("Cache-Control", stale).body("old");
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("new");
    scene.get("/a").await;
    let only =
        async || scene.call("GET", "/a").header("Cache-Control", "only-if-cached").send().await;
    assert_eq!(only().await.text(), "old");
    scene.origin.arrived("/a", 2).await;
    eventually("the new response", || async {
        Some(only().await).filter(|answer| answer.text() == "new")
    })
    .await;
}

#[tokio::test]
async fn stale_that_one_request_accepts_stays_stale_for_others() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=0").header("ETag", "\"1\"");
    scene.origin.on("/a").respond(304).header("Cache-Control", "max-age=0").header("ETag", "\"1\"");
    scene.get("/a").await;
    let accepting = scene.call("GET", "/a").header("Cache-Control", "max-stale=100").send().await;
    assert!(accepting.is_hit(), "{}", accepting.head);
    assert!(scene.get("/a").await.cache_status_but_key().contains("fwd=stale"));
    assert_eq!(scene.origin.count("/a"), 2);
}

#[tokio::test]
async fn stale_is_renewed_by_one_fetch_whatever_is_remembered() {
    let scene = Scene::start().await;
    let stale = "max-age=0, stale-while-revalidate=600";
    let open = Barrier::new();
    open.release();
    answer(&scene, &open, 200, &[("Cache-Control", stale), ("Vary", "A")]);
    answer(&scene, &open, 200, &[("Cache-Control", "private")]);
    let barrier = Barrier::new();
    answer(&scene, &barrier, 200, &[("Cache-Control", FRESH), ("Vary", "A")]);
    scene.get("/a").await;
    answers(&mut ask(&scene, 1, &[("A", "1")]).await).await;
    for answer in answers(&mut ask(&scene, CLIENTS, &[]).await).await {
        assert!(answer.is_hit(), "{}", answer.head);
    }
    scene.origin.arrived("/a", 3).await;
    barrier.release();
    assert_eq!(scene.origin.count("/a"), 3);
}

#[tokio::test]
async fn one_validation_is_for_all_that_waited_for_it() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", "no-cache");
    script.header("ETag", "\"1\"").body("x");
    let barrier = Barrier::new();
    let script = scene.origin.on("/a").wait(&barrier).respond(304);
    script.header("ETag", "\"1\"").header("Cache-Control", "no-cache");
    scene.get("/a").await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(scene.call("GET", "/a").open().await);
    }
    scene.origin.arrived("/a", 2).await;
    let open = eventually("all to wait", || async {
        let metrics = scene.edge.metrics().await;
        (metrics.sum("longshore_edge_requests_open", &[]) >= 20.0).then_some(())
    });
    open.await;
    barrier.release();
    for client in &mut clients {
        assert_eq!(client.response().await.unwrap().text(), "x");
    }
    // one that had not begun to wait may ask again
    assert!(scene.origin.count("/a") <= 4, "{}", scene.origin.count("/a"));
    scene.get("/a").await;
    assert!(scene.origin.count("/a") >= 3, "it is validated before the next use");
}
