//! What the store says it holds is what the process grows by.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scale::resident_bytes as resident;
use crate::scene::{FRESH, HOST, Scene};

const RESPONSES: usize = 6_000;
/// What a process grows by beside the store: pools, buffers, pages not yet given back.
const SLACK_BYTES: f64 = 6_000_000.0;

#[tokio::test]
async fn small_responses_are_weighed_with_all_they_hold() {
    let scene = Scene::start().await;
    scene
        .origin
        .on("/a")
        .respond(200)
        .header("Cache-Control", FRESH)
        .header("ETag", "\"1\"")
        .body("small");
    let mut client = scene.edge.connect().await;
    client.get(HOST, "/a?first").await;
    let before = resident_bytes(&scene);
    for number in 0..RESPONSES {
        client.get(HOST, &format!("/a?{number}")).await;
    }
    let stored = scene.edge.metrics().await.sum("longshore_edge_store_bytes", &[]);
    let grown = resident_bytes(&scene) - before;
    println!("{RESPONSES} responses: {stored} bytes by the store, {grown} bytes by the system");
    assert!(
        grown <= stored + SLACK_BYTES,
        "the store tells of {stored} bytes, the process grew by {grown}"
    );
}

fn resident_bytes(scene: &Scene) -> f64 {
    let process = scene.edge.program.id().expect("it runs");
    f64::from(u32::try_from(resident(process) / 1_024).expect("not so many")) * 1_024.0
}
