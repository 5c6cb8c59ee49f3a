//! Who asks, for which host, and has this request been here before?

use crate::stage::fail::Failure;
use http::{HeaderMap, Uri, header};
use route::Host;
use std::net::IpAddr;

/// Field of RFC 8586.
pub(crate) const CDN_LOOP: http::HeaderName = http::HeaderName::from_static("cdn-loop");

/// The target host and the client.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) host: Host,
    pub(crate) client: IpAddr,
    pub(crate) scheme: Scheme,
}

/// How the client reached this edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(crate) const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// That of a target. Listeners put the scheme into the target of every request that came over TLS, and let no client
    /// say another than its connection's; so do requests of our own.
    pub(crate) fn of(target: &Uri) -> Self {
        if target.scheme() == Some(&http::uri::Scheme::HTTPS) { Self::Https } else { Self::Http }
    }

    /// The scheme that is called so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.as_str() == name)
    }
}

/// Decides who asks for what. `pseudonym` names this edge in CDN-Loop.
///
/// Fails with 400 for a Host that is none, and with 508 for a request this edge has forwarded before.
pub(crate) fn decide(
    uri: &Uri,
    fields: &HeaderMap,
    client: IpAddr,
    pseudonym: &str,
) -> Result<Identity, Failure> {
    let authority = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => {
            fields.get(header::HOST).and_then(|host| host.to_str().ok()).ok_or(Failure::Host)?
        }
    };
    let scheme = Scheme::of(uri);
    let host = Host::parse(authority, scheme.default_port()).map_err(|_| Failure::Host)?;
    if loops(fields, pseudonym) {
        return Err(Failure::Loop);
    }
    Ok(Identity { host, client, scheme })
}

/// Whether CDN-Loop names this edge (RFC 8586 §2).
fn loops(fields: &HeaderMap, pseudonym: &str) -> bool {
    let lines = fields.get_all(CDN_LOOP).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).any(|member| {
        let id = member.split(|byte| *byte == b';').next().unwrap_or_default();
        id.trim_ascii().eq_ignore_ascii_case(pseudonym.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, fields: &[(&'static str, &'static str)], expected: Result<&str, Failure>) {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().unwrap());
        }
        let identity = decide(&uri.parse().unwrap(), &map, IpAddr::from([127, 0, 0, 1]), "edge-1");
        assert_eq!(identity.map(|identity| identity.host.to_string()), expected.map(str::to_owned));
    }

    #[test]
    fn the_host_is_the_targets_or_the_fields() {
        check("/", &[("host", "A.example:80")], Ok("a.example"));
        check("http://b.example:81/", &[("host", "b.example:81")], Ok("b.example:81"));
        check("/", &[], Err(Failure::Host));
        check("/", &[("host", "a b")], Err(Failure::Host));
    }

    #[test]
    fn a_request_that_was_here_is_a_loop() {
        check("/", &[("host", "a"), ("cdn-loop", "other; x=1, Edge-1;v=2")], Err(Failure::Loop));
        check(
            "/",
            &[("host", "a"), ("cdn-loop", "other"), ("cdn-loop", "edge-1")],
            Err(Failure::Loop),
        );
        check("/", &[("host", "a"), ("cdn-loop", "edge-10, x-edge-1")], Ok("a"));
    }
}
