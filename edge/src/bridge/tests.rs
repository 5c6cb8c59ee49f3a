use super::head::Arrival;
use super::*;
use crate::listen::Protocol;
use crate::stage::identify::Scheme;
use futures_util::FutureExt;
use http::{Method, Request, StatusCode, header};
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::custom::server::Session;
use pingora_http::ResponseHeader;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::Notify;

pub(super) fn connection() -> Arc<Connection> {
    let client = "192.0.2.1:1234".parse().unwrap();
    let local = "192.0.2.2:443".parse().unwrap();
    Arc::new(Connection { client, local, secure: None })
}

/// The head of HTTP/1.1 that a bridge gives out.
pub(super) fn raw(head: Head, connection: &Arc<Connection>) -> Bytes {
    let (exchange, _) = Mock::new(&[], 0);
    Bridge::new(exchange, head, connection, None).pseudo_raw_h1_request_header()
}

/// What was done to an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Done {
    Interim(u16),
    Head(u16, bool),
    Data(usize),
    End,
    Trailers(usize),
    Reset,
}

#[derive(Default)]
struct Client {
    done: Mutex<Vec<Done>>,
    room: Mutex<usize>,
    more: Notify,
}

impl Client {
    fn done(&self) -> Vec<Done> {
        self.done.lock().unwrap().clone()
    }

    fn give(&self, room: usize) {
        *self.room.lock().unwrap() += room;
        self.more.notify_one();
    }

    fn note(&self, done: Done) {
        self.done.lock().unwrap().push(done);
    }
}

struct Mock {
    client: Arc<Client>,
    body: VecDeque<Bytes>,
}

impl Mock {
    fn new(body: &[&'static str], room: usize) -> (Self, Arc<Client>) {
        let client = Arc::new(Client::default());
        client.give(room);
        let body = body.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
        (Self { client: Arc::clone(&client), body }, client)
    }
}

#[async_trait]
impl Exchange for Mock {
    async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        match self.body.pop_front() {
            Some(piece) if piece.is_empty() => Err(io::ErrorKind::ConnectionReset.into()),
            piece => Ok(piece),
        }
    }

    async fn send_interim(&mut self, head: Response<()>) -> io::Result<()> {
        self.client.note(Done::Interim(head.status().as_u16()));
        Ok(())
    }

    async fn send_head(&mut self, head: Response<()>, ends: bool) -> io::Result<()> {
        assert!(!head.headers().contains_key(header::TRANSFER_ENCODING));
        assert!(head.headers().contains_key(header::DATE));
        self.client.note(Done::Head(head.status().as_u16(), ends));
        Ok(())
    }

    async fn send_data(&mut self, data: &mut Bytes, ends: bool) -> io::Result<()> {
        if !data.is_empty() {
            while *self.client.room.lock().unwrap() == 0 {
                self.client.more.notified().await;
            }
            let mut room = self.client.room.lock().unwrap();
            let sent = data.split_to(data.len().min(*room));
            *room -= sent.len();
            self.client.note(Done::Data(sent.len()));
        }
        if data.is_empty() && ends {
            self.client.note(Done::End);
        }
        Ok(())
    }

    async fn send_trailers(&mut self, trailers: HeaderMap) -> io::Result<()> {
        self.client.note(Done::Trailers(trailers.len()));
        Ok(())
    }

    fn reset(&mut self) {
        self.client.note(Done::Reset);
    }

    async fn gone(&mut self) -> io::Error {
        io::ErrorKind::ConnectionReset.into()
    }
}

fn bridge(method: Method, exchange: Mock) -> Bridge<Mock> {
    let arrival =
        Arrival { scheme: Scheme::Http, protocol: Protocol::Http3, tunnel: None, ends: false };
    let request = Request::builder().method(method).uri("http://a.test/").body(()).unwrap();
    let head = head::read(request.into_parts().0, arrival, 1_000).unwrap();
    Bridge::new(exchange, head, &connection(), None)
}

fn answer(status: u16, length: Option<usize>) -> Box<ResponseHeader> {
    let mut head = ResponseHeader::build(status, None).unwrap();
    match length {
        Some(length) => head.insert_header(header::CONTENT_LENGTH, length).unwrap(),
        None => head.insert_header(header::TRANSFER_ENCODING, "chunked").unwrap(),
    }
    Box::new(head)
}

const PIECE: Bytes = Bytes::from_static(b"12345");

#[tokio::test]
async fn a_response_is_sent_to_its_end() {
    let (exchange, client) = Mock::new(&[], 100);
    let mut bridge = bridge(Method::GET, exchange);
    let tasks = vec![
        HttpTask::Header(answer(103, None), false),
        HttpTask::Header(answer(200, Some(10)), false),
        HttpTask::Body(Some(PIECE), false),
        HttpTask::Body(Some(PIECE), true),
        HttpTask::Done,
    ];
    assert!(bridge.response_duplex_vec(tasks).await.unwrap());
    bridge.finish().await.unwrap();
    assert_eq!(
        (bridge.body_bytes_sent(), bridge.response_written().unwrap().status),
        (10, StatusCode::OK)
    );
    drop(bridge);
    assert_eq!(client.done(), [Done::Head(200, false), Done::Data(5), Done::Data(5), Done::End]);
}

#[tokio::test]
async fn a_response_without_a_body_ends_with_its_head() {
    for (method, status, length) in [
        (Method::HEAD, 200, Some(5)),
        (Method::GET, 304, None),
        (Method::GET, 204, None),
        (Method::GET, 200, Some(0)),
    ] {
        let (exchange, client) = Mock::new(&[], 100);
        let mut bridge = bridge(method, exchange);
        bridge.write_response_header(answer(status, length), false).await.unwrap();
        bridge.write_body(Bytes::new(), true).await.unwrap();
        bridge.finish().await.unwrap();
        drop(bridge);
        assert_eq!(client.done(), [Done::Head(status, true)]);
    }
}

