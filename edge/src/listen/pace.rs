//! How slow may a client be? A body that trickles in, and a response that is taken in drops, hold a connection and what is
//! behind it; both are broken off.
//!
//! Only time in which this edge waits for the client counts. It is measured over windows of a grace period, so that a
//! pause costs nothing, and a client that keeps to a trickle is found after one window.

use prometheus::IntCounter;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How fast a client is to be, and how those are counted that aren't.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    /// Bytes a second, on average over the time that is waited; 0 demands nothing.
    pub(crate) min_bytes_per_second: u64,
    /// How long is waited before a client is judged, and each time anew.
    pub(crate) grace: Duration,
    pub(crate) too_slow: IntCounter,
}

/// One direction of a connection, or of a stream of one, while it is to move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Waited in this window, without the wait that goes on.
    waited: Duration,
    bytes: u64,
    since: Option<Instant>,
}

impl Pace {
    /// It is waited from `now` on, unless that is so already.
    pub(crate) fn wait(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// So many bytes have moved, and nobody waits any more.
    pub(crate) fn moved(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.bytes += bytes as u64;
    }

    /// Whether the client was too slow in the window that ends `now`; the next one begins then. While it has not ended,
    /// nobody is too slow.
    pub(crate) fn is_too_slow(&mut self, rate: &Rate, now: Instant) -> bool {
        let ongoing =
            self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let waited = self.waited + ongoing;
        if waited < rate.grace {
            return false;
        }
        let wanted = u128::from(rate.min_bytes_per_second) * waited.as_millis() / 1_000;
        let is_too_slow = u128::from(self.bytes) < wanted;
        *self = Self { since: self.since.map(|_| now), ..Self::default() };
        is_too_slow
    }

    /// When the window ends if nothing moves.
    pub(crate) fn ends(&self, rate: &Rate) -> Option<Instant> {
        Some(self.since? + rate.grace.saturating_sub(self.waited))
    }
}

/// A pace with a clock of its own, for what is polled.
#[derive(Debug)]
pub(crate) struct Watch {
    rate: Arc<Rate>,
    pace: Pace,
    /// None before the first wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    pub(crate) const fn new(rate: Arc<Rate>) -> Self {
        Self { rate, pace: Pace { waited: Duration::ZERO, bytes: 0, since: None }, timer: None }
    }

    /// Takes note of how many bytes polling has moved. Has the task woken when the client is to be judged.
    ///
    /// # Errors
    /// `TimedOut` when it has been too slow.
    pub(crate) fn note(&mut self, cx: &mut Context<'_>, moved: Poll<usize>) -> io::Result<()> {
        match moved {
            _ if self.rate.min_bytes_per_second == 0 => Ok(()),
            Poll::Pending => self.wait(cx),
            Poll::Ready(bytes) => {
                if self.timer.is_some() {
                    self.pace.moved(bytes, Instant::now());
                }
                Ok(())
            }
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let now = Instant::now();
        self.pace.wait(now);
        let Some(ends) = self.pace.ends(&self.rate) else { return Ok(()) };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(ends)));
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.pace.is_too_slow(&self.rate, now) {
                self.rate.too_slow.inc();
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the client is too slow"));
            }
            // the wait has just been noted, so there is an end, and it lies ahead
            timer.as_mut().reset(self.pace.ends(&self.rate).unwrap_or(now + self.rate.grace));
        }
        Ok(())
    }
}

/// Awaits something of a client, and breaks off where the client is too slow. `moved` is how many bytes it has come to.
///
/// # Errors
/// Its own, and `TimedOut`.
pub(crate) async fn watched<T>(
    watch: &mut Option<Watch>,
    awaited: impl Future<Output = io::Result<T>>,
    moved: impl Fn(&T) -> usize,
) -> io::Result<T> {
    let mut awaited = pin!(awaited);
    poll_fn(|cx| {
        let polled = awaited.as_mut().poll(cx);
        if let Some(watch) = watch {
            watch.note(
                cx,
                match &polled {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(done) => Poll::Ready(done.as_ref().map_or(0, &moved)),
                },
            )?;
        }
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate() -> Rate {
        let too_slow = IntCounter::new("slow", "slow").unwrap();
        Rate { min_bytes_per_second: 100, grace: Duration::from_secs(10), too_slow }
    }

    /// What becomes of a client that lets wait for some milliseconds, moves some bytes, and so on.
    fn check(course: &[(u64, usize)], expected: bool) {
        let (rate, mut now) = (rate(), Instant::now());
        let mut pace = Pace::default();
        let mut found = false;
        for (waited, bytes) in course {
            pace.wait(now);
            now += Duration::from_millis(*waited);
            found |= pace.is_too_slow(&rate, now);
            pace.moved(*bytes, now);
            // what others take their time with is not the client's
            now += Duration::from_secs(100);
        }
        assert_eq!(found, expected, "{course:?}");
    }

    #[test]
    fn only_a_whole_window_below_the_rate_is_too_slow() {
        check(&[(9_999, 0)], false);
        check(&[(10_000, 0)], true);
        check(&[(5_000, 0), (4_999, 0)], false);
        check(&[(5_000, 0), (5_000, 0)], true);
        check(&[(5_000, 1_000), (5_000, 0)], false);
        check(&[(5_000, 999), (5_000, 0)], true);
        check(&[(1_000, 1); 10], true);
        check(&[(1_000, 150); 30], false);
        // what moved in one window is none in the next
        check(&[(1_000, 1_000_000), (10_000, 0), (10_000, 0)], true);
    }

    #[tokio::test]
    async fn a_client_that_moves_nothing_is_broken_off_after_the_grace() {
        let rate = Rate { grace: Duration::from_millis(20), ..rate() };
        let mut watch = Watch::new(Arc::new(rate));
        let begun = Instant::now();
        let error = poll_fn(|cx| match watch.note(cx, Poll::Pending) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        });
        assert_eq!(error.await.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= Duration::from_millis(20));
        assert_eq!(watch.rate.too_slow.get(), 1);
    }
}
