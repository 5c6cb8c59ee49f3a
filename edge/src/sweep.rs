//! Gives back the room of what was purged, or whose site is gone. That it isn't served needs none of this.

use crate::cache::{Cache, Head};
use crate::feed::Changes;
use crate::listing;
use crate::snapshot::{Current, Snapshot};
use crate::stage::lookup::Named;
use crate::{clock, clock::Steady};
use api::cache::State;
use std::time::Duration;
use tokio::time::sleep;

/// Between a change and the pass over the memory tier.
const PAUSE: Duration = Duration::from_secs(10);

/// Passes over what is in memory after something was adopted, for as long as the feed runs.
pub(crate) async fn run(mut changes: Changes, current: Current, cache: &'static Cache) {
    while changes.changed().await.is_ok() {
        // what comes in a row is looked for at once
        sleep(PAUSE).await;
        let snapshot = current.load_full();
        let pass = move || {
            let now = clock::now().steady;
            cache.store.sweep(|name, head| is_of_use(name, head, &snapshot, now))
        };
        match tokio::task::spawn_blocking(pass).await {
            Ok(swept) => tracing::debug!(swept, "looked for what was purged"),
            Err(error) => tracing::error!(%error, "what was purged could not be looked for"),
        }
    }
}

/// Whether a response may answer a request again. What has no name that can be read, such as what is known of slices, may.
fn is_of_use(name: &[u8], head: &Head, snapshot: &Snapshot, now: Steady) -> bool {
    let Some(named) = Named::read(name) else { return true };
    match listing::state(name, head, listing::served(&named, snapshot), now) {
        State::Fresh | State::Stale => true,
        State::Purged | State::Unreachable => false,
    }
}
