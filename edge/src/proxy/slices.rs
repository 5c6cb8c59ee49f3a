//! Answers a request for a part from slices, each come by through a request of its own that passes all stages.

mod arriving;
mod cutting;

pub(crate) use arriving::{SliceRequest, Told};
pub(crate) use cutting::Cutting;

use super::{Edge, end};
use crate::cache;
use crate::context::Context;
use crate::slices::{self, Group};
use crate::stage::deliver::{self, Handling};
use crate::stage::lookup::{self, Lookup};
use crate::stage::range;
use crate::stage::slice::{self, Answer, Facts, Slice};
use arriving::{Arriving, Asked, broken_off};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use semantics::cache_status::{CacheStatus, Forward, Outcome};
use semantics::range::{Spec, Wanted};

/// How often slices are begun anew for one request: because the origin's response has changed, or because it was not
/// known how long it is.
const ATTEMPTS: usize = 3;
/// Slices that are looked for before it is told whether all of them are stored.
const LOOKED_FOR_MAX: u64 = 64;

/// What is looked for.
struct Plan {
    asked: Spec,
    /// The name of the whole, and its hash.
    name: Vec<u8>,
    hash: [u8; 16],
}

/// An answer made of slices.
struct Delivery {
    plan: Plan,
    facts: Facts,
    /// The slice that is being sent.
    slice: Slice,
    /// The bytes yet to be sent, both included.
    next: u64,
    last: u64,
}

/// Whether a request may be answered from slices, for which it makes requests of its own. What is asked for a slice or
/// in the background is asked as it is.
pub(super) fn may_be_sliced(session: &Session) -> bool {
    session.subrequest_ctx.is_none() && session.req_header().method == Method::GET
}

/// Takes out of the request for a slice what is about the client's answer.
pub(super) fn make_unconditional(session: &mut Session) {
    let request = session.req_header_mut();
    for name in &slice::ABOUT_ANSWER {
        request.remove_header(name);
    }
}

