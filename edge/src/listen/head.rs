//! May these bytes be a request's head? RFC 9112, read strictly, before any other parser sees a byte.
//!
//! What two parsers could read in two ways is refused: bare line feeds, folded lines, a space before a colon, two
//! lengths, a length beside a transfer coding, a missing or second Host, bytes that no request line has.

use crate::stage::identify::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;
use std::ops::Range;

/// Fields in one head.
pub(crate) const FIELDS_MAX: usize = 100;

/// A head that may be processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes from the first of the request line up to the end of the empty line.
    pub(crate) length: usize,
    /// Empty lines before the request line (RFC 9112 §2.2), in bytes.
    pub(crate) skipped: usize,
    /// Whether nothing follows that belongs to this request: no body, no upgrade.
    pub(crate) alone: bool,
    /// The target, counted from the first byte of the request line.
    target: Place,
    /// The value of Host, counted likewise; none in HTTP/1.0.
    host: Option<Place>,
    /// For a GET that any stored response may answer as it is.
    pub(crate) plain: Option<Plain>,
}

/// Where the parts of a plain request lie, counted from the first byte of its request line. Plain is a GET in origin
/// form that says nothing of caching, conditions, ranges, connections or loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plain {
    target: Place,
    host: Place,
    user_agent: Place,
    referer: Place,
}

/// A part of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: usize,
    end: usize,
}

impl Place {
    /// Where `part`, a slice of `whole`, lies in it.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
        Self { start, end: start + part.len() }
    }

    fn text(self, head: &[u8]) -> &str {
        let bytes = head.get(Range { start: self.start, end: self.end }).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Head {
    /// Whether a client may say the scheme it says, if it says one, on a connection of `scheme` (RFC 9110 §7.4). `head` is
    /// the bytes of this head.
    pub(crate) fn is_of(&self, scheme: Scheme, head: &[u8]) -> bool {
        let said = self.target.text(head).split_once("://").map(|(said, _)| said);
        // a target in origin form may hold `://` as well
        let said = said.filter(|said| !said.starts_with('/'));
        said.is_none_or(|said| said.eq_ignore_ascii_case(scheme.as_str()))
    }

    /// What goes before a target in origin form to make it one in absolute form, and where in the head. None for other
    /// targets, and for a Host that is none.
    pub(crate) fn absolute(&self, scheme: Scheme, head: &[u8]) -> Option<(usize, String)> {
        let host = self.host?.text(head);
        let is_origin_form = self.target.text(head).starts_with('/');
        let is_host = host.parse::<http::uri::Authority>().is_ok() && !host.contains('@');
        (is_origin_form && is_host)
            .then(|| (self.target.start, format!("{}://{host}", scheme.as_str())))
    }
}

impl Plain {
    /// The target: path and query.
    pub(crate) fn target(self, head: &[u8]) -> &str {
        self.target.text(head)
    }

    pub(crate) fn host(self, head: &[u8]) -> &str {
        self.host.text(head)
    }

    pub(crate) fn user_agent(self, head: &[u8]) -> &str {
        self.user_agent.text(head)
    }

    pub(crate) fn referer(self, head: &[u8]) -> &str {
        self.referer.text(head)
    }
}

/// Why a head is refused; displayed as the reason for logs and the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the head is larger than the limit, or has more than {FIELDS_MAX} fields")]
    TooLarge,
    #[error("the head did not arrive in time")]
    TooSlow,
    #[error("a line ends without carriage return, or holds one inside")]
    LineEnd,
    #[error("the request line is not `method target HTTP/1.x`")]
    RequestLine,
    #[error("the protocol is not HTTP/1.0 or HTTP/1.1")]
    Version,
    #[error("a field line is not `name: value`")]
    FieldLine,
    #[error("the message's length is given twice or wrongly")]
    Length,
    #[error("the Host field is missing, given twice, or not the target's")]
    Host,
    #[error("the target's scheme is not the connection's")]
    Scheme,
    #[error("this address is for HTTPS, and what came is HTTP without TLS")]
    Cleartext,
    #[error("a pseudo-header field is missing, or not what it can be")]
    PseudoField,
    #[error("a field is about a connection of HTTP/1.1")]
    ConnectionField,
    #[error("this may be a request that was sent before; it can be sent again after the handshake")]
    TooEarly,
    #[error("nothing is connected to here")]
    Connect,
}

impl Refusal {
    /// The status of the answer, and a word for metrics.
    pub(crate) const fn reply(self) -> (u16, &'static str) {
        match self {
            Self::TooLarge => (431, "too_large"),
            Self::TooSlow => (408, "too_slow"),
            Self::LineEnd => (400, "line_end"),
            Self::RequestLine => (400, "request_line"),
            Self::Version => (505, "version"),
            Self::FieldLine => (400, "field_line"),
            Self::Length => (400, "length"),
            Self::Host => (400, "host"),
            Self::Scheme => (421, "scheme"),
            Self::Cleartext => (400, "cleartext"),
            Self::PseudoField => (400, "pseudo_field"),
            Self::ConnectionField => (400, "connection_field"),
            Self::TooEarly => (425, "too_early"),
            Self::Connect => (501, "connect"),
        }
    }

