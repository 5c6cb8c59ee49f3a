//! A site: what an operator writes, in JSON or TOML, to have hosts served by the edges.
//!
//! Every field has a default or is required; [`Check`] says what a document may not contain. The edge resolves a
//! checked site into the form it routes by (crate `route`).

pub mod cache;
pub mod headers;
pub mod host;
pub mod origin;
pub mod path;
pub mod rule;
pub mod tls;

use crate::check::{Check, Problems};
use cache::Cache;
use host::HostPattern;
use origin::Origin;
use rule::Rule;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use tls::{CertificateSource, Tls};

/// Bytes of a site document, as JSON or TOML.
pub const DOCUMENT_MAX_BYTES: usize = 262_144;
const NAME_MAX_BYTES: usize = 63;
const HOSTS_MAX: u64 = 100;
const ORIGINS_MAX: u64 = 32;
const RULES_MAX: u64 = 500;

/// Hosts, where their content comes from, and what is done with it on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Site))]
pub struct Site {
    /// What people call the site; unique in an installation. 1 to 63 of `a-z`, `0-9` and `-`, beginning and ending
    /// with a letter or digit. Required.
    pub name: String,
    /// Hosts served: `example.com`, or `*.example.com` for every name below it. An exact host goes before a
    /// wildcard, a longer wildcard before a shorter one. No port. 1 to 100, each in one site only.
    pub hosts: Vec<String>,
    /// Servers the content comes from, at most 32. A rule names the one it uses; without, it is the first.
    /// May be empty only where a rule for `/*` redirects and every rule does.
    pub origins: Vec<Origin>,
    /// What is done with requests by path, at most 500. The most specific matching rule applies, alone.
    pub rules: Vec<Rule>,
    /// Caching where a rule says nothing else.
    pub cache: Cache,
    /// How clients reach the hosts.
    #[serde(skip_serializing_if = "is_default")]
    pub tls: Tls,
}

impl Check for Site {
    fn check(&self, problems: &mut Problems) {
        problems.at("name", |problems| check_name(&self.name, problems));
        problems
            .at("hosts", |problems| problems.within(count(&self.hosts), 1..=HOSTS_MAX, "hosts"));
        self.check_hosts(problems);
        self.check_origins(problems);
        problems
            .at("rules", |problems| problems.within(count(&self.rules), 0..=RULES_MAX, "rules"));
        problems.each("rules", &self.rules, |problems, rule| {
            rule.check(problems);
            self.check_origin_of(rule, problems);
        });
        problems.at("cache", |problems| self.cache.check(problems));
        problems.at("tls", |problems| self.tls.check(problems));
    }
}

impl Site {
    fn check_hosts(&self, problems: &mut Problems) {
        let mut seen = HashSet::new();
        problems.each("hosts", &self.hosts, |problems, host| match HostPattern::parse(host) {
            Err(error) => problems.add(error.to_string(), Some(host)),
            Ok(pattern) if !seen.insert(pattern.to_string()) => {
                problems.add("stands in the list twice", Some(host));
            }
            Ok(pattern) => self.check_issuable(&pattern, host, problems),
        });
    }

    fn check_issuable(&self, pattern: &HostPattern, host: &str, problems: &mut Problems) {
        if self.tls.certificate != CertificateSource::Acme {
            return;
        }
        if let Some(why) = pattern.unissuable() {
            problems.add(format!("{why} (tls.certificate is `acme`)"), Some(&host));
        }
    }

    fn check_origins(&self, problems: &mut Problems) {
        let redirects_all = self.rules.iter().all(|rule| rule.redirect.is_some())
            && self.rules.iter().any(|rule| rule.paths.iter().any(|path| path == "/*"));
        let least = u64::from(!redirects_all);
        problems.at("origins", |problems| {
            problems.within(count(&self.origins), least..=ORIGINS_MAX, "origins");
        });
        let mut seen = HashSet::new();
        problems.each("origins", &self.origins, |problems, origin| {
            origin.check(problems);
            if !seen.insert(&origin.name) {
                problems.at("name", |problems| {
                    problems.add("is the name of two origins", Some(&origin.name));
                });
            }
        });
    }

