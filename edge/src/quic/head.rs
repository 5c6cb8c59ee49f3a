//! Which request is a field section? RFC 9114 §4.2–4.3: pseudo-header fields, their order and their number, and names.
//!
//! What HTTP/2 and HTTP/3 ask of a head alike is checked after this, by [`crate::bridge::head`].

use super::qpack::{Fields, Text, Undecodable};
use crate::listen::{FIELDS_MAX, Refusal};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};

/// What a field counts for beside its name and value (RFC 9114 §4.2.2).
const FIELD_BYTES: usize = 32;

/// Why a field section is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRequest {
    /// What follows on the connection can't be known.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    #[error("{0}")]
    Refused(Refusal),
}

impl From<Refusal> for NoRequest {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A request, as far as its own section tells.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) parts: Parts,
    /// The value of `:protocol` (RFC 9220).
    pub(super) tunnel: Option<String>,
}

/// The pseudo-header fields of a request.
#[derive(Default)]
struct Pseudo<'b> {
    method: Option<Text<'b>>,
    scheme: Option<Text<'b>>,
    authority: Option<Text<'b>>,
    path: Option<Text<'b>>,
    protocol: Option<Text<'b>>,
}

/// Reads a section of at most `bytes_max` bytes.
pub(super) fn read(section: &[u8], bytes_max: usize) -> Result<Section, NoRequest> {
    let mut pseudo = Pseudo::default();
    let mut headers = HeaderMap::with_capacity(16);
    let (mut count, mut bytes) = (0, 0);
    // a section is decoded to its end whatever it says: one that can't be ends the connection
    let mut refused = None;
    for field in Fields::new(section)? {
        let (name, value) = field?;
        count += 1;
        bytes += name.len() + value.len() + FIELD_BYTES;
        if refused.is_some() {
            continue;
        }
        refused = if count > FIELDS_MAX || bytes > bytes_max {
            Some(Refusal::TooLarge)
        } else if name.first() == Some(&b':') {
            if headers.is_empty() { pseudo.take(&name, value) } else { Err(Refusal::PseudoField) }
                .err()
        } else {
            append(&mut headers, &name, &value).err()
        };
    }
    match refused {
        Some(refusal) => Err(refusal.into()),
        None => Ok(pseudo.request(headers)?),
    }
}

/// Reads the fields of trailers, which mean nothing here, as far as they can be wrong (§4.3).
pub(super) fn check_trailers(section: &[u8], bytes_max: usize) -> Result<(), NoRequest> {
    let (mut headers, mut bytes) = (HeaderMap::new(), 0);
    for field in Fields::new(section)? {
        let (name, value) = field?;
        bytes += name.len() + value.len() + FIELD_BYTES;
        if bytes > bytes_max || headers.len() >= FIELDS_MAX {
            return Err(Refusal::TooLarge.into());
        }
        append(&mut headers, &name, &value)?;
    }
    Ok(())
}

/// Adds a field whose name is in lower case, as every name is here.
fn append(headers: &mut HeaderMap, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
    let is_lower = !name.iter().any(u8::is_ascii_uppercase);
    let name = HeaderName::from_bytes(name).ok().filter(|_| is_lower);
    let value = HeaderValue::from_bytes(value);
    let (Some(name), Ok(value)) = (name, value) else { return Err(Refusal::FieldLine) };
    headers.append(name, value);
    Ok(())
}

