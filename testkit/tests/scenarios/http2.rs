//! HTTP/2: what is served over it, how it is stored, and how streams and connections end.

use crate::scene::{FRESH, HOST, site};
use serde_json::{Value, json};
use testkit::{Authority, Barrier, Edge, EdgeOptions, Feed, Http2, Live, Origin, Response, Tls};

const MIB: usize = 1 << 20;

/// An edge that speaks HTTP/2 with and without TLS.
struct World {
    origin: Origin,
    edge: Edge,
    tls: Tls,
    _feed: Feed,
    _authority: Authority,
}

impl World {
    async fn start() -> Self {
        Self::with("", json!({})).await
    }

    /// With lines for `[http]`, and members of the site.
    async fn with(config: &str, members: Value) -> Self {
        let (origin, feed, authority) =
            (Origin::start().await, Feed::start().await, Authority::new());
        let config = format!("[http2]\ncleartext = true\n{config}");
        let options = EdgeOptions::new().control(&feed.url(), "ls_test").https().config(&config);
        let edge = Edge::start(options).await;
        feed.put_certificate(1, &authority.issue(&[HOST]));
        feed.adopted(feed.put_site(1, site("a", HOST, &origin.url(), members))).await;
        let tls = Tls::trusting(&authority);
        Self { origin, edge, tls, _feed: feed, _authority: authority }
    }

    async fn secure(&self) -> Http2 {
        Http2::connect_secure(self.edge.https(), HOST, &self.tls).await
    }

    async fn plain(&self) -> Http2 {
        Http2::connect(self.edge.http()).await
    }
}

/// Bytes that tell where they stand.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at / 7 + at / MIB) % 251).unwrap_or_default()).collect()
}

fn is_right(answer: &Response, status: u16, body: &[u8]) {
    assert_eq!((answer.status, answer.body.as_slice()), (status, body), "{answer:?}");
    for name in ["connection", "transfer-encoding", "keep-alive", "upgrade"] {
        assert!(!answer.fields.has(name), "{name}");
    }
    assert_eq!(answer.fields.all("date").len(), 1);
}

#[tokio::test]
async fn what_is_stored_answers_every_protocol() {
    let world = World::start().await;
    let body = content(100_000);
    world
        .origin
        .on("/a")
        .respond(200)
        .header("Cache-Control", FRESH)
        .header("ETag", "\"v\"")
        .body(body.clone());
    let mut client = world.secure().await;
    let miss = client.get(HOST, "/a").await;
    is_right(&miss, 200, &body);
    assert!(miss.cache_status().contains("fwd=uri-miss; stored"), "{}", miss.cache_status());
    let hit = client.get(HOST, "/a").await;
    is_right(&hit, 200, &body);
    assert!(hit.is_hit() && hit.field("age").is_some());
    let other = world
        .edge
        .connect_secure(HOST, &world.tls.offering(&["http/1.1"]))
        .await
        .get(HOST, "/a")
        .await;
    assert!(other.is_hit() && other.body == body);

    let head = client.call("HEAD", HOST, "/a", &[]).await.unwrap();
    is_right(&head, 200, b"");
    assert_eq!(head.field("content-length"), Some("100000"));
    let fields = [("range", "bytes=7-1006")];
    is_right(&client.call("GET", HOST, "/a", &fields).await.unwrap(), 206, &body[7..1007]);
    let fields = [("if-none-match", "\"v\"")];
    is_right(&client.call("GET", HOST, "/a", &fields).await.unwrap(), 304, b"");
    assert_eq!(world.origin.count("/a"), 1);

    let log = world.edge.access_log_lines(6).await;
    for (line, protocol) in
        log.iter().zip(["HTTP/2", "HTTP/2", "HTTP/1.1", "HTTP/2", "HTTP/2", "HTTP/2"])
    {
        assert_eq!(
            (line["protocol"].as_str(), line["scheme"].as_str()),
            (Some(protocol), Some("https"))
        );
    }
    let asked = world.origin.requests().remove(0);
    assert_eq!((asked.target.as_str(), asked.fields.all("host")), ("/a", vec![HOST]));
    assert_eq!(asked.field("x-forwarded-proto"), Some("https"));
}

#[tokio::test]
async fn it_is_served_without_tls_where_that_is_wanted() {
    let world = World::start().await;
    world.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    is_right(&world.plain().await.get(HOST, "/a").await, 200, b"x");
    let other = world.edge.get(HOST, "/a").await;
    assert!(other.is_hit(), "{}", other.head);
    assert!(!world.secure().await.get(HOST, "/a").await.is_hit(), "another scheme is another URL");
}

