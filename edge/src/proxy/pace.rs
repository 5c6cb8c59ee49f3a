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

/// What a client that has stalled is given beyond its timeout to be told so.
const GRACE: Duration = Duration::from_secs(1);
/// How long the origin is held up at first, and how often that is doubled.
const HELD_UP: Duration = Duration::from_millis(10);
const DOUBLED_MAX: u32 = 7;

impl Edge {
    /// Decides, before a piece of a body is taken in, how long the origin waits first.
    pub(super) fn pace(&self, session: &mut Session, ctx: &mut Context) -> Option<Duration> {
        let passes = self.note_reading(session, ctx);
        let limits = self.cache.store.limits();
        if !passes && ctx.forward.body_bytes <= limits.response_max_bytes / 2 {
            return None;
        }
        if !session.has_pending_downstream_tasks() {
            // from here on, a piece is taken in when the one before is on its way
            session.set_proxy_tasks_enabled(false);
            ctx.held_up = 0;
            return None;
        }
        let held_up = HELD_UP * 2_u32.pow(ctx.held_up.min(DOUBLED_MAX));
        ctx.held_up += 1;
        Some(held_up)
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
