//! May these bytes be a request's head? RFC 9112, read strictly, before any other parser sees a byte.
//!
//! What two parsers could read in two ways is refused: bare line feeds, folded lines, a space before a colon, two
//! lengths, a length beside a transfer coding, a missing or second Host, bytes that no request line has.

use super::Refusal;
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
    /// What follows that belongs to this request.
    pub(crate) body: Body,
    /// Whether the client asks for another protocol on this connection (RFC 9110 §7.8).
    pub(crate) upgrades: bool,
    /// The target, counted from the first byte of the request line.
    target: Place,
    /// The value of Host, counted likewise; none in HTTP/1.0.
    host: Option<Place>,
    /// For a GET that any stored response may answer as it is.
    pub(crate) plain: Option<Plain>,
}

/// How a request's body is framed (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    /// Of so many bytes.
    Length(u64),
    Chunked,
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
    /// Whether nothing follows that belongs to this request: no body, no upgrade.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self.body, Body::None | Body::Length(0)) && !self.upgrades
    }

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

/// Methods that are read: those of the IANA registry, those by which devices find each other and tell of events, and PURGE.
/// What else looks like a method is mostly the rest of a body that its client and we don't agree about.
const METHODS: [&[u8]; 44] = [
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"CONNECT",
    b"TRACE",
    b"QUERY",
    b"PURGE",
    b"ACL",
    b"BASELINE-CONTROL",
    b"BIND",
    b"CHECKIN",
    b"CHECKOUT",
    b"COPY",
    b"LABEL",
    b"LINK",
    b"LOCK",
    b"MERGE",
    b"MKACTIVITY",
    b"MKCALENDAR",
    b"MKCOL",
    b"MKREDIRECTREF",
    b"MKWORKSPACE",
    b"MOVE",
    b"M-SEARCH",
    b"NOTIFY",
    b"ORDERPATCH",
    b"PRI",
    b"PROPFIND",
    b"PROPPATCH",
    b"REBIND",
    b"REPORT",
    b"SEARCH",
    b"SUBSCRIBE",
    b"UNBIND",
    b"UNCHECKOUT",
    b"UNLINK",
    b"UNLOCK",
    b"UNSUBSCRIBE",
    b"UPDATE",
    b"UPDATEREDIRECTREF",
    b"VERSION-CONTROL",
];

/// Whether a method is one of those that are read.
pub(crate) fn is_method(method: &[u8]) -> bool {
    method == b"GET" || METHODS.contains(&method)
}

/// What is known of a head while its lines are read.
#[derive(Default)]
struct Facts<'b> {
    old: bool,
    target: &'b [u8],
    host: Option<&'b [u8]>,
    length: Option<u64>,
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
    let (body, upgrades) = facts.finish()?;
    let length = whole.len() - rest.len();
    let head = Head { length, skipped, body, upgrades, target, host, plain };
    Ok(Some(Head { plain: plain.filter(|_| head.is_alone()), ..head }))
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
        let is_token = !method.is_empty() && method.iter().all(|byte| is_token(*byte));
        if !is_token
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
        if !is_method(method) {
            return Err(Refusal::Method);
        }
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
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.special |= is_special(name, value);
                check_options(value)
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
        let text = std::str::from_utf8(value).ok().filter(|_| right).ok_or(Refusal::Length)?;
        // what doesn't fit 63 bits is negative to some
        let length = text.parse().ok().filter(|length| i64::try_from(*length).is_ok());
        let length = length.ok_or(Refusal::Length)?;
        if self.length.replace(length).is_some() { Err(Refusal::Length) } else { Ok(()) }
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

    /// What only the whole head tells: how the body is framed, and whether another protocol is asked for.
    fn finish(self) -> Result<(Body, bool), Refusal> {
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
        let body = match (self.coded, self.length) {
            (true, _) => Body::Chunked,
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::None,
        };
        Ok((body, self.upgrade))
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

/// Refuses a Connection field that has what frames or routes the message end with the connection (RFC 9110 §7.6.1): who
/// removes these fields, as he is told to, reads another message than who doesn't.
fn check_options(value: &[u8]) -> Result<(), Refusal> {
    for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if option.eq_ignore_ascii_case(b"content-length")
            || option.eq_ignore_ascii_case(b"transfer-encoding")
        {
            return Err(Refusal::Length);
        }
        if option.eq_ignore_ascii_case(b"host") {
            return Err(Refusal::Host);
        }
    }
    Ok(())
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
pub(super) const fn is_token(byte: u8) -> bool {
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
mod tests;
