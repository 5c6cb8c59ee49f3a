//! What do the cache directives of a message say? RFC 9111 §5.2, and RFC 9213 for whom they are meant.
//!
//! `source` chooses the field that speaks to us; `response` and `request` hold what was said.

mod request;
mod response;
mod source;

use http::header::{CACHE_CONTROL, HeaderMap};

pub use self::request::RequestDirectives;
pub(crate) use self::response::ResponseDirectives;
pub(crate) use self::source::Source;
use crate::list::all_members;

/// Whether a message's `Cache-Control` forbids transforming its content (RFC 9111 §5.2.1.6, §5.2.2.6).
/// Targeted fields are not asked: the content is also for those behind us.
pub fn forbids_transforming(message: &HeaderMap) -> bool {
    all_members(message.get_all(CACHE_CONTROL))
        .any(|member| member.eq_ignore_ascii_case(b"no-transform"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::head;

    #[test]
    fn no_transform_is_found_outside_quotes() {
        let check = |value: &str, expected| {
            let head = head(&[&format!("cache-control: {value}")]);
            assert_eq!(forbids_transforming(&head), expected, "{value}");
        };
        check("max-age=1, No-Transform", true);
        check("max-age=1", false);
        check("x=\"a, no-transform\"", false);
    }
}
