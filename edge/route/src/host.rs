//! The host a request is for (RFC 9110 §7.2), normalised once.

use std::fmt;

const HOST_MAX_BYTES: usize = 255;

/// A normalised authority: lower case, no trailing dot, the scheme's default port left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    /// The authority as it is written in keys and sent to origins.
    authority: Box<str>,
    /// How much of it is the name.
    name_length: usize,
}

/// Why an authority is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostError {
    /// Empty, or over 255 bytes.
    Length,
    /// Characters or a form that no authority has.
    Form,
}

impl Host {
    /// Reads the value of a Host field or an authority; `default_port` is the scheme's.
    ///
    /// # Errors
    /// [`HostError`] when it isn't `name`, `name:port`, `[address]` or `[address]:port`.
    pub fn parse(authority: &str, default_port: u16) -> Result<Self, HostError> {
        if authority.is_empty() || authority.len() > HOST_MAX_BYTES {
            return Err(HostError::Length);
        }
        let (name, port) = split(authority).ok_or(HostError::Form)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        let in_brackets = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let right = match in_brackets {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(name),
        };
        if !right {
            return Err(HostError::Form);
        }
        let mut authority = name.to_ascii_lowercase();
        if !port.is_empty() {
            let port: u16 = port.parse().map_err(|_| HostError::Form)?;
            if port != default_port {
                authority = format!("{authority}:{port}");
            }
        }
        Ok(Self { authority: authority.into(), name_length: name.len() })
    }

    /// The host without a port: what sites are found by.
    #[must_use]
    pub fn name(&self) -> &str {
        self.authority.get(..self.name_length).unwrap_or_default()
    }

    /// The host, and the port unless it is the scheme's default.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

/// The name, and the digits of the port, which are empty where there is none.
fn split(authority: &str) -> Option<(&str, &str)> {
    if authority.starts_with('[') {
        let (address, rest) = authority.split_once(']')?;
        let name = authority.get(..=address.len())?;
        return match rest.strip_prefix(':') {
            Some(port) => digits(port).map(|port| (name, port)),
            None => rest.is_empty().then_some((name, "")),
        };
    }
    match authority.split_once(':') {
        Some((name, port)) => digits(port).map(|port| (name, port)),
        None => Some((authority, "")),
    }
}

/// A port's digits; `host:` without any means the default (RFC 3986 §3.2.3).
fn digits(port: &str) -> Option<&str> {
    (port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(port)
}

fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.split('.').all(label)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(authority: &str, expected: Result<(&str, &str), HostError>) {
        let host = Host::parse(authority, 80);
        let found =
            host.as_ref().map(|host| (host.name(), host.authority())).map_err(|error| *error);
        assert_eq!(found, expected, "{authority}");
    }

    #[test]
    fn hosts_are_normalised() {
        check("Example.COM", Ok(("example.com", "example.com")));
        check("example.com:80", Ok(("example.com", "example.com")));
        check("example.com:", Ok(("example.com", "example.com")));
        check("example.com.:8080", Ok(("example.com", "example.com:8080")));
        check("127.0.0.1:81", Ok(("127.0.0.1", "127.0.0.1:81")));
        check("[::1]", Ok(("[::1]", "[::1]")));
        check("[::1]:443", Ok(("[::1]", "[::1]:443")));
        for wrong in [
            "a b",
            "a/b",
            "user@a",
            "a:b",
            "a:123456",
            "a:70000",
            "[::1",
            "[x]",
            "[::1]x",
            "a..b",
            ".",
            "é.example",
            "a,b",
        ] {
            check(wrong, Err(HostError::Form));
        }
        check("", Err(HostError::Length));
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "[a-zA-Z0-9.:\\[\\]-]{1,30}") {
            if let Ok(host) = Host::parse(&text, 80) {
                prop_assert_eq!(Host::parse(host.authority(), 80), Ok(host));
            }
        }
    }
}
