//! Which fields of a response are not stored with it? RFC 9111 §3.1, §5.2.2.4, §5.2.2.7.

use http::header::{HeaderMap, HeaderName};

use crate::directives::ResponseDirectives;
use crate::fields::{connection_nominated, is_never_stored};

/// Those that are there, each once: hop-by-hop, nominated by `Connection`, or listed by a directive.
pub(super) fn omitted(response: &HeaderMap, directives: &ResponseDirectives) -> Vec<HeaderName> {
    let mut omit: Vec<_> = response.keys().filter(|name| is_never_stored(name)).cloned().collect();
    let mut add = |name: HeaderName| {
        if response.contains_key(&name) && !omit.contains(&name) {
            omit.push(name);
        }
    };
    connection_nominated(response).for_each(&mut add);
    directives.each_listed(response, add);
    omit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::CachePolicy;
    use crate::testing::head;

    #[test]
    fn fields_of_the_hop_and_listed_ones_are_omitted() {
        let check = |lines: &[&str], expected: &[&str]| {
            let head = head(lines);
            let directives = ResponseDirectives::read(&head, &CachePolicy::default());
            let found = omitted(&head, &directives);
            let mut found: Vec<_> = found.iter().map(HeaderName::as_str).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{lines:?}");
        };
        check(&["a: 1", "cache-tag: x", "cdn-cache-control: max-age=5"], &[]);
        check(&["connection: a, b, close", "a: 1", "c: 3"], &["a", "connection"]);
        check(&["connection: cache-control", "cache-control: x"], &["connection"]);
        for name in ["keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"] {
            check(&[&format!("{name}: x")], &[name]);
        }
        for name in ["proxy-authenticate", "proxy-authentication-info", "proxy-authorization"] {
            check(&[&format!("{name}: x")], &[name]);
        }
        check(&["cache-control: no-cache=\"a, b\", private=c", "a: 1", "c: 3"], &["a", "c"]);
    }
}
