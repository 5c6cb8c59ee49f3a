//! How long is a response fresh, how old is it, and how long may it be used when stale?
//! RFC 9111 §4.2 (lifetime §4.2.1, heuristic §4.2.2, age §4.2.3), RFC 5861, RFC 8246.
//!
//! [`Freshness`] is computed once, when a response is stored ([`crate::storing::keep`]) or freshened,
//! and answers every reuse afterwards ([`crate::reuse`]) without looking at the head again.

mod age;
mod lifetime;

use std::time::Duration;

pub use self::age::age_value;
pub(crate) use self::age::initial_age;
pub use self::lifetime::{Basis, basis};
pub(crate) use self::lifetime::{is_explicit, is_heuristically_cacheable, lifetime};
use crate::directives::ResponseDirectives;
use crate::policy::{CachePolicy, whole_seconds};

/// What reuse needs to know of a stored response. 24 bytes, and 21 when written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    initial_age_milliseconds: u64,
    lifetime_seconds: u32,
    /// Invariant: this and the following are zero where the response forbids stale use.
    stale_while_revalidate_seconds: u32,
    stale_if_error_seconds: u32,
    flags: u8,
}

const VALIDATE_ALWAYS: u8 = 1;
const FORBIDS_STALE: u8 = 1 << 1;
const IMMUTABLE: u8 = 1 << 2;

impl Freshness {
    /// From what was said. `lifetime` is `None` where nothing gives one; `initial_age` is the corrected
    /// one, at the time of the response.
    pub(crate) fn new(
        directives: &ResponseDirectives,
        policy: &CachePolicy,
        lifetime: Option<u32>,
        initial_age: Duration,
    ) -> Self {
        let lifetime_seconds = lifetime.unwrap_or(0);
        let said_or = |said: Option<u32>, ours: Option<Duration>, applies: bool| {
            let ours = ours.filter(|_| applies).map_or(0, whole_seconds);
            said.unwrap_or(ours)
        };
        Self {
            initial_age_milliseconds: milliseconds(initial_age),
            lifetime_seconds,
            stale_while_revalidate_seconds: said_or(
                directives.stale_while_revalidate,
                policy.stale_while_revalidate,
                lifetime_seconds > 0,
            ),
            stale_if_error_seconds: said_or(
                directives.stale_if_error,
                policy.stale_if_error,
                lifetime.is_some(),
            ),
            flags: flag(VALIDATE_ALWAYS, directives.no_cache)
                | flag(FORBIDS_STALE, directives.forbids_stale())
                | flag(IMMUTABLE, directives.immutable),
        }
        .without_forbidden_windows()
    }

