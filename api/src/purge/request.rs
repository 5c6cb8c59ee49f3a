//! What people ask: purge, revalidate, warm.

use super::{Mode, Selector, Selectors};
use crate::check::{Check, Problems};
use serde::{Deserialize, Serialize};

/// Selectors of one request, all kinds together.
pub const PURGE_SELECTORS_MAX: usize = 10_000;
/// Bytes of a request to purge, to revalidate or to warm: 10,000 URLs of 400 bytes each.
pub const PURGE_BODY_MAX_BYTES: usize = 4_194_304;
/// Bytes of one tag.
pub const TAG_MAX_BYTES: usize = 1_024;
/// Bytes of one URL, prefix or host.
pub const URL_MAX_BYTES: usize = 8_192;
/// Milliseconds that a request waits for edges.
pub const WAIT_MAX_MS: u64 = 300_000;
/// Responses that each edge fetches again for one request.
pub const REFETCH_MAX: u32 = 10_000;
/// URLs of one request to warm.
pub const WARM_URLS_MAX: usize = 10_000;
/// Requests a second of each edge.
pub const WARM_RATE_MAX: u32 = 1_000;

const WAIT_DEFAULT_MS: u64 = 10_000;
const REFETCH_DEFAULT: u32 = 100;
const WARM_RATE_DEFAULT: u32 = 10;
const REGIONS_MAX: usize = 100;
const REGION_MAX_BYTES: usize = 64;
const SITEMAPS_MAX: usize = 100;

/// Whom a request waits for before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Wait {
    /// Nobody: it is answered when the change is in the log.
    #[default]
    None,
    /// The connected edges of the request's `regions`.
    Region,
    /// All connected edges.
    All,
}

/// A request to purge stored responses of one site. At least one selector is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurgeRequest {
    /// Tags of `Cache-Tag`, `Surrogate-Key` or `xkey`, without regard to the case of ASCII letters: 1 to 1,024 bytes
    /// each, without commas or white space.
    pub tags: Vec<String>,
    /// URLs, all variants of each: `https://HOST/PATH`, or `/PATH` for all hosts of the site. The scheme doesn't count.
    /// One with a query selects this query; one without selects the path with any query and with none.
    pub urls: Vec<String>,
    /// Beginnings of URLs, up to any character of the path: `https://HOST/PATH`, or `/PATH` for all hosts of the site.
    pub prefixes: Vec<String>,
    /// Hosts of the site, with the port where it isn't the scheme's.
    pub hosts: Vec<String>,
    /// Everything stored for the site.
    pub everything: bool,
    /// What becomes of what is selected.
    pub mode: Mode,
    /// The regions whose edges it concerns; all where there is none.
    pub regions: Vec<String>,
    /// Whom the answer waits for.
    pub wait: Wait,
    /// Milliseconds that the answer waits at most: 0 to 300,000.
    pub timeout_ms: u64,
    /// Whether to count what would be purged, and to purge nothing.
    pub dry_run: bool,
}

impl Default for PurgeRequest {
    fn default() -> Self {
        Self {
            tags: Vec::new(),
            urls: Vec::new(),
            prefixes: Vec::new(),
            hosts: Vec::new(),
            everything: false,
            mode: Mode::Hard,
            regions: Vec::new(),
            wait: Wait::None,
            timeout_ms: WAIT_DEFAULT_MS,
            dry_run: false,
        }
    }
}

impl PurgeRequest {
    /// What it selects.
    #[must_use]
    pub fn into_selector(self) -> Selector {
        if self.everything {
            return Selector::Everything;
        }
        let Self { tags, urls, prefixes, hosts, .. } = self;
        Selector::Any(Selectors { tags, urls, prefixes, hosts })
    }
}

