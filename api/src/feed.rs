//! The feed: one ordered log, from control to its edges (`GET /v1/feed?after=N&log=ID`, server-sent events).
//!
//! The stream begins with a [`Hello`]. Entries follow in the order of their sequence numbers, and when the newest has
//! been sent, a [`Current`], which then comes again as a heartbeat. Entries about one subject that a later entry
//! replaces may be left out: numbers rise, but not by one. Where the follower's place is not in this log (a new
//! database behind control, or a number it never gave), `Hello::reset` is true: the entries up to the first `Current`
//! are then everything there is, and what they do not name is gone.

use crate::certificate::{Certificate, Challenge};
use crate::id::{CertificateId, LogId, SiteId};
use crate::purge::{Count, Purge, Warm};
use serde::{Deserialize, Serialize};

/// The version of the feed's wire format that this crate writes.
pub const VERSION: u16 = 1;
/// SSE event names.
pub const EVENT_HELLO: &str = "hello";
/// SSE event name of an [`Entry`]; the event's `id` is its sequence number.
pub const EVENT_ENTRY: &str = "entry";
/// SSE event name of a [`Current`].
pub const EVENT_CURRENT: &str = "current";
/// Seconds between two heartbeats of an idle stream. A follower that hears nothing for three times as long reconnects.
pub const HEARTBEAT_SECONDS: u64 = 5;
/// Bytes of the JSON of an entry. Control makes none that is larger: what people may ask of it in one request, of purges most
/// ([`crate::purge::PURGE_BODY_MAX_BYTES`]), is half of it.
pub const ENTRY_MAX_BYTES: usize = 8 << 20;
/// The NATS `JetStream` stream that has the feeds.
pub const NATS_STREAM: &str = "LONGSHORE";
/// The subject of a log's entries is this and the log's id. The payload is an [`Entry`], compressed where
/// `Content-Encoding` is `zstd`.
pub const NATS_SUBJECT_PREFIX: &str = "longshore.feed.";
/// The subject of heartbeats is this and the log's id; they are in no stream. The payload is a [`Current`].
pub const NATS_CURRENT_PREFIX: &str = "longshore.current.";
/// Header of a message: the number of its entry.
pub const NATS_SEQ: &str = "Longshore-Seq";
/// Header of a message: a number before its entry's. There are no entries between the two.
pub const NATS_PREV: &str = "Longshore-Prev";

/// The first event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// See [`VERSION`].
    pub version: u16,
    /// Which log this is.
    pub log: LogId,
    /// The newest sequence number at the time.
    pub newest: u64,
    /// Whether the follower's place is unknown here, so that everything is sent anew from 0.
    pub reset: bool,
    /// By what followers of this log know each other. Absent from a control that has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
}

/// What all followers of a log have in common, and nobody else has: 32 bytes, in hexadecimal. It is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8; Self::BYTES]) -> Self {
        Self(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
    }

    /// Bytes of a key.
    pub const BYTES: usize = 32;

    /// The digits, for where keys are kept.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The key whose digits were kept.
    #[must_use]
    pub fn kept(digits: String) -> Self {
        Self(digits)
    }

    /// Its bytes. None for a text that is no key.
    #[must_use]
    pub fn bytes(&self) -> Option<[u8; Self::BYTES]> {
        let mut bytes = [0; Self::BYTES];
        if self.0.len() != 2 * bytes.len() || !self.0.bytes().all(|digit| digit.is_ascii_hexdigit())
        {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(self.0.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(bytes)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(_)")
    }
}

/// Sent when the follower has been given everything, and as a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// The newest sequence number. The follower has it now.
    pub newest: u64,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// See [`VERSION`].
    pub version: u16,
    /// Its place in the log, from 1.
    pub seq: u64,
    /// What it says.
    #[serde(flatten)]
    pub change: Change,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// A site is new or different. The document is checked by the follower: one that it does not understand concerns
    /// that site only.
    SitePut {
        /// Which site.
        site_id: SiteId,
        /// A [`crate::site::Site`].
        site: serde_json::Value,
    },
    /// A site is gone.
    SiteRemoved {
        /// Which site.
        site_id: SiteId,
    },
    /// Stored responses are not to be used any more.
    Purge(Purge),
    /// Stored responses are to be counted.
    Count(Count),
    /// Responses are to be fetched.
    Warm(Warm),
    /// A certificate is new or different.
    CertificatePut(Certificate),
    /// A certificate is not to be used any more.
    CertificateRemoved {
        /// Which certificate.
        certificate_id: CertificateId,
    },
    /// A certificate authority will look whether a host is served here. There is no entry that takes it back: it expires.
    ChallengePut(Challenge),
    /// A kind of change this version does not know. It is passed over.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every entry ever shipped reads, and version 1 writes what it wrote.
    #[test]
    fn version_1_is_as_it_was() {
        let golden = include_str!("../golden/feed-v1.jsonl");
        for line in golden.lines() {
            let entry: Entry = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&entry).unwrap(), line);
        }
    }

    #[test]
    fn a_key_is_its_digits_and_is_not_shown() {
        let key = Key::new(&[0xa5; 32]);
        assert_eq!(key.reveal(), "a5".repeat(32));
        assert_eq!(Key::kept(key.reveal().to_owned()).bytes(), Some([0xa5; 32]));
        assert_eq!(format!("{key:?}"), "Key(_)");
        for wrong in ["", "a5", &"+5".repeat(32), &"é".repeat(32), &"a5".repeat(33)] {
            assert_eq!(Key::kept(wrong.to_owned()).bytes(), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let later = r#"{"version":2,"seq":9,"kind":"weather_put","weather":{}}"#;
        let entry: Entry = serde_json::from_str(later).unwrap();
        assert_eq!((entry.seq, entry.change), (9, Change::Unknown));
    }
}
