use super::*;
use http::Request;
use pingora_core::protocols::http::ServerSession;
use proptest::prelude::*;
use std::io::Cursor;

const BYTES_MAX: usize = 32_768;
const HERE: Arrival<'static> =
    Arrival { scheme: Scheme::Https, protocol: Protocol::Http2, tunnel: None, ends: true };

fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
    for (name, value) in fields {
        // `from_bytes` takes no more than a decoder would
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

fn read_as(
    arrival: Arrival<'_>,
    method: &str,
    uri: &str,
    fields: &[(&str, &str)],
) -> Result<Head, Refusal> {
    read(parts(method, uri, fields), arrival, BYTES_MAX)
}

fn check(method: &str, uri: &str, fields: &[(&str, &str)], expected: Result<&str, Refusal>) {
    let found = read_as(HERE, method, uri, fields);
    let found = found.map(|head| {
        assert_eq!(head.request.headers.get_all(header::HOST).iter().count(), 1);
        format!("{} {}", head.request.headers[header::HOST].to_str().unwrap(), head.request.uri)
    });
    assert_eq!(found.as_deref().map_err(|refusal| *refusal), expected, "{method} {uri} {fields:?}");
}

#[test]
fn the_authority_is_said_once_or_twice_alike() {
    check("GET", "https://a.test/b?c", &[], Ok("a.test https://a.test/b?c"));
    check("GET", "https://a.test/", &[("host", "A.test")], Ok("a.test https://a.test/"));
    check("GET", "/b", &[("host", "a.test:8443")], Ok("a.test:8443 https://a.test:8443/b"));
    check("GET", "https://[::1]:8/", &[], Ok("[::1]:8 https://[::1]:8/"));
    for (uri, fields) in [
        ("/", &[][..]),
        ("https://a.test/", &[("host", "b.test")]),
        ("https://a.test/", &[("host", "a.test:80")]),
        ("https://a.test/", &[("host", "")]),
        ("https://a.test/", &[("host", "a.test"), ("host", "a.test")]),
        ("/", &[("host", "a.test, b.test")]),
        ("/", &[("host", "a.test/b")]),
        ("/", &[("host", "a b")]),
        ("/", &[("host", "")]),
        ("/", &[("host", "a@b")]),
        ("https://user@a.test/", &[]),
        ("https://user:word@a.test/", &[]),
    ] {
        check("GET", uri, fields, Err(Refusal::Host));
    }
}

#[test]
fn the_scheme_is_the_connections() {
    check("GET", "http://a.test/", &[], Err(Refusal::Scheme));
    check("GET", "ftp://a.test/", &[], Err(Refusal::Scheme));
    let plain = Arrival { scheme: Scheme::Http, ..HERE };
    assert!(read_as(plain, "GET", "http://a.test/", &[]).is_ok());
    assert_eq!(read_as(plain, "GET", "https://a.test/", &[]).unwrap_err(), Refusal::Scheme);
}

#[test]
fn the_target_is_a_path_or_an_asterisk_for_options() {
    let with = |path: &str| {
        let mut parts = parts("GET", "https://a.test/", &[]);
        let mut uri = parts.uri.into_parts();
        uri.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        parts.uri = Uri::from_parts(uri).ok()?;
        Some(read(parts, HERE, BYTES_MAX).map(|head| head.request.uri.to_string()))
    };
    assert_eq!(with("/a//b/../c"), Some(Ok("https://a.test/a//b/../c".to_owned())));
    assert_eq!(with("*"), Some(Err(Refusal::PseudoField)));
    // some never get as far as to us
    for path in ["/\u{e9}", "/a b", "a", "http://b.test/", "/\r\nx: y", "/\0"] {
        assert!(!matches!(with(path), Some(Ok(_))), "{path:?}");
    }
    let mut asterisk = parts("OPTIONS", "https://a.test/", &[]);
    let mut uri = asterisk.uri.into_parts();
    uri.path_and_query = Some(PathAndQuery::from_static("*"));
    asterisk.uri = Uri::from_parts(uri).unwrap();
    assert_eq!(read(asterisk, HERE, BYTES_MAX).unwrap().request.uri.path(), "*");
}

#[test]
fn fields_of_connections_are_refused() {
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    ] {
        check("GET", "https://a.test/", &[(name, "x")], Err(Refusal::ConnectionField));
    }
    check("GET", "https://a.test/", &[("te", "trailers")], Ok("a.test https://a.test/"));
    for te in ["gzip", "trailers, gzip", ""] {
        check("GET", "https://a.test/", &[("te", te)], Err(Refusal::ConnectionField));
    }
}

#[test]
fn values_have_no_space_around_them() {
    check("GET", "https://a.test/", &[("x", "a\tb c")], Ok("a.test https://a.test/"));
    check("GET", "https://a.test/", &[("x", "")], Ok("a.test https://a.test/"));
    for value in [" a", "a ", "\ta", "a\t", " "] {
        check("GET", "https://a.test/", &[("x", value)], Err(Refusal::FieldLine));
    }
}