    /// Whether a request of HTTP/2 or HTTP/3 is malformed by that, so that its stream is reset and not answered (RFC 9113
    /// §8.1.1).
    pub(crate) const fn is_malformed(self) -> bool {
        !matches!(
            self,
            Self::TooLarge | Self::TooSlow | Self::Scheme | Self::TooEarly | Self::Connect
        )
    }

    /// Every reason, for metrics.
    pub(crate) const ALL: [Self; 14] = [
        Self::TooLarge,
        Self::TooSlow,
        Self::LineEnd,
        Self::RequestLine,
        Self::Version,
        Self::FieldLine,
        Self::Length,
        Self::Host,
        Self::Scheme,
        Self::Cleartext,
        Self::PseudoField,
        Self::ConnectionField,
        Self::TooEarly,
        Self::Connect,
    ];
}

/// What is known of a head while its lines are read.
#[derive(Default)]
struct Facts<'b> {
    old: bool,
    target: &'b [u8],
    host: Option<&'b [u8]>,
    length: Option<&'b [u8]>,
    coded: bool,
    upgrade: bool,
    fields: usize,
    get: bool,
    /// A field that decides whether, or how, a stored response may answer.
    special: bool,
    user_agent: &'b [u8],
    referer: &'b [u8],
}

/// Reads a head from the beginning of `bytes`; none when its end has not arrived. A wrong line is refused when it is
/// whole, without waiting for the rest.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
    let mut rest = bytes;
    let mut skipped = 0;
    while let Some(after) = rest.strip_prefix(b"\r\n").filter(|_| skipped < 4) {
        skipped += 2;
        rest = after;
    }
    let Some((line, mut rest)) = next_line(rest)? else { return Ok(None) };
    let mut facts = Facts::default();
    facts.read_request_line(line)?;
    loop {
        let Some((line, after)) = next_line(rest)? else { return Ok(None) };
        rest = after;
        if line.is_empty() {
            break;
        }
        facts.read_field_line(line)?;
    }
    let whole = bytes.get(skipped..).unwrap_or_default();
    let plain = facts.plain(whole);
    let target = Place::of(facts.target, whole);
    let host = facts.host.map(|host| Place::of(host, whole));
    let alone = facts.finish()?;
    Ok(Some(Head {
        length: whole.len() - rest.len(),
        skipped,
        alone,
        target,
        host,
        plain: plain.filter(|_| alone),
    }))
}

/// A line without its end, and what comes after.
type Line<'b> = (&'b [u8], &'b [u8]);

/// The next line; none when its end has not arrived.
fn next_line(bytes: &[u8]) -> Result<Option<Line<'_>>, Refusal> {
    let Some(end) = memchr(b'\n', bytes) else { return Ok(None) };
    let (line, after) = bytes.split_at(end);
    let line = line.strip_suffix(b"\r").ok_or(Refusal::LineEnd)?;
    if memchr(b'\r', line).is_some() {
        return Err(Refusal::LineEnd);
    }
    Ok(Some((line, after.get(1..).unwrap_or_default())))
}

