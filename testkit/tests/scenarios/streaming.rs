//! Bodies reach readers while they are being filled.

use crate::scene::{FRESH, Scene};
use testkit::Live;

const PIECE: usize = 65_536;

fn piece(letter: u8) -> Vec<u8> {
    vec![letter; PIECE]
}

async fn filling() -> (Scene, Live) {
    let scene = Scene::start().await;
    let live = Live::new();
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).chunked().live(&live);
    scene.origin.on("/a").respond(500).body("asked again");
    (scene, live)
}

#[tokio::test]
async fn a_second_client_reads_along_before_the_origin_has_finished() {
    let (scene, live) = filling().await;
    live.push(piece(b'1'));
    let mut first = scene.call("GET", "/a").open().await;
    first.head().await.unwrap();
    assert_eq!(first.at_least(PIECE).await.unwrap(), piece(b'1'));
    let mut second = scene.call("GET", "/a").open().await;
    assert_eq!(second.head().await.unwrap().status, 200);
    assert_eq!(second.at_least(PIECE).await.unwrap(), piece(b'1'));
    live.push(piece(b'2'));
    assert_eq!(first.at_least(PIECE).await.unwrap(), piece(b'2'));
    assert_eq!(second.at_least(PIECE).await.unwrap(), piece(b'2'));
    live.end();
    for client in [&mut first, &mut second] {
        assert_eq!(client.rest_of_body().await.unwrap(), b"");
    }
    assert_eq!(scene.origin.count("/a"), 1);
    assert_eq!(scene.get("/a").await.body.len(), 2 * PIECE);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_a_fill() {
    let (scene, live) = filling().await;
    live.push(piece(b'1'));
    let mut first = scene.call("GET", "/a").open().await;
    first.head().await.unwrap();
    first.at_least(1).await.unwrap();
    first.reset();
    // enough that the edge has to notice that nobody reads
    for _ in 0..64 {
        live.push(piece(b'2'));
    }
    let mut second = scene.call("GET", "/a").open().await;
    live.end();
    let answer = second.response().await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 65 * PIECE));
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_hold_up_others() {
    let (scene, live) = filling().await;
    live.push(piece(b'1'));
    let mut slow = scene.call("GET", "/a").open().await;
    slow.head().await.unwrap();
    for _ in 0..255 {
        live.push(piece(b'2'));
    }
    live.end();
    let answer = scene.get("/a").await;
    assert_eq!(answer.body.len(), 256 * PIECE);
    assert_eq!(slow.rest_of_body().await.unwrap(), answer.body);
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn uncacheable_bodies_are_streamed_too() {
    let scene = Scene::start().await;
    let live = Live::new();
    scene.origin.on("/a").respond(200).header("Cache-Control", "no-store").chunked().live(&live);
    live.push("event 1\n");
    let mut client = scene.call("GET", "/a").open().await;
    client.head().await.unwrap();
    assert_eq!(client.at_least(8).await.unwrap(), b"event 1\n");
    live.push("event 2\n");
    assert_eq!(client.at_least(8).await.unwrap(), b"event 2\n");
    live.end();
    assert_eq!(client.piece().await.unwrap(), None);
}
