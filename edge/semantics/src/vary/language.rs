//! Would the origin choose the stored language for this request too? RFC 9110 §12.5.4.
//!
//! Beyond RFC 9111 §4.1, which matches requests and not responses: an origin that prefers its own order
//! over the client's weights would answer otherwise. The caller asks only where a rule wants it.

use http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, HeaderMap, VARY};

use super::normalise::weighted;
use crate::list::{all_members, trim};

/// Whether the one language of the stored response is the one the request weighs highest, alone, and
/// the response varies by nothing but `Accept-Language`.
pub fn is_preferred_language(stored: &HeaderMap, request: &HeaderMap) -> bool {
    let mut varies = all_members(stored.get_all(VARY)).peekable();
    let by_language = |name: &[u8]| name.eq_ignore_ascii_case(ACCEPT_LANGUAGE.as_str().as_bytes());
    if varies.peek().is_none() || !varies.all(by_language) {
        return false;
    }
    let Some(language) = stored.get(CONTENT_LANGUAGE).map(|value| trim(value.as_bytes())) else {
        return false;
    };
    let (mut chosen, mut others) = (0, 0);
    for member in all_members(request.get_all(ACCEPT_LANGUAGE)) {
        match weighted(member) {
            Some((range, weight)) if range.eq_ignore_ascii_case(language) => chosen = weight,
            Some((_, weight)) => others = others.max(weight),
            None => return false,
        }
    }
    chosen > others
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::head;

    #[test]
    fn the_language_must_be_the_only_first_choice() {
        let check = |language: &str, accepted: &str, expected| {
            let stored = head(&["vary: Accept-Language", &format!("content-language: {language}")]);
            let request = head(&[&format!("accept-language: {accepted}")]);
            assert_eq!(is_preferred_language(&stored, &request), expected, "{accepted}");
        };
        check("de", "fr;q=0.5, de;q=1.0", true);
        check("de", "DE", true);
        check("de", "de, en", false);
        check("de", "en, de;q=0.9", false);
        check("de", "de;q=0", false);
        check("de", "de;x=1", false);
        check("de", "*", false);
        check("de, en", "de", false);
    }

    #[test]
    fn nothing_else_may_vary() {
        let request = head(&["accept-language: de"]);
        let check = |lines: &[&str], expected| {
            assert_eq!(is_preferred_language(&head(lines), &request), expected, "{lines:?}");
        };
        check(&["vary: accept-language, foo", "content-language: de"], false);
        check(&["content-language: de"], false);
        check(&["vary: accept-language"], false);
    }
}