#[tokio::test]
async fn stale_responses_are_refreshed_behind_their_clients() {
    let world = World::start().await;
    let script = world.origin.on("/a").respond(200).header("ETag", "\"v\"");
    script.header("Cache-Control", "max-age=0, stale-while-revalidate=1000").body("x");
    for secure in [true, false] {
        let mut client = if secure { world.secure().await } else { world.plain().await };
        let before = world.origin.count("/a");
        client.get(HOST, "/a").await;
        // a response that is being refreshed is not refreshed a second time
        for asked in 0.. {
            assert!(client.get(HOST, "/a").await.is_hit());
            if world.origin.count("/a") >= before + 4 {
                break;
            }
            assert!(asked < 10_000, "it is refreshed again and again");
        }
        let refreshed = world.origin.requests().pop().unwrap();
        let scheme = if secure { "https" } else { "http" };
        assert_eq!(refreshed.field("x-forwarded-proto"), Some(scheme));
    }
}

#[tokio::test]
async fn bodies_are_passed_on_as_they_come() {
    let world = World::start().await;
    world.origin.on("/up").respond(200).echo();
    let mut client = world.secure().await;
    let mut stream =
        client.begin(("POST", HOST, "/up"), &[("content-length", "3000000")], false).await.unwrap();
    let body = content(3_000_000);
    let sending = async {
        for piece in body.chunks(300_000) {
            stream.send(bytes::Bytes::copy_from_slice(piece), false).await.unwrap();
        }
        stream.send(bytes::Bytes::new(), true).await.unwrap();
        stream.answer().await.unwrap()
    };
    let answer = sending.await;
    assert_eq!(answer.status, 200);
    let asked = world.origin.received("/up", 1).await;
    assert!(asked.body == body && asked.field("content-length") == Some("3000000"));
}

#[tokio::test]
async fn interim_responses_come_when_they_are_there() {
    let world = World::start().await;
    let barrier = Barrier::new();
    world.origin.on("/hint").interim(103, "Link", "</a>").wait(&barrier).respond(200).body("x");
    for mut client in [world.secure().await, world.plain().await] {
        let mut stream = client.begin(("GET", HOST, "/hint"), &[], true).await.unwrap();
        assert_eq!(stream.interim().await.unwrap(), Some(103));
        barrier.release();
        is_right(&stream.answer().await.unwrap(), 200, b"x");
    }
    world.origin.on("/expect").respond(200).body("y");
    let mut client = world.secure().await;
    let fields = [("expect", "100-continue"), ("content-length", "4")];
    let mut stream = client.begin(("POST", HOST, "/expect"), &fields, false).await.unwrap();
    assert_eq!(stream.interim().await.unwrap(), Some(100));
    stream.send("form".into(), true).await.unwrap();
    is_right(&stream.answer().await.unwrap(), 200, b"y");
}

#[tokio::test]
async fn what_breaks_off_is_reset() {
    let world = World::start().await;
    let mut client = world.secure().await;
    let lengths = ["Cache-Control: max-age=60\r\nContent-Length: 10", "Content-Length: 10"];
    let bodies = lengths.map(|fields| (fields, "12345"));
    let chunked = ("Transfer-Encoding: chunked", "5\r\n12345\r\n");
    for (number, (fields, body)) in bodies.into_iter().chain([chunked]).enumerate() {
        let (path, barrier) = (format!("/{number}"), Barrier::new());
        let script =
            world.origin.on(&path).raw(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}"));
        script.wait(&barrier).close();
        let mut stream = client.begin(("GET", HOST, &path), &[], true).await.unwrap();
        assert_eq!(stream.head().await.unwrap().status, 200, "{fields}");
        barrier.release();
        let error = stream.rest().await.unwrap_err();
        assert!(error.is_reset() && error.is_remote(), "{fields}: {error}");
    }
    // the connection lives on
    assert_eq!(client.call("GET", HOST, "/else", &[]).await.unwrap().status, 404);
}

#[tokio::test]
async fn whoever_leaves_or_stalls_holds_up_nobody() {
    let world = World::start().await;
    let (live, body) = (Live::new(), content(4 * MIB));
    world.origin.on("/live").respond(200).header("Cache-Control", FRESH).chunked().live(&live);
    let mut client = world.secure().await;
    let mut gone = client.begin(("GET", HOST, "/live"), &[], true).await.unwrap();
    live.push(body[..MIB].to_vec());
    gone.head().await.unwrap();
    gone.cancel();
    // this one reads nothing
    let mut stalled = client.begin(("GET", HOST, "/live"), &[], true).await.unwrap();
    stalled.head().await.unwrap();
    let mut other = world.secure().await;
    let mut reading = other.begin(("GET", HOST, "/live"), &[], true).await.unwrap();
    live.push(body[MIB..].to_vec());
    live.end();
    assert!(reading.answer().await.unwrap().body == body);
    assert_eq!(world.origin.count("/live"), 1);
}

#[tokio::test]
async fn large_files_come_in_slices() {
    let world = World::start().await;
    let body = content(6 * MIB + 3);
    let script = world.origin.on("/file").respond(200).header("Cache-Control", FRESH);
    script.header("ETag", "\"v\"").body(body.clone()).ranged();
    let mut client = world.secure().await;
    let range = format!("bytes={}-{}", MIB - 3, 3 * MIB);
    for hit in [false, true] {
        let answer = client.call("GET", HOST, "/file", &[("range", &range)]).await.unwrap();
        is_right(&answer, 206, &body[MIB - 3..=3 * MIB]);
        assert_eq!(answer.is_hit(), hit, "{}", answer.cache_status());
    }
    assert_eq!(world.origin.count("/file"), 4);
    // over TLS and not are two responses
    world.plain().await.call("GET", HOST, "/file", &[("range", &range)]).await.unwrap();
    assert_eq!(world.origin.count("/file"), 8);
}

