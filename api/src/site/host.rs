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

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_stable(text in "\\PC{0,40}") {
            if let Ok(host) = HostPattern::parse(&text) {
                prop_assert_eq!(HostPattern::parse(&host.to_string()), Ok(host));
            }
        }
    }
}
