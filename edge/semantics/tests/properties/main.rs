//! Do storing, freshness and reuse agree with the RFC's rules for any mix of them? The rules are stated
//! here once more, naively, over heads put together from what origins and clients send.

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use semantics::directives::RequestDirectives;
    use semantics::policy::CachePolicy;
    use semantics::reuse::Reuse;
    use semantics::storing::Keep;

    use super::model::{Case, case};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_not_for_a_shared_cache_is_never_stored(case in case()) {
            let stored = matches!(case.keep(), Keep::Store(_));
            prop_assert!(!(stored && case.is_forbidden()), "{case:?}");
        }

        #[test]
        fn what_is_fresh_and_not_forbidden_is_stored(case in case()) {
            let usable = case.lifetime().is_some_and(|lifetime| lifetime > case.age()) && !case.validates_always();
            let stored = matches!(case.keep(), Keep::Store(_));
            prop_assert!(stored || !usable || case.is_forbidden(), "{case:?}");
        }

        #[test]
        fn lifetimes_have_an_order_of_precedence(case in case()) {
            if let Keep::Store(stored) = case.keep() {
                let expected = case.lifetime().unwrap_or(0);
                prop_assert_eq!(stored.freshness.lifetime(), Duration::from_secs(expected), "{:?}", case);
            }
        }

        #[test]
        fn age_begins_where_the_origin_says_and_only_grows(case in case(), resident in 0_u64..1 << 40) {
            if let Keep::Store(stored) = case.keep() {
                let [first, later] = [0, resident].map(|time| stored.freshness.age(Duration::from_secs(time)).as_secs());
                prop_assert_eq!(first, case.age(), "{:?}", case);
                prop_assert_eq!(later, case.age() + resident);
            }
        }

        #[test]
        fn listed_fields_are_left_out_and_others_kept(case in case()) {
            if let Keep::Store(stored) = case.keep() {
                for name in ["set-cookie", "x-listed", "etag", "vary", "cache-control"] {
                    let omitted = stored.omit.iter().any(|omitted| omitted == name);
                    prop_assert_eq!(omitted, case.omits(name), "{} {:?}", name, case);
                }
            }
        }

        #[test]
        fn no_wish_passes_a_prohibition(
            case in case(), asked in asked(), resident in 0_u64..200,
        ) {
            let Keep::Store(stored) = case.keep() else { return Ok(()) };
            let head = http::HeaderMap::from_iter([(http::header::CACHE_CONTROL, asked.parse().unwrap())]);
            let asked = RequestDirectives::read(&head, &CachePolicy::default());
            let resident = Duration::from_secs(resident);
            let reuse = stored.freshness.reuse(resident, &asked);
            let on_error = stored.freshness.may_be_used_on_error(resident, &asked);
            let used = !matches!(reuse, Reuse::Validate | Reuse::GatewayTimeout);
            let fresh = stored.freshness.age(resident) < stored.freshness.lifetime();
            prop_assert!(!case.validates_always() || !(used || on_error), "{case:?}");
            prop_assert!(!case.forbids_stale() || fresh || !(used || on_error), "{case:?}");
            prop_assert_eq!(reuse == Reuse::Fresh, fresh && used, "{:?}", case);
        }
    }

    /// A request's `Cache-Control`.
    fn asked() -> impl Strategy<Value = String> {
        let wishes = [
            "max-age=0",
            "max-age=50",
            "min-fresh=20",
            "max-stale",
            "max-stale=50",
            "stale-if-error=99",
        ];
        let wishes = proptest::sample::subsequence(wishes.to_vec(), 0..4);
        wishes.prop_map(|wishes| wishes.join(", "))
    }

    #[test]
    fn the_cases_are_of_every_kind() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let cases: Vec<Case> = (0..500)
            .map(|_| case().new_tree(&mut runner).map(|tree| tree.current()).unwrap())
            .collect();
        let stored = cases.iter().filter(|case| matches!(case.keep(), Keep::Store(_))).count();
        assert!((100..400).contains(&stored), "{stored}");
        assert!(cases.iter().filter(|case| case.is_forbidden()).count() > 100);
    }
}