/// A request to have edges fetch anew what they stored of one site: what is selected becomes stale at once, and each
/// edge fetches again what it was asked for most. At least one selector is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevalidateRequest {
    /// URLs, as for a purge: `/PATH` or `https://HOST/PATH`.
    pub paths: Vec<String>,
    /// Tags, as for a purge.
    pub tags: Vec<String>,
    /// How many of the selected responses each edge fetches again, those asked for most first: 0 to 10,000. Others are
    /// fetched again when they are asked for.
    pub refetch: u32,
    /// The regions whose edges it concerns; all where there is none.
    pub regions: Vec<String>,
    /// Whom the answer waits for: until they have fetched again.
    pub wait: Wait,
    /// Milliseconds that the answer waits at most: 0 to 300,000.
    pub timeout_ms: u64,
}

impl Default for RevalidateRequest {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            tags: Vec::new(),
            refetch: REFETCH_DEFAULT,
            regions: Vec::new(),
            wait: Wait::None,
            timeout_ms: WAIT_DEFAULT_MS,
        }
    }
}

/// A request to have edges fetch what clients will ask for. At least one URL or sitemap is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WarmRequest {
    /// Absolute URLs under the site's hosts, at most 10,000.
    pub urls: Vec<String>,
    /// Absolute URLs of sitemaps (sitemaps.org, also indexes and gzipped ones) under the site's hosts. What they name under
    /// these hosts is fetched.
    pub sitemaps: Vec<String>,
    /// Requests a second of each edge: 1 to 1,000.
    pub rate: u32,
    /// The regions whose edges it concerns; all where there is none.
    pub regions: Vec<String>,
    /// Whom the answer waits for: until they have fetched all.
    pub wait: Wait,
    /// Milliseconds that the answer waits at most: 0 to 300,000.
    pub timeout_ms: u64,
}

impl Default for WarmRequest {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            sitemaps: Vec::new(),
            rate: WARM_RATE_DEFAULT,
            regions: Vec::new(),
            wait: Wait::None,
            timeout_ms: WAIT_DEFAULT_MS,
        }
    }
}

impl Check for PurgeRequest {
    fn check(&self, problems: &mut Problems) {
        let selectors = self.tags.len() + self.urls.len() + self.prefixes.len() + self.hosts.len();
        if self.everything && selectors > 0 {
            problems.at("everything", |problems| {
                problems.add("must be false where something else is selected", Some(&true));
            });
        }
        if !self.everything && selectors == 0 {
            problems.add("needs `tags`, `urls`, `prefixes`, `hosts` or `everything`", None);
        }
        check_count(selectors, problems);
        check_tags(&self.tags, problems);
        check_texts("urls", &self.urls, problems);
        check_texts("prefixes", &self.prefixes, problems);
        check_texts("hosts", &self.hosts, problems);
        check_audience(&self.regions, self.wait, self.timeout_ms, problems);
    }
}

impl Check for RevalidateRequest {
    fn check(&self, problems: &mut Problems) {
        if self.paths.is_empty() && self.tags.is_empty() {
            problems.add("needs `paths` or `tags`", None);
        }
        check_count(self.paths.len() + self.tags.len(), problems);
        check_tags(&self.tags, problems);
        check_texts("paths", &self.paths, problems);
        problems.at("refetch", |problems| {
            problems.within(self.refetch.into(), 0..=REFETCH_MAX.into(), "responses");
        });
        check_audience(&self.regions, self.wait, self.timeout_ms, problems);
    }
}

impl Check for WarmRequest {
    fn check(&self, problems: &mut Problems) {
        if self.urls.is_empty() && self.sitemaps.is_empty() {
            problems.add("needs `urls` or `sitemaps`", None);
        }
        if self.urls.len() > WARM_URLS_MAX {
            problems.at("urls", |problems| {
                let detail = format!("must be at most {WARM_URLS_MAX} URLs");
                problems.add(detail, Some(&self.urls.len()));
            });
        }
        if self.sitemaps.len() > SITEMAPS_MAX {
            problems.at("sitemaps", |problems| {
                let detail = format!("must be at most {SITEMAPS_MAX} URLs");
                problems.add(detail, Some(&self.sitemaps.len()));
            });
        }
        check_texts("urls", &self.urls, problems);
        check_texts("sitemaps", &self.sitemaps, problems);
        problems.at("rate", |problems| {
            problems.within(self.rate.into(), 1..=WARM_RATE_MAX.into(), "requests a second");
        });
        check_audience(&self.regions, self.wait, self.timeout_ms, problems);
    }
}

