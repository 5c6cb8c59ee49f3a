//! Certificates as control tells edges of them, and answers to challenges of certificate authorities.
//!
//! Private keys are sealed under the key that all followers of a log have ([`crate::feed::Hello::key`]), for the purpose
//! `Feed` of the crate `seal`, and bound to the id they belong to. That key is sent over an encrypted or a loopback
//! connection only.

use crate::id::{CertificateId, ChallengeId};
use serde::{Deserialize, Serialize};

/// A certificate, for the hosts it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Which certificate. A renewed one has a new id where it is another key's, and replaces the old where it has its id.
    pub certificate_id: CertificateId,
    /// The names it is for: DNS names in lower case, with `*.` before those of wildcards, and IP addresses.
    pub names: Vec<String>,
    /// The certificate and those of the authorities between it and a root, in PEM, in this order.
    pub chain: String,
    /// Its private key: PKCS #8 in PEM, sealed for `certificate_id`.
    pub key: String,
    /// What its issuer says of its being revoked: a DER `OCSPResponse` (RFC 6960) in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<String>,
    /// Its fields `notBefore` and `notAfter`, in seconds since 1970. Of two for one name, the one that is valid and was made
    /// last is used.
    pub not_before: i64,
    /// See `not_before`.
    pub not_after: i64,
}

/// What edges answer a certificate authority that wants to see who has a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Which challenge.
    pub challenge_id: ChallengeId,
    /// Of which host: a DNS name in lower case.
    pub host: String,
    /// When edges forget it, in seconds since 1970.
    pub expires_at: i64,
    /// How it is answered.
    #[serde(flatten)]
    pub answer: Answer,
}

/// How a challenge is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Answer {
    /// At `/.well-known/acme-challenge/{token}` over plain HTTP (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http {
        /// The last part of the path.
        token: String,
        /// The body.
        key_authorization: String,
    },
    /// By a certificate in a handshake for the protocol `acme-tls/1` (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn {
        /// The certificate in PEM.
        chain: String,
        /// Its private key: PKCS #8 in PEM, sealed for `challenge_id`.
        key: String,
    },
    /// A way this version does not know. Nothing is answered.
    #[serde(other)]
    Unknown,
}
