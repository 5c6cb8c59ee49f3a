//! The response to a POST that is stored for GET (RFC 9110 §9.3.3), where the rule says so.
//!
//! A POST is always forwarded and waits for nobody, so Pingora's cache has no part in it: the body is copied into the
//! store on its way to the client. What it replaces is removed first (RFC 9111 §4.4), as by every unsafe request.

use super::Edge;
use crate::context::Context;
use crate::stage::keep::{self, ToKeep};
use crate::stage::lookup;
use crate::{cache, clock};
use bytes::Bytes;
use http::{Method, header};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

/// A response to store.
struct Posted {
    name: Vec<u8>,
    to_keep: ToKeep,
    variance: Option<[u8; 16]>,
}

impl Edge {
    /// Does to the store what the response to an unsafe request means for it; nothing after one to a safe request.
    pub(super) fn carry_out_unsafe(
        &self,
        session: &mut Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) {
        let posted = self.posted(session, response, ctx);
        let kept = posted.as_ref().map(|posted| &*posted.name);
        self.invalidate(session, response, kept, ctx);
        if let Some(posted) = posted {
            self.store_posted(session, posted, ctx);
        }
    }

    /// What is stored of a response; nothing of one to any other method than POST.
    fn posted(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &Context,
    ) -> Option<Posted> {
        let request = session.req_header();
        let (Some(identity), Some(routed)) = (&ctx.identity, &ctx.route) else { return None };
        if request.method != Method::POST
            || !lookup::stores_post(&request.uri, &request.headers, routed)
            || self.is_too_large(response)
        {
            return None;
        }
        let to_keep = keep::decide(request, response, None, ctx, clock::now()).ok()?;
        let (site, key) = (&routed.served.site.id, &routed.rule.caching.key);
        let name = lookup::name(&request.uri, identity, site, key, ctx.snapshot.epoch);
        let variance = cache::variance(&to_keep.header.headers, None, &request.headers, Some(key));
        Some(Posted { name, to_keep, variance })
    }

    /// Removes what was stored under the response's name, and begins to store the response, unless another request has
    /// changed what the name stands for since this one began.
    fn store_posted(&self, session: &mut Session, posted: Posted, ctx: &mut Context) {
        let Posted { name, to_keep: ToKeep { kept, header, .. }, variance } = posted;
        let key = cache::first_variant(&name);
        let since = ctx.forward.began.unwrap_or_default();
        let Some(began) = self.cache.store.renew(&key, since) else { return };
        self.note_tags(&header, &session.req_header().uri, ctx);
        let is_empty =
            header.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0");
        let Some(head) = self.cache.new_head(kept, began, header, variance) else { return };
        let fill = self.cache.store.fill(key, name.into(), head, began);
        ctx.kept = Some(kept);
        if is_empty {
            // no piece of a body will come, not even the last
            fill.complete();
            return;
        }
        ctx.posted = Some(fill);
        // a client that reads slowly doesn't slow those that read along
        session.set_proxy_tasks_enabled(true);
    }
}

/// Copies a piece of a body into the store. What breaks off is dropped with the context, and so never stored.
pub(super) fn fill_posted(body: Option<&Bytes>, is_last: bool, ctx: &mut Context) {
    let Some(mut fill) = ctx.posted.take() else { return };
    // an error says that the response grew too large to be stored, and that nobody reads along
    if body.is_some_and(|body| fill.write(body.clone()).is_err()) {
        return;
    }
    if is_last {
        fill.complete();
    } else {
        ctx.posted = Some(fill);
    }
}
