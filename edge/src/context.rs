//! What is known and decided of one request, in the order it becomes known.

use crate::cache::{Course, Head};
use crate::clock::{self, Now};
use crate::origin::Agreement;
use crate::proxy::interim::Interim;
use crate::proxy::{Cutting, SliceRequest};
use crate::request_id::RequestId;
use crate::snapshot::{Served, Snapshot};
use crate::stage::deliver::Handling;
use crate::stage::identify::{Identity, Scheme};
use crate::stage::lookup::Lookup;
use crate::stage::reuse::{Kept, Outcome};
use crate::stage::shield::Asking;
use crate::telemetry::metrics::Open;
use http::{HeaderName, HeaderValue};
use route::{Changes, Origin, Rule};
use semantics::cache_status::CacheStatus;
use semantics::directives::RequestDirectives;
use semantics::policy::CachePolicy;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

/// One request's context. Each field is written by one stage.
pub(crate) struct Context {
    pub(crate) request_id: RequestId,
    /// When the request's head was there.
    pub(crate) received: Now,
    /// The generation this request is served from. Once its answer has begun and nothing of it can be stored any more, it
    /// is let go, for one with nothing in it: purges are held for as long as something older may be stored.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Whose request it is; of a fetch in the background, whose request had it made.
    pub(crate) client: Option<IpAddr>,
    /// `shield`
    pub(crate) asking: Asking,
    /// `shield`: no shield is asked, but the origin behind it.
    pub(crate) asks_directly: bool,
    /// `identify`
    pub(crate) identity: Option<Identity>,
    /// `route`
    pub(crate) route: Option<Routed>,
    /// `lookup`
    pub(crate) lookup: Lookup,
    /// That of the name looked up.
    pub(crate) hash: Option<[u8; 16]>,
    pub(crate) asked: RequestDirectives,
    /// `reuse`
    pub(crate) outcome: Outcome,
    /// `reuse`: this is a HEAD that nothing stored answers, and goes to the origin as it is.
    pub(crate) forwards_head: bool,
    /// The slice that this request is for, where it is none of a client's.
    pub(crate) slice: Option<SliceRequest>,
    /// `forward`
    pub(crate) forward: Forward,
    /// `interim`
    pub(crate) interim: Interim,
    /// Why the last response of this name was not stored, where that is remembered.
    pub(crate) remembered: Option<&'static str>,
    /// `keep`: why the response is not stored.
    pub(crate) refused: Option<&'static str>,
    /// `keep`: what is stored of the response.
    pub(crate) kept: Option<Kept>,
    /// `keep`: fields that are for this client and not stored.
    pub(crate) withheld: http::HeaderMap,
    /// A variant other than the first was looked for.
    pub(crate) varied: bool,
    /// `keep`: what this request has to do with the response being filled for it.
    pub(crate) course: Course,
    /// `pace`: how often in a row the origin was held up for this request's client.
    pub(crate) held_up: u32,
    /// `keep`: the response to a POST, on its way into the store.
    pub(crate) posted: Option<store::Fill<Head>>,
    /// `keep`: the response on its way to the client, cut into slices.
    pub(crate) cutting: Option<Box<Cutting>>,
    /// Fields of the response that are for caches and end here.
    pub(crate) consumed: &'static [HeaderName],
    /// `deliver`
    pub(crate) handling: Handling,
    /// `deliver`: what Cache-Status tells; none for answers made here.
    pub(crate) told: Option<CacheStatus<'static>>,
    /// `deliver`: the client's precondition failed (412).
    pub(crate) precondition_failed: bool,
    /// `fail`: the `error` token of Proxy-Status.
    pub(crate) failure: Option<&'static str>,
}

/// Where the request goes.
pub(crate) struct Routed {
    pub(crate) served: Arc<Served>,
    pub(crate) rule: Arc<Rule>,
    /// The path and query the origin is asked for, where they differ from the client's.
    pub(crate) rewritten: Option<String>,
}