    /// Freshness lifetime.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(u64::from(self.lifetime_seconds))
    }

    /// `stale-while-revalidate` window after the lifetime; zero where forbidden.
    pub fn stale_while_revalidate(&self) -> Duration {
        Duration::from_secs(u64::from(self.stale_while_revalidate_seconds))
    }

    /// `stale-if-error` window after the lifetime; zero where forbidden.
    pub fn stale_if_error(&self) -> Duration {
        Duration::from_secs(u64::from(self.stale_if_error_seconds))
    }

    /// The same as if its lifetime had ended `resident` after the response was received, and what was left of it were part of
    /// the windows in which it may be used stale. Nothing changes where it has ended already.
    #[must_use]
    pub fn ended(self, resident: Duration) -> Self {
        let age_seconds = u32::try_from(self.age(resident).as_secs()).unwrap_or(u32::MAX);
        let left = self.lifetime_seconds.saturating_sub(age_seconds);
        Self {
            lifetime_seconds: self.lifetime_seconds - left,
            stale_while_revalidate_seconds: self
                .stale_while_revalidate_seconds
                .saturating_add(left),
            stale_if_error_seconds: self.stale_if_error_seconds.saturating_add(left),
            ..self
        }
        .without_forbidden_windows()
    }

    /// Current age `resident` after the response was received: what `Age` says, in whole seconds.
    pub fn age(&self, resident: Duration) -> Duration {
        Duration::from_millis(self.age_milliseconds(resident))
    }

    /// Remaining lifetime in whole seconds, as `Cache-Status` tells it: not positive once stale.
    pub fn ttl(&self, resident: Duration) -> i64 {
        let age = self.age_milliseconds(resident);
        let lifetime = self.lifetime_milliseconds();
        let distance = i64::try_from(lifetime.abs_diff(age) / 1000).unwrap_or(i64::MAX);
        if age > lifetime { -distance } else { distance }
    }

    /// `no-cache`: never to be used without successful validation (RFC 9111 §5.2.2.4).
    pub fn validates_always(&self) -> bool {
        self.flags & VALIDATE_ALWAYS != 0
    }

    /// `must-revalidate`, `proxy-revalidate`, `s-maxage` or `no-cache`: never to be used stale.
    pub fn forbids_stale(&self) -> bool {
        self.flags & FORBIDS_STALE != 0
    }

    /// `immutable`: it won't change while it is fresh, so that no reload is to validate it (RFC 8246 §2).
    pub fn is_immutable(&self) -> bool {
        self.flags & IMMUTABLE != 0
    }

    /// The form to write down. Not a stable format: it changes only with the store's own.
    pub fn to_bytes(&self) -> [u8; 21] {
        let mut bytes = [0; 21];
        bytes[0..8].copy_from_slice(&self.initial_age_milliseconds.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.lifetime_seconds.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.stale_while_revalidate_seconds.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.stale_if_error_seconds.to_le_bytes());
        bytes[20] = self.flags;
        bytes
    }

    /// Reads what [`Freshness::to_bytes`] wrote. Any bytes give a freshness that keeps its promises.
    pub fn from_bytes(bytes: &[u8; 21]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, rest @ ..] = *bytes;
        let [l0, l1, l2, l3, w0, w1, w2, w3, e0, e1, e2, e3, flags] = rest;
        Self {
            initial_age_milliseconds: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            lifetime_seconds: u32::from_le_bytes([l0, l1, l2, l3]),
            stale_while_revalidate_seconds: u32::from_le_bytes([w0, w1, w2, w3]),
            stale_if_error_seconds: u32::from_le_bytes([e0, e1, e2, e3]),
            flags,
        }
        .without_forbidden_windows()
    }

    pub(crate) fn age_milliseconds(&self, resident: Duration) -> u64 {
        self.initial_age_milliseconds.saturating_add(milliseconds(resident))
    }

    pub(crate) fn lifetime_milliseconds(&self) -> u64 {
        u64::from(self.lifetime_seconds) * 1000
    }

    /// The same as if the response had said that it is never to be used without successful validation.
    #[must_use]
    pub fn to_be_validated(self) -> Self {
        Self { flags: self.flags | VALIDATE_ALWAYS, ..self }.without_forbidden_windows()
    }

    fn without_forbidden_windows(mut self) -> Self {
        if self.validates_always() {
            self.flags |= FORBIDS_STALE;
        }
        if self.forbids_stale() {
            self.stale_while_revalidate_seconds = 0;
            self.stale_if_error_seconds = 0;
        }
        self
    }
}

