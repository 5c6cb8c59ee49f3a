//! What becomes of a request for which something is stored.

use super::Edge;
use crate::cache::Hit;
use crate::context::Context;
use crate::stage::reuse::{self, Outcome};
use pingora_cache::ForcedFreshness;
use pingora_proxy::Session;
use purge::Verdict;
use semantics::reuse::Reuse;

impl Edge {
    /// Decides how a stored response is used, and tells Pingora, which takes it for fresh or not.
    pub(super) fn reuse(
        &self,
        session: &mut Session,
        hit: Option<&Hit>,
        is_fresh: bool,
        ctx: &mut Context,
    ) -> Option<ForcedFreshness> {
        let received = ctx.received.steady;
        let Some(hit) = hit.filter(|_| ctx.route.is_some()) else {
            return Some(ForcedFreshness::ForceMiss);
        };
        let head = &hit.head;
        ctx.consume(head.consumed());
        let Some(routed) = &ctx.route else { return Some(ForcedFreshness::ForceMiss) };
        if session.subrequest_ctx.is_none() {
            head.count_request();
        }
        let verdict = routed.served.verdict(session.cache.cache_key().primary_key(), head);
        self.count_purged(hit, verdict);
        ctx.outcome = reuse::decide_for(&ctx.asking, head.kept(), &ctx.asked, verdict, received);
        if session.cache.lock_duration().is_some() {
            ctx.outcome = reuse::after_waiting(ctx.outcome, verdict, received);
        }
        if let Outcome::Stored { reuse: Reuse::WhileRevalidating, .. } = ctx.outcome {
            // one fetch in the background is enough, whatever is remembered
            session.cache.set_cache_lock(Some(&self.collapse.shared), Some(self.waiting()));
        }
        let expired = ForcedFreshness::ForceExpiredServeStale { expired_at: None };
        match ctx.outcome {
            Outcome::Purged | Outcome::Nothing => Some(ForcedFreshness::ForceMiss),
            Outcome::Stored { reuse: Reuse::Fresh | Reuse::Stale, .. } => {
                (!is_fresh).then_some(ForcedFreshness::ForceFresh)
            }
            Outcome::Stored { .. } => is_fresh.then_some(expired),
        }
    }

    /// Counts what a purge matches where a request meets it first. What is gone is removed, so that nothing counts it again.
    fn count_purged(&self, hit: &Hit, verdict: Verdict) {
        let (seq, is_first) = match verdict {
            Verdict::Current => return,
            Verdict::Gone(seq) => (seq, self.cache.store.remove_found(&hit.was)),
            // on disk it is counted by a pass
            Verdict::Stale(seq) => {
                let is_in_memory = self.cache.store.holds_in_memory(&hit.was.key);
                (seq, is_in_memory && hit.head.is_first_met_by(seq))
            }
        };
        if is_first {
            self.work.ledger.note_begun(seq, |progress| progress.matched += 1);
        }
    }
}
