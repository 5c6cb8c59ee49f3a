use super::*;
use crate::clock::Now;
use crate::stage::testing;
use http::{Method, StatusCode};
use semantics::policy::CachePolicy;
use semantics::storing::{Exchange, Keep, keep};

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
        let meta = meta(kept, SystemTime::UNIX_EPOCH, header, now);
        assert_eq!(wall.duration_since(meta.epoch()).unwrap(), resident);
        let fresh = [39, 41].map(|seconds| meta.is_fresh(wall + Duration::from_secs(seconds)));
        assert_eq!(fresh, [true, false]);
    }
}

#[test]
fn responses_stay_in_order_when_the_clock_is_set_back() {
    let limits = store::Limits {
        memory_bytes: 1,
        response_max_bytes: 1,
        filling_max_bytes: 1,
        variants_max: 1,
    };
    let cache = Cache::new(Store::new(limits));
    let at = |seconds| Now::ZERO.after(Duration::from_secs(seconds));
    let (first, other) = (received(&cache, at(1_000)), received(&cache, at(10)));
    assert!(first.provenance() < other.created());
}
