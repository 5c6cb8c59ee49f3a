//! How fast is a response taken in, and is it still read? The client for which it is fetched is served in turn with the
//! origin, by one task, so the writer of a fill can't wait for it.
//!
//! Of a response that is stored, all is held anyway: a slow client is served from the fill, and doesn't slow it. Of one
//! that grows too large, only what clients have yet to take is held. So once it passes, or is half as large as may be
//! stored and isn't known to end before, its client is written to in turn with the origin being read: Pingora writes a
//! piece to its end before it does anything else.
//!
//! That begins between two pieces. While there is one on its way to a client that takes nothing, all that can be done is to
//! have the task sleep, in which it doesn't write either. So each sleep comes after an attempt to write, and is no longer
//! than the client has taken nothing for.

use super::Edge;
use crate::bridge::Presence;
use crate::context::Context;
use crate::listen::ClientStream;
use futures_util::FutureExt;
use pingora_proxy::Session;
use std::time::{Duration, Instant};
use store::Own;

/// What a client that has stalled is given beyond its timeout to be told so.
const GRACE: Duration = Duration::from_secs(1);
/// How long the origin is held up at first, and how often that is doubled: for others who read, and for disks, which are
/// waited for no longer than that often in a row, a second in all.
const HELD_UP: Duration = Duration::from_millis(10);
const DOUBLED_MAX: u32 = 7;
const DOUBLED_FOR_DISK_MAX: u32 = 2;
const FOR_DISK_MAX: u32 = 26;

impl Edge {
    /// Decides, before a piece of a body is taken in, how long the origin waits first.
    pub(super) fn pace(&self, session: &mut Session, ctx: &mut Context) -> Option<Duration> {
        if let Some(posted) = &ctx.posted {
            // the response to a POST is copied on its way, where nobody can wait
            let is_behind = posted.is_behind();
            return hold_up_while(is_behind, &mut ctx.held_up, DOUBLED_MAX);
        }
        if ctx.cutting.is_some() {
            // what is cut is to be written, but no client waits for a disk that hangs
            let is_behind = self.cache.store.is_behind();
            let held_up = hold_up_while(is_behind, &mut ctx.held_up, DOUBLED_FOR_DISK_MAX);
            return held_up.filter(|_| ctx.held_up <= FOR_DISK_MAX);
        }
        let own = ctx.course.own()?;
        self.note_reading(session, own);
        if !own.reads() || !self.takes_turns(own, ctx) {
            return None;
        }
        let is_behind = own.is_behind();
        if take_turns(session) {
            ctx.held_up = 0;
            // one that reads catches up as long as nobody sleeps
            return is_behind.then_some(HELD_UP);
        }
        hold_up_while(true, &mut ctx.held_up, DOUBLED_MAX)
    }

    /// Decides, before a piece is given to the client, whether it is written to in turn with the origin from now on.
    pub(super) fn give(&self, session: &mut Session, ctx: &Context) {
        if ctx.course.own().is_some_and(|own| self.takes_turns(own, ctx)) {
            take_turns(session);
        }
    }

    fn takes_turns(&self, own: &Own, ctx: &Context) -> bool {
        let half = self.cache.store.limits().response_max_bytes / 2;
        own.passes() || (!own.fits() && ctx.forward.body_bytes > half)
    }

    /// Notes where the client has gone that a fill is for.
    fn note_reading(&self, session: &Session, own: &Own) {
        let has_gone = match ClientStream::of(session) {
            Some(stream) => stream.has_gone(),
            None => Presence::has_gone(session.req_header()),
        };
        if has_gone || own.is_stuck(Instant::now(), self.stall_timeout + GRACE) {
            own.leave();
        }
    }
}

/// Has Pingora write in turn, from here on, where no piece is on its way. One that is, is written as far as there is room.
fn take_turns(session: &mut Session) -> bool {
    if session.has_pending_downstream_tasks() {
        // What fails here fails again where that is handled, and what ends here is found to have ended there. The task's
        // budget would have it pend where there is room.
        tokio::task::unconstrained(session.write_downstream_proxy_tasks()).now_or_never();
    }
    let takes_turns = !session.has_pending_downstream_tasks();
    if takes_turns {
        session.set_proxy_tasks_enabled(false);
    }
    takes_turns
}

/// How long the origin is held up now: longer each time in a row, doubled at most so often.
fn hold_up_while(is_behind: bool, held_up: &mut u32, doubled_max: u32) -> Option<Duration> {
    *held_up = if is_behind { held_up.saturating_add(1) } else { 0 };
    is_behind.then(|| HELD_UP * 2_u32.pow((*held_up).min(doubled_max)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use pingora_core::protocols::Stream;
    use pingora_core::protocols::http::HttpTask;
    use pingora_http::ResponseHeader;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// More than there is room for on the way to the client.
    const PIECE: usize = 100_000;

    #[tokio::test]
    async fn whoever_holds_the_origin_up_writes_to_its_client() {
        let (mut client, server) = tokio::io::duplex(4_096);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        let mut session = Session::new_h1(Box::new(server) as Stream);
        session.read_request().await.unwrap();
        session.set_proxy_tasks_enabled(true);
        let mut head = ResponseHeader::build(200, None).unwrap();
        head.insert_header("Content-Length", PIECE).unwrap();
        let piece = Bytes::from(vec![7; PIECE]);
        for task in [HttpTask::Header(Box::new(head), false), HttpTask::Body(Some(piece), false)] {
            session.send_downstream_proxy_task(task).await.unwrap();
        }
        // nobody polls the session but those who pace
        let (mut received, mut turns) = (0, 0);
        while !take_turns(&mut session) {
            assert!(session.has_pending_downstream_tasks(), "what is on its way is still to come");
            let mut taken = vec![0; 8_192];
            received += client.read(&mut taken).now_or_never().expect("a piece").unwrap();
            turns += 1;
        }
        assert!(received > PIECE - 4_096 && turns < 100, "{received} bytes, {turns} turns");
        // from here on it is written to in turn
        assert!(!session.downstream_session.supports_proxy_task_api());
    }

    #[test]
    fn holding_up_grows_in_a_row_and_begins_anew() {
        let mut held_up = 0;
        let mut check = |is_behind, expected: Option<u64>| {
            let found = hold_up_while(is_behind, &mut held_up, DOUBLED_FOR_DISK_MAX);
            assert_eq!(found, expected.map(Duration::from_millis));
        };
        for expected in [20, 40, 40] {
            check(true, Some(expected));
        }
        check(false, None);
        check(true, Some(20));
    }
}
