//! By what is an origin known over TLS, and this edge to it?

use api::id::CertificateId;
use api::pem;
use api::site::origin::OriginTls;
use rustls::pki_types::CertificateDer;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};

/// Bytes of a SHA-256 digest.
const DIGEST_BYTES: usize = 32;

/// By a key of this process: nobody can make two rules look like one.
static DIGESTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// What has to be so of an origin's certificate, and what the origin is shown.
#[derive(Debug)]
pub struct Trust {
    /// Invariant: never empty. Pingora verifies nothing where a connection has no name.
    server_name: Box<str>,
    /// Whether its certificate must be valid.
    pub verify: bool,
    /// The authorities it must be from; none for those the system trusts.
    pub authorities: Option<Arc<[CertificateDer<'static>]>>,
    /// SHA-256 digests of the certificates it may be; none for any.
    pub pins: Vec<[u8; DIGEST_BYTES]>,
    /// The certificate it is shown.
    pub client_certificate: Option<CertificateId>,
    /// Differs for what is trusted by different rules.
    digest: u64,
}

impl Trust {
    /// The name its certificate must be for, a DNS name or an IP address.
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Tells apart, in this process, connections that were trusted by different rules.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether a certificate with this SHA-256 digest may be the origin's.
    #[must_use]
    pub fn is_pinned(&self, certificate: &[u8]) -> bool {
        self.pins.is_empty() || self.pins.iter().any(|pin| pin == certificate)
    }

    /// None only for what its own check refuses.
    pub(crate) fn resolve(written: &OriginTls, host: &str) -> Option<Self> {
        let server_name = written.server_name.as_deref().unwrap_or(host);
        let authorities = match &written.ca {
            Some(text) => Some(pem::authorities(text).ok()?.into()),
            None => None,
        };
        if server_name.is_empty() {
            return None;
        }
        let OriginTls { ca, pins, client_certificate, verify, .. } = written;
        let digest = DIGESTS.hash_one((ca, pins, client_certificate, verify, server_name));
        Some(Self {
            server_name: server_name.into(),
            verify: written.verify,
            authorities,
            pins: written.pins.iter().map(|pin| parse_pin(pin)).collect::<Option<_>>()?,
            client_certificate: written.client_certificate.clone(),
            digest,
        })
    }
}

fn parse_pin(text: &str) -> Option<[u8; DIGEST_BYTES]> {
    let mut pin = [0; DIGEST_BYTES];
    if text.len() != 2 * DIGEST_BYTES {
        return None;
    }
    for (byte, digits) in pin.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(pin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(written: &serde_json::Value, host: &str) -> Option<Trust> {
        Trust::resolve(&serde_json::from_value(written.clone()).unwrap(), host)
    }

    #[test]
    fn no_origin_is_without_a_name_to_be_verified_for() {
        let check = |written: serde_json::Value, host: &str, expected: Option<&str>| {
            let found = trust(&written, host);
            assert_eq!(found.as_ref().map(Trust::server_name), expected, "{written} {host}");
        };
        check(serde_json::json!({}), "a.example", Some("a.example"));
        check(serde_json::json!({}), "192.0.2.1", Some("192.0.2.1"));
        check(serde_json::json!({}), "2001:db8::1", Some("2001:db8::1"));
        check(serde_json::json!({"server_name": "b.example"}), "192.0.2.1", Some("b.example"));
        check(serde_json::json!({"server_name": ""}), "a.example", None);
    }

    #[test]
    fn connections_trusted_by_different_rules_are_told_apart() {
        let one = trust(&serde_json::json!({}), "a.example").unwrap();
        assert_eq!(one.digest(), trust(&serde_json::json!({}), "a.example").unwrap().digest());
        let pin = "0".repeat(64);
        let others = [
            serde_json::json!({"verify": false}),
            serde_json::json!({"server_name": "b.example"}),
            serde_json::json!({"pins": [pin]}),
            serde_json::json!({"client_certificate": "crt_01J9Z3K8Q4W5E6R7T8Y9V0B1N2"}),
        ];
        for other in others {
            assert_ne!(one.digest(), trust(&other, "a.example").unwrap().digest(), "{other}");
        }
    }

    #[test]
    fn a_pin_is_one_certificate() {
        let pin = format!("{}Ff", "00".repeat(31));
        let one = trust(&serde_json::json!({"pins": [pin]}), "a.example").unwrap();
        let mut digest = [0; 32];
        assert!(!one.is_pinned(&digest));
        digest[31] = 255;
        assert!(one.is_pinned(&digest) && !one.is_pinned(&[]));
        assert!(trust(&serde_json::json!({}), "a.example").unwrap().is_pinned(&digest));
    }
}
