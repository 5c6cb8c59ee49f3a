//! Where a site's content comes from.

use super::check_name;
use super::headers::check_header_value;
use super::host::HostPattern;
use super::is_default;
use super::tls::check_pem;
use crate::check::{Check, Problems};
use crate::id::CertificateId;
use serde::{Deserialize, Serialize};

const TIMEOUT_MAX_SECONDS: u64 = 3_600;
const PINS_MAX: u64 = 10;

/// A server that answers for a site's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Origin {
    /// What rules call it; unique in the site. Same form as a site's name. Required.
    pub name: String,
    /// `http://host:port` or `https://host:port`, without a path. `https` speaks TLS to the origin. Required.
    pub url: String,
    /// The Host field sent to the origin. Without, it is the one the client sent.
    pub host_header: Option<String>,
    /// Whether it is another edge of this installation, which asks the next origin of the list that is none.
    #[serde(skip_serializing_if = "is_false")]
    pub shield: bool,
    /// How an `https` origin is trusted.
    pub tls: OriginTls,
    /// The version of HTTP it is spoken to in.
    #[serde(skip_serializing_if = "is_default")]
    pub protocol: OriginProtocol,
    /// Seconds until a connection must stand, TLS included. 1 to 3600.
    pub connect_timeout_seconds: u32,
    /// Seconds between two reads of a response, and until its first byte. 1 to 3600.
    pub read_timeout_seconds: u32,
    /// Seconds between two writes of a request that the origin accepts. 1 to 3600.
    pub write_timeout_seconds: u32,
    /// Seconds an unused connection is kept open. 1 to 3600.
    pub idle_timeout_seconds: u32,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            host_header: None,
            shield: false,
            tls: OriginTls::default(),
            protocol: OriginProtocol::default(),
            connect_timeout_seconds: 5,
            read_timeout_seconds: 60,
            write_timeout_seconds: 60,
            idle_timeout_seconds: 60,
        }
    }
}

/// The version of HTTP that an origin is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OriginProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, many requests on a connection: gRPC needs it. Without TLS, the origin must know it (RFC 9113 §3.3).
    Http2,
    /// HTTP/2 where the origin's TLS offers it, HTTP/1.1 where not. Needs an `https` URL.
    Auto,
}

/// How an origin's certificate is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OriginTls {
    /// Whether the certificate must be valid, for the name asked for, and from a known authority.
    pub verify: bool,
    /// The name asked for (SNI) and verified. Without, it is the host of the origin's URL.
    pub server_name: Option<String>,
    /// Certificates in PEM of the authorities the origin's must be from, at most 65,536 bytes. Without, those the system
    /// trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// SHA-256 digests of certificates in hexadecimal, at most 10: the origin's must be one of these. Without, any that is
    /// trusted will do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<String>,
    /// The uploaded certificate that the origin is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<CertificateId>,
}

impl Default for OriginTls {
    fn default() -> Self {
        Self {
            verify: true,
            server_name: None,
            ca: None,
            pins: Vec::new(),
            client_certificate: None,
        }
    }
}

/// An origin's URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginAddress {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// A DNS name in lower case, or an IP address without brackets.
    pub host: String,
    /// The TCP port; 80 or 443 where the URL has none.
    pub port: u16,
}

impl OriginAddress {
    /// Takes an origin's URL apart. Nothing but scheme, host and port may be in it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = url::Url::parse(text).ok()?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        let host = match url.host()? {
            url::Host::Ipv6(address) => address.to_string(),
            url::Host::Ipv4(address) => address.to_string(),
            url::Host::Domain(name) => name.to_owned(),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0)?;
        (bare && anonymous).then_some(Self { tls, host, port })
    }
}

