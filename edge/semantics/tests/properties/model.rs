//! Exchanges of known making, and what RFC 9111 says of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use semantics::policy::CachePolicy;
use semantics::storing::{Exchange, Keep, keep};

/// Directives of `Cache-Control`, none of them twice.
const DIRECTIVES: [&str; 18] = [
    "no-store",
    "private",
    "private=\"x-listed\"",
    "no-cache",
    "no-cache=\"set-cookie\"",
    "public",
    "must-revalidate",
    "Proxy-Revalidate",
    "must-understand",
    "immutable",
    "max-age=60",
    "MAX-AGE=40",
    "max-age=1x",
    "s-maxage=30",
    "stale-while-revalidate=50",
    "stale-if-error=50",
    "extension=\"private, no-store\"",
    "no-transform",
];
/// Those that a Dictionary can have too; there, an unknown value isn't of the wrong type.
const TARGETED: [&str; 9] = [
    "no-store",
    "private",
    "no-cache",
    "must-revalidate",
    "public",
    "max-age=70",
    "s-maxage=20",
    "immutable",
    "x=1.5",
];

/// A response to a request, as an origin might make it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    method: &'static str,
    authorized: bool,
    status: u16,
    directives: Vec<&'static str>,
    targeted: Vec<&'static str>,
    /// Seconds after the response's time.
    expires: Option<i64>,
    /// Seconds before the response's time.
    dated: Option<u64>,
    modified: Option<u64>,
    age: Option<u64>,
    further: Vec<(&'static str, &'static str)>,
    rule: Rule,
    one_line: bool,
}

/// Lifetimes that a site sets, in seconds.
#[derive(Clone, Debug)]
struct Rule {
    overriding: Option<u64>,
    of_status: Option<u64>,
    of_class: Option<u64>,
    default: Option<u64>,
}

