//! Bodies reach readers while they are being filled.

use crate::scene::{FRESH, Scene};
use testkit::{Client, Live, eventually};

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

const ABANDONED: &str = "longshore_edge_store_abandoned_responses";

/// An origin that has sent a piece of `length` bytes in all, or of a body without a length, and a client that asks for
/// it.
async fn begun(config: &str, length: Option<usize>) -> (Scene, Live, Client) {
    let scene = Scene::with_config(config).await;
    let live = Live::new();
    let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    match length {
        Some(length) => script.length(length).live(&live),
        None => script.chunked().live(&live),
    };
    live.push(piece(b'1'));
    let client = scene.call("GET", "/a").open().await;
    (scene, live, client)
}

/// Waits until a metric is 1.
async fn measured(scene: &Scene, name: &str) {
    let is_one = || async { (scene.edge.metrics().await.sum(name, &[]) > 0.5).then_some(()) };
    eventually(&format!("{name} to be 1"), is_one).await;
}

#[tokio::test]
async fn a_fill_that_nobody_reads_goes_on_while_little_is_left() {
    for length in [Some(5 * PIECE), None] {
        let config = "[memory]\nabandoned_max_bytes = 270000\n";
        let (scene, live, mut client) = begun(config, length).await;
        client.head().await.unwrap();
        client.at_least(PIECE).await.unwrap();
        client.reset();
        (0..4).for_each(|_| live.push(piece(b'2')));
        live.end();
        measured(&scene, "longshore_edge_store_responses").await;
        let answer = scene.get("/a").await;
        assert_eq!((answer.is_hit(), answer.body.len()), (true, 5 * PIECE));
    }
}

#[tokio::test]
async fn a_fill_that_nobody_reads_stops_while_much_is_left() {
    for (config, length) in [
        ("[memory]\nabandoned_max_bytes = 200000\n", Some(500 * PIECE)),
        ("[memory]\nabandoned_max_bytes = 200000\n", None),
        ("[memory]\nabandoned_max_bytes = 0\n", Some(500 * PIECE)),
    ] {
        let (scene, live, mut client) = begun(config, length).await;
        client.head().await.unwrap();
        client.at_least(PIECE).await.unwrap();
        client.reset();
        // it is noticed when a piece comes that nobody reads, and the first may come before the reset does
        eventually("the fill to be given up", || async {
            live.push(piece(b'2'));
            (scene.edge.metrics().await.sum(ABANDONED, &[]) > 0.5).then_some(())
        })
        .await;
        scene.origin.now_on("/a").respond(200).header("Cache-Control", FRESH).body("again");
        assert_eq!(scene.get("/a").await.body, b"again", "{config} {length:?}");
        live.end();
    }
}

#[tokio::test]
async fn a_fill_that_others_read_goes_on_without_its_client() {
    let scene = Scene::with_config("[memory]\nabandoned_max_bytes = 0\n").await;
    let live = Live::new();
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).chunked().live(&live);
    live.push(piece(b'1'));
    let mut first = scene.call("GET", "/a").open().await;
    first.head().await.unwrap();
    let mut second = scene.call("GET", "/a").open().await;
    second.head().await.unwrap();
    first.reset();
    (0..100).for_each(|_| live.push(piece(b'2')));
    live.end();
    assert_eq!(second.rest_of_body().await.unwrap().len(), 101 * PIECE);
    assert!(scene.edge.metrics().await.sum(ABANDONED, &[]) < 0.5);
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn a_body_that_grows_too_large_reaches_slow_clients_whole() {
    // more than the buffers between origin, edge and client hold together
    const PIECES: usize = 640;
    let scene = Scene::with_config("[memory]\nresponse_max_bytes = 1000000\n").await;
    let live = Live::new();
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).chunked().live(&live);
    live.push(piece(b'1'));
    let mut own = scene.call("GET", "/a").open().await;
    own.head().await.unwrap();
    let mut joined = scene.call("GET", "/a").open().await;
    joined.head().await.unwrap();
    (1..PIECES).for_each(|_| live.push(piece(b'2')));
    live.end();
    // each waits for the other by more than a window
    let taken = joined.at_least(10 * PIECE).await.unwrap().len();
    let (own, joined) = tokio::join!(own.rest_of_body(), joined.rest_of_body());
    assert_eq!(own.unwrap().len(), PIECES * PIECE);
    assert_eq!(joined.unwrap().len(), PIECES * PIECE - taken);
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn a_client_that_takes_nothing_ends_what_only_passes() {
    let scene = Scene::with_config(
        "[http]\nstall_timeout_seconds = 1\n[memory]\nresponse_max_bytes = 1000000\n",
    )
    .await;
    let live = Live::new();
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).chunked().live(&live);
    let mut client = scene.call("GET", "/a").open().await;
    let endless = bytes::Bytes::from(piece(b'1'));
    (0..20_000).for_each(|_| live.push(endless.clone()));
    client.head().await.unwrap();
    measured(&scene, ABANDONED).await;
    let process = scene.edge.program.id().unwrap();
    let resident = crate::scale::resident_bytes(process);
    assert!(resident < 200 << 20, "{resident} bytes");
    client.rest_of_body().await.unwrap_err();
}