#[test]
fn a_length_is_said_once_and_rightly() {
    let check = |ends, lines: &[&str], expected: Result<Option<u64>, Refusal>| {
        let fields: Vec<_> = lines.iter().map(|line| ("content-length", *line)).collect();
        let head = read_as(Arrival { ends, ..HERE }, "POST", "https://a.test/", &fields);
        assert_eq!(head.map(|head| head.length), expected, "{lines:?}");
    };
    check(false, &[], Ok(None));
    check(false, &["3"], Ok(Some(3)));
    check(true, &["0"], Ok(Some(0)));
    check(true, &["3"], Err(Refusal::Length));
    check(false, &["3", "3"], Err(Refusal::Length));
    for value in ["+3", "-1", "0x3", "3, 3", "", "99999999999999999999"] {
        check(false, &[value], Err(Refusal::Length));
    }
}

#[test]
fn connect_asks_for_nothing_but_a_websocket() {
    let check = |method, tunnel, ends, expected: Result<bool, Refusal>| {
        let arrival = Arrival { tunnel, ends, ..HERE };
        let head = read_as(arrival, method, "https://a.test/chat", &[]);
        let upgrade = head.map(|head| {
            let fields = &head.request.headers;
            let asks = head.request.method == Method::GET
                && fields.get("upgrade").is_some_and(|upgrade| upgrade == "websocket")
                && fields.get("connection").is_some_and(|option| option == "Upgrade")
                && fields.get("sec-websocket-key").is_some_and(|key| key.len() == 24);
            assert_eq!(asks, head.is_upgrade);
            asks
        });
        assert_eq!(upgrade, expected, "{method} {tunnel:?}");
    };
    check("GET", None, true, Ok(false));
    check("CONNECT", Some("websocket"), false, Ok(true));
    check("CONNECT", Some("websocket"), true, Err(Refusal::PseudoField));
    check("CONNECT", Some("connect-udp"), false, Err(Refusal::Connect));
    check("CONNECT", None, false, Err(Refusal::Connect));
    check("GET", Some("websocket"), false, Err(Refusal::PseudoField));
}

#[test]
fn fields_are_counted_and_measured() {
    let check = |count: usize, length: usize, fits: bool| {
        let value = "v".repeat(length);
        let fields = vec![("x", value.as_str()); count];
        let refusal = read_as(HERE, "GET", "https://a.test/", &fields).err();
        assert_eq!(refusal, (!fits).then_some(Refusal::TooLarge), "{count} of {length}");
    };
    check(99, 1, true);
    check(100, 1, false);
    check(1, BYTES_MAX - 100, true);
    check(1, BYTES_MAX, false);
    check(90, 400, false);
}

#[test]
fn crumbs_make_one_cookie() {
    let crumbs = [("cookie", "a=b"), ("accept", "*/*"), ("cookie", "c=d; e=f"), ("cookie", "g")];
    let head = read_as(HERE, "GET", "https://a.test/", &crumbs).unwrap();
    let cookies: Vec<_> = head.request.headers.get_all(header::COOKIE).iter().collect();
    assert_eq!(cookies, ["a=b; c=d; e=f; g"]);
}

proptest! {
    /// Whatever passes is one request to a parser of HTTP/1.1 as well, and the same.
    #[test]
    fn what_passes_is_a_head_of_http_1(
        path in "/[ -~]{0,30}",
        name in "[a-z][a-z0-9-]{0,12}",
        value in "[ -~\t]{0,30}",
        length in prop::option::of(0_u64..100),
    ) {
        let Ok(uri) = Uri::try_from(format!("https://a.test{path}")) else { return Ok(()) };
        let mut fields = vec![(name.as_str(), value)];
        fields.extend(length.map(|length| ("content-length", length.to_string())));
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut parts = parts("POST", "https://a.test/", &fields);
        parts.uri = uri;
        let Ok(head) = read(parts, Arrival { ends: false, ..HERE }, BYTES_MAX) else { return Ok(()) };
        let connection = super::super::tests::connection();
        let expected = (head.request.uri.clone(), head.request.headers.clone());
        let raw = super::super::tests::raw(head, &connection);
        let strict = crate::listen::read_head(&raw).unwrap().unwrap();
        prop_assert_eq!(strict.length, raw.len());
        let mut session = ServerSession::new_http1(Box::new(Cursor::new(raw.to_vec())));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        prop_assert!(runtime.block_on(session.read_request()).unwrap());
        crate::proxy::begin::complete_target(session.req_header_mut());
        prop_assert_eq!(&session.req_header().uri, &expected.0);
        prop_assert_eq!(&session.req_header().headers, &expected.1);
    }
}
