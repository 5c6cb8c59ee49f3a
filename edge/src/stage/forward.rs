//! Who is asked, and what are they told?

use crate::listen::Protocol;
use crate::origin::{Agreement, Connector};
use crate::request_id::RequestId;
use crate::stage::identify::{CDN_LOOP, Identity};
use api::site::origin::OriginProtocol;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use pingora_core::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::{ALPN, HttpPeer, PeerOptions};
use pingora_core::utils::tls::CertKey;
use pingora_error::Error;
use pingora_http::{RequestHeader, ResponseHeader};
use route::{Origin, Rule, Trust};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// By which an origin's log can be held against ours.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Addresses of one origin that are tried for one request.
pub(crate) const TRIES_MAX: usize = 3;
/// Requests on one connection at a time where an origin speaks HTTP/2, if it takes as many.
const STREAMS_MAX: u32 = 100;
/// Bytes an origin may send of one response before a client takes some of them. All streams together have room for as many
/// each, so that a client that takes nothing holds up nobody else.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = STREAMS_MAX * STREAM_WINDOW_BYTES;

/// Fields by which clients have made origins answer for another host, path, method or client. They are no part of a
/// stored response's name, so an origin never sees a client's.
const UNTRUSTED: [&str; 20] = [
    "client-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-http-method-override",
    "x-method-override",
];

/// What a connection to an origin needs beyond what the origin's rules say.
#[derive(Default)]
pub(crate) struct Shown {
    /// The authorities of the origin, where it has its own.
    pub(crate) authorities: Option<Arc<CaType>>,
    /// The certificate that the origin is shown.
    pub(crate) certificate: Option<Arc<CertKey>>,
}

/// Fields that tell of a client's certificate (RFC 9440): this edge writes them, by these names alone.
const CERTIFICATE: [&str; 2] = ["client-cert", "client-cert-chain"];

/// The connection to ask `origin` on, at `address`.
pub(crate) fn peer(
    origin: &Origin,
    address: SocketAddr,
    shown: Shown,
    websocket: Option<&Arc<Agreement>>,
) -> HttpPeer {
    // never empty for an origin that speaks TLS: Pingora would verify nothing
    let server_name = origin.trust.as_ref().map(Trust::server_name).unwrap_or_default();
    let mut peer = HttpPeer::new(address, origin.trust.is_some(), server_name.to_owned());
    debug_assert_eq!(peer._address, PingoraAddress::Inet(address));
    let verify = origin.trust.as_ref().is_none_or(|trust| trust.verify);
    let mut options = PeerOptions::new();
    options.connection_timeout = Some(origin.connect_timeout);
    options.total_connection_timeout = Some(origin.connect_timeout);
    options.read_timeout = Some(origin.read_timeout);
    options.write_timeout = Some(origin.write_timeout);
    options.idle_timeout = Some(origin.idle_timeout);
    options.verify_cert = verify;
    options.verify_hostname = verify;
    options.ca = shown.authorities;
    options.alpn = alpn(origin.protocol, websocket.is_some());
    options.max_h2_streams = STREAMS_MAX as usize;
    options.h2_stream_window_size = Some(STREAM_WINDOW_BYTES);
    options.h2_connection_window_size = Some(CONNECTION_WINDOW_BYTES);
    if let Some(agreement) = websocket {
        // its connection is its own, and keeps time itself
        options.read_timeout = None;
        options.idle_timeout = Some(Duration::ZERO);
        options.custom_l4 = Some(Arc::new(Connector(Arc::clone(agreement))));
    }
    peer.client_cert_key = shown.certificate;
    peer.group_key = group(origin, &options.alpn, websocket);
    peer.options = options;
    peer
}

/// What is offered: where two versions are, the origin chooses. A WebSocket needs HTTP/1.1 (RFC 6455 §4.1).
const fn alpn(protocol: OriginProtocol, is_websocket: bool) -> ALPN {
    match protocol {
        _ if is_websocket => ALPN::H1,
        OriginProtocol::Http1 => ALPN::H1,
        OriginProtocol::Http2 => ALPN::H2,
        OriginProtocol::Auto => ALPN::H2H1,
    }
}