#[tokio::test]
async fn what_is_under_way_ends_when_the_edge_is_stopped() {
    let mut world = World::start().await;
    let barrier = Barrier::new();
    world.origin.on("/slow").wait(&barrier).respond(200).body("whole");
    let mut client = world.secure().await;
    let mut stream = client.begin(("GET", HOST, "/slow"), &[], true).await.unwrap();
    world.origin.arrived("/slow", 1).await;
    world.edge.program.terminate();
    let mut asked = 0;
    while client.call("GET", HOST, "/else", &[]).await.is_ok() {
        asked += 1;
        assert!(asked < 10_000, "the client is told to ask nothing more");
    }
    barrier.release();
    is_right(&stream.answer().await.unwrap(), 200, b"whole");
    assert_eq!(world.edge.program.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_websocket_goes_through_an_extended_connect() {
    let world = World::start().await;
    let script = world.origin.on("/ws").respond(101).header("Connection", "Upgrade");
    let script = script.header("Upgrade", "websocket").header("Sec-WebSocket-Accept", "x");
    script.header("Sec-WebSocket-Protocol", "chat").raw("hello").echo();
    let mut client = world.secure().await;
    client.get(HOST, "/else").await;
    assert!(client.takes_extended_connect());
    let mut request = http::Request::builder().method("CONNECT").uri(format!("https://{HOST}/ws"));
    request =
        request.header("sec-websocket-version", "13").header("sec-websocket-protocol", "chat");
    let mut request = request.body(()).unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let mut stream = client.begin_with(request, false).await.unwrap();
    let head = stream.head().await.unwrap();
    assert_eq!((head.status, head.field("sec-websocket-protocol")), (200, Some("chat")));
    assert!(!head.fields.has("sec-websocket-accept"));
    assert_eq!(stream.piece().await.unwrap().unwrap(), "hello");
    for word in ["one", "two"] {
        stream.send(word.into(), false).await.unwrap();
        assert_eq!(stream.piece().await.unwrap().unwrap(), word);
    }
    let asked = world.origin.arrived("/ws", 1).await;
    assert_eq!((asked.method.as_str(), asked.field("upgrade")), ("GET", Some("websocket")));
    assert!(asked.field("sec-websocket-key").is_some_and(|key| key.len() == 24));
}

#[tokio::test]
async fn connections_that_do_nothing_are_closed() {
    let world =
        World::with("[http]\nidle_timeout_seconds = 1\nhead_timeout_seconds = 1\n", json!({}))
            .await;
    let client = world.secure().await;
    assert_eq!(client.ended().await, None);
    let mut silent = world.edge.connect().await;
    silent.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    silent.until_closed().await.unwrap();
}

#[tokio::test]
async fn who_trickles_is_broken_off_and_others_are_not() {
    let config = "[clients]\nrate_min_bytes_per_second = 1000\nrate_grace_seconds = 1\n";
    let world = World::with(config, json!({})).await;
    let body = content(4 * MIB);
    let script = world.origin.on("/file").respond(200).header("Cache-Control", FRESH);
    script.body(body.clone());
    world.origin.on("/post").respond(200).body("got it");
    let mut client = world.secure().await;
    let mut sending = client.begin(("POST", HOST, "/post"), &[], false).await.unwrap();
    let too_slow = async || world.edge.metrics().await.sum("longshore_edge_too_slow_total", &[]);
    for round in 0.. {
        if too_slow().await >= 1.0 {
            break;
        }
        assert!(round < 200, "it trickles on");
        sending.send("a".into(), false).await.ok();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(sending.answer().await.is_err());
    for is_stored in [false, true] {
        let mut stalled = client.begin(("GET", HOST, "/file"), &[], true).await.unwrap();
        stalled.head().await.unwrap();
        testkit::eventually("the response is broken off", || async {
            (too_slow().await >= 2.0 + f64::from(u8::from(is_stored))).then_some(())
        })
        .await;
        assert!(stalled.rest().await.is_err());
    }
    is_right(&client.get(HOST, "/file").await, 200, &body);
}

#[tokio::test]
async fn an_address_has_so_many_requests_a_second() {
    let config = "[clients]\nunlimited = []\nrequests_per_second_max = 2\n";
    let world = World::with(config, json!({})).await;
    world.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("a");
    let mut client = world.secure().await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let answer = client.get(HOST, "/a").await;
        assert_eq!(answer.fields.has("retry-after"), answer.status == 429);
        statuses.push(answer.status);
    }
    assert!(statuses.starts_with(&[200, 200]) && statuses.contains(&429), "{statuses:?}");
}
