//! A site as the edge uses it: checked, with everything looked up beforehand.

use crate::caching::Caching;
use crate::trust::Trust;
use api::check::Check as _;
use api::id::SiteId;
use api::problem::FieldProblem;
use api::site::cache::Cache;
use api::site::headers::HeaderChanges;
use api::site::host::HostPattern;
use api::site::origin::{OriginAddress, OriginProtocol};
use api::site::path::PathPattern;
use api::site::tls::{ClientAuth, Hsts, TlsVersion};
use http::{HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;
use std::time::Duration;

/// Hosts, rules and origins, resolved.
#[derive(Debug)]
pub struct Site {
    /// Which site.
    pub id: SiteId,
    /// What people call it.
    pub name: Box<str>,
    /// The hosts it serves.
    pub hosts: Vec<HostPattern>,
    /// How clients reach it.
    pub tls: Tls,
    /// Every rule, for each of its paths, the most specific path first.
    rules: Vec<(PathPattern, Arc<Rule>)>,
    /// What is done with a path that no rule is for; without origins, nothing.
    otherwise: Arc<Rule>,
}

/// TLS of a site's hosts.
#[derive(Debug, Default)]
pub struct Tls {
    /// The oldest version that clients may use.
    pub minimum_version: TlsVersion,
    /// Whether requests over plain HTTP are answered with a redirect. They are where clients must have certificates, too.
    pub redirects_http: bool,
    /// The value of `Strict-Transport-Security` (RFC 6797 §6.1).
    pub hsts: Option<HeaderValue>,
    /// Whose certificates clients have to show. Of equal ones, what holds for a client with one holds with the other.
    pub client_auth: Option<Arc<ClientAuth>>,
}

/// What is done with a request.
#[derive(Debug)]
pub struct Rule {
    /// Who answers. None where a redirect does, or where the site has no origin.
    pub origin: Option<Arc<Origin>>,
    /// Caching: the rule's, and where that is silent, the site's.
    pub caching: Caching,
    /// Fields changed on the way to the origin.
    pub request_headers: Changes,
    /// Fields changed on the way to the client.
    pub response_headers: Changes,
    /// Answered with a redirect.
    pub redirect: Option<Redirect>,
    /// The path the origin is asked for.
    pub rewrite: Option<Template>,
}

/// A redirect, with what the path's wildcards matched to be filled in.
#[derive(Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// Where to.
    pub to: Template,
}

/// Who answers for content.
#[derive(Debug)]
pub struct Origin {
    /// What rules and logs call it.
    pub name: Box<str>,
    /// Where it is.
    pub address: OriginAddress,
    /// The Host field it is sent; the client's where none.
    pub host_header: Option<HeaderValue>,
    /// Whether it is another edge of the installation.
    pub shield: bool,
    /// Whom that edge asks: the next of the site's origins that is no shield. None for an origin that is none, and where
    /// there is no such one.
    pub behind: Option<Arc<Self>>,
    /// The version of HTTP it is spoken to in.
    pub protocol: OriginProtocol,
    /// How it is known over TLS; none without.
    pub trust: Option<Trust>,
    /// Until a connection must stand.
    pub connect_timeout: Duration,
    /// Between two reads of a response.
    pub read_timeout: Duration,
    /// Between two writes of a request.
    pub write_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
}

/// Fields removed, then set.
#[derive(Debug, Default)]
pub struct Changes {
    /// Fields taken out.
    pub remove: Vec<HeaderName>,
    /// Fields that get a value instead of any they had.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

/// A text with `$1` to `$9` in it.
#[derive(Debug)]
pub struct Template(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(Box<str>),
    Capture(usize),
}

/// What a wildcard of a rule's path matched.
pub type Capture<'p> = &'p str;

/// The rule for a path.
#[derive(Debug)]
pub struct RuleMatch<'p> {
    /// The rule.
    pub rule: Arc<Rule>,
    /// What its path's wildcards matched, in order; empty for the rule of last resort.
    pub captures: Vec<Capture<'p>>,
}

