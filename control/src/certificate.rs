//! Is it a certificate that edges can use? Its chain, its key, its names and its time.

use api::id::CertificateId;
use zeroize::Zeroizing;

/// A private key: PKCS #8 in PEM. It is never shown, and wiped where it was.
#[derive(Clone)]
pub(crate) struct PrivateKey(Zeroizing<String>);

impl PrivateKey {
    /// A key in PEM.
    pub(crate) fn new(pem: String) -> Self {
        Self(Zeroizing::new(pem))
    }

    /// Its PEM.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(_)")
    }
}

/// A certificate with its key, found right.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    /// The names it is for: DNS names in lower case, `*.` before those of wildcards, and IP addresses.
    pub(crate) names: Vec<String>,
    /// It and its authorities, in PEM, in order.
    pub(crate) chain: String,
    /// Its private key.
    pub(crate) key: PrivateKey,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
    /// SHA-256 of its DER, in hexadecimal.
    pub(crate) fingerprint: String,
    /// Its issuer's distinguished name.
    pub(crate) issuer: String,
    /// Its serial number, in hexadecimal.
    pub(crate) serial: String,
}

/// A new id.
pub(crate) fn new_id() -> CertificateId {
    #[expect(clippy::expect_used, reason = "a ULID is 26 letters and digits")]
    CertificateId::from_ulid(&ulid::Ulid::new().to_string())
        .expect("a ULID is 26 letters and digits")
}