impl Check for Origin {
    fn check(&self, problems: &mut Problems) {
        problems.at("name", |problems| check_name(&self.name, problems));
        problems.at("url", |problems| {
            if OriginAddress::parse(&self.url).is_none() {
                let detail = "must be `http://` or `https://`, a host and a port from 1 to 65535, without a path or user";
                problems.add(detail, Some(&self.url));
            }
        });
        if let Some(host) = &self.host_header {
            problems.at("host_header", |problems| check_host_header(host, problems));
        }
        problems.at("tls", |problems| self.tls.check_trust(problems));
        let is_plain = OriginAddress::parse(&self.url).is_some_and(|address| !address.tls);
        if is_plain && self.tls.identifies() {
            let detail = "needs an `https` URL: without TLS, nobody shows a certificate";
            problems.at("tls", |problems| problems.add(detail, Some(&self.url)));
        }
        problems.at("protocol", |problems| {
            if self.protocol == OriginProtocol::Auto && is_plain {
                problems.add("`auto` needs an `https` URL: it is TLS that tells", Some(&"auto"));
            }
        });
        if let Some(name) = &self.tls.server_name {
            problems.at("tls.server_name", |problems| match HostPattern::parse(name) {
                Ok(HostPattern::Exact(_)) => {}
                Ok(HostPattern::Below(_)) => {
                    problems.add("must be one host, not a wildcard", Some(name));
                }
                Err(error) => problems.add(error.to_string(), Some(name)),
            });
        }
        for (field, seconds) in [
            ("connect_timeout_seconds", self.connect_timeout_seconds),
            ("read_timeout_seconds", self.read_timeout_seconds),
            ("write_timeout_seconds", self.write_timeout_seconds),
            ("idle_timeout_seconds", self.idle_timeout_seconds),
        ] {
            problems.at(field, |problems| {
                problems.within(seconds.into(), 1..=TIMEOUT_MAX_SECONDS, "seconds");
            });
        }
    }
}

impl OriginTls {
    /// Whether more is asked of the origin, or told to it, than without TLS can be.
    const fn identifies(&self) -> bool {
        self.ca.is_some() || !self.pins.is_empty() || self.client_certificate.is_some()
    }

    fn check_trust(&self, problems: &mut Problems) {
        if let Some(ca) = &self.ca {
            problems.at("ca", |problems| check_pem(ca, problems));
        }
        if self.ca.is_some() && !self.verify {
            let detail = "is used where `verify` is true only";
            problems.at("ca", |problems| problems.add(detail, None));
        }
        problems.at("pins", |problems| {
            problems.within(self.pins.len() as u64, 0..=PINS_MAX, "pins");
        });
        problems.each("pins", &self.pins, |problems, pin| {
            if pin.len() != 64 || !pin.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                problems.add("must be 64 hexadecimal digits", Some(pin));
            }
        });
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A Host field: a host, and a port if it needs one.
fn check_host_header(host: &str, problems: &mut Problems) {
    check_header_value(host, problems);
    let with_port = url::Url::parse(&format!("http://{host}/"));
    let plain = with_port
        .is_ok_and(|url| url.path() == "/" && url.username().is_empty() && url.query().is_none());
    if !plain || host.contains(['/', '@', '?', '#', '*']) {
        problems.add("must be a host, with a port where needed", Some(&host));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_urls_are_scheme_host_and_port() {
        let check = |text: &str, expected: Option<(bool, &str, u16)>| {
            let found = OriginAddress::parse(text);
            let found =
                found.as_ref().map(|address| (address.tls, address.host.as_str(), address.port));
            assert_eq!(found, expected, "{text}");
        };
        check("http://127.0.0.1:9000", Some((false, "127.0.0.1", 9000)));
        check("https://Origin.example", Some((true, "origin.example", 443)));
        check("http://[::1]:8080/", Some((false, "::1", 8080)));
        for wrong in [
            "",
            "origin:80",
            "ftp://a",
            "http://a/path",
            "http://a?b",
            "http://u:p@a",
            "http://a:0",
            "http://a:99999",
        ] {
            check(wrong, None);
        }
    }
}
