use super::*;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

async fn pair() -> (ClientStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = listener.local_addr().unwrap();
    let client = TcpStream::connect(local).await.unwrap();
    let (tcp, address) = listener.accept().await.unwrap();
    let connection = Connection { client: address, local, secure: None };
    (ClientStream::plain(tcp, Arc::new(connection)), client)
}

#[tokio::test]
async fn what_goes_ahead_waits_for_room_and_holds_nobody_up() {
    let (mut stream, mut client) = pair().await;
    let (piece, mut sent) = (vec![0; 65_536], 0);
    while let Ok(written) = timeout(Duration::ZERO, stream.write(&piece)).await {
        sent += written.unwrap();
    }
    stream.send_ahead(b"hint");
    assert!(timeout(Duration::ZERO, stream.flush()).await.is_err());
    let mut received = vec![0; sent + 4];
    let mut asked = [0];
    tokio::select! {
        read = client.read_exact(&mut received) => assert_eq!(read.unwrap(), sent + 4),
        _ = stream.read(&mut asked) => unreachable!("the client sends nothing"),
    }
    assert!(received.ends_with(b"hint"));
}

#[tokio::test]
async fn what_goes_ahead_is_before_what_is_written_later() {
    let (mut stream, mut client) = pair().await;
    stream.send_ahead(b"hint ");
    stream.write_all(b"head ").await.unwrap();
    stream.write_all(b"body").await.unwrap();
    AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "hint head body");
}

#[tokio::test]
async fn several_parts_go_out_in_order_and_after_what_waits() {
    let (mut stream, mut client) = pair().await;
    stream.send_ahead(b"hint ");
    stream.write_all(b"first ").await.unwrap();
    for mut parts in [&b"head body "[..], &b"head body"[..]] {
        while !parts.is_empty() {
            let (head, body) = parts.split_at(parts.len().min(5));
            let parts_of = [IoSlice::new(head), IoSlice::new(body)];
            let written = stream.write_vectored(&parts_of).await.unwrap();
            parts.advance(written);
        }
        stream.flush().await.unwrap();
    }
    drop(stream);
    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "hint first head body head body");
}

#[test]
fn the_date_of_a_head_is_replaced() {
    let check = |head: &str, expected: Option<&str>| {
        let date = HeaderValue::from_static("then");
        let parts = dated(head.as_bytes(), &date);
        let whole = parts.map(|(before, date, after)| [before, date, after].concat());
        assert_eq!(whole.as_deref(), expected.map(str::as_bytes), "{head}");
    };
    check("HTTP/1.1 200 OK\r\nDate: now\r\n\r\n", Some("HTTP/1.1 200 OK\r\nDate: then\r\n\r\n"));
    check(
        "HTTP/1.1 200 OK\r\ndate: now\r\na: b\r\n\r\nx",
        Some("HTTP/1.1 200 OK\r\ndate: then\r\na: b\r\n\r\nx"),
    );
    check("HTTP/1.1 200 OK\r\nx-date: now\r\n\r\n", None);
    check("", None);
}
