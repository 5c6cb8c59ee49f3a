//! Responses with more tags than are kept: they are counted, and one is named now and then.

use super::Edge;
use crate::cache;
use crate::clock::{self, Steady};
use crate::context::Context;
use http::Uri;
use pingora_http::ResponseHeader;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Between two lines in the log.
const PAUSE: Duration = Duration::from_mins(1);

/// When a line may be written.
struct Rarely(AtomicI64);

static TOLD: Rarely = Rarely(AtomicI64::new(i64::MIN));

impl Rarely {
    /// Whether none was written for [`PAUSE`]. True for one of those who ask at once.
    fn is_time(&self, now: Steady) -> bool {
        let told = self.0.load(Ordering::Relaxed);
        now.since(Steady::from_nanoseconds(told)) >= PAUSE
            && self
                .0
                .compare_exchange(told, now.nanoseconds(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl Edge {
    /// Notes that a response to a request for `uri` is stored with this head, if not all of its tags are kept.
    pub(super) fn note_tags(&self, header: &ResponseHeader, uri: &Uri, ctx: &Context) {
        if !cache::tags(&header.headers).are_cut() {
            return;
        }
        self.telemetry.metrics.tags_cut.inc();
        let (Some(routed), Some(identity)) = (&ctx.route, &ctx.identity) else { return };
        if TOLD.is_time(clock::steady()) {
            tracing::warn!(
                site.name = %routed.served.site.name,
                url = format!("{}{}", identity.host.authority(), uri.path()),
                "a response has more tags, or longer ones, than are kept: any purge of a tag reaches it"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_once_in_a_while() {
        let rarely = Rarely(AtomicI64::new(i64::MIN));
        let at = |seconds: i64| Steady::from_nanoseconds(seconds * 1_000_000_000);
        assert!(rarely.is_time(at(0)) && !rarely.is_time(at(0)) && !rarely.is_time(at(59)));
        assert!(rarely.is_time(at(60)) && !rarely.is_time(at(61)));
    }
}
