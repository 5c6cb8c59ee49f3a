//! Responses with more tags than are kept: they are counted, and one is named now and then.

use super::Edge;
use crate::cache;
use crate::clock;
use crate::context::Context;
use crate::rarely::Rarely;
use http::Uri;
use pingora_http::ResponseHeader;

static TOLD: Rarely = Rarely::new();

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
