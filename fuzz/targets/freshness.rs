//! Age and lifetime: whatever was stored or told, age only grows, and never begins below what was told.
#![no_main]

use fuzz::{and, freshness, head};
use libfuzzer_sys::fuzz_target;
use semantics::freshness::Freshness;
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    let Some((written, rest)) = data.split_first_chunk::<21>() else { return };
    let Some((times, lines)) = rest.split_first_chunk::<16>() else { return };
    let [first, later] =
        [0, 8].map(|at| times[at..at + 8].try_into().expect("it is of eight bytes"));
    let (first, later) = (u64::from_le_bytes(first), u64::from_le_bytes(later));
    let times = [first.min(later), first.max(later)].map(Duration::from_millis);
    let read = Freshness::from_bytes(written);
    check(&read, times);
    let told = head(&["age", "date", "expires", "last-modified", "cache-control"], lines);
    if let Some(found) = freshness(&and(&told, "etag", "\"a\"")) {
        check(&found, times);
        let age = told.get("age").and_then(|age| age.to_str().ok());
        // a sign is none of ours
        let age = age.filter(|age| !age.starts_with('+')).and_then(|age| age.parse::<u32>().ok());
        assert!(age.is_none_or(|age| found.age(Duration::ZERO).as_secs() >= u64::from(age.min(1 << 31))));
    }
});

fn check(freshness: &Freshness, [first, later]: [Duration; 2]) {
    assert!(freshness.age(Duration::ZERO) <= freshness.age(first));
    assert!(freshness.age(first) <= freshness.age(later));
    assert!(freshness.ttl(first) >= freshness.ttl(later));
    assert_eq!(Freshness::from_bytes(&freshness.to_bytes()), *freshness);
    let windows = [freshness.stale_while_revalidate(), freshness.stale_if_error()];
    assert!(!freshness.forbids_stale() || windows == [Duration::ZERO; 2]);
}
