//! Is the client still there, and until when may it wait for its answer?

use axum::extract::Request;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The client of a request that is being served, as its operation sees it.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    present: watch::Receiver<()>,
    due: Arc<watch::Sender<Instant>>,
}

/// Holds a client present.
pub(crate) struct Present(#[expect(dead_code, reason = "held for its drop")] watch::Sender<()>);

impl Asker {
    /// Notes the client with its request, whose answer is due in `patience`. It is gone when what is returned is dropped.
    pub(crate) fn note(request: &mut Request, patience: Duration) -> (Self, Present) {
        let (present, receiver) = watch::channel(());
        let due = Arc::new(watch::Sender::new(Instant::now() + patience));
        let asker = Self { present: receiver, due };
        request.extensions_mut().insert(asker.clone());
        (asker, Present(present))
    }

    /// Lets the answer take so much longer.
    pub(crate) fn extend(&self, longer: Duration) {
        self.due.send_modify(|due| *due += longer);
    }

    /// Waits until the client has gone away.
    pub(crate) async fn gone(&self) {
        let mut present = self.present.clone();
        while present.changed().await.is_ok() {}
    }

    /// Waits until the answer is due.
    pub(crate) async fn due(&self) {
        loop {
            let due = *self.due.borrow();
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}