/// Connections of one group may be used for each other's requests: those that are trusted by the same rules and speak the
/// same, but none that may become a WebSocket. Pingora looks at neither authorities nor protocols itself.
fn group(origin: &Origin, alpn: &ALPN, websocket: Option<&Arc<Agreement>>) -> u64 {
    let trust = origin.trust.as_ref().map(Trust::digest);
    let own = websocket.map(Arc::as_ptr);
    let mut group = DefaultHasher::new();
    (trust, alpn.get_min_http_version(), alpn.get_max_http_version(), own).hash(&mut group);
    group.finish()
}

/// Why a certificate was not accepted, in one word for the log, where `error` is of that kind. Pingora tells of it in
/// words alone.
pub(crate) fn certificate_problem(error: &Error) -> Option<&'static str> {
    let text = error.to_string();
    let (_, problem) = text.split_once("invalid peer certificate: ")?;
    let words = [
        ("certificate expired", "expired"),
        ("Expired", "expired"),
        ("certificate not valid yet", "not_yet_valid"),
        ("NotValidYet", "not_yet_valid"),
        ("certificate not valid for name", "wrong_name"),
        ("NotValidForName", "wrong_name"),
        ("UnknownIssuer", "unknown_authority"),
        ("Revoked", "revoked"),
        ("Other(OtherError(CaUsedAsEndEntity))", "is_an_authority"),
    ];
    let found = words.iter().find(|(prefix, _)| problem.starts_with(prefix));
    Some(found.map_or("other", |(_, word)| word))
}

/// Writes the head an origin is sent. `pseudonym` names this edge (RFC 9110 §7.6.3, RFC 8586).
pub(crate) fn rewrite_head(
    head: &mut RequestHeader,
    identity: &Identity,
    (rule, origin): (&Rule, &Origin),
    rewritten: Option<&str>,
    pseudonym: &str,
    request_id: RequestId,
) -> Option<()> {
    // origin form, whatever form the client chose (RFC 9112 §3.2.1); `*` stays as it is
    let own = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let target = rewritten.unwrap_or(own);
    if target != "*" {
        let target = target.parse().ok()?;
        head.set_uri(target);
    }
    remove_lookalikes(head);
    if let Some(left) = forwards_left(&head.method, &head.headers) {
        head.insert_header(header::MAX_FORWARDS, left.saturating_sub(1)).ok()?;
    }
    for name in UNTRUSTED {
        head.remove_header(name);
    }
    let host = match origin.host_header.clone() {
        Some(host) => host,
        None => HeaderValue::from_str(identity.host.authority()).ok()?,
    };
    head.insert_header(header::HOST, host).ok()?;
    for (name, value) in forwarded(identity) {
        head.insert_header(name, HeaderValue::try_from(value).ok()?).ok()?;
    }
    let received = Protocol::of(head).version();
    head.append_header(header::VIA, semantics::fields::via(received, pseudonym)?).ok()?;
    head.append_header(CDN_LOOP, HeaderValue::from_str(pseudonym).ok()?).ok()?;
    head.insert_header(REQUEST_ID, HeaderValue::try_from(request_id.to_string()).ok()?).ok()?;
    if origin.shield {
        // it goes by the same rule
        return Some(());
    }
    for name in &rule.request_headers.remove {
        head.remove_header(name);
    }
    for (name, value) in &rule.request_headers.set {
        head.insert_header(name.clone(), value.clone()).ok()?;
    }
    Some(())
}

/// How often a request may still be forwarded, where that is limited (RFC 9110 §7.6.2).
pub(crate) fn forwards_left(method: &Method, fields: &HeaderMap) -> Option<u32> {
    let limit = fields.get(header::MAX_FORWARDS).filter(|_| *method == Method::OPTIONS)?;
    limit.to_str().ok()?.trim().parse().ok()
}

/// Takes out fields that some origins read as if `_` were `-`.
fn remove_lookalikes(head: &mut RequestHeader) {
    let names = head.headers.keys().filter(|name| {
        let other = name.as_str().replace('_', "-");
        other != name.as_str() && (is_untrusted(&other) || CERTIFICATE.contains(&&*other))
    });
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in &names {
        head.remove_header(name);
    }
}

