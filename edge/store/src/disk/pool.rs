//! Threads that wait for one device, so that nothing else does.

use crate::disk::locked;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

const THREADS: usize = 4;
/// Reads that may wait for a thread. More are misses.
const WAITING_MAX: usize = 1_024;

type Job = Box<dyn FnOnce() + Send>;

/// The threads that read one directory. They end when it is dropped.
pub(super) struct Pool {
    jobs: SyncSender<Job>,
}

impl Pool {
    pub(super) fn new() -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..THREADS {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new()
                .name("disk-read".to_owned())
                .spawn(move || serve(&waiting))?;
        }
        Ok(Self { jobs })
    }

    /// Has a thread do `read`. None where too much waits already.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<oneshot::Receiver<T>> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            // nobody waits for it any more: the device is slow enough as it is
            if !answer.is_closed() {
                answer.send(read()).ok();
            }
        });
        match self.jobs.try_send(job) {
            Ok(()) => Some(answered),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }
}

fn serve(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let job = locked(waiting).recv();
        let Ok(job) = job else { return };
        job();
    }
}
