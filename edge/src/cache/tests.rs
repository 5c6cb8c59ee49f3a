use super::*;
use crate::stage::testing;
use http::{Method, StatusCode};
use semantics::policy::CachePolicy;
use semantics::storing::{Exchange, Keep, keep};

fn received(cache: &Cache, now: SystemTime) -> CacheMeta {
    let exchange = Exchange {
        method: &Method::GET,
        target: &"/".parse().unwrap(),
        request: &testing::fields(&[]),
        status: StatusCode::OK,
        response: &testing::fields(&[("cache-control", "max-age=60")]),
        request_time: now,
        response_time: now,
    };
    let Keep::Store(stored) = keep(&exchange, &CachePolicy::default()) else { panic!() };
    let kept = Kept {
        freshness: stored.freshness,
        response_time: now,
        applied: 0,
        is_failure: false,
        forwards_cdn_cache_control: false,
    };
    let header = ResponseHeader::build(200, None).unwrap();
    cache.new_meta(kept, Moment::default(), header, None)
}

#[test]
fn responses_stay_in_order_when_the_clock_is_set_back() {
    let limits = store::Limits {
        capacity_bytes: 1,
        response_max_bytes: 1,
        filling_max_bytes: 1,
        variants_max: 1,
    };
    let cache = Cache::new(Store::new(limits), 0);
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let (first, other) = (received(&cache, at(1_000)), received(&cache, at(10)));
    assert!(first.provenance() < other.created());
}