#[tokio::test]
async fn half_of_a_body_never_looks_like_the_whole() {
    let check = async |length, pieces: usize, finishes: bool, expected: &[Done]| {
        let (exchange, client) = Mock::new(&[], 100);
        let mut bridge = bridge(Method::GET, exchange);
        bridge.write_response_header(answer(200, length), false).await.unwrap();
        for _ in 0..pieces {
            bridge.write_body(PIECE, false).await.ok();
        }
        if finishes {
            bridge.finish().await.ok();
        }
        drop(bridge);
        assert_eq!(client.done()[1..], *expected, "{length:?} {pieces} {finishes}");
    };
    check(Some(10), 1, false, &[Done::Data(5), Done::Reset]).await;
    check(Some(10), 1, true, &[Done::Data(5), Done::Reset]).await;
    check(Some(5), 2, true, &[Done::Data(5), Done::End]).await;
    check(None, 1, false, &[Done::Data(5), Done::Reset]).await;
    check(None, 1, true, &[Done::Data(5), Done::End]).await;
    let (exchange, client) = Mock::new(&[], 100);
    drop(bridge(Method::GET, exchange));
    assert_eq!(client.done(), [Done::Reset]);
}

#[tokio::test]
async fn whoever_stops_waiting_goes_on_where_it_was() {
    let (exchange, client) = Mock::new(&[], 2);
    let mut bridge = bridge(Method::GET, exchange);
    bridge.set_proxy_tasks_enabled(true);
    bridge.send_proxy_task(HttpTask::Header(answer(200, Some(5)), false));
    bridge.send_proxy_task(HttpTask::Body(Some(PIECE), true));
    for room in [1, 1] {
        assert!(bridge.write_proxy_tasks().now_or_never().is_none());
        assert!(bridge.has_pending_proxy_tasks());
        client.give(room);
    }
    assert!(bridge.write_proxy_tasks().now_or_never().is_none());
    client.give(100);
    assert!(bridge.write_proxy_tasks().now_or_never().unwrap().unwrap());
    assert!(!bridge.has_pending_proxy_tasks());
    drop(bridge);
    let sent = [
        Done::Head(200, false),
        Done::Data(2),
        Done::Data(1),
        Done::Data(1),
        Done::Data(1),
        Done::End,
    ];
    assert_eq!(client.done(), sent);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up() {
    let (exchange, client) = Mock::new(&[], 2);
    let mut bridge = bridge(Method::GET, exchange);
    bridge.set_write_timeout(Some(Duration::from_secs(3)));
    bridge.write_response_header(answer(200, None), false).await.unwrap();
    let error = bridge.write_body(PIECE, true).await.unwrap_err();
    assert_eq!(*error.etype(), ErrorType::WriteTimedout);
    drop(bridge);
    assert_eq!(client.done(), [Done::Head(200, false), Done::Data(2), Done::Reset]);
}

#[tokio::test]
async fn trailers_end_a_response() {
    let (exchange, client) = Mock::new(&[], 100);
    let mut bridge = bridge(Method::POST, exchange);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("connection", "close".parse().unwrap());
    let tasks = vec![
        HttpTask::Header(answer(200, None), false),
        HttpTask::Body(Some(PIECE), false),
        HttpTask::Trailer(Some(Box::new(trailers))),
    ];
    assert!(bridge.response_duplex_vec(tasks).await.unwrap());
    drop(bridge);
    assert_eq!(client.done(), [Done::Head(200, false), Done::Data(5), Done::Trailers(1)]);
}

#[tokio::test]
async fn interim_heads_have_a_way_of_their_own() {
    let (exchange, client) = Mock::new(&[], 100);
    let mut bridge = bridge(Method::GET, exchange);
    bridge.write_response_header_ref(&answer(103, Some(3)), false).await.unwrap();
    bridge.write_response_header(answer(103, None), false).await.unwrap();
    bridge.write_response_header(answer(204, None), false).await.unwrap();
    bridge.write_response_header_ref(&answer(103, None), false).await.unwrap();
    drop(bridge);
    assert_eq!(client.done(), [Done::Interim(103), Done::Head(204, true)]);
}

#[tokio::test]
async fn a_body_is_read_to_its_end_and_then_the_client_watched() {
    let (exchange, _client) = Mock::new(&["123", "45"], 0);
    let mut bridge = bridge(Method::POST, exchange);
    bridge.enable_retry_buffering();
    assert!(!bridge.is_body_empty());
    let mut pieces = Vec::new();
    while let Some(piece) = bridge.read_body_or_idle(false).await.unwrap() {
        pieces.push(piece);
    }
    assert_eq!(pieces, ["123", "45"]);
    assert_eq!(bridge.get_retry_buffer(), Some(PIECE));
    assert!(bridge.is_body_done() && !bridge.is_body_empty());
    assert!(!Presence::has_gone(bridge.req_header()));
    bridge.read_body_or_idle(true).await.unwrap_err();
    assert!(Presence::has_gone(bridge.req_header()));
}

#[tokio::test]
async fn the_client_is_who_is_connected() {
    let (exchange, _client) = Mock::new(&[], 0);
    let bridge = bridge(Method::GET, exchange);
    assert_eq!(bridge.client_addr().unwrap().to_string(), "192.0.2.1:1234");
    assert_eq!(bridge.server_addr().unwrap().to_string(), "192.0.2.2:443");
    assert_eq!(Protocol::of(bridge.req_header()), Protocol::Http3);
}
