//! Is it a certificate that edges can use? Its chain, its key, its names and its time (RFC 5280, RFC 8446 §4.4.2).
//!
//! What was uploaded, what an ACME authority issued and what the local authority made are all looked at here. Whether
//! clients trust the root is left to them.

mod chain;
mod key;

pub(crate) use key::PrivateKey;

use crate::clock::Moment;
use api::certificates::{CHAIN_MAX_BYTES, KEY_MAX_BYTES};
use api::check::Problems;
use api::id::CertificateId;
use api::problem::FieldProblem;

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

/// Checks a chain and the private key of its first certificate, both in PEM.
///
/// # Errors
/// Everything that is wrong, each with its field: `chain`, `chain[1]`, `key`. A problem never has anything of a key.
pub(crate) fn check(chain: &str, key: &str, now: Moment) -> Result<Checked, Vec<FieldProblem>> {
    let mut problems = Problems::default();
    let read = within(chain, "chain", CHAIN_MAX_BYTES, &mut problems)
        .and_then(|chain| chain::read(chain, now, &mut problems));
    let key = within(key, "key", KEY_MAX_BYTES, &mut problems)
        .and_then(|pem| key::read(pem, &mut problems));
    let (Some(read), Some(key)) = (read, key) else { return Err(problems.into_found()) };
    if key.public != read.public_key {
        let detail = "is not the private key of the first certificate of the chain";
        problems.at("key", |problems| problems.add(detail, None));
    }
    let found = problems.into_found();
    if found.is_empty() { Ok(Checked { key: key.private, ..read.checked }) } else { Err(found) }
}

fn within<'t>(
    text: &'t str,
    field: &str,
    max_bytes: usize,
    problems: &mut Problems,
) -> Option<&'t str> {
    let fits = text.len() <= max_bytes;
    if !fits {
        let detail = format!("is {} bytes long; at most {max_bytes} are taken", text.len());
        problems.at(field, |problems| problems.add(detail, None));
    }
    fits.then_some(text)
}

#[cfg(test)]
mod tests;
