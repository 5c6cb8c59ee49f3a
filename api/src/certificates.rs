//! Bodies of `/v1/certificates`. No answer ever has a private key.

use crate::id::CertificateId;
use crate::site::tls::CertificateSource;
use serde::{Deserialize, Serialize};

/// Certificates on a page where the request names no `limit`.
pub const PAGE_DEFAULT: u32 = 50;
/// The largest `limit`.
pub const PAGE_MAX: u32 = 200;
/// Bytes of an uploaded chain, and of the body that has it and its key.
pub const CHAIN_MAX_BYTES: usize = 65_536;
/// Bytes of an uploaded private key in PEM.
pub const KEY_MAX_BYTES: usize = 16_384;
/// Certificates of a chain.
pub const CHAIN_MAX: usize = 10;
/// Names of a certificate.
pub const NAMES_MAX: usize = 200;
/// Seconds before a certificate's end from which on it is said that it expires: 14 days.
pub const EXPIRY_WARNING_SECONDS: i64 = 14 * 24 * 3_600;

/// A certificate and its private key, as they are uploaded.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CertificateUpload {
    /// The certificate and those of the authorities between it and a root, in PEM, in this order: at most 10, and
    /// 65,536 bytes.
    pub chain: String,
    /// Its private key in PEM: RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519, as PKCS #8, PKCS #1 or SEC 1, not
    /// encrypted, at most 16,384 bytes.
    pub key: String,
}

impl std::fmt::Debug for CertificateUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateUpload").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// A certificate as control holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CertificateRecord {
    /// Which certificate, through its renewals.
    pub id: CertificateId,
    /// Counts what it has been, from 1. The `ETag` of the certificate is this number in quotes.
    pub revision: u64,
    /// The place in the feed of what it is: an edge that has adopted this number has it.
    pub seq: u64,
    /// Where it comes from.
    pub source: CertificateSource,
    /// The names it is for: DNS names in lower case, with `*.` before those of wildcards, and IP addresses.
    pub names: Vec<String>,
    /// From when on it is valid: RFC 3339, UTC.
    pub not_before: String,
    /// Until when it is valid: RFC 3339, UTC.
    pub not_after: String,
    /// SHA-256 of its DER, in hexadecimal.
    pub fingerprint: String,
    /// Who issued it: a distinguished name.
    pub issuer: String,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// Whether edges have word of its issuer that it is not revoked (OCSP) for clients.
    pub stapled: bool,
    /// When it was made known: RFC 3339, UTC.
    pub created_at: String,
    /// When it last was replaced or renewed: RFC 3339, UTC.
    pub updated_at: String,
    /// The certificate and those of the authorities between it and a root, in PEM. Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
}

/// Answer of `GET /v1/certificates?limit=&after=&source=&host=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CertificatePage {
    /// Certificates in the order they were made known.
    pub certificates: Vec<CertificateRecord>,
    /// What to pass as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<CertificateId>,
}
