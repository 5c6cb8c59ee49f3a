//! What a client may do: whom a connection is of, how many there may be, and how slow.

use crate::scene::{FRESH, HOST, Scene};
use std::time::{Duration, Instant};
use testkit::eventually;

const GET: &str = "GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n";

async fn scene(config: &str) -> Scene {
    let scene = Scene::with_config(&format!("[clients]\n{config}")).await;
    scene.origin.on("/*").respond(200).header("Cache-Control", FRESH).body("x");
    scene
}

async fn refused(scene: &Scene, reason: &str) -> f64 {
    let label = format!("reason=\"{reason}\"");
    scene.edge.metrics().await.sum("longshore_edge_refused_total", &[&label])
}

async fn too_slow(scene: &Scene) -> f64 {
    scene.edge.metrics().await.sum("longshore_edge_too_slow_total", &[])
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap_or_default().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x20 | command, family][..], &length, rest].concat()
}

#[tokio::test]
async fn a_trusted_proxy_says_whom_it_speaks_for() {
    let scene = scene("proxy_protocol_from = [\"127.0.0.0/8\"]\n").await;
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0, 80, 0, 81]].concat();
    let with_more = [&[192, 0, 2, 9, 192, 0, 2, 2, 0, 9, 0, 9][..], &[4, 0, 2, 1, 2]].concat();
    let heads = [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec(), "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(), "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (binary(1, 0x11, &with_more), "192.0.2.9"),
        (binary(1, 0x21, &v6), "2001:db8::7"),
        (binary(0, 0, &[]), "127.0.0.1"),
    ];
    for (number, (head, client_address)) in heads.into_iter().enumerate() {
        let path = format!("/{number}");
        let mut client = scene.edge.connect().await;
        client.send([&head[..], GET.replace("/a", &path).as_bytes()].concat()).await;
        assert_eq!(client.response().await.unwrap().text(), "x", "{client_address}");
        let asked = scene.origin.arrived(&path, 1).await;
        assert_eq!(asked.field("x-forwarded-for"), Some(client_address));
        let lines = scene.edge.access_log_lines(number + 1).await;
        assert_eq!(lines[number]["client"], client_address);
    }
}

#[tokio::test]
async fn a_trusted_proxy_has_to_say_it() {
    let scene =
        scene("proxy_protocol_from = [\"127.0.0.0/8\"]\n[http]\nhead_timeout_seconds = 1\n").await;
    for bytes in [GET, "PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", "PROXY TCP4 1.1.1", ""] {
        let mut client = scene.edge.connect().await;
        client.send(bytes).await;
        let answer = client.until_closed().await;
        assert!(answer.is_err() || answer.is_ok_and(|bytes| bytes.is_empty()), "{bytes:?}");
    }
    assert_eq!(refused(&scene, "proxy_protocol").await, 4.0);
    assert_eq!(scene.origin.requests(), []);
}

#[tokio::test]
async fn nobody_else_may_say_it() {
    let scene = scene("proxy_protocol_from = [\"192.0.2.0/24\"]\n").await;
    let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec();
    for head in [line, binary(1, 0x11, &[192, 0, 2, 9, 192, 0, 2, 2, 0, 9, 0, 9])] {
        let mut client = scene.edge.connect().await;
        client.send([&head[..], GET.as_bytes()].concat()).await;
        assert_eq!(client.response().await.unwrap().status, 400);
    }
    assert_eq!(scene.origin.requests(), []);
}

#[tokio::test]
async fn an_address_has_so_many_connections() {
    let scene = scene(
        "unlimited = []\nconnections_per_address_max = 3\nproxy_protocol_from = [\"127.0.0.0/8\"]\n",
    )
    .await;
    let connect = async |from: &str| {
        let mut client = scene.edge.connect().await;
        client.try_send(format!("PROXY TCP4 {from} 192.0.2.2 1 2\r\n{GET}")).await?;
        client.response().await.map(|_| client)
    };
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(connect("192.0.2.1").await.unwrap());
    }
    assert!(connect("192.0.2.1").await.is_err());
    assert!(connect("192.0.2.2").await.is_ok());
    assert_eq!(refused(&scene, "connections").await, 1.0);
    open.pop();
    eventually("a place", || async { connect("192.0.2.1").await.ok() }).await;
}

#[tokio::test]
async fn an_address_has_so_many_requests_a_second() {
    let scene = scene("unlimited = []\nrequests_per_second_max = 2\n").await;
    let mut client = scene.edge.connect().await;
    let posted = format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1\r\n\r\na");
    client.send([&GET.repeat(5), posted.as_str(), GET].concat()).await;
    let mut statuses = Vec::new();
    while let Ok(answer) = client.response().await {
        statuses.push(answer.status);
        if answer.status == 429 {
            assert_eq!(answer.field("retry-after"), Some("1"), "{}", answer.head);
        }
    }
    // the last that is put off has a body, which nobody reads
    assert_eq!(statuses, [200, 200, 429, 429, 429, 429]);
    eventually("another", || async {
        let answer = scene.get("/a").await;
        (answer.status == 200).then_some(())
    })
    .await;
    let lines = scene.edge.access_log_lines(6).await;
    assert_eq!((&lines[2]["status"], &lines[2]["error"]), (&429.into(), &"requests".into()));
    // an answer to HEAD that has a body is the last of its connection
    let mut client = scene.edge.connect().await;
    client.send(GET.replace("GET ", "HEAD ").repeat(9)).await;
    let told = String::from_utf8_lossy(&client.until_closed().await.unwrap()).into_owned();
    assert_eq!(told.matches("HTTP/1.1 429").count(), 1, "{told}");
}

#[tokio::test]
async fn a_connection_has_so_many_requests() {
    let scene = scene("requests_per_connection_max = 2\n").await;
    scene.get("/a").await;
    let mut client = scene.edge.connect().await;
    client.send(GET.repeat(3)).await;
    let first = client.response().await.unwrap();
    assert_ne!(first.field("connection"), Some("close"));
    let last = client.response().await.unwrap();
    assert_eq!(last.field("connection"), Some("close"), "{}", last.head);
    assert!(client.response().await.is_err());
}

#[tokio::test]
async fn a_body_that_trickles_in_is_broken_off() {
    let scene = scene("rate_min_bytes_per_second = 1000\nrate_grace_seconds = 1\n").await;
    let began = Instant::now();
    let mut client = scene.edge.connect().await;
    client
        .send(format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\n"))
        .await;
    while client.try_send("a").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(began.elapsed() < Duration::from_secs(20), "it trickles on");
    }
    assert_eq!(too_slow(&scene).await, 1.0);
}

#[tokio::test]
async fn a_response_that_is_taken_in_drops_is_broken_off() {
    let config = "rate_min_bytes_per_second = 1000000\nrate_grace_seconds = 1\n";
    let scene = scene(config).await;
    let body = "x".repeat(30_000_000);
    for (path, cache_control) in [("/stored", FRESH), ("/passed", "no-store")] {
        let script = scene.origin.on(path).respond(200).header("Cache-Control", cache_control);
        script.body(body.clone());
    }
    scene.get("/stored").await;
    for (path, count) in [("/stored", 1.0), ("/passed", 2.0)] {
        let mut client = scene.call("GET", path).open().await;
        let began = Instant::now();
        client.head().await.unwrap();
        while too_slow(&scene).await < count {
            client.piece().await.ok();
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(began.elapsed() < Duration::from_secs(20), "{path} goes on");
        }
    }
    // others are served as ever
    assert_eq!(scene.get("/stored").await.body.len(), body.len());
}