impl Site {
    /// Whether the same of a query counts as by `other`, whatever the path.
    #[must_use]
    pub fn counts_alike(&self, other: &Self) -> bool {
        fn counted(site: &Site) -> impl Iterator<Item = (Option<&PathPattern>, &Rule)> {
            let rules = site.rules.iter().map(|(path, rule)| (Some(path), &**rule));
            rules.chain([(None, &*site.otherwise)])
        }
        let first = &self.otherwise.caching.key;
        let is_first =
            |(_, rule): (Option<&PathPattern>, &Rule)| rule.caching.key.counts_alike(first);
        if counted(self).all(is_first) && counted(other).all(is_first) {
            return true;
        }
        counted(self).count() == counted(other).count()
            && counted(self).zip(counted(other)).all(|((path, rule), (other_path, other_rule))| {
                path == other_path && rule.caching.key.counts_alike(&other_rule.caching.key)
            })
    }

    /// Resolves what an operator wrote.
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn resolve(id: SiteId, document: &serde_json::Value) -> Result<Self, Vec<FieldProblem>> {
        let site: api::site::Site = api::check::parse(document.clone())?;
        let resolved = Self::resolve_checked(id, &site);
        resolved.ok_or_else(|| problems_of(&site))
    }

    /// None only for a site that its own check refuses.
    fn resolve_checked(id: SiteId, site: &api::site::Site) -> Option<Self> {
        let hosts =
            site.hosts.iter().map(|host| HostPattern::parse(host).ok()).collect::<Option<_>>()?;
        let origins = Origin::resolve_all(&site.origins)?;
        let mut rules = Vec::new();
        for written in &site.rules {
            let rule = Arc::new(Rule::resolve(written, &site.cache, &origins)?);
            for path in &written.paths {
                rules.push((PathPattern::parse(path).ok()?, Arc::clone(&rule)));
            }
        }
        // stable: of two equally specific paths, the one written first applies
        rules.sort_by(|(one, _), (other, _)| one.by_specificity(other));
        let everything = api::site::rule::Rule::default();
        let otherwise = Arc::new(Rule::resolve(&everything, &site.cache, &origins)?);
        let (name, tls) = (site.name.as_str().into(), Tls::resolve(&site.tls)?);
        Some(Self { id, name, hosts, tls, rules, otherwise })
    }

    /// The rule for `path`, the path of a request without its query: the most specific that matches, alone.
    #[must_use]
    pub fn rule<'p>(&self, path: &'p str) -> RuleMatch<'p> {
        let mut captures = Vec::new();
        let found = self.rules.iter().find(|(pattern, _)| pattern.matches(path, &mut captures));
        match found {
            Some((_, rule)) => RuleMatch { rule: Arc::clone(rule), captures },
            None => RuleMatch { rule: Arc::clone(&self.otherwise), captures: Vec::new() },
        }
    }

    /// The path of the rule for `path`; none where no rule is for it.
    #[must_use]
    pub fn pattern(&self, path: &str) -> Option<&PathPattern> {
        let mut captures = Vec::new();
        let found = self.rules.iter().find(|(pattern, _)| pattern.matches(path, &mut captures));
        found.map(|(pattern, _)| pattern)
    }
}

impl Tls {
    fn resolve(written: &api::site::tls::Tls) -> Option<Self> {
        let client_auth = written.client_auth.clone();
        let needs_certificates = client_auth.as_ref().is_some_and(|auth| !auth.optional);
        Some(Self {
            minimum_version: written.minimum_version,
            redirects_http: written.redirect_http || needs_certificates,
            hsts: written.hsts.as_ref().map(hsts_value).transpose().ok()?,
            client_auth: client_auth.map(Arc::new),
        })
    }
}

fn hsts_value(hsts: &Hsts) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let mut value = format!("max-age={}", hsts.max_age_seconds);
    if hsts.include_subdomains {
        value.push_str("; includeSubDomains");
    }
    if hsts.preload {
        value.push_str("; preload");
    }
    HeaderValue::try_from(value)
}

fn problems_of(site: &api::site::Site) -> Vec<FieldProblem> {
    let mut problems = api::check::Problems::default();
    site.check(&mut problems);
    problems.into_found()
}

