//! Rules: what is done with the requests for some paths.

use super::cache::Cache;
use super::headers::HeaderChanges;
use super::path::PathPattern;
use crate::check::{Check, Problems};
use serde::{Deserialize, Serialize};

const PATHS_MAX: u64 = 50;
const TARGET_MAX_BYTES: usize = 2_048;

/// What is done with the requests whose path matches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rule {
    /// Path patterns, 1 to 50: `/assets/*`; `*` is any run of characters, `/` included. Required.
    pub paths: Vec<String>,
    /// The name of the origin that answers. Without, it is the site's first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Caching of these paths.
    pub cache: Cache,
    /// Fields changed on requests before they go to the origin.
    pub request_headers: HeaderChanges,
    /// Fields changed on responses before they go to the client.
    pub response_headers: HeaderChanges,
    /// Answers with a redirect instead of asking an origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Asks the origin for another path. The client sees no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
}

/// A redirect (RFC 9110 §15.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Redirect {
    /// Where to: a path, or an `http` or `https` URL. `$1` to `$9` stand for what the pattern's `*` matched.
    /// The query of the request is added where this has none. Required.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

impl Default for Redirect {
    fn default() -> Self {
        Self { to: String::new(), status: 302 }
    }
}

/// Another path for the origin.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rewrite {
    /// The path asked for. `$1` to `$9` stand for what the pattern's `*` matched. The query stays. Required.
    pub to: String,
}

impl Check for Rule {
    fn check(&self, problems: &mut Problems) {
        problems.at("paths", |problems| {
            problems.within(self.paths.len() as u64, 1..=PATHS_MAX, "paths");
        });
        problems.each("paths", &self.paths, |problems, path| {
            if let Err(error) = PathPattern::parse(path) {
                problems.add(error.to_string(), Some(path));
            }
        });
        problems.at("cache", |problems| self.cache.check(problems));
        problems.at("request_headers", |problems| self.request_headers.check(problems));
        problems.at("response_headers", |problems| self.response_headers.check(problems));
        if self.redirect.is_some() && self.rewrite.is_some() {
            problems.at("rewrite", |problems| problems.add("can't stand beside `redirect`", None));
        }
        if let Some(redirect) = &self.redirect {
            problems.at("redirect", |problems| self.check_redirect(redirect, problems));
        }
        if let Some(rewrite) = &self.rewrite {
            problems.at("rewrite.to", |problems| {
                if !rewrite.to.starts_with('/') || rewrite.to.contains(['?', '#']) {
                    problems.add(
                        "must be a path that begins with `/`, without a query",
                        Some(&rewrite.to),
                    );
                }
                self.check_target(&rewrite.to, problems);
            });
        }
    }
}

impl Rule {
    fn check_redirect(&self, redirect: &Redirect, problems: &mut Problems) {
        problems.at("to", |problems| {
            let to = &redirect.to;
            let local = to.starts_with('/') && !to.starts_with("//");
            let absolute = ["http://", "https://"].iter().any(|scheme| to.starts_with(scheme));
            if !local && !absolute {
                problems.add("must be a path, or an `http://` or `https://` URL", Some(to));
            }
            self.check_target(to, problems);
        });
        problems.at("status", |problems| {
            if !matches!(redirect.status, 301 | 302 | 303 | 307 | 308) {
                problems.add("must be 301, 302, 303, 307 or 308", Some(&redirect.status));
            }
        });
    }

    /// What redirects and rewrites have in common: length, characters, and captures that every path has.
    fn check_target(&self, target: &str, problems: &mut Problems) {
        if target.len() > TARGET_MAX_BYTES {
            problems.add(format!("must be at most {TARGET_MAX_BYTES} bytes long"), Some(&target));
        } else if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            problems.add("must be made of visible ASCII characters", Some(&target));
        }
        let captures = captures_used(target);
        let patterns = self.paths.iter().filter_map(|path| PathPattern::parse(path).ok());
        let fewest = patterns.map(|pattern| pattern.wildcards()).min().unwrap_or(0);
        if captures > fewest {
            let detail =
                format!("uses `${captures}`, but a path of this rule has only {fewest} `*`");
            problems.add(detail, Some(&target));
        }
    }
}

/// The highest n of a `$n` in `target`, 0 for none.
fn captures_used(target: &str) -> usize {
    let digits = target.split('$').skip(1).filter_map(|after| after.chars().next()?.to_digit(10));
    digits.max().unwrap_or(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: &str, expected: &[&str]) {
        let rule: Rule = toml::from_str(rule).unwrap();
        let mut problems = Problems::default();
        rule.check(&mut problems);
        let fields: Vec<String> =
            problems.into_found().into_iter().map(|problem| problem.field).collect();
        assert_eq!(fields, expected);
    }

    #[test]
    fn redirects_and_rewrites_use_captures_that_exist() {
        check("paths = ['/a/*']\nredirect = { to = '/b/$1', status = 308 }", &[]);
        check("paths = ['/a/*', '/c']\nredirect = { to = '/b/$1' }", &["redirect.to"]);
        check(
            "paths = ['/a']\nredirect = { to = '//evil.example', status = 200 }",
            &["redirect.to", "redirect.status"],
        );
        check("paths = ['/a']\nrewrite = { to = 'b?c' }", &["rewrite.to"]);
        check("paths = ['/a']\nrewrite = { to = '/b' }\nredirect = { to = '/b' }", &["rewrite"]);
    }

    #[test]
    fn framing_fields_cannot_be_set() {
        check(
            "paths = ['/a']\nresponse_headers = { set = { Content-Length = '5' } }",
            &["response_headers.set.Content-Length"],
        );
        check(
            "paths = ['/a']\nrequest_headers = { remove = ['X Y'] }",
            &["request_headers.remove[0]"],
        );
        check(
            "paths = ['/a']\nrequest_headers = { set = { X-A = \"b\\nc\" } }",
            &["request_headers.set.X-A"],
        );
    }
}
