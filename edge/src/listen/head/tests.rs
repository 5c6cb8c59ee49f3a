use super::*;
use proptest::prelude::*;

fn check(head: &str, expected: Result<Option<bool>, Refusal>) {
    let found = read(head.as_bytes()).map(|head| head.map(|head| head.is_alone()));
    assert_eq!(found, expected, "{head:?}");
}

#[test]
fn right_heads_pass() {
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Some(true)));
    check("GET / HTTP/1.0\r\n\r\n", Ok(Some(true)));
    check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nmore", Ok(Some(true)));
    check("POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Ok(Some(false)));
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Ok(Some(true)));
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Ok(Some(false)));
    check("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", Ok(Some(false)));
    check("GET http://a.b/c HTTP/1.1\r\nHost: A.b\r\n\r\n", Ok(Some(true)));
    check("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Some(true)));
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Some(true)));
    check("GET / HTTP/1.1\r\nHost:\r\nX-Obs: caf\u{e9}\r\n\r\n", Ok(Some(true)));
    check("GET / HTTP/1.1\r\nHo", Ok(None));
}

#[test]
fn what_two_parsers_read_differently_is_refused() {
    check("GET / HTTP/1.1\nHost: a\n\n", Err(Refusal::LineEnd));
    check("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", Err(Refusal::LineEnd));
    check("GET /\r\n", Err(Refusal::RequestLine));
    check("GET  / HTTP/1.1\r\n", Err(Refusal::RequestLine));
    check("GET /a b HTTP/1.1\r\n", Err(Refusal::RequestLine));
    check("GET /\u{e9} HTTP/1.1\r\n", Err(Refusal::RequestLine));
    check("GET /#a HTTP/1.1\r\n", Err(Refusal::RequestLine));
    check("GET a HTTP/1.1\r\n", Err(Refusal::RequestLine));
    check("CONNECT a:443 HTTP/1.1\r\n", Err(Refusal::RequestLine));
    check("G@T / HTTP/1.1\r\n", Err(Refusal::RequestLine));
    check("get / HTTP/1.1\r\n", Err(Refusal::Method));
    check("abcGET / HTTP/1.1\r\n", Err(Refusal::Method));
    check("GET / HTTP/2.0\r\n", Err(Refusal::Version));
    check("GET / HTTP/1.1\r\nHost : a\r\n", Err(Refusal::FieldLine));
    check("GET / HTTP/1.1\r\n Host: a\r\n", Err(Refusal::FieldLine));
    check("GET / HTTP/1.1\r\nHost: a\r\n b\r\n", Err(Refusal::FieldLine));
    check("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n", Err(Refusal::FieldLine));
    check("GET / HTTP/1.1\r\n\r\n", Err(Refusal::Host));
    check("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", Err(Refusal::Host));
    check("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", Err(Refusal::Host));
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    check(&with("Content-Length: 3\r\nContent-Length: 3"), Err(Refusal::Length));
    check(&with("Content-Length: 3\r\nTransfer-Encoding: chunked"), Err(Refusal::Length));
    check(&with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Err(Refusal::Length));
    for value in ["+3", "-1", "0x3", "3, 3", "", "99999999999999999999", "9223372036854775808"] {
        check(&with(&format!("Content-Length: {value}")), Err(Refusal::Length));
    }
    for value in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", ""] {
        check(&with(&format!("Transfer-Encoding: {value}")), Err(Refusal::Length));
    }
    check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Refusal::Length));
    check(&with("Connection: close, content-Length"), Err(Refusal::Length));
    check(&with("Connection: Transfer-Encoding"), Err(Refusal::Length));
    check(&with("Connection: x,\tHost"), Err(Refusal::Host));
    check(&with("Connection: TE, close"), Ok(Some(true)));
}

#[test]
fn only_a_get_that_asks_for_nothing_special_is_plain() {
    let plain = |request_line: &str, fields: &str| {
        let head = format!("{request_line}\r\nHost: a.example\r\nUser-Agent: b\r\n{fields}\r\n");
        let plain = read(head.as_bytes()).unwrap().unwrap().plain?;
        let head = head.as_bytes();
        assert_eq!(
            (plain.host(head), plain.user_agent(head), plain.referer(head)),
            ("a.example", "b", "")
        );
        Some(plain.target(head).to_owned())
    };
    assert_eq!(
        plain("GET /a?b HTTP/1.1", "Accept: */*\r\nConnection: keep-alive\r\n").as_deref(),
        Some("/a?b")
    );
    for request_line in
        ["HEAD / HTTP/1.1", "GET / HTTP/1.0", "POST / HTTP/1.1", "GET http://a.example/ HTTP/1.1"]
    {
        assert_eq!(plain(request_line, ""), None, "{request_line}");
    }
    for field in [
        "Range: bytes=0-1",
        "If-None-Match: *",
        "cache-control: no-cache",
        "Connection: close",
        "CDN-Loop: x",
        "Content-Length: 1",
        "Upgrade: h2c",
    ] {
        assert_eq!(plain("GET / HTTP/1.1", &format!("{field}\r\n")), None, "{field}");
    }
}

#[test]
fn fields_are_read_as_they_are() {
    let read = fields(b"GET / HTTP/1.1\r\nHost: a\r\nAccept:  x, y \r\naccept: z\r\n\r\nX: next");
    assert_eq!(read.len(), 3);
    assert_eq!(read.get_all("accept").iter().collect::<Vec<_>>(), ["x, y", "z"]);
}

#[test]
fn fields_are_counted() {
    let fields = "X: y\r\n".repeat(FIELDS_MAX);
    check(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), Err(Refusal::TooLarge));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_a_prefix_never_ends_elsewhere(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(head)) = read(&bytes) {
            prop_assert!(bytes[..head.skipped + head.length].ends_with(b"\r\n\r\n"));
        }
    }

    #[test]
    fn a_head_that_arrives_in_pieces_is_the_same_head(split in 0_usize..60) {
        let whole = b"GET /a HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX-Y: z\r\n\r\n";
        let split = split.min(whole.len() - 1);
        prop_assert_eq!(read(&whole[..split]), Ok(None));
        prop_assert!(matches!(read(whole), Ok(Some(head)) if head.length == whole.len()));
    }
}
