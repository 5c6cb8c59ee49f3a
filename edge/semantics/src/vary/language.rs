//! Is the language of the stored response the one this request prefers? RFC 9110 §12.5.4, RFC 4647 §3.3.1.
//!
//! RFC 9111 §4.1 matches requests; here a request is matched with the response itself, which tells its
//! language. That answers for the origin only where no weighing is left to it: one range above all
//! others, and exactly the language that the origin has been seen to have. A longer tag (`de-CH` for the
//! range `de`) would match by §3.3.1 too, but an origin may have both.

use http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, HeaderMap, VARY};

use super::normalise::weighted;
use crate::list::{all_members, is_token};

/// Whether a request that doesn't repeat the values a response was stored with selects it nevertheless.
///
/// So it does where the response varies by `Accept-Language` and nothing else, is in one language, and
/// the request weighs that very language higher than anything else it names.
pub fn is_preferred_language(stored: &HeaderMap, request: &HeaderMap) -> bool {
    varies_by_language_alone(stored)
        && language(stored).is_some_and(|language| prefers(request, language))
}

fn varies_by_language_alone(stored: &HeaderMap) -> bool {
    let is_language = |name: &[u8]| name.eq_ignore_ascii_case(ACCEPT_LANGUAGE.as_str().as_bytes());
    let mut names = all_members(stored.get_all(VARY)).peekable();
    names.peek().is_some() && names.all(is_language)
}

/// The only language of a response.
fn language(stored: &HeaderMap) -> Option<&[u8]> {
    let mut languages = all_members(stored.get_all(CONTENT_LANGUAGE));
    let language = languages.next().filter(|language| is_token(language) && *language != b"*")?;
    languages.next().is_none().then_some(language)
}

/// Whether `language` has a higher weight than every other range. False where some range has none.
fn prefers(request: &HeaderMap, language: &[u8]) -> bool {
    let (mut chosen, mut others) = (0, 0);
    for member in all_members(request.get_all(ACCEPT_LANGUAGE)) {
        let Some((range, weight)) = weighted(member) else { return false };
        let highest = if range.eq_ignore_ascii_case(language) { &mut chosen } else { &mut others };
        *highest = weight.max(*highest);
    }
    chosen > others
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::head;

    fn check(stored: &[&str], accepted: &str, expected: bool) {
        let request = head(&[&format!("accept-language: {accepted}")]);
        let found = is_preferred_language(&head(stored), &request);
        assert_eq!(found, expected, "{stored:?} {accepted}");
    }

    fn check_german(accepted: &str, expected: bool) {
        check(&["vary: Accept-Language", "content-language: de"], accepted, expected);
    }

    #[test]
    fn the_language_is_the_only_first_choice() {
        check_german("fr;q=0.5, de;q=1.0", true);
        check_german("DE", true);
        check_german("de;q=0.2, *;q=0.1", true);
        check_german("de, en;q=0.999", true);
        check_german("de, en", false);
        check_german("de, *", false);
        check_german("en, de;q=0.9", false);
        check_german("*", false);
        check_german("fr", false);
        check_german("de;q=0", false);
        check_german("", false);
    }

    #[test]
    fn a_range_is_the_whole_tag() {
        check_german("de-CH", false);
        check(&["vary: accept-language", "content-language: de-CH"], "de", false);
        check(&["vary: accept-language", "content-language: de-CH"], "De-cH, fr;q=0.1", true);
    }

    #[test]
    fn what_is_malformed_prefers_nothing() {
        check_german("de;x=1", false);
        check_german("de, en;q=5", false);
        check_german("de, en;q=0.1;q=0.2", false);
        check_german("de, en q=0.1", false);
        check(&["vary: accept-language", "content-language: *"], "*", false);
    }

    #[test]
    fn the_response_is_in_one_language_and_varies_by_nothing_else() {
        check(&["vary: accept-language", "content-language: de, en"], "de", false);
        check(
            &["vary: accept-language", "content-language: de", "content-language: en"],
            "de",
            false,
        );
        check(&["vary: accept-language"], "de", false);
        check(&["content-language: de"], "de", false);
        check(&["vary: accept-language, foo", "content-language: de"], "de", false);
        check(&["vary: foo", "content-language: de"], "de", false);
        check(&["vary: Accept-language, accept-language", "content-language: de"], "de", true);
    }

    proptest! {
        #[test]
        fn no_request_prefers_two_languages(accepted in "((de|en|fr|de-CH)(;q=(1|0\\.[0-9]))?(, )?){0,5}") {
            let request = head(&[&format!("accept-language: {accepted}")]);
            let languages = ["de", "en", "fr", "de-CH"].into_iter().filter(|language| {
                let stored = head(&["vary: accept-language", &format!("content-language: {language}")]);
                is_preferred_language(&stored, &request)
            });
            prop_assert!(languages.count() <= 1, "{accepted}");
        }
    }
}
