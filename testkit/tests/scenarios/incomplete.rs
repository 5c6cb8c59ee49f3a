//! Nothing truncated is ever stored, or served as complete (RFC 9111 §3.3, RFC 9112 §8).

use crate::scene::{FRESH, Scene};
use testkit::{Barrier, Broken, Response};

const WHOLE: &str = "0123456789";

fn check_seen_as_broken(answer: &Result<Response, Broken>) {
    match answer {
        Err(Broken::Truncated { .. } | Broken::Reset) => {}
        Ok(answer) if answer.status == 502 => {}
        other => panic!("an incomplete response was passed on as complete: {other:?}"),
    }
}

/// The origin breaks off for the first client and answers the second.
async fn check_fetched_again(scene: &Scene) {
    let whole = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    whole.header("ETag", "\"v1\"").body(WHOLE);
    check_seen_as_broken(&scene.call("GET", "/a").try_send().await);
    let asked = scene.origin.count("/a");
    let answer = scene.get("/a").await;
    assert_eq!((answer.status, answer.text()), (200, WHOLE));
    assert!(!answer.is_hit(), "{}", answer.head);
    assert_eq!(scene.origin.count("/a"), asked + 1);
    assert!(scene.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_truncated_content_length_is_an_error_and_not_stored() {
    let scene = Scene::start().await;
    let cut = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    cut.header("ETag", "\"v1\"").length(10).body("01234").close();
    check_fetched_again(&scene).await;
}

#[tokio::test]
async fn a_truncated_chunked_body_is_an_error_and_not_stored() {
    let scene = Scene::start().await;
    let cut = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    cut.chunked().body("01234").close();
    check_fetched_again(&scene).await;
}

#[tokio::test]
async fn a_body_cut_inside_a_chunk_is_an_error_and_not_stored() {
    let scene = Scene::start().await;
    let head =
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nTransfer-Encoding: chunked\r\n\r\n";
    scene.origin.on("/a").raw(format!("{head}5\r\n01234\r\n5\r\n567")).close();
    check_fetched_again(&scene).await;
}

#[tokio::test]
async fn a_reset_is_an_error_and_nothing_is_stored() {
    let scene = Scene::start().await;
    let cut = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    cut.length(10).body("01234").reset();
    check_fetched_again(&scene).await;
}

#[tokio::test]
async fn everyone_who_reads_along_sees_a_reset() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    let cut = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    cut.length(100_000).body(vec![b'x'; 50_000]).wait(&barrier).reset();
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body(WHOLE);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = scene.call("GET", "/a").open().await;
        client.head().await.unwrap();
        client.at_least(50_000).await.unwrap();
        clients.push(client);
    }
    barrier.release();
    for client in &mut clients {
        let rest = client.rest_of_body().await;
        assert!(matches!(rest, Err(Broken::Truncated { .. } | Broken::Reset)), "{rest:?}");
    }
    assert_eq!(scene.origin.count("/a"), 1);
    assert_eq!(scene.get("/a").await.text(), WHOLE);
}

#[tokio::test]
async fn an_incomplete_answer_to_a_validation_leaves_nothing_wrong() {
    let scene = Scene::start().await;
    let stale = scene.origin.on("/a").respond(200).header("Cache-Control", "max-age=0");
    stale.header("ETag", "\"v0\"").body("before");
    let cut = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    cut.header("ETag", "\"v1\"").length(10).body("01234").close();
    assert_eq!(scene.get("/a").await.text(), "before");
    check_fetched_again(&scene).await;
}

#[tokio::test]
async fn more_bytes_than_declared_never_reach_the_next_client() {
    let scene = Scene::start().await;
    let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 2\r\n\r\n";
    scene.origin.on("/a").raw(format!("{head}abHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"));
    scene.origin.on("/b").respond(200).body("good");
    assert_eq!(scene.get("/a").await.text(), "ab");
    let next = scene.call("GET", "/b").try_send().await;
    assert!(next.is_err() || next.is_ok_and(|next| next.status >= 500 || next.text() == "good"));
    assert_eq!(scene.get("/a").await.text(), "ab");
}
