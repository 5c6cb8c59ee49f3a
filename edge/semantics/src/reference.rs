//! What does a URI reference in a field point to? RFC 3986 §5.2, for http and https.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

/// Resolves `reference` against `base`, without its fragment. `base` may be in origin form; then only
/// references without an authority resolve. `None` for what isn't a valid URI after resolving.
pub(crate) fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.trim_matches([' ', '\t']);
    let reference = reference.split('#').next()?;
    if has_scheme(reference) {
        return reference.parse::<Uri>().ok();
    }
    if let Some(rest) = reference.strip_prefix("//") {
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = authority.parse::<Authority>().ok()?;
        return assemble(base.scheme()?, Some(&authority), path);
    }
    let path = merge(base, reference);
    match base.scheme() {
        Some(scheme) => assemble(scheme, base.authority(), &path),
        None => path.parse::<PathAndQuery>().ok().map(Uri::from),
    }
}

/// Whether two URIs have scheme, host and port in common (RFC 9110 §4.3.1). One in origin form has them
/// in common only with another.
pub(crate) fn same_origin(one: &Uri, other: &Uri) -> bool {
    let schemes = (one.scheme_str(), other.scheme_str());
    let same_host = match (one.host(), other.host()) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        (None, None) => true,
        _ => false,
    };
    let port = |uri: &Uri| uri.port_u16().or_else(|| default_port(uri));
    schemes.0 == schemes.1 && same_host && port(one) == port(other)
}

/// Whether two URIs name the same resource: origin, path and query.
pub(crate) fn same_resource(one: &Uri, other: &Uri) -> bool {
    same_origin(one, other) && one.path_and_query() == other.path_and_query()
}

fn default_port(uri: &Uri) -> Option<u16> {
    match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    }
}

fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn assemble(scheme: &Scheme, authority: Option<&Authority>, path: &str) -> Option<Uri> {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Uri::builder()
        .scheme(scheme.clone())
        .authority(authority?.clone())
        .path_and_query(path)
        .build()
        .ok()
}

/// Path and query of a reference without authority, against those of `base` (§5.2.2, §5.2.3).
fn merge(base: &Uri, reference: &str) -> String {
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let query = if reference.is_empty() { base.query() } else { query };
    let merged = if path.is_empty() {
        base.path().to_owned()
    } else if path.starts_with('/') {
        without_dots(path)
    } else {
        let directory = base.path().rsplit_once('/').map_or("", |(directory, _)| directory);
        without_dots(&format!("{directory}/{path}"))
    };
    query.map_or_else(|| merged.clone(), |query| format!("{merged}?{query}"))
}

/// Removes dot segments (§5.2.4) from a path that begins with `/`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_resolve_against_the_target() {
        let check = |base: &str, reference: &str, expected: &str| {
            let found = resolve(&base.parse().unwrap(), reference);
            assert_eq!(
                found.map(|uri| uri.to_string()).unwrap_or_default(),
                expected,
                "{reference}"
            );
        };
        let base = "http://a/b/c/d?q";
        check(base, "g", "http://a/b/c/g");
        check(base, "./g/", "http://a/b/c/g/");
        check(base, "/g?y#s", "http://a/g?y");
        check(base, "?y", "http://a/b/c/d?y");
        check(base, "", "http://a/b/c/d?q");
        check(base, "#s", "http://a/b/c/d?q");
        check(base, "//g", "http://g/");
        check(base, "//g?x", "http://g/?x");
        check(base, "//g:8/h", "http://g:8/h");
        check(base, "https://h/i", "https://h/i");
        check(base, "..", "http://a/b/");
        check(base, "../../../g", "http://a/g");
        check(base, "a:b/c", "");
        check(base, "/\u{7f}", "");
        check("/b/c?q", "d", "/b/d");
        check("/b/c?q", "", "/b/c?q");
        check("/b/c?q", "//g", "");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let check = |one: &str, other: &str, expected| {
            assert_eq!(same_origin(&one.parse().unwrap(), &other.parse().unwrap()), expected);
        };
        check("http://a/b", "http://A:80/c", true);
        check("https://a/", "https://a:443/", true);
        check("http://a/", "https://a/", false);
        check("http://a:8080/", "https://a:8080/", false);
        check("http://a/", "http://a:8080/", false);
        check("http://a/", "http://b/", false);
        check("/a", "/b", true);
        check("/a", "http://b/", false);
    }

    proptest! {
        #[test]
        fn any_text_can_be_resolved(reference in ".{0,40}") {
            let _ = resolve(&"http://a/b/c".parse().unwrap(), &reference);
        }
    }
}