fn is_untrusted(name: &str) -> bool {
    UNTRUSTED.contains(&name) || name == route::COUNTRY.as_str() || name == route::DEVICE.as_str()
}

/// Whether a request asks for a WebSocket (RFC 6455 §4.1). Every other Upgrade is left out.
pub(crate) fn is_upgrade(method: &Method, fields: &HeaderMap) -> bool {
    let websocket = fields.get(header::UPGRADE).is_some_and(|protocol| {
        protocol.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket")
    });
    websocket
        && *method == Method::GET
        && semantics::fields::connection_nominated(fields).any(|name| name == header::UPGRADE)
}

/// Transfer codings that change a body (RFC 9112 §7.2). Names that are no coding at all change nothing.
const COMPRESSIONS: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];

/// Whether the body of a response comes as it is. What a transfer coding but chunks has done to it would be lost with
/// the field, which ends here.
pub(crate) fn is_readable(response: &ResponseHeader) -> bool {
    let lines = response.headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    !codings.any(|coding| {
        let coding = coding.trim_ascii();
        COMPRESSIONS.iter().any(|compression| coding.eq_ignore_ascii_case(compression))
    })
}

/// Bytes of the head of a response, as they are written.
const RESPONSE_HEAD_MAX_BYTES: usize = 65_536;

/// Whether a response's head is of a size that is passed on, stored and sent again.
pub(crate) fn is_bounded(response: &ResponseHeader) -> bool {
    let fields = response.headers.iter();
    let bytes: usize = fields.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    bytes <= RESPONSE_HEAD_MAX_BYTES
}

/// Whether another response follows this one (RFC 9110 §15.2). A 101 is the last of its exchange.
pub(crate) fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// The fields that end here. An upgraded connection's are what the client waits for. Alt-Svc names other places for the
/// origin, where its clients would get around this edge.
pub(crate) fn removed_from_response(response: &ResponseHeader) -> Vec<HeaderName> {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return Vec::new();
    }
    let mut removed = semantics::fields::removed_when_forwarding(&response.headers);
    if response.headers.contains_key(header::ALT_SVC) {
        removed.push(header::ALT_SVC);
    }
    removed
}

