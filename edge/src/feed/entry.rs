//! What does an entry of the feed say? Pure, and total: whatever control sends has a meaning, so that nothing it sends
//! can hold an edge up.
//!
//! A purge that can't be understood purges everything of its site, and of all sites where that can't be read either.
//! Anything else that can't be understood is passed over.

use crate::tls::CertificateTold;
use api::certificate::Challenge;
use api::feed::Change;
use api::id::{CertificateId, SiteId};
use api::purge::{Count, Purge, Warm};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An entry, with its place in the log.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    pub(super) seq: u64,
    pub(super) says: Says<'t>,
}

/// What an entry says.
#[derive(Debug)]
pub(super) enum Says<'t> {
    Put {
        site_id: SiteId,
        document: &'t str,
    },
    Removed {
        site_id: SiteId,
    },
    Purge(Purge),
    Count(Count),
    Warm(Warm),
    /// A certificate, which is opened when it is needed. The text is the whole entry.
    Certificate {
        told: CertificateTold,
        text: &'t str,
    },
    CertificateRemoved {
        certificate_id: CertificateId,
    },
    /// A challenge. The text is the whole entry.
    Challenge {
        told: Challenge,
        text: &'t str,
    },
    /// It is a purge, or may be one, of this site, or of any.
    UnreadablePurge {
        site_id: Option<SiteId>,
    },
    /// It is of a kind that this version doesn't know, or lacks what its kind has.
    Unreadable,
}

/// The members that tell how to go on.
#[derive(Deserialize)]
struct Envelope<'t> {
    #[serde(default)]
    seq: Option<u64>,
    #[serde(borrow)]
    kind: Cow<'t, str>,
    #[serde(default)]
    site_id: Option<SiteId>,
    /// A document is kept and checked as it is written; nothing reads it twice.
    #[serde(borrow, default)]
    site: Option<&'t RawValue>,
}

impl<'t> Entry<'t> {
    /// Reads an entry. `seq` is its number as whoever delivered it says. None where nothing tells its place.
    pub(super) fn read(text: &'t str, seq: Option<u64>) -> Option<Self> {
        let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) else {
            return Self::read_broken(text, seq);
        };
        let says = match (&*envelope.kind, envelope.site_id, envelope.site) {
            ("site_put", Some(site_id), Some(site)) => Says::Put { site_id, document: site.get() },
            ("site_removed", Some(site_id), _) => Says::Removed { site_id },
            ("purge" | "count" | "warm", site_id, _) => Says::read(text, &envelope.kind, site_id),
            ("certificate_put" | "certificate_removed" | "challenge_put", ..) => {
                Says::of_certificates(text, &envelope.kind)
            }
            _ => Says::Unreadable,
        };
        Some(Self { seq: envelope.seq.or(seq)?, says })
    }

    fn read_broken(text: &str, seq: Option<u64>) -> Option<Self> {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let site_id = value.get("site_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let says = match value.get("kind").and_then(Value::as_str) {
            Some("purge") => Says::UnreadablePurge { site_id },
            Some(_) => Says::Unreadable,
            None => Says::UnreadablePurge { site_id: None },
        };
        Some(Self { seq: value.get("seq").and_then(Value::as_u64).or(seq)?, says })
    }
}

impl<'t> Says<'t> {
    fn of_certificates(text: &'t str, kind: &str) -> Self {
        if kind == "certificate_put" {
            return serde_json::from_str(text)
                .map_or(Self::Unreadable, |told| Self::Certificate { told, text });
        }
        match serde_json::from_str::<Told>(text).map(|told| told.change) {
            Ok(Change::CertificateRemoved { certificate_id }) => {
                Self::CertificateRemoved { certificate_id }
            }
            Ok(Change::ChallengePut(told)) => Self::Challenge { told, text },
            Ok(_) | Err(_) => Self::Unreadable,
        }
    }

