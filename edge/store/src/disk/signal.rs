//! Wakes the thread that a directory belongs to.

use crate::disk::locked;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Work that may have come. Raised while nobody waits, it ends the next wait.
#[derive(Default)]
pub(super) struct Signal {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(super) fn raise(&self) {
        let was_raised = std::mem::replace(&mut *locked(&self.raised), true);
        if !was_raised {
            self.changed.notify_one();
        }
    }

    /// Returns when it is raised, or after `timeout`.
    pub(super) fn wait(&self, timeout: Option<Duration>) {
        let raised = locked(&self.raised);
        let mut raised = if let Some(timeout) = timeout {
            let waited = self.changed.wait_timeout_while(raised, timeout, |raised| !*raised);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let waited = self.changed.wait_while(raised, |raised| !*raised);
            waited.unwrap_or_else(PoisonError::into_inner)
        };
        *raised = false;
    }
}
