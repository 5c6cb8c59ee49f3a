//! A body that the test goes on writing while it is being sent.

use bytes::Bytes;
use tokio::sync::watch;

/// Pieces of a body, sent as they are pushed. Each request that asks gets all of them from the first on.
/// Clones are the same body.
#[derive(Debug, Clone, Default)]
pub struct Live(watch::Sender<Written>);

#[derive(Debug, Default)]
struct Written {
    pieces: Vec<Bytes>,
    ended: bool,
}

impl Live {
    /// A body with nothing in it yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece.
    pub fn push(&self, bytes: impl Into<Bytes>) {
        self.0.send_modify(|written| written.pieces.push(bytes.into()));
    }

    /// Ends the body.
    pub fn end(&self) {
        self.0.send_modify(|written| written.ended = true);
    }

    /// The piece at `index`, once it is there; `None` when the body ended before.
    pub(super) async fn piece(&self, index: usize) -> Option<Bytes> {
        let mut changes = self.0.subscribe();
        let written = changes.wait_for(|written| written.pieces.len() > index || written.ended);
        let written = written.await.ok()?;
        written.pieces.get(index).cloned()
    }
}
