use super::*;
use crate::allocations;
use crate::clock::Now;
use crate::stage::testing;
use http::{Method, StatusCode};
use semantics::policy::CachePolicy;
use semantics::storing::{Exchange, Keep, keep};
use std::time::Duration;

const LIMITS: store::Limits = store::Limits {
    memory_bytes: 1 << 20,
    response_max_bytes: 1 << 20,
    filling_max_bytes: 1 << 20,
    variants_max: 64,
};

fn kept(now: Now) -> Kept {
    let exchange = Exchange {
        method: &Method::GET,
        target: &"/".parse().unwrap(),
        request: &testing::fields(&[]),
        status: StatusCode::OK,
        response: &testing::fields(&[("cache-control", "max-age=60")]),
        request_time: now.wall,
        response_time: now.wall,
    };
    let Keep::Store(stored) = keep(&exchange, &CachePolicy::default()) else { panic!() };
    Kept {
        freshness: stored.freshness,
        received: now,
        applied: 0,
        is_failure: false,
        forwards_cdn_cache_control: false,
    }
}

fn received(cache: &Cache, now: Now) -> CacheMeta {
    let header = ResponseHeader::build(200, None).unwrap();
    cache.new_meta(kept(now), Moment::default(), header, None)
}

#[test]
fn pingora_counts_the_same_age_whatever_the_clock_is_set_to() {
    let received = Now::ZERO.after(Duration::from_hours(500_000));
    let kept = kept(received);
    let resident = Duration::from_secs(20);
    let hour = Duration::from_hours(1);
    let later = received.after(resident);
    for wall in [later.wall, later.wall - hour, later.wall + 8_766 * hour] {
        let now = Now { wall, ..later };
        assert_eq!(kept.resident(now.steady), resident);
        let header = ResponseHeader::build(200, None).unwrap();
        let meta = meta(kept, 0, header, now);
        assert_eq!(wall.duration_since(meta.epoch()).unwrap(), resident);
        let fresh = [39, 41].map(|seconds| meta.is_fresh(wall + Duration::from_secs(seconds)));
        assert_eq!(fresh, [true, false]);
    }
}

#[test]
fn a_hit_through_pingora_makes_one_header_map() {
    let cache = Cache::new(Store::new(LIMITS), 0);
    let head = Head::of(&typical(&cache)).unwrap();
    let before = allocations::made();
    let header = head.header_with(Some(200));
    // the map's two, the copy that values are parts of and its count, and the name that isn't a standard's
    assert_eq!(allocations::made() - before, 5);
    assert_eq!(header.headers.len(), 8);
}

#[test]
fn responses_stay_in_order_when_the_clock_is_set_back() {
    let cache = Cache::new(Store::new(LIMITS), 0);
    let at = |seconds| Now::ZERO.after(Duration::from_secs(seconds));
    let (first, other) = (received(&cache, at(1_000)), received(&cache, at(10)));
    assert!(first.provenance() < other.created());
}

/// Run it alone: `cargo test -p edge growth -- --ignored --nocapture`.
#[test]
#[ignore = "it measures the process, which other tests grow as well"]
fn what_is_stored_weighs_what_the_process_grows_by() {
    const RESPONSES: u32 = 400_000;
    let limits = store::Limits { memory_bytes: u64::from(RESPONSES) * 2_000, ..LIMITS };
    let cache = Cache::new(Store::new(limits), 0);
    let before = resident_bytes();
    for number in 1..=RESPONSES {
        let name = format!("epoch-- GET http www.example.com /images/products/{number:010}.jpg");
        let head = Head::of(&typical(&cache)).unwrap();
        let (key, name) = (first_variant(name.as_bytes()), name.into_bytes());
        let mut fill = cache.store.fill(key, name.clone().into(), head, Moment::default());
        fill.write(Bytes::from(vec![b'x'; number as usize % 1_000])).unwrap();
        fill.complete();
        // what is found was perhaps laid out for being read once
        drop(cache.store.find_now(&key, &name).unwrap().reader.whole());
        if number % 25_000 == 0 {
            let weighed = cache.store.statistics().bytes / u64::from(number);
            let grown = (resident_bytes() - before) / u64::from(number);
            println!("{number}: {weighed} bytes each by the store, {grown} by the system");
            assert!(grown <= weighed || number < 100_000);
        }
    }
}

/// A response as many are.
fn typical(cache: &Cache) -> CacheMeta {
    let fields = [
        ("date", "Fri, 20 Nov 2026 15:59:25 GMT"),
        ("content-type", "image/jpeg"),
        ("content-length", "200"),
        ("cache-control", "public, max-age=31536000"),
        ("etag", "\"5f3c6b7a-c8\""),
        ("last-modified", "Tue, 18 Aug 2026 23:58:18 GMT"),
        ("server", "nginx/1.28.0"),
        ("x-request-id", "01J9Z3K8Q4W5E6R7T8Y9V0B1N2"),
    ];
    let mut header = ResponseHeader::build_no_case(200, Some(fields.len())).unwrap();
    for (name, value) in fields {
        header.append_header(name, value).unwrap();
    }
    cache.new_meta(kept(Now::ZERO), Moment::default(), header, None)
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}