/// The exchange with the origin.
#[derive(Default)]
pub(crate) struct Forward {
    /// Addresses tried so far.
    pub(crate) tries: usize,
    /// Kept HTTP/2 connections that took no more requests.
    pub(crate) stream_tries: usize,
    /// To a WebSocket, where the client asks for one.
    pub(crate) agreement: Option<Arc<Agreement>>,
    /// Counted while it is open.
    pub(crate) websocket: Option<Open>,
    pub(crate) addresses: Arc<[SocketAddr]>,
    /// The sequence number applied when the fetch began: purges with a higher one reach its response.
    pub(crate) applied: u64,
    /// What a shield says that has understood how much is applied here.
    pub(crate) understood: Option<HeaderValue>,
    /// A shield is asked that has not said so.
    pub(crate) is_doubtful: bool,
    /// When the fetch began, for the store: removals from then on reach its response. None while the origin wasn't
    /// turned to.
    pub(crate) began: Option<store::Moment>,
    /// The origin's 304 was about another response, so it is asked again without conditions.
    pub(crate) anew: bool,
    pub(crate) request_time: Option<Now>,
    pub(crate) response_time: Option<Now>,
    pub(crate) status: Option<u16>,
    pub(crate) reused_connection: bool,
    /// Bytes of the response's body received.
    pub(crate) body_bytes: u64,
    /// The fields of a 304 that validates a stored response, or of a 200 to HEAD that freshens one.
    pub(crate) not_modified: Option<http::HeaderMap>,
}

impl Context {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            request_id: RequestId::next(),
            received: clock::now(),
            snapshot,
            client: None,
            asking: Asking::default(),
            asks_directly: false,
            identity: None,
            route: None,
            lookup: Lookup::default(),
            hash: None,
            asked: RequestDirectives::default(),
            outcome: Outcome::default(),
            forwards_head: false,
            slice: None,
            forward: Forward::default(),
            interim: Interim::default(),
            remembered: None,
            refused: None,
            kept: None,
            withheld: http::HeaderMap::new(),
            varied: false,
            course: Course::default(),
            held_up: 0,
            posted: None,
            cutting: None,
            consumed: semantics::fields::consumed(false),
            handling: Handling::default(),
            told: None,
            precondition_failed: false,
            failure: None,
        }
    }
}

impl Context {
    /// Lets go of the generation it was served from: all is decided.
    pub(crate) fn let_go(&mut self) {
        static NOTHING: LazyLock<Arc<Snapshot>> = LazyLock::new(Arc::default);
        self.snapshot = Arc::clone(&NOTHING);
    }

    /// What the rule changes of the standard's behaviour; nothing while there is no rule.
    pub(crate) fn policy(&self) -> &CachePolicy {
        static STANDARD: CachePolicy = CachePolicy::STANDARD;
        self.route.as_ref().map_or(&STANDARD, |routed| &routed.rule.caching.policy)
    }

    /// Who is asked; none where nobody is.
    pub(crate) fn asked_origin(&self) -> Option<&Arc<Origin>> {
        self.route.as_ref().and_then(|routed| routed.origin(self.asks_directly))
    }

    /// Notes which fields of the response end here. None do where another edge asks, which goes by them too.
    pub(crate) fn consume(&mut self, fields: &'static [HeaderName]) {
        self.consumed = if self.asking.is_edge() { &[] } else { fields };
    }

    /// What the rule changes of the response. Another edge that asks does that itself.
    pub(crate) fn response_changes(&self) -> Option<&Changes> {
        let routed = self.route.as_ref().filter(|_| !self.asking.is_edge());
        routed.map(|routed| &routed.rule.response_headers)
    }

    /// What browsers are told of using `https` alone (RFC 6797). Another edge that asks tells its client itself.
    pub(crate) fn hsts(&self) -> Option<&HeaderValue> {
        let scheme = self.identity.as_ref().map(|identity| identity.scheme);
        let told = scheme == Some(Scheme::Https) && !self.asking.is_edge();
        self.route.as_ref().filter(|_| told)?.served.site.tls.hsts.as_ref()
    }

    /// What selects a stored response beside its name and `Vary`.
    pub(crate) fn key(&self) -> Option<&route::Key> {
        self.route.as_ref().map(|routed| &routed.rule.caching.key)
    }
}

impl Routed {
    /// Whom to ask: the rule's origin, or where that is a shield and `directly` is true, the one behind it.
    pub(crate) fn origin(&self, directly: bool) -> Option<&Arc<Origin>> {
        let origin = self.rule.origin.as_ref()?;
        Some(origin.behind.as_ref().filter(|_| directly).unwrap_or(origin))
    }
}

impl Forward {
    /// The address to try now.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.addresses.get(self.tries % self.addresses.len().max(1)).copied()
    }
}
