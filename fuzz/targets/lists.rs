//! Lists of names: `Connection`, `Vary`, and the fields that `no-cache` and `private` list.
#![no_main]

use fuzz::{decide, field, values};
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use semantics::fields::{connection_nominated, is_hop_by_hop, removed_when_forwarding};
use semantics::policy::CachePolicy;
use semantics::vary::selection;

fuzz_target!(|data: &[u8]| {
    let mut connection = field("connection", data);
    let nominated: Vec<_> = connection_nominated(&connection).collect();
    for name in ["host", "cache-control", "content-length", "authorization", "vary", "via"] {
        assert!(nominated.iter().all(|nominated| nominated != name));
        connection.append(name, values(b"x").next().expect("it is a value"));
    }
    connection.append("foo", values(b"x").next().expect("it is a value"));
    for name in removed_when_forwarding(&connection) {
        assert!(
            connection.contains_key(&name) && (is_hop_by_hop(&name) || nominated.contains(&name))
        );
    }
    selection(&field("vary", data));
    for directive in ["no-cache=\"", "private=\""] {
        let quoted = [directive.as_bytes(), data, b"\""].concat();
        let mut response = field("cache-control", &quoted);
        response.append("foo", values(b"x").next().expect("it is a value"));
        response.append("etag", values(b"\"a\"").next().expect("it is a value"));
        decide(&HeaderMap::new(), &response, &CachePolicy::default());
    }
});
