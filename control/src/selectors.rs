//! Do the selectors of a request make sense for its site? Each must be read as edges will read it, and the hosts it
//! names must be the site's own: an edge looks at responses of the site only, so another host would select nothing.

use ::purge::Target;
use api::check::Problems;
use api::site::Site;
use api::site::host::HostPattern;

/// The hosts of a site.
pub(crate) struct Hosts(Vec<HostPattern>);

impl Hosts {
    /// Those that `site` has.
    pub(crate) fn of(site: &Site) -> Self {
        Self(site.hosts.iter().filter_map(|host| HostPattern::parse(host).ok()).collect())
    }

    /// Checks URLs: of a host of the site, or of all.
    pub(crate) fn check_urls(&self, member: &str, urls: &[String], problems: &mut Problems) {
        problems.each(member, urls, |problems, url| match Target::parse(url) {
            Ok(target) => self.check_host(target.host.as_deref(), url, problems),
            Err(error) => problems.add(error.to_string(), Some(url)),
        });
    }

    /// Checks beginnings of URLs.
    pub(crate) fn check_prefixes(&self, prefixes: &[String], problems: &mut Problems) {
        problems.each("prefixes", prefixes, |problems, prefix| match Target::parse(prefix) {
            Ok(target) if target.query.is_some() => {
                problems.add("must have no query: a prefix is one of the path", Some(prefix));
            }
            Ok(target) => self.check_host(target.host.as_deref(), prefix, problems),
            Err(error) => problems.add(error.to_string(), Some(prefix)),
        });
    }

    /// Checks hosts.
    pub(crate) fn check_hosts(&self, hosts: &[String], problems: &mut Problems) {
        problems.each("hosts", hosts, |problems, host| match Target::parse_host(host) {
            Ok(parsed) => self.check_host(Some(&parsed), host, problems),
            Err(error) => problems.add(error.to_string(), Some(host)),
        });
    }

    /// Checks URLs that are to be fetched.
    pub(crate) fn check_absolute(&self, member: &str, urls: &[String], problems: &mut Problems) {
        problems.each(member, urls, |problems, url| match Target::parse(url) {
            Ok(target) if is_absolute(url) => {
                self.check_host(target.host.as_deref(), url, problems);
            }
            Ok(_) => problems.add("must begin with `http://` or `https://` and a host", Some(url)),
            Err(error) => problems.add(error.to_string(), Some(url)),
        });
    }

    fn check_host(&self, authority: Option<&str>, written: &str, problems: &mut Problems) {
        if authority.is_some_and(|authority| !self.has(name(authority))) {
            problems.add("must be under a host of the site", Some(&written));
        }
    }

    fn has(&self, host: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            HostPattern::Exact(own) => own == host,
            HostPattern::Below(own) => {
                host.strip_suffix(own.as_str()).is_some_and(|label| label.ends_with('.'))
            }
        })
    }
}

fn is_absolute(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|it| it.eq_ignore_ascii_case("http") || it.eq_ignore_ascii_case("https"))
}

/// The host of an authority in its one form, without a port.
fn name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &[&str], run: impl FnOnce(&Hosts, &mut Problems)) {
        let hosts = ["a.example", "*.b.example", "[::1]", "bücher.example"];
        let hosts = Hosts(hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect());
        let mut problems = Problems::default();
        run(&hosts, &mut problems);
        let found: Vec<String> =
            problems.into_found().into_iter().map(|problem| problem.field).collect();
        assert_eq!(found, expected);
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn hosts_are_those_of_the_site() {
        let hosts = owned(&[
            "a.example",
            "A.EXAMPLE:8080",
            "x.b.example",
            "x.y.b.example",
            "[::1]:81",
            "bücher.example",
            "b.example",
            "xb.example",
            "c.example",
            "*.b.example",
            "a b",
            "a.example:x",
        ]);
        let wrong = ["hosts[6]", "hosts[7]", "hosts[8]", "hosts[9]", "hosts[10]", "hosts[11]"];
        check(&wrong, |ours, problems| ours.check_hosts(&hosts, problems));
    }

    #[test]
    fn urls_are_read_as_edges_read_them() {
        let urls = owned(&[
            "/a?b",
            "https://a.example/x",
            "a.example/x",
            "http://x.b.example:81/",
            "https://c.example/x",
            "ftp://a.example/",
            "a#b",
            "",
            "x",
            "a.example/?http://a.example",
        ]);
        let wrong = ["urls[4]", "urls[5]", "urls[6]", "urls[7]", "urls[8]"];
        check(&wrong, |ours, problems| ours.check_urls("urls", &urls, problems));
        let wrong = [
            "urls[0]", "urls[2]", "urls[4]", "urls[5]", "urls[6]", "urls[7]", "urls[8]", "urls[9]",
        ];
        check(&wrong, |ours, problems| ours.check_absolute("urls", &urls, problems));
        let prefixes = owned(&["/a", "/a?b", "a.example", "c.example"]);
        check(&["prefixes[1]", "prefixes[3]"], |ours, problems| {
            ours.check_prefixes(&prefixes, problems);
        });
    }
}
