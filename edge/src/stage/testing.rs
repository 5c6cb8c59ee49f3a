//! What the stages' tests share.

use crate::clock::Now;
use crate::context::Routed;
use crate::snapshot::Served;
use crate::stage::identify::{Identity, Scheme};
use crate::stage::reuse::Kept;
use api::id::SiteId;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use semantics::policy::CachePolicy;
use semantics::storing::{Exchange, Keep, keep};
use std::net::IpAddr;
use std::sync::Arc;

/// When what is stored was.
pub(crate) const STORED_AT: Now = Now::ZERO;

pub(crate) fn routed() -> Routed {
    routed_by(&serde_json::json!({}))
}

/// A site with these members beside its name, host and origin.
pub(crate) fn site(members: &serde_json::Value) -> route::Site {
    let mut document = serde_json::json!({
        "name": "a", "hosts": ["a.example"], "origins": [{"name": "main", "url": "http://127.0.0.1:9"}],
    });
    let members = members.as_object().unwrap().clone();
    document.as_object_mut().unwrap().extend(members);
    let id = SiteId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
    route::Site::resolve(id, &document).unwrap()
}

/// To this origin.
pub(crate) fn routed_to(origin: &serde_json::Value) -> Routed {
    let mut origin = origin.clone();
    origin["name"] = "main".into();
    routed_in(site(&serde_json::json!({ "origins": [origin] })))
}

/// By the rule of a site with this caching.
pub(crate) fn routed_by(cache: &serde_json::Value) -> Routed {
    routed_in(site(&serde_json::json!({ "cache": cache })))
}

fn routed_in(site: route::Site) -> Routed {
    let served = Arc::new(Served { site: Arc::new(site), purges: Arc::default() });
    let rule = served.site.rule("/").rule;
    Routed { served, rule, rewritten: None }
}

pub(crate) fn identity(host: &str) -> Identity {
    Identity {
        host: route::Host::parse(host, 80).unwrap(),
        client: IpAddr::from([192, 0, 2, 7]),
        scheme: Scheme::Http,
    }
}

pub(crate) fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let fields = fields.iter();
    let mut map = HeaderMap::new();
    fields.for_each(|(name, value)| {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    });
    map
}

/// What is kept beside a response that says this in Cache-Control.
pub(crate) fn kept(cache_control: &'static str, applied: u64) -> Kept {
    let exchange = Exchange {
        method: &Method::GET,
        target: &"/".parse().unwrap(),
        request: &fields(&[]),
        status: StatusCode::OK,
        response: &fields(&[("cache-control", cache_control)]),
        request_time: STORED_AT.wall,
        response_time: STORED_AT.wall,
    };
    let Keep::Store(stored) = keep(&exchange, &CachePolicy::default()) else {
        panic!("{cache_control}")
    };
    Kept {
        freshness: stored.freshness,
        received: STORED_AT,
        applied,
        is_failure: false,
        forwards_cdn_cache_control: false,
    }
}
