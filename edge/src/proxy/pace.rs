//! How fast is a response taken in, and is it still read? The client for which it is fetched is served in turn with the
//! origin, by one task, so the writer of a fill can't wait for it.
//!
//! Of a response that is stored, all is held anyway: a slow client is served from the fill, and doesn't slow it. Of one
//! that grows too large, only what clients have yet to take is held: from half of that size on, the origin is read when
//! its client has taken what there was.

use super::Edge;
use crate::context::Context;
use crate::listen::ClientStream;
use pingora_proxy::Session;
use std::time::{Duration, Instant};
use store::Fill;

/// What a client that has stalled is given beyond its timeout to be told so.
const GRACE: Duration = Duration::from_secs(1);
/// How long the origin is held up at first, and how often that is doubled.
const HELD_UP: Duration = Duration::from_millis(10);
const DOUBLED_MAX: u32 = 7;

impl Edge {
    /// Decides, before a piece of a body is taken in, how long the origin waits first.
    pub(super) fn pace(&self, session: &mut Session, ctx: &mut Context) -> Option<Duration> {
        // the response to a POST is copied on its way, where nobody can wait
        if ctx.posted.as_ref().is_some_and(Fill::is_behind) {
            return Some(hold_up(ctx));
        }
        // what is cut is to be written, as fast as that is done
        if ctx.cutting.is_some() && self.cache.store.is_behind() {
            return Some(hold_up(ctx));
        }
        let passes = self.note_reading(session, ctx);
        let limits = self.cache.store.limits();
        if !passes && ctx.forward.body_bytes <= limits.response_max_bytes / 2 {
            return None;
        }
        if !session.has_pending_downstream_tasks() {
            // from here on, a piece is taken in when the one before is on its way
            session.set_proxy_tasks_enabled(false);
            ctx.held_up = 0;
            // one that failed and doesn't know of it yet takes nothing any more
            return ctx.course.own().filter(|own| own.is_behind()).map(|_| HELD_UP);
        }
        Some(hold_up(ctx))
    }

    /// Notes where the client has gone that a fill is for. Whether the fill only passes through.
    fn note_reading(&self, session: &Session, ctx: &Context) -> bool {
        let Some(own) = ctx.course.own() else { return false };
        let has_gone = ClientStream::of(session).is_some_and(ClientStream::has_gone);
        if has_gone || own.is_stuck(Instant::now(), self.stall_timeout + GRACE) {
            own.leave();
        }
        own.passes()
    }
}

/// How long the origin is held up now: longer each time in a row.
fn hold_up(ctx: &mut Context) -> Duration {
    ctx.held_up = (ctx.held_up + 1).min(DOUBLED_MAX);
    HELD_UP * 2_u32.pow(ctx.held_up)
}
