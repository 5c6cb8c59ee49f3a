//! Shields: edges that other edges ask. What an edge says when it asks one, and what a shield does when it is asked.

use super::Edge;
use crate::context::Context;
use crate::feed::Changes;
use crate::stage::lookup::Lookup;
use crate::stage::shield::{Asking, FIELD};
use http::{HeaderName, Method};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use semantics::cache_status::Forward;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long a request of an edge waits for what that edge has applied and this one has not.
const WAIT: Duration = Duration::from_secs(1);
/// Requests that wait so at a time. Further ones go past the store at once.
const WAITING_MAX: usize = 1_024;
/// What Cache-Status calls a request that is forwarded because this edge is behind the one that asks.
const BEHIND: &str = "feed-behind";

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What an edge needs to ask shields, and to be one.
pub(crate) struct Shields {
    /// Whether a shield is asked where a site names one; otherwise, the origin behind it.
    are_asked: bool,
    /// Tells when more of the feed was applied.
    changes: Changes,
    /// For requests of other edges that wait for that.
    places: Semaphore,
}

impl Shields {
    /// `are_asked` tells whether this edge asks those that sites name; `changes`, when more of the feed was applied.
    pub(crate) fn new(are_asked: bool, changes: Changes) -> Self {
        Self { are_asked, changes, places: Semaphore::new(WAITING_MAX) }
    }
}

impl Edge {
    /// Finds out whether it is another edge of this installation that asks; and if so, waits until this one has applied
    /// as much of the feed.
    pub(super) async fn hear_edge(&self, session: &mut Session, ctx: &mut Context) {
        ctx.client = session.client_addr().and_then(|address| address.as_inet()).map(|it| it.ip());
        ctx.asks_directly = !self.shields.are_asked;
        let request = session.req_header();
        if !request.headers.contains_key(&FIELD) {
            return;
        }
        let installation = ctx.snapshot.installation.as_ref();
        let Some((applied, answer)) = installation.and_then(|own| own.verify(request)) else {
            session.req_header_mut().remove_header(&FIELD);
            return;
        };
        if let Some(client) = forwarded_for(request) {
            ctx.client = Some(client);
        }
        let may_be_stored = [Method::GET, Method::HEAD].contains(&request.method);
        let is_ahead = may_be_stored && !self.catches_up(applied).await;
        ctx.snapshot = self.current.load_full();
        ctx.asks_directly = true;
        ctx.asking = Asking::Edge { answer, is_ahead };
    }

    /// Waits until this edge has applied the feed up to a number. False when that takes too long.
    async fn catches_up(&self, applied: u64) -> bool {
        let has_applied = || self.current.load().applied >= applied;
        if has_applied() {
            return true;
        }
        let caught_up = match self.shields.places.try_acquire() {
            Ok(_place) => {
                let mut changes = self.shields.changes.clone();
                let applies = async {
                    while !has_applied() {
                        if changes.changed().await.is_err() {
                            return false;
                        }
                    }
                    true
                };
                timeout(WAIT, applies).await.unwrap_or(false)
            }
            Err(_) => false,
        };
        self.telemetry.metrics.waited_for_feed(caught_up);
        caught_up
    }

    /// Tells a shield how much this edge has applied, and nobody else.
    pub(super) fn tell_shield(head: &mut RequestHeader, ctx: &mut Context) -> Result<()> {
        head.remove_header(&FIELD);
        ctx.forward.understood = None;
        let is_shield = ctx.asked_origin().is_some_and(|origin| origin.shield);
        ctx.forward.is_doubtful = is_shield;
        let installation = ctx.snapshot.installation.as_ref().filter(|_| is_shield);
        if let Some((field, answer)) =
            installation.and_then(|own| own.sign(head, ctx.forward.applied))
        {
            head.insert_header(FIELD, field)?;
            ctx.forward.understood = Some(answer);
        }
        Ok(())
    }

    /// Takes a shield's word that it has understood: without, what it answers may be from before a purge, and isn't
    /// stored.
    pub(super) fn hear_shield(response: &mut ResponseHeader, ctx: &mut Context) {
        let answer = response.remove_header(&FIELD);
        if answer.is_some() && answer == ctx.forward.understood {
            ctx.forward.is_doubtful = false;
        }
    }
}

/// Has a request of an edge that is ahead of this one go past the store.
pub(super) fn pass_if_behind(ctx: &mut Context) {
    if let (Asking::Edge { is_ahead: true, .. }, Lookup::Named(_)) = (&ctx.asking, &ctx.lookup) {
        ctx.lookup = Lookup::Bypass { reason: Forward::Bypass, detail: Some(BEHIND) };
    }
}

/// The client of the edge that asks.
fn forwarded_for(request: &RequestHeader) -> Option<IpAddr> {
    request.headers.get(&FORWARDED_FOR)?.to_str().ok()?.parse().ok()
}