    fn check_origin_of(&self, rule: &Rule, problems: &mut Problems) {
        let Some(name) = &rule.origin else { return };
        if !self.origins.iter().any(|origin| origin.name == *name) {
            problems
                .at("origin", |problems| problems.add("names no origin of this site", Some(name)));
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn count<T>(items: &[T]) -> u64 {
    items.len() as u64
}

/// Checks a name of a site or an origin: a DNS label in lower case.
pub(crate) fn check_name(name: &str, problems: &mut Problems) {
    let letter_or_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    let right = (1..=NAME_MAX_BYTES).contains(&bytes.len())
        && bytes.iter().all(|byte| letter_or_digit(byte) || *byte == b'-')
        && ends.iter().flatten().all(|byte| letter_or_digit(byte));
    if !right {
        let detail =
            "must be 1 to 63 of `a-z`, `0-9` and `-`, beginning and ending with a letter or digit";
        problems.add(detail, Some(&name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::parse;

    /// The fields of which a site written in TOML is refused.
    fn check(toml: &str, expected: &[&str]) {
        let document: serde_json::Value = toml::from_str(toml).unwrap();
        let found = parse::<Site>(document).err().unwrap_or_default();
        let fields: Vec<&str> = found.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, expected, "{toml}\n{found:?}");
    }

    const ORIGIN: &str = "origins = [{ name = 'main', url = 'http://127.0.0.1:9000' }]\n";

    #[test]
    fn the_smallest_site_has_a_name_a_host_and_an_origin() {
        check(&format!("name = 'demo'\nhosts = ['demo.localhost']\n{ORIGIN}"), &[]);
        check("", &["name", "hosts", "origins"]);
    }

    #[test]
    fn names_are_dns_labels() {
        for (name, expected) in
            [("a", &[][..]), ("a-1", &[]), ("-a", &["name"]), ("A", &["name"]), ("a_b", &["name"])]
        {
            check(&format!("name = '{name}'\nhosts = ['h.example']\n{ORIGIN}"), expected);
        }
    }

    #[test]
    fn hosts_are_names_or_wildcards_without_a_port() {
        let check_host = |host: &str, expected: &[&str]| {
            check(&format!("name = 'a'\nhosts = ['{host}']\n{ORIGIN}"), expected);
        };
        check_host("*.example.com", &[]);
        check_host("bücher.example", &[]);
        check_host("127.0.0.1", &[]);
        for wrong in ["", "*", "a.*.com", "example.com:80", "http://a", "a/b", "*.", "a b"] {
            check_host(wrong, &["hosts[0]"]);
        }
    }

    #[test]
    fn acme_is_for_public_names() {
        let site = |source: &str, hosts: &str| {
            format!("name = 'a'\nhosts = [{hosts}]\ntls.certificate = '{source}'\n{ORIGIN}")
        };
        check(&site("acme", "'a.example.com', '*.example.com'"), &[]);
        check(&site("local", "'a.localhost', '127.0.0.1'"), &[]);
        let wrong = "'a.example.com', 'a.localhost', '127.0.0.1', 'intranet', '*.com'";
        check(&site("acme", wrong), &["hosts[1]", "hosts[2]", "hosts[3]", "hosts[4]"]);
    }

    #[test]
    fn a_site_of_redirects_needs_no_origin() {
        let rule = "rules = [{ paths = ['/*'], redirect = { to = 'https://b.example/$1' } }]\n";
        check(&format!("name = 'a'\nhosts = ['a.example']\n{rule}"), &[]);
        let half = "rules = [{ paths = ['/x/*'], redirect = { to = 'https://b.example/$1' } }]\n";
        check(&format!("name = 'a'\nhosts = ['a.example']\n{half}"), &["origins"]);
    }
}
