//! What does a client show its pages on? A guess in four words, from what it says itself.
//!
//! `Sec-CH-UA-Mobile: ?1` (a user agent client hint) is a phone. Otherwise words of `User-Agent` decide, the first of
//! these that it has, in any letter case:
//!
//! | words | class |
//! |---|---|
//! | `bot` (not as in `cubot`), `crawl`, `spider`, `slurp` | bot |
//! | `ipad`, `tablet`, `kindle`, `silk/`, `playbook`; `android` without `mobile` | tablet |
//! | `mobi`, `iphone`, `ipod`, `android` | mobile, but desktop with `Sec-CH-UA-Mobile: ?0` |
//! | none of them | desktop |

use http::{HeaderMap, HeaderName, HeaderValue, header};
use memchr::memmem;

const MOBILE_HINT: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");
/// Bytes of a User-Agent that are looked at.
const LOOKED_AT: usize = 1_024;

/// A class of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A phone.
    Mobile,
    /// A tablet.
    Tablet,
    /// A computer, or a client that says nothing.
    Desktop,
    /// A program that reads pages by itself.
    Bot,
}

impl Device {
    /// The class of the client that sent these fields.
    #[must_use]
    pub fn of(request: &HeaderMap) -> Self {
        let hint = request.get(MOBILE_HINT).map(|hint| hint.as_bytes().trim_ascii());
        if hint == Some(b"?1") {
            return Self::Mobile;
        }
        let agent = request.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let agent = agent.get(..LOOKED_AT).unwrap_or(agent).to_ascii_lowercase();
        match Self::of_agent(&agent) {
            Self::Mobile if hint == Some(b"?0") => Self::Desktop,
            device => device,
        }
    }

    fn of_agent(agent: &[u8]) -> Self {
        let has = |word: &str| memmem::find(agent, word.as_bytes()).is_some();
        let any = |words: &[&str]| words.iter().any(|word| has(word));
        if is_bot(agent) || any(&["crawl", "spider", "slurp"]) {
            Self::Bot
        } else if any(&["ipad", "tablet", "kindle", "silk/", "playbook"])
            || (has("android") && !has("mobile"))
        {
            Self::Tablet
        } else if any(&["mobi", "iphone", "ipod", "android"]) {
            Self::Mobile
        } else {
            Self::Desktop
        }
    }

    /// The word the origin is told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Desktop => "desktop",
            Self::Bot => "bot",
        }
    }
}

/// Whether there is a `bot` that is no Cubot, a make of phones.
fn is_bot(agent: &[u8]) -> bool {
    memmem::find_iter(agent, b"bot").any(|at| !agent.get(..at).unwrap_or_default().ends_with(b"cu"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(agent: &'static str, hint: Option<&'static str>, expected: &str) {
        let mut fields = HeaderMap::new();
        fields.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        if let Some(hint) = hint {
            fields.insert(MOBILE_HINT, HeaderValue::from_static(hint));
        }
        assert_eq!(Device::of(&fields).as_str(), expected, "{agent} {hint:?}");
    }

    #[test]
    fn user_agents_are_told_apart_by_their_words() {
        let phone = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36";
        let tablet = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36";
        let computer =
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0";
        check(phone, None, "mobile");
        check(tablet, None, "tablet");
        check(computer, None, "desktop");
        check("", None, "desktop");
        check("curl/8.5.0", None, "desktop");
        check(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Version/17.4 Mobile/15E148 Safari/604.1",
            None,
            "mobile",
        );
        check(
            "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) Version/16.6 Mobile/15E148 Safari/604.1",
            None,
            "tablet",
        );
        check(
            "Mozilla/5.0 (Android 14; Mobile; rv:128.0) Gecko/128.0 Firefox/128.0",
            None,
            "mobile",
        );
        check(
            "Mozilla/5.0 (Android 14; Tablet; rv:128.0) Gecko/128.0 Firefox/128.0",
            None,
            "tablet",
        );
        check(
            "Mozilla/5.0 (Linux; Android 9; KFMAWI) Silk/80.5.3 like Chrome/80 Safari/537.36",
            None,
            "tablet",
        );
        check(
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            None,
            "bot",
        );
        check(
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) Chrome/41 Mobile Safari/537.36 (compatible; Googlebot/2.1)",
            None,
            "bot",
        );
        check("Mozilla/5.0 (compatible; Yahoo! Slurp)", None, "bot");
        check(
            "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) Chrome/80 Mobile Safari/537.36",
            None,
            "mobile",
        );
        check("Opera/9.80 (J2ME/MIDP; Opera Mini/9; U; en) Presto/2.5.25 Mobi", None, "mobile");
    }

    #[test]
    fn a_hint_goes_before_the_words() {
        check(
            "Mozilla/5.0 (X11; Linux x86_64) Chrome/124.0.0.0 Safari/537.36",
            Some("?1"),
            "mobile",
        );
        check(
            "Mozilla/5.0 (Linux; Android 10; K) Chrome/124 Mobile Safari/537.36",
            Some("?0"),
            "desktop",
        );
        check("Mozilla/5.0 (Linux; Android 10; K) Chrome/124 Safari/537.36", Some("?0"), "tablet");
        check("Mozilla/5.0 (X11; Linux x86_64)", Some("yes"), "desktop");
    }
}
