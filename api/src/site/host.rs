//! Hosts a site is served under (RFC 9110 §7.2), normalised once.

use std::fmt;

const HOST_MAX_BYTES: usize = 253;

/// A host as a site names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// One host: a DNS name in lower-case ASCII, an IPv4 address, or an IPv6 address in brackets.
    Exact(String),
    /// Every DNS name that ends in a dot and this name.
    Below(String),
}

/// Why a host is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HostError {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Over the limit of DNS.
    #[error("must be at most {HOST_MAX_BYTES} bytes long")]
    Long,
    /// Not a name or address.
    #[error(
        "must be a host name, an IP address or `*.` and a host name, without a scheme, port or path"
    )]
    Form,
}

impl HostPattern {
    /// Reads `example.com`, `*.example.com`, an IP address. Letter case and Unicode are normalised (UTS 46).
    ///
    /// # Errors
    /// [`HostError`], which says what a host may look like.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        match text.strip_prefix("*.") {
            Some(name) => normalise(name).and_then(|host| match host {
                url::Host::Domain(name) => Ok(Self::Below(name)),
                url::Host::Ipv4(_) | url::Host::Ipv6(_) => Err(HostError::Form),
            }),
            None => normalise(text).map(|host| Self::Exact(host.to_string())),
        }
    }
}

/// Names that no public authority issues for: special-use names (RFC 6761, RFC 6762, RFC 7686, RFC 9476).
const NOT_PUBLIC: [&str; 7] = ["alt", "example", "invalid", "local", "localhost", "onion", "test"];

impl HostPattern {
    /// Why no ACME authority issues a certificate for the host. None where one may.
    #[must_use]
    pub fn unissuable(&self) -> Option<&'static str> {
        let name = match self {
            Self::Exact(name) | Self::Below(name) => name,
        };
        if name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok() {
            return Some("is an address: ACME is for names here, upload a certificate");
        }
        if name.contains('_') {
            return Some("has a `_`, which no certificate may name");
        }
        match name.trim_end_matches('.').rsplit_once('.') {
            None if name == "localhost" => Some(NOT_PUBLIC_DETAIL),
            None => Some("has no dot: no authority issues for such names, upload a certificate"),
            Some((_, last)) if NOT_PUBLIC.contains(&last) => Some(NOT_PUBLIC_DETAIL),
            Some(_) => None,
        }
    }
}

const NOT_PUBLIC_DETAIL: &str =
    "is reserved: no authority issues for such names, use `local` or upload a certificate";

fn normalise(text: &str) -> Result<url::Host, HostError> {
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    let host = url::Host::parse(text).map_err(|_| HostError::Form)?;
    if let url::Host::Domain(name) = &host {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if !name.split('.').all(label) {
            return Err(HostError::Form);
        }
        if name.len() > HOST_MAX_BYTES {
            return Err(HostError::Long);
        }
    }
    Ok(host)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_are_normalised() {
        for (text, expected) in [
            ("Example.COM", "example.com"),
            ("*.Example.com", "*.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(HostPattern::parse(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn authorities_issue_for_public_names() {
        for (text, expected) in [
            ("example.com", true),
            ("*.example.com", true),
            ("a.b.internal", true),
            ("localhost", false),
            ("demo.localhost", false),
            ("*.shop.test", false),
            ("a.example", false),
            ("printer.local", false),
            ("x.onion", false),
            ("intranet", false),
            ("*.com", false),
            ("a_b.example.com", false),
            ("192.0.2.1", false),
            ("[2001:db8::1]", false),
        ] {
            let host = HostPattern::parse(text).unwrap();
            assert_eq!(host.unissuable().is_none(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_stable(text in "\\PC{0,40}") {
            if let Ok(host) = HostPattern::parse(&text) {
                prop_assert_eq!(HostPattern::parse(&host.to_string()), Ok(host));
            }
        }
    }
}
