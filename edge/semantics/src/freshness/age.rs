//! How old was a response when it arrived? RFC 9111 §4.2.3, §5.1.

use std::time::{Duration, SystemTime};

use http::header::{AGE, DATE, HeaderMap};

use crate::date;
use crate::list::delta_seconds;

/// The corrected initial age at `response_time`. Clocks that disagree never make it negative.
pub(crate) fn initial_age(
    response: &HeaderMap,
    request_time: SystemTime,
    response_time: SystemTime,
) -> Duration {
    let since = |time| response_time.duration_since(time).unwrap_or_default();
    let date = response.get(DATE).and_then(|date| date::parse(date.as_bytes(), response_time));
    let apparent_age = date.map_or(Duration::ZERO, since);
    let said = Duration::from_secs(age_value(response).unwrap_or(0).into());
    let corrected_age = said.saturating_add(since(request_time));
    apparent_age.max(corrected_age)
}

/// Seconds by the first member of the first `Age` line; `None` where that isn't a number (§5.1).
pub fn age_value(response: &HeaderMap) -> Option<u32> {
    let first = response.get(AGE)?.as_bytes().split(|&byte| byte == b',').next()?;
    delta_seconds(crate::list::trim(first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{at, date, head, now};

    #[test]
    fn the_first_age_value_counts() {
        let check = |lines: &[&str], expected| {
            let age = initial_age(&head(lines), now(), now());
            assert_eq!(age.as_secs(), expected, "{lines:?}");
        };
        check(&[], 0);
        check(&["age: 7200"], 7200);
        check(&["age: 7200, 0"], 7200);
        check(&["age: 0, 7200"], 0);
        check(&["age: 7200", "age: 0"], 7200);
        check(&["age: 0", "age: 7200"], 0);
        check(&["age: 2147483649"], 1 << 31);
        for invalid in ["abc", "-7200", "7200.0", "7200;foo=bar", ""] {
            check(&[&format!("age: {invalid}")], 0);
        }
    }

    #[test]
    fn the_older_of_age_and_date_counts() {
        let check = |age: u32, date_offset, request_offset, expected| {
            let head = head(&[&format!("age: {age}"), &format!("date: {}", date(date_offset))]);
            let found = initial_age(&head, at(request_offset), now());
            assert_eq!(found.as_secs(), expected);
        };
        check(0, 0, 0, 0);
        check(30, -20, 0, 30);
        check(30, -40, 0, 40);
        check(30, 0, -5, 35);
        check(30, 1000, 0, 30);
        check(0, 0, 60, 0);
    }

    proptest! {
        #[test]
        fn no_clock_makes_a_response_younger_than_its_age(
            age in 0_u32..1 << 31,
            dated in -1_600_000_000_i64..4_000_000_000,
            sent in -1_000_000_i64..1_000_000,
        ) {
            let head = head(&[&format!("age: {age}"), &format!("date: {}", date(dated))]);
            prop_assert!(initial_age(&head, at(sent), now()).as_secs() >= u64::from(age));
        }
    }
}