impl Edge {
    /// Answers from slices, where they are of use. False where the client was told nothing.
    pub(super) async fn serve_slices(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<bool> {
        let Some(plan) = self.plan(session, ctx).await else { return Ok(false) };
        for _ in 0..ATTEMPTS {
            let since = self.cache.store.moment();
            let Some(served) = ctx.route.as_ref().map(|routed| &routed.served) else { break };
            let group = self.slices.group(self.cache, (&plan.name, plan.hash), served).await;
            let is_new = group.facts().is_none();
            let slice = self.first_slice(&plan, &group);
            let first = Asked::ask(session, slice)?.arrives().await?;
            let (head, request) = (&first.head.headers, &session.req_header().headers);
            let Some(facts) = slice.facts(first.head.status, head) else {
                return self.without_slices(session, ctx, &plan, first).await;
            };
            let (response_time, kept) = match first.told {
                Some(Told::Answered { response_time, kept, .. }) => (response_time, kept),
                _ => (ctx.received.wall, None),
            };
            // what was found in the store was not purged when this request came
            let applied = kept.map_or(ctx.snapshot.applied, |kept| kept.applied);
            let told = slices::Told { facts: &facts, head, request, key: ctx.key(), applied };
            if !group.accepts(&told) {
                self.forget_slices(&plan);
                continue;
            }
            if let Some(kept) = kept.filter(|_| is_new) {
                self.slices.keep_group(self.cache, &plan.name, &group, (kept, since));
            }
            match slice::decide(request, head, &facts, response_time) {
                Answer::Bytes { first: byte, .. } if byte / slice.bytes != slice.index => {}
                Answer::Bytes { first: next, last, wanted } => {
                    let delivery = Delivery { plan, facts, slice, next, last };
                    self.deliver_slices(session, ctx, delivery, first, &wanted).await?;
                    return Ok(true);
                }
                Answer::Unsatisfiable => {
                    let head = slice::whole(&first.head, facts.complete_length)?;
                    let (head, _) =
                        range::cut(&head, &Wanted::Unsatisfiable, facts.complete_length)?;
                    let status = told_status(first.told, true);
                    write_head(session, ctx, head, status, true).await?;
                    return Ok(true);
                }
                Answer::Other => return Ok(false),
            }
        }
        Ok(false)
    }

    /// The same for a request that waited for another's fetch, where the response turned out to be one that is cut into
    /// slices: those it fetches together with all others that waited.
    pub(super) async fn serve_slices_after_waiting(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<bool> {
        let waited = session.cache.lock_duration().is_some() && !session.cache.enabled();
        let (Some(identity), Some(routed)) = (&ctx.identity, &ctx.route) else { return Ok(false) };
        if !waited || !matches!(ctx.lookup, Lookup::Named(_)) {
            return Ok(false);
        }
        let (uri, site) = (&session.req_header().uri, &routed.served.site.id);
        let key = &routed.rule.caching.key;
        ctx.lookup = Lookup::Named(lookup::name(uri, identity, site, key, ctx.snapshot.epoch));
        self.serve_slices(session, ctx).await
    }

    /// Decides whether to look for slices, before any is asked for.
    async fn plan(&self, session: &Session, ctx: &Context) -> Option<Plan> {
        let request = session.req_header();
        let Lookup::Named(name) = &ctx.lookup else { return None };
        let routed = ctx.route.as_ref().filter(|routed| routed.rule.caching.slices)?;
        if !may_be_sliced(session) || ctx.asked.no_store() || ctx.asked.only_if_cached() {
            return None;
        }
        let asked = slice::asked(&request.method, &request.headers)?;
        let hash = ctx.hash?;
        let group = self.slices.known_group(self.cache, (name, hash), &routed.served).await;
        let is_part = request.headers.contains_key(header::RANGE);
        let is_of_use = match group.as_ref().and_then(|group| Some((group, group.facts()?))) {
            Some((group, facts)) => {
                let several = facts.complete_length > self.slices.bytes;
                group.is_selected(&request.headers, ctx.key()) && (is_part || several)
            }
            None => is_part,
        };
        let plan = is_of_use.then(|| Plan { asked, name: name.clone(), hash })?;
        let authorized = request.headers.contains_key(header::AUTHORIZATION);
        let remembered = self.collapse.uncacheable.reason(hash, authorized);
        // what is stored is used all the same
        let is_stored =
            || group.is_some_and(|group| self.holds(&plan, self.first_slice(&plan, &group)));
        let is_in_vain = self.slices.are_in_vain(hash, remembered) && !is_stored();
        let whole = self.cache.select(name, &request.headers, ctx.key()).await.response;
        let whole = whole.map(|(_, found)| found);
        let is_needless = self.slices.are_needless(whole, asked, (name, &routed.served));
        (!is_in_vain && !is_needless).then_some(plan)
    }

    fn first_slice(&self, plan: &Plan, group: &Group) -> Slice {
        let (bytes, length) = (self.slices.bytes, group.facts().map(|facts| facts.complete_length));
        let index = slice::first_index(plan.asked, bytes, length);
        Slice { index, bytes, group: group.number }
    }

    /// What was asked for a slice was answered by something else. A failure, or that there are no such bytes, is the
    /// answer; for anything else the whole is asked for.
    async fn without_slices(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        plan: &Plan,
        mut answer: Arriving,
    ) -> Result<bool> {
        let status = answer.head.status;
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            let asked = &session.req_header().headers;
            if !asked.contains_key(header::RANGE) || asked.contains_key(header::IF_RANGE) {
                // the response has become shorter, and its client may want the whole
                self.forget_slices(plan);
                return Ok(false);
            }
        } else if !status.is_server_error() {
            self.slices.decline(plan.hash);
            return Ok(false);
        }
        let head = answer.head.clone();
        if let Some(Told::Failed(token)) = answer.told {
            ctx.failure = Some(token);
            session.write_response_header(Box::new(head), false).await?;
        } else {
            let status = told_status(answer.told, true);
            write_head(session, ctx, head, status, false).await?;
        }
        while let Some(bytes) = answer.next().await? {
            session.write_response_body(Some(bytes), false).await?;
        }
        session.write_response_body(None, true).await?;
        Ok(true)
    }

    async fn deliver_slices(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        mut delivery: Delivery,
        first: Arriving,
        wanted: &Wanted,
    ) -> Result<()> {
        let length = delivery.facts.complete_length;
        let (head, _) = range::cut(&slice::whole(&first.head, length)?, wanted, length)?;
        let status = told_status(first.told, self.has_rest(&delivery));
        if let Some(reason) = first.refused {
            // from the next time on, the origin is asked for what its client wants, and no more
            let authorized = session.req_header().headers.contains_key(header::AUTHORIZATION);
            self.collapse.uncacheable.remember(delivery.plan.hash, authorized, reason);
        }
        write_head(session, ctx, head, status, false).await?;
        // what is stored of it is stored by other requests
        ctx.let_go();
        let mut arriving = first;
        loop {
            // the next one comes while this one is sent
            let next = delivery.next_slice().map(|slice| Asked::ask(session, slice)).transpose()?;
            delivery.send(session, &mut arriving).await?;
            let Some(next) = next else { return Ok(()) };
            delivery.slice.index += 1;
            arriving = next.arrives().await?;
            let (status, head) = (arriving.head.status, &arriving.head.headers);
            let facts = delivery.slice.facts(status, head);
            if facts.is_some_and(|facts| delivery.facts.agree(&facts)) {
                continue;
            }
            if slice::is_whole_of(status, head, &delivery.facts) {
                // the origin doesn't know ranges: the rest is taken from where the answer has come to
                self.slices.decline(delivery.plan.hash);
                delivery.slice = Slice { index: 0, bytes: length, ..delivery.slice };
                return delivery.send(session, &mut arriving).await;
            }
            // the origin's response has changed: what was sent and what would follow don't belong together
            self.forget_slices(&delivery.plan);
            return Err(broken_off());
        }
    }

    fn forget_slices(&self, plan: &Plan) {
        self.slices.forget(self.cache, &plan.name, plan.hash);
    }

    /// Whether all slices but the first are stored, as far as that is looked for.
    fn has_rest(&self, delivery: &Delivery) -> bool {
        let Slice { index, bytes, .. } = delivery.slice;
        let mut rest = index + 1..=(delivery.last / bytes).min(index + LOOKED_FOR_MAX);
        rest.all(|index| self.holds(&delivery.plan, Slice { index, ..delivery.slice }))
    }

    fn holds(&self, plan: &Plan, slice: Slice) -> bool {
        let mut name = plan.name.clone();
        slice.append_to(&mut name);
        self.cache.store.holds(&cache::first_variant(&name))
    }
}

impl Delivery {
    /// The slice after the one that is being sent, where something is wanted of it.
    fn next_slice(&self) -> Option<Slice> {
        let next = Slice { index: self.slice.index + 1, ..self.slice };
        (self.last / next.bytes >= next.index).then_some(next)
    }