impl Rule {
    fn resolve(
        written: &api::site::rule::Rule,
        cache: &Cache,
        origins: &[Arc<Origin>],
    ) -> Option<Self> {
        let origin = match &written.origin {
            Some(name) => Some(origins.iter().find(|origin| *origin.name == **name)?),
            None => origins.first(),
        };
        let redirect = match &written.redirect {
            Some(redirect) => Some(Redirect {
                status: StatusCode::from_u16(redirect.status).ok()?,
                to: Template::parse(&redirect.to),
            }),
            None => None,
        };
        Some(Self {
            origin: origin.cloned(),
            caching: Caching::resolve(&written.cache.or(cache))?,
            request_headers: Changes::resolve(&written.request_headers)?,
            response_headers: Changes::resolve(&written.response_headers)?,
            redirect,
            rewrite: written.rewrite.as_ref().map(|rewrite| Template::parse(&rewrite.to)),
        })
    }
}

impl Origin {
    fn resolve_all(written: &[api::site::origin::Origin]) -> Option<Vec<Arc<Self>>> {
        let mut behind: Option<Arc<Self>> = None;
        let mut origins = Vec::with_capacity(written.len());
        for written in written.iter().rev() {
            let mut origin = Self::resolve(written)?;
            if origin.shield {
                origin.behind.clone_from(&behind);
                origins.push(Arc::new(origin));
            } else {
                let origin = Arc::new(origin);
                behind = Some(Arc::clone(&origin));
                origins.push(origin);
            }
        }
        origins.reverse();
        Some(origins)
    }

    fn resolve(written: &api::site::origin::Origin) -> Option<Self> {
        let address = OriginAddress::parse(&written.url)?;
        let host_header = match &written.host_header {
            Some(host) => Some(HeaderValue::from_str(host).ok()?),
            None => None,
        };
        let trust = match address.tls {
            true => Some(Trust::resolve(&written.tls, &address.host)?),
            false => None,
        };
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Some(Self {
            name: written.name.as_str().into(),
            host_header,
            shield: written.shield,
            behind: None,
            protocol: written.protocol,
            trust,
            connect_timeout: seconds(written.connect_timeout_seconds),
            read_timeout: seconds(written.read_timeout_seconds),
            write_timeout: seconds(written.write_timeout_seconds),
            idle_timeout: seconds(written.idle_timeout_seconds),
            address,
        })
    }
}

impl Changes {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }

    fn resolve(written: &HeaderChanges) -> Option<Self> {
        let name = |name: &String| HeaderName::try_from(name.as_str()).ok();
        let remove = written.remove.iter().map(name).collect::<Option<_>>()?;
        let set = written.set.iter();
        let set = set.map(|(key, value)| Some((name(key)?, HeaderValue::from_str(value).ok()?)));
        Some(Self { remove, set: set.collect::<Option<_>>()? })
    }
}

