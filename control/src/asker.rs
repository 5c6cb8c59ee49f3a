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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_due_later_when_it_may_take_longer() {
        let mut request = Request::new(Body::empty());
        let (asker, _present) = Asker::note(&mut request, Duration::from_secs(30));
        let operation = request.extensions().get::<Asker>().unwrap().clone();
        let began = Instant::now();
        let later = async {
            tokio::time::sleep(Duration::from_secs(29)).await;
            operation.extend(Duration::from_secs(300));
        };
        tokio::join!(later, asker.due());
        assert_eq!(began.elapsed().as_secs(), 330);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_gone_when_nobody_waits_for_its_answer() {
        let mut request = Request::new(Body::empty());
        let (asker, present) = Asker::note(&mut request, Duration::from_secs(30));
        let early = tokio::time::timeout(Duration::from_secs(5), asker.gone()).await;
        assert!(early.is_err());
        drop(present);
        asker.gone().await;
    }
}
