//! Heads and times for the tables in this crate's tests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// `name: value` lines as a head, in order.
pub(crate) fn head(lines: &[&str]) -> HeaderMap {
    let mut head = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a test writes `name: value`");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a test writes valid names");
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).expect("and valid values");
        head.append(name, value);
    }
    head
}

/// Tuesday, 14 November 2023, 22:13:20 GMT.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// `offset` seconds from [`now`].
pub(crate) fn at(offset: i64) -> SystemTime {
    let length = Duration::from_secs(offset.unsigned_abs());
    if offset < 0 { now() - length } else { now() + length }
}

/// `offset` seconds from [`now`], as an HTTP-date.
pub(crate) fn date(offset: i64) -> String {
    httpdate::fmt_http_date(at(offset))
}
