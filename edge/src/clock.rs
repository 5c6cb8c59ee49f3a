//! The one place where this program reads the wall clock.

use std::time::SystemTime;

/// Now.
pub(crate) fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "everything else takes `now` as an argument")]
    SystemTime::now()
}
