//! The static table of QPACK: RFC 9204 Appendix A.

use std::sync::LazyLock;

/// Names and values. Some names stand here with several values; a value that is empty is for the name alone.
#[rustfmt::skip]
const FIELDS: [(&str, &str); 99] = [
    (":authority", ""),
    (":path", "/"),
    ("age", "0"),
    ("content-disposition", ""),
    ("content-length", "0"),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("referer", ""),
    ("set-cookie", ""),
    (":method", "CONNECT"),
    (":method", "DELETE"),
    (":method", "GET"),
    (":method", "HEAD"),
    (":method", "OPTIONS"),
    (":method", "POST"),
    (":method", "PUT"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "103"),
    (":status", "200"),
    (":status", "304"),
    (":status", "404"),
    (":status", "503"),
    ("accept", "*/*"),
    ("accept", "application/dns-message"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0"),
    ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"),
    ("cache-control", "no-cache"),
    ("cache-control", "no-store"),
    ("cache-control", "public, max-age=31536000"),
    ("content-encoding", "br"),
    ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"),
    ("content-type", "application/javascript"),
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"),
    ("content-type", "image/jpeg"),
    ("content-type", "image/png"),
    ("content-type", "text/css"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-type", "text/plain;charset=utf-8"),
    ("range", "bytes=0-"),
    ("strict-transport-security", "max-age=31536000"),
    ("strict-transport-security", "max-age=31536000; includesubdomains"),
    ("strict-transport-security", "max-age=31536000; includesubdomains; preload"),
    ("vary", "accept-encoding"),
    ("vary", "origin"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    (":status", "100"),
    (":status", "204"),
    (":status", "206"),
    (":status", "302"),
    (":status", "400"),
    (":status", "403"),
    (":status", "421"),
    (":status", "425"),
    (":status", "500"),
    ("accept-language", ""),
    ("access-control-allow-credentials", "FALSE"),
    ("access-control-allow-credentials", "TRUE"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "get"),
    ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"),
    ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"),
    ("access-control-request-method", "get"),
    ("access-control-request-method", "post"),
    ("alt-svc", "clear"),
    ("authorization", ""),
    ("content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"),
    ("early-data", "1"),
    ("expect-ct", ""),
    ("forwarded", ""),
    ("if-range", ""),
    ("origin", ""),
    ("purpose", "prefetch"),
    ("server", ""),
    ("timing-allow-origin", "*"),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", ""),
    ("x-forwarded-for", ""),
    ("x-frame-options", "deny"),
    ("x-frame-options", "sameorigin"),
];

/// Each name, and the index of the first field that has it, in the order of names.
static NAMES: LazyLock<Vec<(&str, usize)>> = LazyLock::new(|| {
    let mut names: Vec<_> = FIELDS.iter().map(|(name, _)| *name).zip(0..).collect();
    names.sort_unstable();
    names.dedup_by_key(|(name, _)| *name);
    names
});

/// The name and the value of an index.
pub(super) fn field(index: u64) -> Option<(&'static str, &'static str)> {
    FIELDS.get(usize::try_from(index).ok()?).copied()
}

/// What the table has of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The whole field has this index.
    Field(usize),
    /// The name has this index.
    Name(usize),
    Nothing,
}

/// Looks a field up.
pub(super) fn find(name: &str, value: &[u8]) -> Known {
    let Ok(place) = NAMES.binary_search_by_key(&name, |(name, _)| name) else {
        return Known::Nothing;
    };
    let Some((_, first)) = NAMES.get(place).copied() else { return Known::Nothing };
    // fields of a name are not all beside each other, but most are, and the rest isn't worth the search
    let beside = FIELDS.iter().enumerate().skip(first).take_while(|(_, field)| field.0 == name);
    let mut whole = beside.filter(|(_, field)| field.1.as_bytes() == value);
    whole.next().map_or(Known::Name(first), |(index, _)| Known::Field(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_names_are_found() {
        let check = |name, value: &str, expected| {
            assert_eq!(find(name, value.as_bytes()), expected, "{name}: {value}");
        };
        check(":status", "200", Known::Field(25));
        check(":status", "503", Known::Field(28));
        check(":status", "418", Known::Name(24));
        check("cache-control", "no-store", Known::Field(40));
        check("date", "x", Known::Name(6));
        check("age", "1", Known::Name(2));
        check("x-frame-options", "sameorigin", Known::Field(98));
        check("cache-status", "x", Known::Nothing);
        for (index, (name, value)) in FIELDS.iter().enumerate() {
            assert_eq!(field(index as u64), Some((*name, *value)));
            let Known::Field(found) = find(name, value.as_bytes()) else { continue };
            assert_eq!(found, index);
        }
        assert_eq!(field(99), None);
    }
}
