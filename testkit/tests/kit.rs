//! The origin and the client, tested against each other.

use testkit::{Barrier, Broken, Call, Client, Live, Origin, Unreachable, within};

async fn client(origin: &Origin) -> Client {
    Client::connect(origin.address()).await
}

#[tokio::test]
async fn answers_come_in_order_and_the_last_one_stays() {
    let origin = Origin::start().await;
    origin.on("/a").respond(200).body("first");
    origin.on("/a").respond(503).header("Retry-After", "1").body("later");
    let mut client = client(&origin).await;
    assert_eq!(client.get("h", "/a").await.text(), "first");
    for _ in 0..2 {
        let answer = client.get("h", "/a?q").await;
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    }
    assert_eq!((origin.count("/a"), origin.count("/a?q"), origin.connections()), (3, 2, 1));
    assert_eq!(client.get("h", "/b").await.status, 404);
}

#[tokio::test]
async fn the_origin_remembers_what_it_was_asked() {
    let origin = Origin::start().await;
    origin.on("/x/*").respond(204);
    let call = Call::new(origin.address(), "POST", "h", "/x/y?z").header("X-One", "1");
    assert_eq!(call.header("x-one", "2").chunks(&["ab", "c"]).send().await.status, 204);
    let request = origin.received("/x/*", 1).await;
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/x/y?z"));
    assert_eq!(request.fields.all("X-ONE"), ["1", "2"]);
    assert_eq!((request.body.as_slice(), request.complete), (&b"abc"[..], true));
}

#[tokio::test]
async fn a_body_is_streamed_while_the_origin_waits() {
    let origin = Origin::start().await;
    let barrier = Barrier::new();
    origin.on("/a").respond(200).chunked().body("one").wait(&barrier).body("two");
    let mut client = Call::new(origin.address(), "GET", "h", "/a").open().await;
    assert_eq!(client.head().await.unwrap().field("transfer-encoding"), Some("chunked"));
    assert_eq!(client.at_least(3).await.unwrap(), b"one");
    barrier.release();
    assert_eq!(client.rest_of_body().await.unwrap(), b"two");
}

#[tokio::test]
async fn truncated_bodies_are_errors() {
    let origin = Origin::start().await;
    origin.on("/length").respond(200).length(9).body("12345").close();
    origin.on("/chunked").respond(200).chunked().body("12345").close();
    origin.on("/close").respond(200).until_close().body("12345");
    for (path, complete) in [("/length", false), ("/chunked", false), ("/close", true)] {
        let answer = Call::new(origin.address(), "GET", "h", path).try_send().await;
        match answer {
            Ok(answer) => assert!(complete && answer.text() == "12345", "{path}"),
            Err(Broken::Truncated { received, .. }) => assert!(!complete && received == 5),
            Err(error) => panic!("{path}: {error}"),
        }
    }
}

#[tokio::test]
async fn resets_and_missing_answers_are_told_apart() {
    let origin = Origin::start().await;
    let barrier = Barrier::new();
    origin.on("/reset").respond(200).length(9).body("1").wait(&barrier).reset();
    origin.on("/none").close();
    let mut client = Call::new(origin.address(), "GET", "h", "/reset").open().await;
    client.head().await.unwrap();
    client.at_least(1).await.unwrap();
    barrier.release();
    assert!(matches!(client.rest_of_body().await, Err(Broken::Reset)));
    let answer = Call::new(origin.address(), "GET", "h", "/none").try_send().await;
    assert!(matches!(answer, Err(Broken::Closed)), "{answer:?}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start().await;
    origin.on("/a").respond(200).body("a");
    origin.on("/b").respond(200).chunked().body("b");
    let mut client = client(&origin).await;
    client.send("GET /a HTTP/1.1\r\n\r\nHEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.response().await.unwrap().text(), "a");
    assert_eq!(client.response_to("HEAD").await.unwrap().field("content-length"), Some("1"));
    assert_eq!(client.response().await.unwrap().text(), "b");
}

#[tokio::test]
async fn interim_responses_and_expectations() {
    let origin = Origin::start().await;
    origin.on("/a").interim(103, "Link", "</x>").respond(200).body("x");
    let call = Call::new(origin.address(), "PUT", "h", "/a").header("Expect", "100-continue");
    let answer = call.body("y").send().await;
    assert_eq!((answer.status, answer.interim_statuses()), (200, vec![100, 103]));
    assert_eq!(answer.interim[1].fields.first("link"), Some("</x>"));
}

#[tokio::test]
async fn upgraded_connections_echo() {
    let origin = Origin::start().await;
    origin.on("/ws").respond(101).header("Upgrade", "websocket").echo();
    let call = Call::new(origin.address(), "GET", "h", "/ws").header("Upgrade", "websocket");
    let mut client = call.open().await;
    assert_eq!(client.head().await.unwrap().status, 101);
    client.send("ping").await;
    assert_eq!(client.some().await.unwrap().unwrap(), "ping");
    client.finish_sending().await;
    assert_eq!(client.some().await.unwrap(), None);
}

#[tokio::test]
async fn a_live_body_is_sent_as_it_is_written() {
    let origin = Origin::start().await;
    let live = Live::new();
    origin.on("/a").respond(200).chunked().live(&live);
    live.push("one");
    let mut client = Call::new(origin.address(), "GET", "h", "/a").open().await;
    client.head().await.unwrap();
    assert_eq!(client.at_least(3).await.unwrap(), b"one");
    live.push("two");
    assert_eq!(client.at_least(3).await.unwrap(), b"two");
    live.end();
    assert_eq!(client.piece().await.unwrap(), None);
}

#[tokio::test]
async fn an_origin_can_be_gone_and_come_back() {
    let origin = Origin::start().await;
    let address = origin.address();
    let mut kept = client(&origin).await;
    kept.get("h", "/").await;
    origin.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(within("the end of the connection", kept.until_closed()).await.is_ok());
    Origin::start_at(address).await;
    let nobody = Unreachable::take();
    assert!(tokio::net::TcpStream::connect(nobody.address()).await.is_err());
}