impl Template {
    fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut parts = text.split('$');
        if let Some(first) = parts.next() {
            pieces.push(Piece::Text(first.into()));
        }
        for part in parts {
            let mut characters = part.chars();
            match characters
                .next()
                .and_then(|character| character.to_digit(10))
                .filter(|digit| *digit > 0)
            {
                Some(digit) => {
                    pieces.push(Piece::Capture(digit as usize - 1));
                    pieces.push(Piece::Text(characters.as_str().into()));
                }
                None => pieces.push(Piece::Text(format!("${part}").into())),
            }
        }
        Self(pieces)
    }

    /// The text with captures filled in, and `query` added after `?` where there is one and the text has none.
    ///
    /// A text that begins as a path stays one, whatever a capture begins with: clients read `//b.example` and
    /// `/\\b.example` as another host.
    #[must_use]
    pub fn fill(&self, captures: &[Capture<'_>], query: Option<&str>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Capture(index) => {
                    text.push_str(captures.get(*index).copied().unwrap_or_default());
                }
            }
        }
        if self.is_path() {
            let path = text.trim_start_matches(['/', '\\']);
            text = format!("/{path}");
        }
        if let Some(query) = query.filter(|_| !text.contains('?')) {
            text.push('?');
            text.push_str(query);
        }
        text
    }

    /// Whether it was written with a single `/` at the beginning.
    fn is_path(&self) -> bool {
        let Some(Piece::Text(first)) = self.0.first() else { return false };
        first.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn site() -> Site {
        let id = SiteId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
        let document = json!({
            "name": "a", "hosts": ["a.example"],
            "origins": [{"name": "one", "url": "http://127.0.0.1:1"}, {"name": "two", "url": "https://o.example"}],
            "cache": {"enabled": true, "default_lifetime_seconds": 7},
            "rules": [
                {"paths": ["/*"], "origin": "one"},
                {"paths": ["/api/*", "/rpc"], "origin": "two", "cache": {"enabled": false}},
                {"paths": ["/old/*"], "redirect": {"to": "https://b.example/$1?from=$$", "status": 308}},
                {"paths": ["/in/*/x/*"], "rewrite": {"to": "/$2/$1"}},
            ],
        });
        Site::resolve(id, &document).unwrap()
    }

    #[test]
    fn behind_a_shield_is_the_next_origin_that_is_none() {
        let id = SiteId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
        let origin = |name: &str, shield: bool| json!({"name": name, "url": "http://127.0.0.1:1", "shield": shield});
        let document = json!({
            "name": "a", "hosts": ["a.example"],
            "origins": [origin("s1", true), origin("s2", true), origin("one", false),
                origin("s3", true), origin("two", false), origin("s4", true)],
            "rules": [{"paths": ["/1"], "origin": "s2"}, {"paths": ["/2"], "origin": "s3"},
                {"paths": ["/3"], "origin": "s4"}, {"paths": ["/4"], "origin": "one"}],
        });
        let site = Site::resolve(id, &document).unwrap();
        let check = |path: &str, shield: &str, expected: Option<&str>| {
            let origin = site.rule(path).rule.origin.clone().unwrap();
            let behind = origin.behind.as_ref().map(|origin| &*origin.name);
            assert_eq!((&*origin.name, behind), (shield, expected), "{path}");
        };
        check("/", "s1", Some("one"));
        check("/1", "s2", Some("one"));
        check("/2", "s3", Some("two"));
        check("/3", "s4", None);
        check("/4", "one", None);
    }

    #[test]
    fn the_most_specific_rule_applies_alone() {
        let site = site();
        let check = |path: &str, origin: &str, enabled: bool| {
            let found = site.rule(path).rule;
            assert_eq!(found.origin.as_ref().map(|origin| &*origin.name), Some(origin), "{path}");
            assert_eq!(found.caching.enabled, enabled, "{path}");
            assert_eq!(found.caching.policy.default_lifetime, Some(Duration::from_secs(7)));
        };
        check("/", "one", true);
        check("/api/x", "two", false);
        check("/rpc", "two", false);
        check("/rpc/x", "one", true);
    }

    #[test]
    fn captures_fill_redirects_and_rewrites() {
        let site = site();
        let found = site.rule("/old/a/b");
        let to = &found.rule.redirect.as_ref().unwrap().to;
        assert_eq!(to.fill(&found.captures, Some("q=1")), "https://b.example/a/b?from=$$");
        let found = site.rule("/in/1/x/2");
        let rewrite = found.rule.rewrite.as_ref().unwrap();
        assert_eq!(rewrite.fill(&found.captures, Some("q=1")), "/2/1?q=1");
    }

    #[test]
    fn a_capture_leads_to_no_other_host() {
        let check = |template: &str, capture: &str, expected: &str| {
            assert_eq!(
                Template::parse(template).fill(&[capture], None),
                expected,
                "{template} {capture}"
            );
        };
        check("/$1", "a//b", "/a//b");
        check("/$1", "/evil.example/x", "/evil.example/x");
        check("/$1", "\\evil.example", "/evil.example");
        check("/$1", "\\/\\/evil.example", "/evil.example");
        check("/$1", "", "/");
        check("/$1$1", "/", "/");
        check("/a/$1", "/b", "/a//b");
        check("//cdn.example/$1", "/b", "//cdn.example//b");
        check("https://b.example/$1", "/b", "https://b.example//b");
    }

    #[test]
    fn a_wrong_document_is_refused_with_its_problems() {
        let id = SiteId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
        let problems =
            Site::resolve(id, &json!({"name": "a", "hosts": [], "origins": 5})).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