    /// Sends what is wanted of the slice that arrives.
    async fn send(&mut self, session: &mut Session, arriving: &mut Arriving) -> Result<()> {
        let mut position = self.slice.first();
        while self.next <= self.last {
            let Some(bytes) = arriving.next().await? else { break };
            let end = position + bytes.len() as u64;
            let piece = self.wanted_of(bytes, position);
            position = end;
            if !piece.is_empty() {
                self.next += piece.len() as u64;
                session.write_response_body(Some(piece), self.next > self.last).await?;
            }
        }
        let end = self.slice.first().saturating_add(self.slice.bytes);
        let is_whole = self.next > self.last || self.next == end;
        if is_whole { Ok(()) } else { Err(broken_off()) }
    }

    /// The part of `bytes`, which begin at `position`, that is to be sent next.
    fn wanted_of(&self, mut bytes: Bytes, position: u64) -> Bytes {
        let length = bytes.len();
        let at = |byte: u64| {
            usize::try_from(byte.saturating_sub(position)).unwrap_or(usize::MAX).min(length)
        };
        let piece = at(self.next)..at(self.last + 1);
        bytes.truncate(piece.end);
        bytes.split_off(piece.start.min(bytes.len()))
    }
}

/// What Cache-Status says of an answer that begins with a slice come by like this.
fn told_status(told: Option<Told>, rest_is_stored: bool) -> (Handling, CacheStatus<'static>) {
    let Some(Told::Answered { handling, status, .. }) = told else {
        return (Handling::Miss, Outcome::Forward(Forward::UriMiss).into());
    };
    if status.outcome == Outcome::Hit && !rest_is_stored {
        let partial = Outcome::Forward(Forward::Partial);
        return (Handling::Miss, CacheStatus { stored: true, ..partial.into() });
    }
    (handling, status)
}

async fn write_head(
    session: &mut Session,
    ctx: &mut Context,
    mut head: ResponseHeader,
    (handling, status): (Handling, CacheStatus<'static>),
    ended: bool,
) -> Result<()> {
    deliver::write(&mut head, &status, ctx)?;
    (ctx.handling, ctx.told) = (handling, Some(status));
    end::keep_date(session, &head);
    end::unchunk_for_http_10(session, &mut head);
    session.write_response_header(Box::new(head), ended).await
}
