//! Reads what is new in the log, once for all followers.

use super::Feed;
use super::chunk::Chunk;
use crate::db::Db;
use crate::metrics::Metrics;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a change of another process may go unheard where the database doesn't tell of it.
const POLL: Duration = Duration::from_millis(400);

/// Follows the log, for ever: woken by this process, by other replicas, and else by the time.
pub(crate) async fn follow(db: &Db, feed: &Feed, metrics: &Metrics) {
    let mut newest = db.newest();
    let mut after = *feed.ring.tip().borrow();
    let mut answered = true;
    loop {
        // whether it was told or time has passed: it looks
        let _ = timeout(POLL, newest.wait_for(|newest| *newest > after)).await;
        let read = db.feed_page(after).await;
        match &read {
            Err(error) if answered => tracing::warn!("the log cannot be read: {error}"),
            Ok(_) if !answered => tracing::info!("the log can be read again"),
            Ok(_) | Err(_) => {}
        }
        answered = read.is_ok();
        match read {
            Ok(page) if page.until > after => {
                let chunk = Chunk::new(after, &page);
                after = page.until;
                feed.ring.push(chunk);
            }
            Ok(_) => feed.pages.sweep(),
            Err(_) => sleep(POLL).await,
        }
        metrics.tail(after, feed.ring.bytes());
    }
}