fn check_count(selectors: usize, problems: &mut Problems) {
    if selectors > PURGE_SELECTORS_MAX {
        let detail = format!("must have at most {PURGE_SELECTORS_MAX} selectors");
        problems.add(detail, Some(&selectors));
    }
}

fn check_tags(tags: &[String], problems: &mut Problems) {
    problems.each("tags", tags, |problems, tag| {
        if tag.is_empty() || tag.len() > TAG_MAX_BYTES {
            problems.add(format!("must be 1 to {TAG_MAX_BYTES} bytes long"), Some(tag));
        } else if tag.contains(|c: char| c == ',' || c.is_whitespace() || c.is_control()) {
            problems.add("must have no comma, white space or control character", Some(tag));
        }
    });
}

fn check_texts(member: &str, texts: &[String], problems: &mut Problems) {
    problems.each(member, texts, |problems, text| {
        if text.is_empty() || text.len() > URL_MAX_BYTES {
            problems.add(format!("must be 1 to {URL_MAX_BYTES} bytes long"), Some(text));
        }
    });
}

fn check_audience(regions: &[String], wait: Wait, timeout_ms: u64, problems: &mut Problems) {
    if regions.len() > REGIONS_MAX {
        problems.at("regions", |problems| {
            problems.add(format!("must be at most {REGIONS_MAX} regions"), Some(&regions.len()));
        });
    }
    problems.each("regions", regions, |problems, region| {
        if !is_region(region) {
            problems.add(REGION_FORM, Some(region));
        }
    });
    if wait == Wait::Region && regions.is_empty() {
        problems.at("wait", |problems| {
            problems.add("needs `regions` to wait for", Some(&"region"));
        });
    }
    problems.at("timeout_ms", |problems| {
        problems.within(timeout_ms, 0..=WAIT_MAX_MS, "milliseconds");
    });
}

/// What [`is_region`] holds, in words.
pub const REGION_FORM: &str = "must be 1 to 64 lower-case letters, digits and hyphens";

/// Whether a text may name a region.
#[must_use]
pub fn is_region(text: &str) -> bool {
    (1..=REGION_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::parse;
    use serde_json::{Value, json};

    fn fields<T: serde::de::DeserializeOwned + Serialize + Check>(body: Value) -> Vec<String> {
        let problems = parse::<T>(body).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn a_purge_says_what_is_wrong_with_it() {
        let check = |body: Value, expected: &[&str]| {
            assert_eq!(fields::<PurgeRequest>(body.clone()), expected, "{body}");
        };
        check(json!({"everything": true}), &[]);
        check(json!({"tags": ["a"], "urls": ["/a"], "mode": "soft", "wait": "all"}), &[]);
        check(json!({}), &[""]);
        check(json!({"everything": true, "tags": ["a"]}), &["everything"]);
        check(json!({"tags": ["", "a b", "a,b", "ok"]}), &["tags[0]", "tags[1]", "tags[2]"]);
        check(json!({"tags": vec!["a"; 10_001]}), &[""]);
        check(json!({"tags": ["a"], "wait": "region"}), &["wait"]);
        check(json!({"tags": ["a"], "wait": "region", "regions": ["EU"]}), &["regions[0]"]);
        check(json!({"tags": ["a"], "timeout_ms": 300_001}), &["timeout_ms"]);
        check(json!({"tags": ["a"], "mode": "gentle"}), &["mode"]);
    }

    #[test]
    fn so_do_the_others() {
        assert_eq!(fields::<RevalidateRequest>(json!({"paths": ["/a"]})), [""; 0]);
        assert_eq!(fields::<RevalidateRequest>(json!({"refetch": 10_001})), ["", "refetch"]);
        assert_eq!(fields::<WarmRequest>(json!({"urls": ["http://a/"]})), [""; 0]);
        assert_eq!(fields::<WarmRequest>(json!({"rate": 0, "urls": [""]})), ["urls[0]", "rate"]);
    }
}
