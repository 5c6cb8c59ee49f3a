//! Who is asked, and what are they told?

use crate::request_id::RequestId;
use crate::stage::identify::{CDN_LOOP, Identity};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use pingora_core::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora_core::upstreams::peer::{HttpPeer, PeerOptions};
use pingora_http::{RequestHeader, ResponseHeader};
use route::{Origin, Rule};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// By which an origin's log can be held against ours.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Addresses of one origin that are tried for one request.
pub(crate) const TRIES_MAX: usize = 3;
/// How long a WebSocket may be silent, and its origin take to agree to one.
const UPGRADED_IDLE: Duration = Duration::from_mins(10);

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

/// The connection to ask `origin` on, at `address`.
pub(crate) fn peer(origin: &Origin, address: SocketAddr, upgrade: bool) -> HttpPeer {
    let server_name =
        if origin.address.tls { origin.server_name.to_string() } else { String::new() };
    let mut peer = HttpPeer::new(address, origin.address.tls, server_name);
    debug_assert_eq!(peer._address, PingoraAddress::Inet(address));
    let mut options = PeerOptions::new();
    options.connection_timeout = Some(origin.connect_timeout);
    options.total_connection_timeout = Some(origin.connect_timeout);
    options.read_timeout = Some(if upgrade { UPGRADED_IDLE } else { origin.read_timeout });
    options.write_timeout = Some(origin.write_timeout);
    options.idle_timeout = Some(origin.idle_timeout);
    options.verify_cert = origin.verify;
    options.verify_hostname = origin.verify;
    peer.options = options;
    // connections that were trusted by different rules are never shared
    let mut trust = DefaultHasher::new();
    (origin.verify, &origin.server_name, origin.address.tls).hash(&mut trust);
    peer.group_key = trust.finish();
    peer
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
    head.append_header(header::VIA, semantics::fields::via(head.version, pseudonym)?).ok()?;
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
        name.as_str().contains('_') && is_untrusted(&name.as_str().replace('_', "-"))
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

/// The fields that end here. An upgraded connection's are what the client waits for.
pub(crate) fn removed_from_response(response: &ResponseHeader) -> Vec<HeaderName> {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return Vec::new();
    }
    semantics::fields::removed_when_forwarding(&response.headers)
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
            &[("x_forwarded_for", "6.6.6.6"), ("longshore_device", "bot"), ("my_field", "stays")],
            None,
        );
        assert!(
            !head.headers.contains_key("x_forwarded_for") && head.headers.contains_key("my_field")
        );
        assert!(!head.headers.contains_key("longshore_device"));
    }

    #[test]
    fn connections_of_different_trust_are_apart() {
        let routed = testing::routed();
        let origin = routed.rule.origin.as_ref().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let one = peer(origin, address, false);
        assert_eq!(one.group_key, peer(origin, address, true).group_key);
        assert!(
            one.options.read_timeout.is_some() && one.options.total_connection_timeout.is_some()
        );
    }
}