impl<'b> Facts<'b> {
    fn read_request_line(&mut self, line: &'b [u8]) -> Result<(), Refusal> {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Refusal::RequestLine);
        };
        self.old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ if version.starts_with(b"HTTP/") => return Err(Refusal::Version),
            _ => return Err(Refusal::RequestLine),
        };
        let right = !method.is_empty() && method.iter().all(|byte| is_token(*byte));
        if !right
            || target.is_empty()
            || !target.iter().all(u8::is_ascii_graphic)
            || target.contains(&b'#')
        {
            return Err(Refusal::RequestLine);
        }
        let asterisk = target == b"*" && method == b"OPTIONS";
        if target.first() != Some(&b'/') && !asterisk && absolute_authority(target).is_none() {
            return Err(Refusal::RequestLine);
        }
        self.get = method == b"GET";
        self.target = target;
        Ok(())
    }

    fn read_field_line(&mut self, line: &'b [u8]) -> Result<(), Refusal> {
        self.fields += 1;
        if self.fields > FIELDS_MAX {
            return Err(Refusal::TooLarge);
        }
        let colon = memchr(b':', line).ok_or(Refusal::FieldLine)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let right = !name.is_empty() && name.iter().all(|byte| is_token(*byte));
        if !right || value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            return Err(Refusal::FieldLine);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.read_host(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade = true;
                Ok(())
            }
            7 if name.eq_ignore_ascii_case(b"referer") => {
                self.referer = value;
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"user-agent") => {
                self.user_agent = value;
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.read_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.read_coding(value),
            _ => {
                self.special |= is_special(name, value);
                Ok(())
            }
        }
    }

    fn read_host(&mut self, value: &'b [u8]) -> Result<(), Refusal> {
        if self.host.replace(value).is_some() { Err(Refusal::Host) } else { Ok(()) }
    }

    fn read_length(&mut self, value: &'b [u8]) -> Result<(), Refusal> {
        let right = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if !right || self.length.replace(value).is_some() { Err(Refusal::Length) } else { Ok(()) }
    }

    fn read_coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let again = std::mem::replace(&mut self.coded, true);
        if again || !value.eq_ignore_ascii_case(b"chunked") { Err(Refusal::Length) } else { Ok(()) }
    }

    fn plain(&self, whole: &[u8]) -> Option<Plain> {
        let host = self.host.filter(|_| self.get && !self.special && !self.old)?;
        let place = |part| Place::of(part, whole);
        (self.target.first() == Some(&b'/')).then(|| Plain {
            target: place(self.target),
            host: place(host),
            user_agent: place(self.user_agent),
            referer: place(self.referer),
        })
    }

    /// What only the whole head tells. True when the request has no body and is no upgrade.
    fn finish(self) -> Result<bool, Refusal> {
        if self.coded && (self.length.is_some() || self.old) {
            return Err(Refusal::Length);
        }
        if self.host.is_none() && !self.old {
            return Err(Refusal::Host);
        }
        if let (Some(authority), Some(host)) = (absolute_authority(self.target), self.host)
            && !authority.eq_ignore_ascii_case(host)
        {
            return Err(Refusal::Host);
        }
        let empty = self.length.is_none_or(|length| length.iter().all(|digit| *digit == b'0'));
        Ok(empty && !self.coded && !self.upgrade)
    }
}

/// The fields of a head that [`read`] has passed.
pub(crate) fn fields(head: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(16);
    let mut rest = next_line(head).ok().flatten().map_or(head, |(_, after)| after);
    while let Ok(Some((line, after))) = next_line(rest) {
        rest = after;
        let Some(colon) = memchr(b':', line) else { break };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            fields.append(name, value);
        }
    }
    fields
}

/// Whether a field decides about stored responses (RFC 9111 §5.2.1, RFC 9110 §13.1, §14.2), the connection, or loops.
pub(crate) fn is_special(name: &[u8], value: &[u8]) -> bool {
    const NAMES: [&[u8]; 15] = [
        b"te",
        b"range",
        b"expect",
        b"pragma",
        b"if-range",
        b"if-match",
        b"cdn-loop",
        b"longshore-applied",
        b"keep-alive",
        b"cache-control",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"proxy-authorization",
        b"proxy-connection",
    ];
    if name.eq_ignore_ascii_case(b"connection") {
        return !value.eq_ignore_ascii_case(b"keep-alive");
    }
    NAMES.iter().any(|special| name.eq_ignore_ascii_case(special))
}

/// The authority of a target in absolute form with a scheme we serve.
fn absolute_authority(target: &[u8]) -> Option<&[u8]> {
    let scheme_end = target.windows(3).position(|window| window == b"://")?;
    let (scheme, rest) = target.split_at(scheme_end);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.get(3..)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    rest.get(..end).filter(|authority| !authority.is_empty() && !authority.contains(&b'@'))
}

/// `tchar` of RFC 9110 §5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(head: &str, expected: Result<Option<bool>, Refusal>) {
        let found = read(head.as_bytes()).map(|head| head.map(|head| head.alone));
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
        check(
            &with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            Err(Refusal::Length),
        );
        for value in ["+3", "-1", "0x3", "3, 3", "", "99999999999999999999"] {
            check(&with(&format!("Content-Length: {value}")), Err(Refusal::Length));
        }
        for value in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", ""] {
            check(&with(&format!("Transfer-Encoding: {value}")), Err(Refusal::Length));
        }
        check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Refusal::Length));
    }

    #[test]
    fn only_a_get_that_asks_for_nothing_special_is_plain() {
        let plain = |request_line: &str, fields: &str| {
            let head =
                format!("{request_line}\r\nHost: a.example\r\nUser-Agent: b\r\n{fields}\r\n");
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
        for request_line in [
            "HEAD / HTTP/1.1",
            "GET / HTTP/1.0",
            "POST / HTTP/1.1",
            "GET http://a.example/ HTTP/1.1",
        ] {
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
        let read =
            fields(b"GET / HTTP/1.1\r\nHost: a\r\nAccept:  x, y \r\naccept: z\r\n\r\nX: next");
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
}