/// Any of them; most are of the common kinds.
pub(crate) fn case() -> impl Strategy<Value = Case> {
    let request = (
        prop_oneof![9 => Just("GET"), 1 => select(vec!["POST", "HEAD"])],
        proptest::bool::weighted(0.2),
    );
    let status = prop_oneof![2 => Just(200), 1 => select(vec![404, 301, 302, 500, 206, 304])];
    let directives = subsequence(DIRECTIVES.to_vec(), 0..4).prop_shuffle();
    let targeted = prop_oneof![3 => Just(Vec::new()), 1 => subsequence(TARGETED.to_vec(), 1..4).prop_shuffle()];
    let seconds = |range: std::ops::Range<u64>| proptest::option::weighted(0.3, range);
    let times = (
        proptest::option::weighted(0.3, -50_i64..200),
        seconds(0..30),
        seconds(100..2_000_000),
        seconds(0..90),
    );
    let rule = (seconds(0..100), seconds(0..100), seconds(0..100), seconds(0..100)).prop_map(
        |(overriding, of_status, of_class, default)| Rule {
            overriding,
            of_status,
            of_class,
            default,
        },
    );
    let further = vec![
        ("etag", "\"a\""),
        ("vary", "accept"),
        ("vary", "*"),
        ("set-cookie", "a=b"),
        ("x-listed", "1"),
        ("connection", "etag, x-other"),
        ("cdn-cache-control", "max-age=\"x\""),
    ];
    let further = subsequence(further, 0..3);
    (request, status, directives, targeted, times, (rule, further), any::<bool>()).prop_map(
        |(request, status, directives, targeted, times, (rule, further), one_line)| Case {
            method: request.0,
            authorized: request.1,
            status,
            directives,
            targeted,
            expires: times.0,
            dated: times.1,
            modified: times.2,
            age: times.3,
            rule,
            further,
            one_line,
        },
    )
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn date(offset: i64) -> String {
    let length = Duration::from_secs(offset.unsigned_abs());
    httpdate::fmt_http_date(if offset < 0 { now() - length } else { now() + length })
}

impl Case {
    pub(crate) fn keep(&self) -> Keep {
        let mut request = HeaderMap::new();
        if self.authorized {
            request.insert("authorization", HeaderValue::from_static("Basic x"));
        }
        let exchange = Exchange {
            method: &Method::from_bytes(self.method.as_bytes()).unwrap(),
            target: &Uri::from_static("https://a/b"),
            request: &request,
            status: StatusCode::from_u16(self.status).unwrap(),
            response: &self.response(),
            request_time: now(),
            response_time: now(),
        };
        keep(&exchange, &self.policy())
    }

    fn policy(&self) -> CachePolicy {
        let mut policy = CachePolicy {
            lifetime: self.rule.overriding.map(Duration::from_secs),
            default_lifetime: self.rule.default.map(Duration::from_secs),
            ..CachePolicy::default()
        };
        let lifetimes = &mut policy.status_lifetimes;
        if let Some(seconds) = self.rule.of_class {
            let first = StatusCode::from_u16(self.status / 100 * 100).unwrap();
            lifetimes.set_class(first, Duration::from_secs(seconds));
        }
        if let Some(seconds) = self.rule.of_status {
            let status = StatusCode::from_u16(self.status).unwrap();
            lifetimes.set(status, Duration::from_secs(seconds));
        }
        policy
    }

    fn response(&self) -> HeaderMap {
        let mut lines = Vec::new();
        for (name, members) in
            [("cache-control", &self.directives), ("cdn-cache-control", &self.targeted)]
        {
            if self.one_line && !members.is_empty() {
                lines.push((name, members.join(" , ")));
            } else {
                lines.extend(members.iter().map(|member| (name, (*member).to_owned())));
            }
        }
        let signed = |seconds: u64| -seconds.cast_signed();
        lines.extend(self.expires.map(|at| ("expires", date(at))));
        lines.extend(self.dated.map(|before| ("date", date(signed(before)))));
        lines.extend(self.modified.map(|before| ("last-modified", date(signed(before)))));
        lines.extend(self.age.map(|age| ("age", age.to_string())));
        lines.extend(self.further.iter().map(|&(name, value)| (name, value.to_owned())));
        let parsed = |(name, value): (&'static str, String)| {
            (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap())
        };
        lines.into_iter().map(parsed).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.further.iter().any(|(further, _)| *further == name)
    }

    /// RFC 9213 §2.2: a targeted field with an invalid line is ignored as a whole.
    fn is_targeted(&self) -> bool {
        !self.targeted.is_empty() && !self.has("cdn-cache-control")
    }

    fn says(&self, directive: &str) -> bool {
        let said = if self.is_targeted() { &self.targeted } else { &self.directives };
        said.iter().any(|said| said.eq_ignore_ascii_case(directive))
    }

    /// The least of the lifetimes that `directive` gives.
    fn least(&self, directive: &str) -> Option<u64> {
        let said = if self.is_targeted() { &self.targeted } else { &self.directives };
        let values = said.iter().filter_map(|said| {
            let (name, value) = said.split_once('=')?;
            name.eq_ignore_ascii_case(directive).then(|| value.parse().unwrap_or(0))
        });
        values.min()
    }

    /// RFC 9111 §4.2.3.
    pub(crate) fn age(&self) -> u64 {
        self.age.unwrap_or(0).max(self.dated.unwrap_or(0))
    }

    /// RFC 9111 §5.2.2.4.
    pub(crate) fn validates_always(&self) -> bool {
        self.says("no-cache")
    }

    /// RFC 9111 §4.2.4.
    pub(crate) fn forbids_stale(&self) -> bool {
        ["must-revalidate", "proxy-revalidate", "no-cache"].iter().any(|said| self.says(said))
            || self.least("s-maxage").is_some()
    }

    /// The site's own word, then RFC 9111 §4.2.1, then the site's where that is silent, then §4.2.2.
    pub(crate) fn lifetime(&self) -> Option<u64> {
        let (cacheable, error) = (self.is_cacheable(), self.status >= 400);
        let explicit = self.explicit_lifetime();
        let overriding =
            self.rule.overriding.filter(|_| !error && (cacheable || explicit.is_some()));
        let default = self.rule.default.filter(|_| !error && cacheable);
        overriding
            .or(explicit)
            .or(self.rule.of_status)
            .or(self.rule.of_class)
            .or(default)
            .or_else(|| self.heuristic_lifetime())
    }

    fn explicit_lifetime(&self) -> Option<u64> {
        let expires = self.expires.filter(|_| !self.is_targeted());
        let expires = expires.map(|at| u64::try_from(at - self.date()).unwrap_or(0));
        self.least("s-maxage").or_else(|| self.least("max-age")).or(expires)
    }

    fn heuristic_lifetime(&self) -> Option<u64> {
        let modified = self.modified.filter(|_| self.is_cacheable())?;
        Some((modified.checked_add_signed(self.date())? / 10).min(86_400))
    }

    fn is_cacheable(&self) -> bool {
        self.says("public") || matches!(self.status, 200 | 301 | 404)
    }

    /// Seconds after the response's time.
    fn date(&self) -> i64 {
        -self.dated.unwrap_or(0).cast_signed()
    }

    /// Whether a rule of §3 or §3.5, or ours for cookies, keeps it out of the store.
    pub(crate) fn is_forbidden(&self) -> bool {
        let opened =
            self.says("public") || self.says("must-revalidate") || self.least("s-maxage").is_some();
        let understood = self.says("must-understand");
        self.method != "GET"
            || matches!(self.status, 206 | 304)
            || (self.says("no-store") && !understood)
            || self.says("private")
            || (self.authorized && !opened)
            || (self.has("set-cookie") && !self.omits("set-cookie"))
            || self.further.contains(&("vary", "*"))
    }

    /// §3.1, and the lists of §5.2.2.4 and §5.2.2.7.
    pub(crate) fn omits(&self, name: &str) -> bool {
        let listed = match name {
            "set-cookie" => self.says("no-cache=\"set-cookie\""),
            "x-listed" => self.says("private=\"x-listed\""),
            "etag" => self.has("connection"),
            _ => false,
        };
        listed && self.has(name)
    }
}
