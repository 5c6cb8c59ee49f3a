//! Waiting for events instead of for time. Everything ends after [`PATIENCE`], with a panic that says what was awaited.

use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long anything in a test may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The result of `future`.
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {} s for {what}", PATIENCE.as_secs()),
    }
}

/// The first `Some` that `probe` gives. For what sends no event of its own: a file, a metrics page.
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let found = async {
        loop {
            ticks.tick().await;
            if let Some(value) = probe().await {
                return value;
            }
        }
    };
    within(what, found).await
}

/// A gate that is shut until the test opens it. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Barrier(watch::Sender<bool>);

impl Barrier {
    /// A shut gate.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a test writes `Barrier::new()`")]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everyone through, now and from now on.
    pub fn release(&self) {
        self.0.send_replace(true);
    }

    /// Waits, without limit, until the gate is open.
    pub async fn released(&self) {
        let mut changes = self.0.subscribe();
        let open = changes.wait_for(|open| *open).await;
        open.expect("the sender lives in `self`, so the channel can't close");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_barrier_lets_through_when_released() {
        let barrier = Barrier::new();
        let waiter = tokio::spawn({
            let barrier = barrier.clone();
            async move { barrier.released().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        barrier.release();
        within("the waiter", waiter).await.unwrap();
        within("a late waiter", barrier.released()).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "waited 10 s for the impossible")]
    async fn waiting_ends() {
        within("the impossible", std::future::pending::<()>()).await;
    }
}
