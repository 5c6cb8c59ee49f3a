//! How is the outcome told in `Cache-Status`? RFC 9211 §2.
//!
//! Appends one List member to a buffer the caller reuses; it becomes a new line of the field, after
//! those of caches nearer the origin.

use http::StatusCode;

/// What is told of a key or a detail at most, in bytes: a target may be as long as a head.
const STRING_BYTES_MAX: usize = 256;

/// The name this cache goes by.
pub const NAME: &str = "longshore";

/// What became of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered from the store (§2.1).
    Hit,
    /// Forwarded (§2.2).
    Forward(Forward),
    /// Neither: the answer was made here.
    Local,
}

/// Why a request went forward (§2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forward {
    /// The site doesn't cache here.
    Bypass,
    /// The method's semantics.
    Method,
    /// Nothing stored for the URI.
    UriMiss,
    /// Stored, but no variant matches.
    VaryMiss,
    /// Nothing stored could satisfy it, and it isn't told which of the two.
    Miss,
    /// The request's directives.
    Request,
    /// The stored response was stale.
    Stale,
    /// Only a part was stored.
    Partial,
}

impl Forward {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Bypass,
        Self::Method,
        Self::UriMiss,
        Self::VaryMiss,
        Self::Miss,
        Self::Request,
        Self::Stale,
        Self::Partial,
    ];

    /// The token of the registry, also for logs and metrics.
    pub fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// One member of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// What became of the request.
    pub outcome: Outcome,
    /// The origin's status, where it isn't the answer's (§2.3).
    pub forward_status: Option<StatusCode>,
    /// The response to the forwarded request was stored (§2.5).
    pub stored: bool,
    /// The request waited for another's (§2.6).
    pub collapsed: bool,
    /// Remaining lifetime in seconds, negative when stale (§2.4): [`crate::freshness::Freshness::ttl`].
    pub ttl: Option<i64>,
    /// The cache key, for those allowed to see it (§2.7). Told as a string, cut after 256 bytes (escapes
    /// count), with `?` for what isn't printable ASCII.
    pub key: Option<&'a str>,
    /// A token, such as that of a [`crate::storing::Reason`] (§2.8). Anything else becomes a string, as a
    /// key does.
    pub detail: Option<&'a str>,
}

impl From<Outcome> for CacheStatus<'_> {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            forward_status: None,
            stored: false,
            collapsed: false,
            ttl: None,
            key: None,
            detail: None,
        }
    }
}

impl CacheStatus<'_> {
    /// Appends the member to `out`: visible ASCII, so always a valid field value.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(NAME.as_bytes());
        match self.outcome {
            Outcome::Hit => out.extend_from_slice(b"; hit"),
            Outcome::Local => {}
            Outcome::Forward(reason) => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(reason.token().as_bytes());
            }
        }
        if let Some(status) = self.forward_status {
            out.extend_from_slice(b"; fwd-status=");
            out.extend_from_slice(status.as_str().as_bytes());
        }
        if self.stored {
            out.extend_from_slice(b"; stored");
        }
        if self.collapsed {
            out.extend_from_slice(b"; collapsed");
        }
        if let Some(ttl) = self.ttl {
            out.extend_from_slice(b"; ttl=");
            append_integer(ttl, out);
        }
        if let Some(key) = self.key {
            out.extend_from_slice(b"; key=");
            append_string(key, out);
        }
        if let Some(detail) = self.detail {
            out.extend_from_slice(b"; detail=");
            append_detail(detail, out);
        }
    }
}

/// An Integer has at most 15 digits (RFC 9651 §3.3.1).
fn append_integer(value: i64, out: &mut Vec<u8>) {
    let mut rest = value.unsigned_abs().min(999_999_999_999_999);
    let mut digits = [0; 15];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

fn append_detail(detail: &str, out: &mut Vec<u8>) {
    let bytes = detail.as_bytes();
    let begins = bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'*');
    let continues = |&byte: &u8| crate::list::is_token_byte(byte) || byte == b':' || byte == b'/';
    if begins && bytes.len() <= STRING_BYTES_MAX && bytes.iter().all(continues) {
        out.extend_from_slice(bytes);
    } else {
        append_string(detail, out);
    }
}

fn append_string(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    for character in value.chars() {
        let byte = u8::try_from(character).ok().filter(|byte| matches!(byte, b' '..=b'~'));
        let escaped = matches!(byte, Some(b'"' | b'\\'));
        if out.len() - start + usize::from(escaped) >= STRING_BYTES_MAX {
            break;
        }
        if escaped {
            out.push(b'\\');
        }
        out.push(byte.unwrap_or(b'?'));
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn check(status: CacheStatus<'_>, expected: &str) {
        let mut out = Vec::new();
        status.append_to(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_member_tells_what_is_known() {
        let hit = CacheStatus::from(Outcome::Hit);
        check(hit, "longshore; hit");
        check(CacheStatus { ttl: Some(376), ..hit }, "longshore; hit; ttl=376");
        check(CacheStatus { ttl: Some(-412), ..hit }, "longshore; hit; ttl=-412");
        check(CacheStatus { ttl: Some(i64::MIN), ..hit }, "longshore; hit; ttl=-999999999999999");
        check(CacheStatus { ttl: Some(0), ..hit }, "longshore; hit; ttl=0");
        let miss = CacheStatus {
            forward_status: Some(StatusCode::OK),
            stored: true,
            collapsed: true,
            ttl: Some(60),
            key: Some("a \"b\\\u{fc}"),
            detail: Some("set-cookie"),
            ..CacheStatus::from(Outcome::Forward(Forward::UriMiss))
        };
        check(
            miss,
            "longshore; fwd=uri-miss; fwd-status=200; stored; collapsed; ttl=60; \
             key=\"a \\\"b\\\\?\"; detail=set-cookie",
        );
    }

    #[test]
    fn a_detail_is_a_token_or_a_string() {
        let detail = |detail| CacheStatus { detail: Some(detail), ..Outcome::Hit.into() };
        check(detail("no-store"), "longshore; hit; detail=no-store");
        check(detail("two words"), "longshore; hit; detail=\"two words\"");
        check(detail("5xx"), "longshore; hit; detail=\"5xx\"");
        check(detail(""), "longshore; hit; detail=\"\"");
    }

    #[test]
    fn strings_are_cut_and_their_escapes_are_not() {
        let check = |key: &str, expected: &str| {
            let expected = format!("longshore; hit; key=\"{expected}\"");
            check(CacheStatus { key: Some(key), ..Outcome::Hit.into() }, &expected);
        };
        let [full, cut] = [255, 256].map(|length| "a".repeat(length));
        check(&format!("{full}b"), &format!("{full}b"));
        check(&format!("{full}\"b"), &full);
        check(&format!("{cut}b"), &cut);
        check("http://a/\n\u{1f600}~", "http://a/??~");
        let detail = format!("{cut}b");
        let status = CacheStatus { detail: Some(&detail), ..Outcome::Hit.into() };
        let mut out = Vec::new();
        status.append_to(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("longshore; hit; detail=\"{cut}\""));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_valid_field_value(key in ".*", detail in ".*", ttl in any::<i64>()) {
            let status = CacheStatus {
                key: Some(&key),
                detail: Some(&detail),
                ttl: Some(ttl),
                ..Outcome::Hit.into()
            };
            let mut out = Vec::new();
            status.append_to(&mut out);
            prop_assert!(HeaderValue::from_bytes(&out).unwrap().to_str().is_ok());
            prop_assert!(out.len() <= 600);
        }
    }
}
