//! How clients learn that HTTP/3 is spoken here: Alt-Svc, RFC 7838.

use crate::config::Http3;
use http::HeaderValue;

/// The field, as it goes out over TLS with every response of HTTP/1.1 and HTTP/2.
#[derive(Debug, Clone)]
pub(crate) struct AltSvc {
    pub(crate) value: HeaderValue,
    /// The whole line of HTTP/1.1.
    pub(crate) line: Box<str>,
}

impl AltSvc {
    /// For HTTP/3 on `port`, unless it is reached by another one, or nobody is to be told.
    pub(crate) fn new(options: &Http3, port: u16) -> Option<Self> {
        if options.advertise_seconds == 0 {
            return None;
        }
        let port = options.advertise_port.unwrap_or(port);
        let text = format!("h3=\":{port}\"; ma={}", options.advertise_seconds);
        let line = format!("Alt-Svc: {text}\r\n").into_boxed_str();
        Some(Self { value: HeaderValue::try_from(text).ok()?, line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_one_clients_reach() {
        let check = |options: Http3, expected: Option<&str>| {
            let field = AltSvc::new(&options, 8443);
            assert_eq!(field.as_ref().map(|field| field.value.to_str().unwrap()), expected);
            let line = expected.map(|value| format!("Alt-Svc: {value}\r\n"));
            assert_eq!(field.map(|field| field.line.into()), line);
        };
        check(Http3::default(), Some("h3=\":8443\"; ma=86400"));
        let moved = Http3 { advertise_port: Some(443), ..Http3::default() };
        check(moved, Some("h3=\":443\"; ma=86400"));
        check(Http3 { advertise_seconds: 0, ..Http3::default() }, None);
    }
}
