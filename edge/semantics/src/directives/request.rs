//! What does the client ask of caches? RFC 9111 §5.2.1, §5.4 (`Pragma`), RFC 5861 §4.
//!
//! These are wishes: a cache may ignore them, so an invalid argument makes a directive as if absent.
//! A request without `Cache-Control` and `Pragma` costs two look-ups and is told apart by
//! [`RequestDirectives::are_absent`].

use http::header::{CACHE_CONTROL, HeaderMap, PRAGMA};

use crate::list::{Argument, Directive, MAX_DELTA, all_members};
use crate::policy::CachePolicy;

/// The directives of a request; the default is a request without any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Seconds, as are the following.
    pub(crate) max_age: Option<u32>,
    pub(crate) min_fresh: Option<u32>,
    pub(crate) max_stale: Option<u32>,
    pub(crate) stale_if_error: Option<u32>,
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
    present: bool,
}

impl RequestDirectives {
    /// Reads a request's head. Without `honour_request_directives` every request is one without any.
    pub fn read(request: &HeaderMap, policy: &CachePolicy) -> Self {
        let mut read = Self::default();
        if !policy.honour_request_directives {
            return read;
        }
        if request.contains_key(CACHE_CONTROL) {
            let members = all_members(request.get_all(CACHE_CONTROL));
            members.map(Directive::read).for_each(|directive| read.add(directive));
        } else if request.contains_key(PRAGMA) {
            let mut members = all_members(request.get_all(PRAGMA));
            read.no_cache = members.any(|member| member.eq_ignore_ascii_case(b"no-cache"));
            read.present = read.no_cache;
        }
        read
    }

    /// Whether the request says nothing we know.
    pub fn are_absent(&self) -> bool {
        !self.present
    }

    /// `no-store`: nothing of the response is to be stored; a stored one may still be used (§5.2.1.5).
    pub fn no_store(&self) -> bool {
        self.no_store
    }

    /// `only-if-cached`: answer 504 rather than forward (§5.2.1.7). On a miss this is the caller's to
    /// ask; [`crate::reuse`] asks it when there is a stored response.
    pub fn only_if_cached(&self) -> bool {
        self.only_if_cached
    }

    fn add(&mut self, directive: Directive<'_>) {
        let delta = directive.argument.delta_seconds();
        let known = match directive.lowered(&mut [0; 24]) {
            Some(b"max-age") => tighten(&mut self.max_age, delta, u32::min),
            Some(b"min-fresh") => tighten(&mut self.min_fresh, delta, u32::max),
            Some(b"max-stale") if directive.argument == Argument::Absent => {
                tighten(&mut self.max_stale, Some(MAX_DELTA), u32::min)
            }
            Some(b"max-stale") => tighten(&mut self.max_stale, delta, u32::min),
            Some(b"stale-if-error") => tighten(&mut self.stale_if_error, delta, u32::min),
            Some(b"no-cache") => set(&mut self.no_cache),
            Some(b"no-store") => set(&mut self.no_store),
            Some(b"only-if-cached") => set(&mut self.only_if_cached),
            _ => false,
        };
        self.present |= known;
    }
}

fn set(flag: &mut bool) -> bool {
    *flag = true;
    true
}

/// Combines a repeated directive; `false` for one without a valid value.
fn tighten(kept: &mut Option<u32>, value: Option<u32>, stricter: fn(u32, u32) -> u32) -> bool {
    let Some(value) = value else { return false };
    *kept = Some(kept.map_or(value, |kept| stricter(kept, value)));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::head;

    fn read(lines: &[&str]) -> RequestDirectives {
        RequestDirectives::read(&head(lines), &CachePolicy::default())
    }

    #[test]
    fn a_request_without_wishes_is_told_apart() {
        let check = |lines: &[&str], expected| {
            assert_eq!(read(lines).are_absent(), expected, "{lines:?}");
        };
        check(&[], true);
        check(&["accept: */*"], true);
        check(&["cache-control: no-transform, x=1"], true);
        check(&["cache-control: max-age=x"], true);
        check(&["pragma: x"], true);
        check(&["pragma: no-cache"], false);
        check(&["cache-control: no-store"], false);
    }

    #[test]
    fn wishes_count_in_their_strictest_form() {
        let read = read(&[
            "cache-control: max-age=5, min-fresh=1, max-stale",
            "cache-control: MAX-AGE=3, min-fresh=9, max-stale=60, only-if-cached",
        ]);
        assert_eq!((read.max_age, read.min_fresh, read.max_stale), (Some(3), Some(9), Some(60)));
        assert!(read.only_if_cached() && !read.no_store());
    }

    #[test]
    fn pragma_counts_only_without_cache_control() {
        assert!(read(&["pragma: x, No-Cache"]).no_cache);
        assert!(!read(&["pragma: no-cache", "cache-control: max-age=1"]).no_cache);
    }

    #[test]
    fn a_rule_can_ignore_wishes() {
        let policy = CachePolicy { honour_request_directives: false, ..CachePolicy::default() };
        let head = head(&["cache-control: no-cache, no-store, only-if-cached"]);
        assert!(RequestDirectives::read(&head, &policy).are_absent());
    }
}