fn flag(flag: u8, set: bool) -> u8 {
    if set { flag } else { 0 }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::head;

    fn freshness(cache_control: &str, policy: &CachePolicy, lifetime: Option<u32>) -> Freshness {
        let head = head(&[&format!("cache-control: {cache_control}")]);
        let directives = ResponseDirectives::read(&head, policy);
        Freshness::new(&directives, policy, lifetime, Duration::from_millis(1500))
    }

    #[test]
    fn prohibitions_close_the_windows() {
        let policy = CachePolicy {
            stale_while_revalidate: Some(Duration::from_secs(3)),
            stale_if_error: Some(Duration::from_secs(4)),
            ..CachePolicy::default()
        };
        let check = |value: &str, lifetime, while_revalidate, if_error| {
            let freshness = freshness(value, &policy, lifetime);
            let windows = (freshness.stale_while_revalidate(), freshness.stale_if_error());
            let expected = (Duration::from_secs(while_revalidate), Duration::from_secs(if_error));
            assert_eq!(windows, expected, "{value}");
        };
        check("", Some(10), 3, 4);
        check("", Some(0), 0, 4);
        check("", None, 0, 0);
        check("stale-while-revalidate=1, stale-if-error=2", None, 1, 2);
        check("stale-while-revalidate=x, stale-if-error=0", Some(10), 0, 0);
        for forbidding in ["must-revalidate", "proxy-revalidate", "s-maxage=9", "no-cache"] {
            check(&format!("stale-if-error=9, {forbidding}"), Some(10), 0, 0);
        }
    }

    #[test]
    fn what_is_left_of_an_ended_lifetime_is_a_window() {
        let check = |value: &str, resident, lifetime, while_revalidate, if_error| {
            let freshness = freshness(value, &CachePolicy::default(), Some(10));
            let ended = freshness.ended(Duration::from_secs(resident));
            let windows = (ended.stale_while_revalidate(), ended.stale_if_error());
            let expected = (Duration::from_secs(while_revalidate), Duration::from_secs(if_error));
            assert_eq!((ended.lifetime().as_secs(), windows), (lifetime, expected), "{value}");
            assert_eq!(ended.age(Duration::ZERO), freshness.age(Duration::ZERO));
        };
        // 1.5 s old when it was received
        check("", 0, 1, 9, 9);
        check("", 4, 5, 5, 5);
        check("stale-while-revalidate=3, stale-if-error=4", 4, 5, 8, 9);
        check("", 10, 10, 0, 0);
        check("stale-while-revalidate=3", 50, 10, 3, 0);
        check("must-revalidate, stale-if-error=4", 4, 5, 0, 0);
        check("s-maxage=10", 4, 5, 0, 0);
        check("no-cache", 4, 5, 0, 0);
    }

    #[test]
    fn age_and_ttl_count_from_the_initial_age() {
        let freshness = freshness("", &CachePolicy::default(), Some(10));
        let check = |resident, age, ttl| {
            let resident = Duration::from_millis(resident);
            assert_eq!((freshness.age(resident).as_secs(), freshness.ttl(resident)), (age, ttl));
        };
        check(0, 1, 8);
        check(8500, 10, 0);
        check(9500, 11, -1);
        check(u64::MAX, u64::MAX / 1000, 10 - i64::try_from(u64::MAX / 1000).unwrap());
    }

    proptest! {
        #[test]
        fn age_only_grows_and_the_remaining_lifetime_only_shrinks(
            bytes in any::<[u8; 21]>(), first in any::<u64>(), later in any::<u64>(),
        ) {
            let read = Freshness::from_bytes(&bytes);
            let (first, later) = (Duration::from_millis(first.min(later)), Duration::from_millis(first.max(later)));
            prop_assert!(read.age(Duration::ZERO) <= read.age(first) && read.age(first) <= read.age(later));
            prop_assert!(read.ttl(first) >= read.ttl(later));
        }

        #[test]
        fn an_ended_lifetime_is_over_and_no_use_outlasts_what_it_was(
            bytes in any::<[u8; 21]>(), resident in 0_u64..1 << 40, later in 0_u64..1 << 40,
        ) {
            let read = Freshness::from_bytes(&bytes);
            let (at, later) = (Duration::from_millis(resident), Duration::from_millis(resident + later));
            let end = u64::from(read.lifetime_seconds) + u64::from(read.stale_while_revalidate_seconds);
            prop_assume!(u32::try_from(end).is_ok());
            let ended = read.ended(at);
            prop_assert!(ended.ttl(at) <= 0);
            prop_assert_eq!(ended.ended(at), ended);
            let asked = crate::directives::RequestDirectives::default();
            let reuse = (read.reuse(later, &asked), ended.reuse(later, &asked));
            prop_assert!(reuse.1 != crate::reuse::Reuse::Fresh);
            // what could be used as it is can still be used, where stale use isn't forbidden, and nothing else can
            let is_used = |reuse| reuse != crate::reuse::Reuse::Validate;
            prop_assert_eq!(is_used(reuse.1), is_used(reuse.0) && !read.forbids_stale());
        }

        #[test]
        fn any_bytes_keep_the_promises(bytes in any::<[u8; 21]>()) {
            let read = Freshness::from_bytes(&bytes);
            prop_assert!(!read.forbids_stale() || read.stale_if_error().is_zero());
            prop_assert!(!read.validates_always() || read.forbids_stale());
            prop_assert_eq!(Freshness::from_bytes(&read.to_bytes()), read);
        }
    }
}
