//! The lines of a head, as HTTP/1.1 has them (RFC 9112 §4, §5): first those that clients are sent, then those of fields
//! that end here. One piece of memory, ready to be sent and to be written down; parsed where more is wanted.

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{HeaderName, HeaderValue, StatusCode};
use memchr::{memchr, memchr_iter};
use pingora_http::ResponseHeader;

const VERSION: &[u8] = b"HTTP/1.1 ";
const SEPARATOR: &[u8] = b": ";
const LINE_END: &[u8] = b"\r\n";
/// Fields in a head that was written down; far fewer come from an origin.
const FIELDS_MAX: usize = 4_096;

/// The lines of one head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines {
    /// Invariant: a status line and field lines, at most [`FIELDS_MAX`], each whole, with a valid name and value.
    bytes: Box<[u8]>,
    /// Invariant: the end of a line, the status line or a later one. Clients are sent the lines before.
    sent: u32,
    /// Those of the lines tell it.
    status: StatusCode,
    has_length: bool,
}

impl Lines {
    /// The lines of a header, of which clients are not sent the fields `consumed`. None for a header that is too large.
    pub(super) fn of(header: &ResponseHeader, consumed: &[HeaderName]) -> Option<Self> {
        if header.headers.len() > FIELDS_MAX {
            return None;
        }
        let mut bytes = Vec::with_capacity(1_024);
        let reason = header.status.canonical_reason().unwrap_or_default();
        bytes.extend_from_slice(VERSION);
        bytes.extend_from_slice(format!("{} {reason}\r\n", header.status.as_str()).as_bytes());
        let mut kept = ResponseHeader::build_no_case(header.status, Some(0)).ok()?;
        if consumed.iter().any(|name| header.headers.contains_key(name)) {
            let mut sent = header.clone();
            for name in consumed {
                for value in header.headers.get_all(name) {
                    kept.append_header(name, value.clone()).ok()?;
                }
                sent.remove_header(name);
            }
            sent.header_to_h1_wire(&mut bytes);
        } else {
            header.header_to_h1_wire(&mut bytes);
        }
        let sent = u32::try_from(bytes.len()).ok()?;
        kept.header_to_h1_wire(&mut bytes);
        let has_length = header.headers.contains_key(header::CONTENT_LENGTH);
        Some(Self { bytes: bytes.into(), sent, status: header.status, has_length })
    }

    /// Those that were written down. None for bytes that are none.
    pub(super) fn read(bytes: &[u8], sent: u32) -> Option<Self> {
        let (status_line, mut rest) = next_line(bytes)?;
        let status = status_of(status_line)?;
        let behind_sent = bytes.len().checked_sub(usize::try_from(sent).ok()?)?;
        let (mut has_length, mut is_line_end, mut count) = (false, rest.len() == behind_sent, 0);
        while let Some((line, after)) = next_line(rest) {
            let (name, value) = field_of(line)?;
            if !is_name(name) || !is_text(value) {
                return None;
            }
            has_length |= is(name, &header::CONTENT_LENGTH);
            is_line_end |= after.len() == behind_sent;
            count += 1;
            rest = after;
        }
        let is_whole = rest.is_empty() && is_line_end && count <= FIELDS_MAX;
        is_whole.then(|| Self { bytes: bytes.into(), sent, status, has_length })
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether a field says how long the body is.
    pub(super) const fn have_length(&self) -> bool {
        self.has_length
    }

    pub(super) fn are_all_sent(&self) -> bool {
        self.sent().len() == self.bytes.len()
    }

    /// All, those that clients are not sent at the end.
    pub(super) fn all(&self) -> (&[u8], u32) {
        (&self.bytes, self.sent)
    }

    /// The status line, and the field lines that clients are sent.
    pub(super) fn sent(&self) -> &[u8] {
        let end = usize::try_from(self.sent).unwrap_or(usize::MAX);
        self.bytes.get(..end).unwrap_or(&self.bytes)
    }

    /// All fields.
    pub(super) fn fields(&self) -> HeaderMap {
        fields_of(&self.bytes)
    }

    /// The fields that clients are sent.
    pub(super) fn sent_fields(&self) -> HeaderMap {
        fields_of(self.sent())
    }

    /// The values of the fields of these names.
    pub(super) fn values<'l>(&'l self, names: &'l [HeaderName]) -> impl Iterator<Item = &'l [u8]> {
        let is_wanted = |name: &[u8]| names.iter().any(|wanted| is(name, wanted));
        field_lines(&self.bytes).filter(move |(name, _)| is_wanted(name)).map(|(_, value)| value)
    }

    /// The fields of these names.
    pub(super) fn some(&self, names: &[HeaderName]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in field_lines(&self.bytes) {
            let name = names.iter().find(|wanted| is(name, wanted));
            if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                fields.append(name, value);
            }
        }
        fields
    }
}

/// The fields of some lines.
fn fields_of(lines: &[u8]) -> HeaderMap {
    // one copy that all values are parts of
    let bytes = Bytes::copy_from_slice(lines);
    // room for what an answer adds
    let mut fields = HeaderMap::with_capacity(memchr_iter(b'\n', &bytes).count() + 2);
    for (name, value) in field_lines(&bytes) {
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(value));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            fields.append(name, value);
        }
    }
    fields
}

/// Whether `name` is that of the field `field`, in any case.
fn is(name: &[u8], field: &HeaderName) -> bool {
    name.eq_ignore_ascii_case(field.as_str().as_bytes())
}

/// The field lines, by name and value.
fn field_lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = next_line(bytes).map_or(&[][..], |(_, after)| after);
    std::iter::from_fn(move || {
        let (line, after) = next_line(rest)?;
        rest = after;
        field_of(line)
    })
}

/// The next line, without its end, and what comes behind it.
fn next_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, after) = bytes.split_at_checked(memchr(b'\n', bytes)? + 1)?;
    Some((line.strip_suffix(LINE_END)?, after))
}

fn field_of(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = line.split_at_checked(memchr(b':', line)?)?;
    Some((name, rest.strip_prefix(SEPARATOR)?))
}

fn status_of(line: &[u8]) -> Option<StatusCode> {
    let (code, reason) = line.strip_prefix(VERSION)?.split_at_checked(3)?;
    let status = StatusCode::from_bytes(code).ok()?;
    (reason.strip_prefix(b" ").is_some_and(is_text)).then_some(status)
}

/// Whether these bytes are a token (RFC 9110 §5.6.2) of a length that `http` takes.
fn is_name(name: &[u8]) -> bool {
    let is_mark = |byte| b"!#$%&'*+-.^_`|~".contains(byte);
    (1..1 << 15).contains(&name.len())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

/// Whether these bytes may be a field's value, as `http` sees it.
fn is_text(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}