    fn read(text: &str, kind: &str, site_id: Option<SiteId>) -> Self {
        match serde_json::from_str::<Told>(text).map(|told| told.change) {
            Ok(Change::Purge(purge)) => Self::Purge(purge),
            Ok(Change::Count(count)) => Self::Count(count),
            Ok(Change::Warm(warm)) => Self::Warm(warm),
            Err(_) if kind == "purge" => Self::UnreadablePurge { site_id },
            Ok(_) | Err(_) => Self::Unreadable,
        }
    }
}

/// An [`api::feed::Entry`] without the members that are read beforehand.
#[derive(Deserialize)]
struct Told {
    #[serde(flatten)]
    change: Change,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2";

    #[test]
    fn everything_ever_shipped_is_understood() {
        for line in include_str!("../../../api/golden/feed-v1.jsonl").lines() {
            let known: api::feed::Entry = serde_json::from_str(line).unwrap();
            let entry = Entry::read(line, None).unwrap();
            assert_eq!(entry.seq, known.seq);
            let same = match (entry.says, known.change) {
                (Says::Put { site_id, document }, Change::SitePut { site_id: known, site }) => {
                    site_id == known && serde_json::from_str::<Value>(document).unwrap() == site
                }
                (Says::Removed { site_id }, Change::SiteRemoved { site_id: known }) => {
                    site_id == known
                }
                (Says::Purge(purge), Change::Purge(known)) => purge == known,
                (Says::Count(count), Change::Count(known)) => count == known,
                (Says::Warm(warm), Change::Warm(known)) => warm == known,
                (Says::Certificate { told, text }, Change::CertificatePut(known)) => {
                    told.certificate_id == known.certificate_id
                        && told.names == known.names
                        && (told.not_before, told.not_after) == (known.not_before, known.not_after)
                        && text == line
                }
                (
                    Says::CertificateRemoved { certificate_id },
                    Change::CertificateRemoved { certificate_id: known },
                ) => certificate_id == known,
                (Says::Challenge { told, .. }, Change::ChallengePut(known)) => told == known,
                _ => false,
            };
            assert!(same, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_understood_has_a_meaning() {
        let check = |text: &str, seq: Option<u64>, expected: Option<(u64, &str)>| {
            let entry = Entry::read(text, seq);
            let told = entry.as_ref().map(|entry| {
                let says = match &entry.says {
                    Says::UnreadablePurge { site_id: Some(_) } => "purge of its site",
                    Says::UnreadablePurge { site_id: None } => "purge of all",
                    Says::Unreadable => "nothing",
                    _ => "something",
                };
                (entry.seq, says)
            });
            assert_eq!(told, expected, "{text}");
        };
        let of = |kind: &str, rest: &str| {
            format!(r#"{{"version":1,"seq":4,"kind":"{kind}","site_id":"{SITE}"{rest}}}"#)
        };
        check(&of("purge", r#","selector":"everything""#), None, Some((4, "something")));
        check(&of("purge", ""), None, Some((4, "purge of its site")));
        check(&of("purge", r#","selector":{"colour":1}"#), None, Some((4, "purge of its site")));
        let other = r#","selector":{"any":{"tags":["a"],"colours":["red"]}}"#;
        check(&of("purge", other), None, Some((4, "purge of its site")));
        let gentle = of("purge", r#","selector":"everything","mode":"gentle""#);
        check(&gentle, None, Some((4, "purge of its site")));
        check(r#"{"seq":4,"kind":"purge","site_id":"x"}"#, None, Some((4, "purge of all")));
        check(r#"{"seq":"x","kind":"purge","site_id":5}"#, Some(9), Some((9, "purge of all")));
        check(&of("weather_put", ""), None, Some((4, "nothing")));
        check(&of("site_put", ""), None, Some((4, "nothing")));
        check(&of("certificate_put", ""), None, Some((4, "nothing")));
        check(&of("challenge_put", ""), None, Some((4, "nothing")));
        check(&of("count", ""), None, Some((4, "nothing")));
        check(r#"{"seq":4,"kind":"site_removed","site_id":"x"}"#, None, Some((4, "nothing")));
        check(r#"{"seq":4}"#, None, Some((4, "purge of all")));
        check("not JSON", Some(7), Some((7, "purge of all")));
        check("not JSON", None, None);
        check("[]", Some(1), Some((1, "purge of all")));
    }
}
