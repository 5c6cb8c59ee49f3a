//! What time is it, and how is it written? The one place of control that reads the clock.

use std::time::{Duration, UNIX_EPOCH};

/// A moment: milliseconds since 1970-01-01 UTC, as the database holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) i64);

/// The moment it is.
#[expect(clippy::disallowed_methods, reason = "the one reader of the clock")]
pub(crate) fn now() -> Moment {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Moment {
    /// The moment `duration` earlier.
    pub(crate) fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Milliseconds since `earlier`; 0 where that is later.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// As RFC 3339 writes it, in UTC, with milliseconds.
    pub(crate) fn rfc3339(self) -> String {
        // the range that four digits of a year can name
        let milliseconds = u64::try_from(self.0).unwrap_or(0).min(253_402_300_799_999);
        let time = UNIX_EPOCH + Duration::from_millis(milliseconds);
        humantime::format_rfc3339_millis(time).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_732_060_800_123, "2024-11-20T00:00:00.123Z"),
            (-5, "1970-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Moment(milliseconds).rfc3339(), expected);
        }
        assert_eq!(Moment(5_000).before(Duration::from_secs(3)), Moment(2_000));
    }
}
