//! Which operation answers, and what happens to every request: an id, a deadline, a log line, the same safe headers.

use crate::acme;
use crate::asker::Asker;
use crate::auth::CallerCell;
use crate::db::SharedDb;
use crate::feed::Feed;
use crate::idempotent::InFlight;
use crate::metrics::Metrics;
use crate::problem::{self, Error};
use crate::reports::Desk;
use crate::rest::Rest;
use crate::routes::{
    authority, certificates, domains, edges, feed, health, openapi, purge, purges, sites,
};
use crate::waiting::Waiting;
use api::id::{SiteId, TokenId};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use http::header::{CACHE_CONTROL, CONNECTION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MAX_BYTES: usize = 64;
/// The route of a request that no operation answers.
const NO_ROUTE: &str = "none";

/// What control allows at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Open streams of the feed.
    pub(crate) followers_max: usize,
    /// Requests that wait for edges.
    pub(crate) waiters_max: usize,
    /// How long an edge that reports may adopt nothing and be waited for.
    pub(crate) ack_limit: Duration,
}

/// What the operations share.
pub(crate) struct App {
    pub(crate) db: SharedDb,
    pub(crate) metrics: Metrics,
    pub(crate) feed: Feed,
    pub(crate) limits: Limits,
    /// A permit for each further follower.
    pub(crate) followers: Arc<Semaphore>,
    pub(crate) in_flight: InFlight,
    pub(crate) desk: Desk,
    pub(crate) waiting: Waiting,
    pub(crate) domains: acme::Desk,
    /// Becomes true when control stops.
    pub(crate) stopping: watch::Sender<bool>,
    site_ids: Mutex<ulid::Generator>,
}

impl App {
    /// What the operations share, on `db`.
    pub(crate) fn new(
        db: SharedDb,
        limits: Limits,
        domains: acme::Desk,
    ) -> prometheus::Result<Self> {
        let metrics = Metrics::new()?;
        Ok(Self {
            feed: Feed::new(*db.newest().borrow(), &metrics),
            db,
            metrics,
            limits,
            followers: Arc::new(Semaphore::new(limits.followers_max)),
            in_flight: InFlight::default(),
            desk: Desk::default(),
            waiting: Waiting::new(limits.waiters_max),
            domains,
            stopping: watch::Sender::new(false),
            site_ids: Mutex::new(ulid::Generator::new()),
        })
    }

    /// An id after every one this process gave before.
    pub(crate) fn new_site_id(&self) -> SiteId {
        let mut generator = self.site_ids.lock().unwrap_or_else(PoisonError::into_inner);
        // more than 2^80 ids in a millisecond are none of ours
        let ulid = generator.generate().unwrap_or_else(|_| ulid::Ulid::new());
        #[expect(clippy::expect_used, reason = "a ULID is 26 letters and digits")]
        SiteId::from_ulid(&ulid.to_string()).expect("a ULID is 26 letters and digits")
    }
}

/// Everything control answers.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/sites", get(sites::list).post(sites::create))
        .route("/v1/sites/{site}", get(sites::read).put(sites::replace).delete(sites::remove))
        .route("/v1/certificates", get(certificates::list).post(certificates::create))
        .route(
            "/v1/certificates/{certificate}",
            get(certificates::read).put(certificates::replace).delete(certificates::remove),
        )
        .route("/v1/authority", get(authority::read))
        .route("/v1/sites/{site}/purge", post(purge::purge))
        .route("/v1/sites/{site}/revalidate", post(purge::revalidate))
        .route("/v1/sites/{site}/warm", post(purge::warm))
        .route("/v1/purges", get(purges::list))
        .route("/v1/purges/{seq}", get(purges::read))
        .route("/v1/domains", get(domains::list))
        .route("/v1/domains/{host}", get(domains::read))
        .route("/v1/domains/{host}/verify", post(domains::verify))
        .route("/v1/domains/{host}/renew", post(domains::renew))
        .route("/v1/domains/{host}/revoke", post(domains::revoke))
        .route("/v1/feed", get(feed::follow))
        .route("/v1/edges", get(edges::list))
        .route("/v1/edges/{edge}", put(edges::report).delete(edges::forget))
        .route("/openapi.json", get(openapi::document))
        .route("/healthz", get(health::health))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(|| async { Error::Path })
        .method_not_allowed_fallback(|| async { Error::Method })
        .layer(from_fn_with_state(Arc::clone(&app), serve))
        .with_state(app)
}

/// What happens to every request, in a task of its own: a client that goes away cuts off neither a transaction nor the
/// line in the log.
async fn serve(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let (asker, _present) = Asker::note(&mut request, REQUEST_TIMEOUT);
    let answered = tokio::spawn(answer(app, asker, request, next)).await;
    answered.unwrap_or_else(|_| Error::Panic.into_response())
}

async fn answer(app: Arc<App>, asker: Asker, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let caller = CallerCell::default();
    request.extensions_mut().insert(CallerCell::clone(&caller));
    let (method, route) = (request.method().clone(), route(&request));
    let rest = Rest::share(&mut request);
    let mut response = problem::describe(run(&asker, request, next).await, &id);
    if let Some(rest) = rest
        && !rest.discard().await
    {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    add_headers(response.headers_mut(), &id);
    let duration = started.elapsed();
    app.metrics.request(&route, &method, response.status(), duration);
    log(&id, &method, &route, response.status(), duration, caller.get());
    response
}

/// Runs the operation, in a task that goes on when the answer was due: the driver of the database loses count of
/// transactions that are dropped while they begin or end.
async fn run(asker: &Asker, request: Request, next: Next) -> Response {
    let operation = tokio::spawn(next.run(request));
    tokio::select! {
        response = operation => response.unwrap_or_else(|_| Error::Panic.into_response()),
        () = asker.due() => Error::Slow(REQUEST_TIMEOUT.as_secs()).into_response(),
    }
}

fn route(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned())
}

fn log(
    id: &str,
    method: &Method,
    route: &str,
    status: http::StatusCode,
    duration: Duration,
    token: Option<&TokenId>,
) {
    let method: String = method.as_str().chars().take(20).collect();
    let milliseconds = duration.as_secs_f64() * 1e3;
    let token = token.map(TokenId::as_str);
    tracing::info!(
        request.id = id,
        method,
        route,
        status = status.as_u16(),
        duration_milliseconds = milliseconds,
        token.id = token,
        "answered"
    );
}

fn add_headers(headers: &mut HeaderMap, id: &str) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.extend(HeaderValue::from_str(id).map(|id| (REQUEST_ID, id)));
}

/// The client's id for the request if it is safe to repeat, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let given =
        given.filter(|id| (1..=REQUEST_ID_MAX_BYTES).contains(&id.len()) && id.bytes().all(safe));
    given.map_or_else(|| format!("req_{}", ulid::Ulid::new()), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_request_ids_are_repeated() {
        let check = |given: &str, expected: bool| {
            let value = HeaderValue::from_bytes(given.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(REQUEST_ID, value)]);
            assert_eq!(request_id(&headers) == given, expected, "{given}");
        };
        check("abc-1.2_3", true);
        check(&"a".repeat(64), true);
        check(&"a".repeat(65), false);
        check("", false);
        check("a b", false);
        check("a\"b", false);
        check("é", false);
    }
}