impl<'b> Pseudo<'b> {
    /// Takes one that a request may have, once.
    fn take(&mut self, name: &[u8], value: Text<'b>) -> Result<(), Refusal> {
        let place = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            b":protocol" => &mut self.protocol,
            _ => return Err(Refusal::PseudoField),
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(Refusal::PseudoField),
        }
    }

    fn request(self, headers: HeaderMap) -> Result<Section, Refusal> {
        let method = self.method.and_then(|method| Method::from_bytes(&method).ok());
        let method = method.ok_or(Refusal::RequestLine)?;
        let authority = self
            .authority
            .map(|authority| Authority::try_from(&*authority).map_err(|_| Refusal::Host));
        let mut uri = http::uri::Parts::default();
        uri.authority = authority.transpose()?;
        let is_plain_connect = method == Method::CONNECT && self.protocol.is_none();
        if is_plain_connect {
            // it has nothing but an authority (§4.4)
            if self.scheme.is_some() || self.path.is_some() || uri.authority.is_none() {
                return Err(Refusal::PseudoField);
            }
        } else {
            let (Some(scheme), Some(path)) = (self.scheme, self.path) else {
                return Err(Refusal::PseudoField);
            };
            if !scheme.eq_ignore_ascii_case(b"https") {
                return Err(Refusal::Scheme);
            }
            if path.is_empty() {
                return Err(Refusal::PseudoField);
            }
            let path = PathAndQuery::try_from(&*path).map_err(|_| Refusal::RequestLine)?;
            uri.scheme = uri.authority.is_some().then_some(Scheme::HTTPS);
            uri.path_and_query = Some(path);
        }
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = Uri::from_parts(uri).map_err(|_| Refusal::PseudoField)?;
        parts.version = Version::HTTP_3;
        (parts.method, parts.headers) = (method, headers);
        let tunnel = self.protocol.map(|name| String::from_utf8_lossy(&name).into_owned());
        Ok(Section { parts, tunnel })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quic::qpack;
    use bytes::BytesMut;

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/p?q")];

    fn section(fields: &[(&str, &str)]) -> BytesMut {
        let mut out = BytesMut::new();
        qpack::begin(&mut out);
        for (name, value) in fields {
            qpack::append(&mut out, name, value.as_bytes());
        }
        out
    }

    fn check(fields: &[(&str, &str)], expected: Result<&str, Refusal>) {
        let read = read(&section(fields), 1_024).map_err(|error| match error {
            NoRequest::Refused(refusal) => refusal,
            NoRequest::Undecodable(_) => Refusal::LineEnd,
        });
        let shown = read.map(|section| format!("{} {}", section.parts.method, section.parts.uri));
        assert_eq!(shown, expected.map(str::to_owned), "{fields:?}");
    }

    /// Those of a GET, without one and with more.
    fn but<'f>(without: &str, more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
        GET.into_iter().filter(|(name, _)| *name != without).chain(more.iter().copied()).collect()
    }

    #[test]
    fn a_section_is_a_request() {
        check(&GET, Ok("GET https://a.example/p?q"));
        check(&but("", &[("accept", "a"), ("accept", "b")]), Ok("GET https://a.example/p?q"));
        check(&but(":authority", &[("host", "a.example")]), Ok("GET /p?q"));
        check(&but(":path", &[(":path", "*")]), Ok("GET https://a.example*"));
        check(&[(":method", "CONNECT"), (":authority", "a:1")], Ok("CONNECT a:1"));
    }

    #[test]
    fn pseudo_fields_are_those_of_a_request_once_and_first() {
        let wrong = Err(Refusal::PseudoField);
        check(&but(":method", &[]), Err(Refusal::RequestLine));
        check(&but(":scheme", &[]), wrong);
        check(&but(":path", &[]), wrong);
        check(&but(":path", &[(":path", "")]), wrong);
        for again in GET {
            check(&but("", &[again]), wrong);
        }
        check(&but("", &[(":status", "200")]), wrong);
        check(&but("", &[(":other", "1")]), wrong);
        check(&but(":path", &[("accept", "a"), (":path", "/")]), wrong);
        check(&but(":scheme", &[(":scheme", "http")]), Err(Refusal::Scheme));
        check(&but(":authority", &[(":authority", "a b")]), Err(Refusal::Host));
        let connect = [(":method", "CONNECT"), (":authority", "a:1")];
        check(&[&connect[..], &[(":path", "/")]].concat(), wrong);
        check(&[&connect[..], &[(":scheme", "https")]].concat(), wrong);
        check(&connect[..1], wrong);
    }

    #[test]
    fn fields_are_in_lower_case_and_not_too_many() {
        check(&but("", &[("Accept", "a")]), Err(Refusal::FieldLine));
        check(&but("", &[("a b", "a")]), Err(Refusal::FieldLine));
        check(&but("", &[("", "a")]), Err(Refusal::FieldLine));
        check(&but("", &[("a", "b\n")]), Err(Refusal::FieldLine));
        check(&but("", &[("a", &"b".repeat(1_024))]), Err(Refusal::TooLarge));
        let many = vec![("a", "b"); FIELDS_MAX];
        check(&but("", &many), Err(Refusal::TooLarge));
    }

    #[test]
    fn what_is_refused_is_decoded_to_its_end() {
        let mut cut = section(&but("", &[("Accept", "a")]));
        cut.extend_from_slice(b"\xff\xff");
        assert!(matches!(read(&cut, 1_024), Err(NoRequest::Undecodable(_))));
    }

    #[test]
    fn trailers_have_no_pseudo_fields() {
        let check = |fields: &[(&str, &str)], expected: bool| {
            assert_eq!(check_trailers(&section(fields), 1_024).is_ok(), expected, "{fields:?}");
        };
        check(&[("grpc-status", "0")], true);
        check(&[(":path", "/")], false);
        check(&[("A", "b")], false);
    }
}
