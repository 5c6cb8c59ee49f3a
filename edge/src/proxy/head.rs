//! HEAD: answered as GET is where what is stored answers it, else forwarded as it is (RFC 9110 §9.3.2), to learn from
//! the answer what has become of the stored response (RFC 9111 §4.3.5).

use super::Edge;
use crate::cache::{self, Head};
use crate::clock;
use crate::context::Context;
use crate::stage::keep;
use crate::stage::lookup::Lookup;
use crate::stage::reuse::{self, Outcome};
use http::{HeaderMap, Method, header};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use semantics::update::{ByHead, by_head};
use store::{Found, Key};

impl Edge {
    /// Decides whether a HEAD is forwarded as it is. Then it is neither collapsed nor stored.
    pub(super) fn look_up_head(&self, session: &Session, ctx: &mut Context) {
        let request = session.req_header();
        let (Lookup::Named(name), Some(routed)) = (&ctx.lookup, &ctx.route) else { return };
        if request.method != Method::HEAD {
            return;
        }
        let selected = self.cache.select(name, &request.headers, ctx.key());
        let outcome = selected.response.map_or(Outcome::Nothing, |(_, found)| {
            reuse::decide(found.head.kept(), &ctx.asked, routed.served.horizon, ctx.received)
        });
        if reuse::forwards_head(outcome, &ctx.asked, ctx.received) {
            (ctx.forwards_head, ctx.outcome, ctx.varied) = (true, outcome, selected.varied);
        }
    }

    /// Has a 200 to a forwarded HEAD freshen the stored response to GET that it is about, or remove one that has changed.
    /// What it freshens lends it the fields it lacks: it tells what GET gets from now on.
    pub(super) fn renew_by_head(
        &self,
        session: &Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let request = session.req_header();
        // what one client is told is no measure for what is stored for all
        let is_for_all =
            !ctx.asked.no_store() && !request.headers.contains_key(header::AUTHORIZATION);
        if !ctx.forwards_head || !is_for_all {
            return Ok(());
        }
        let Some((key, found)) = self.outdated(&request.headers, ctx) else { return Ok(()) };
        let Lookup::Named(name) = &ctx.lookup else { return Ok(()) };
        let length = found.length.unwrap_or_default();
        let stored = (found.head.status(), found.head.fields(), length);
        match by_head(stored, (response.status, &response.headers)) {
            ByHead::Freshen => {}
            ByHead::Invalidate => {
                self.cache.store.remove(&key);
                return Ok(());
            }
            ByHead::Nothing => return Ok(()),
        }
        ctx.forward.not_modified = Some(response.headers.clone());
        match keep::decide(request, response, Some(found.head.header()), ctx, clock::now()) {
            Ok(to_keep) => {
                let began = ctx.forward.began.unwrap_or_default();
                let (kept, header) = (to_keep.kept, to_keep.header);
                let renewed = Some((found.head.variance(), found.head.fields()));
                let variant = cache::variant(&header.headers, renewed, &request.headers, ctx.key());
                let meta = self.cache.new_meta(kept, began, header, variant);
                if self.cache.freshen(key, name, &found.head, &meta) {
                    ctx.kept = Some(kept);
                    lend(meta.headers(), response)?;
                }
            }
            Err(refused) if refused.lasts => {
                self.cache.store.remove(&key);
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// What is stored whole for a forwarded HEAD. What was purged is to be fetched anew, whatever a HEAD tells of it.
    fn outdated(&self, request: &HeaderMap, ctx: &Context) -> Option<(Key, Found<Head>)> {
        let (Lookup::Named(name), Some(routed)) = (&ctx.lookup, &ctx.route) else { return None };
        let selected = self.cache.select(name, request, ctx.key()).response;
        selected.filter(|(_, found)| {
            found.length.is_some() && !routed.served.horizon.purges(found.head.kept().applied)
        })
    }
}

/// Adds the fields of `stored` that `response` has none of.
fn lend(stored: &HeaderMap, response: &mut ResponseHeader) -> Result<()> {
    let lacks: Vec<_> =
        stored.keys().filter(|name| !response.headers.contains_key(*name)).collect();
    for name in lacks {
        for value in stored.get_all(name) {
            response.append_header(name, value)?;
        }
    }
    Ok(())
}
