//! How the programs start and end.

use crate::scene::{HOST, Scene};
use testkit::{Barrier, Call, Control, Edge, EdgeOptions};

#[tokio::test]
async fn an_edge_without_a_configuration_is_alive_and_not_ready() {
    let edge = Edge::start(EdgeOptions::new()).await;
    for (path, status) in [("/healthz", 200), ("/readyz", 503)] {
        let answer = Call::new(edge.admin(), "GET", "admin", path).send().await;
        assert_eq!(answer.status, status, "{path}");
    }
    assert_eq!(edge.get(HOST, "/").await.status, 421);
}

#[tokio::test]
async fn a_taken_port_is_said_and_ends_the_program() {
    let first = Edge::start(EdgeOptions::new()).await;
    let second = Edge::try_start(EdgeOptions::new().http_listen(first.http())).await;
    let failed = second.expect_err("the port is taken");
    assert!(matches!(failed.code, Some(1 | 2)), "{failed}");
    assert!(failed.log.contains(&first.http().port().to_string()), "{failed}");
    let failed = Control::try_at(first.http()).await.expect_err("the port is taken");
    assert!(matches!(failed.code, Some(1 | 2)), "{failed}");
    assert!(failed.log.contains(&first.http().port().to_string()), "{failed}");
}

#[tokio::test]
async fn a_wrong_configuration_is_a_usage_error_that_names_the_key() {
    let options = EdgeOptions::new().config("colour = \"red\"\n");
    let failed = Edge::try_start(options).await.expect_err("an unknown key");
    assert_eq!(failed.code, Some(2), "{failed}");
    assert!(failed.log.contains("colour"), "{failed}");
}

#[tokio::test]
async fn a_response_in_flight_is_finished_before_the_end() {
    let mut scene = Scene::start().await;
    let barrier = Barrier::new();
    scene.origin.on("/a").respond(200).chunked().body("one").wait(&barrier).body("two");
    let mut client = scene.call("GET", "/a").open().await;
    client.head().await.unwrap();
    client.at_least(3).await.unwrap();
    scene.edge.program.terminate();
    barrier.release();
    assert_eq!(client.rest_of_body().await.unwrap(), b"two");
    assert_eq!(scene.edge.program.exit_code().await, Some(0));
}

#[tokio::test]
async fn control_ends_cleanly_with_an_edge_on_its_feed() {
    let mut control = Control::start().await;
    let mut edge = control.edge().await;
    assert_eq!(control.program.stop().await, Some(0));
    assert_eq!(edge.program.stop().await, Some(0));
}