/// Who asked for what, in the customary fields and in that of RFC 7239.
fn forwarded(identity: &Identity) -> [(HeaderName, String); 4] {
    let (client, host, scheme) =
        (identity.client, identity.host.authority(), identity.scheme.as_str());
    let node = match client {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    [
        (HeaderName::from_static("x-forwarded-for"), client.to_string()),
        (HeaderName::from_static("x-forwarded-host"), host.to_owned()),
        (HeaderName::from_static("x-forwarded-proto"), scheme.to_owned()),
        (header::FORWARDED, format!("for={node};host=\"{host}\";proto={scheme}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing;

    fn rewritten(
        target: &str,
        fields: &[(&'static str, &'static str)],
        to: Option<&str>,
    ) -> RequestHeader {
        let mut head = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        let (identity, routed) = (testing::identity("a.example:81"), testing::routed());
        let asked = (&*routed.rule, &**routed.rule.origin.as_ref().unwrap());
        rewrite_head(&mut head, &identity, asked, to, "edge-1", RequestId::next()).unwrap();
        head
    }

    #[test]
    fn the_origin_learns_who_asked_from_us_alone() {
        let head = rewritten(
            "/a?b",
            &[("x-forwarded-for", "6.6.6.6"), ("x-original-url", "/admin"), ("via", "1.0 x")],
            None,
        );
        let field = |name: &str| {
            let values: Vec<_> =
                head.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
            values.join(" | ")
        };
        assert_eq!(head.uri.to_string(), "/a?b");
        assert_eq!(field("host"), "a.example:81");
        assert_eq!(field("x-forwarded-for"), "192.0.2.7");
        assert_eq!(field("forwarded"), "for=192.0.2.7;host=\"a.example:81\";proto=http");
        assert_eq!(field("x-original-url"), "");
        assert_eq!(field("via"), "1.0 x | 1.1 edge-1");
        assert_eq!(field("cdn-loop"), "edge-1");
    }

    #[test]
    fn rewriting_changes_the_target_alone() {
        assert_eq!(rewritten("/a?b", &[], Some("/c?b")).uri.to_string(), "/c?b");
        assert_eq!(rewritten("http://a.example:81/x?y", &[], None).uri.to_string(), "/x?y");
    }

    #[test]
    fn only_a_websocket_is_an_upgrade() {
        let check = |fields: &[(&'static str, &'static str)], expected: bool| {
            assert_eq!(is_upgrade(&Method::GET, &testing::fields(fields)), expected, "{fields:?}");
        };
        check(&[("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")], true);
        check(&[("upgrade", "websocket")], false);
        check(&[("upgrade", "h2c"), ("connection", "upgrade")], false);
        check(&[("connection", "upgrade")], false);
    }

    #[test]
    fn lookalikes_of_untrusted_fields_are_taken_out() {
        let head = rewritten(
            "/",
            &[
                ("x_forwarded_for", "6.6.6.6"),
                ("longshore_device", "bot"),
                ("my_field", "stays"),
                ("client_cert", ":Zm9yZ2Vk:"),
                ("client-cert", ":c2hvd24=:"),
            ],
            None,
        );
        assert!(
            !head.headers.contains_key("x_forwarded_for") && head.headers.contains_key("my_field")
        );
        assert!(!head.headers.contains_key("longshore_device"));
        assert!(!head.headers.contains_key("client_cert"));
        assert!(head.headers.contains_key("client-cert"), "it is ours");
    }

    #[test]
    fn connections_of_different_trust_are_apart() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let group = |written: serde_json::Value| {
            let routed = testing::routed_to(&written);
            let origin = routed.rule.origin.as_ref().unwrap();
            let own = peer(origin, address, Shown::default(), None);
            assert_eq!(
                own.group_key,
                peer(origin, address, Shown::default(), None).group_key,
                "the same rules"
            );
            let options = &own.options;
            assert!(options.read_timeout.is_some() && options.total_connection_timeout.is_some());
            own.group_key
        };
        let pin = "0".repeat(64);
        let groups = [
            group(serde_json::json!({"url": "http://a.example"})),
            group(serde_json::json!({"url": "http://a.example", "protocol": "http2"})),
            group(serde_json::json!({"url": "https://a.example"})),
            group(serde_json::json!({"url": "https://a.example", "protocol": "http2"})),
            group(serde_json::json!({"url": "https://a.example", "protocol": "auto"})),
            group(serde_json::json!({"url": "https://a.example", "tls": {"verify": false}})),
            group(serde_json::json!({"url": "https://a.example", "tls": {"pins": [pin]}})),
        ];
        let apart: std::collections::HashSet<u64> = groups.into_iter().collect();
        assert_eq!(apart.len(), groups.len());
    }

    #[test]
    fn a_websocket_has_a_connection_of_its_own() {
        let routed = testing::routed_to(&serde_json::json!({"url": "http://a.example"}));
        let origin = routed.rule.origin.as_ref().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let agreement = || Arc::new(Agreement::new(origin.read_timeout, Duration::from_secs(1)));
        let (one, other) = (agreement(), agreement());
        let own = peer(origin, address, Shown::default(), Some(&one));
        assert_ne!(own.group_key, peer(origin, address, Shown::default(), None).group_key);
        assert_ne!(own.group_key, peer(origin, address, Shown::default(), Some(&other)).group_key);
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_told_apart() {
        let check = |text: &str, expected: Option<&str>| {
            let kind = pingora_error::ErrorType::TLSHandshakeFailure;
            let error = Error::explain(kind, format!("TLS connect() failed: {text}, SNI: a"));
            assert_eq!(certificate_problem(&error), expected, "{text}");
        };
        let of =
            |error: rustls::CertificateError| rustls::Error::InvalidCertificate(error).to_string();
        check(&of(rustls::CertificateError::Expired), Some("expired"));
        check(&of(rustls::CertificateError::NotValidYet), Some("not_yet_valid"));
        check(&of(rustls::CertificateError::NotValidForName), Some("wrong_name"));
        check(&of(rustls::CertificateError::UnknownIssuer), Some("unknown_authority"));
        check(&of(rustls::CertificateError::BadEncoding), Some("other"));
        check("connection reset", None);
    }
}
