//! Which certificates are in a text? PEM (RFC 7468) and X.509 (RFC 5280), of authorities.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Authorities that one place of a document may name.
pub const AUTHORITIES_MAX: usize = 100;

/// Why a text holds no authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Not in PEM.
    #[error("must be certificates in PEM: `-----BEGIN CERTIFICATE-----`…")]
    Form,
    /// Too many.
    #[error("must be at most {AUTHORITIES_MAX} certificates")]
    Count,
    /// In PEM, and no certificate. Counted from 1.
    #[error("number {0} is no X.509 certificate that an authority can have")]
    Certificate(usize),
}

/// The certificates of authorities in `text`, in DER, each of which can be trusted as one.
///
/// # Errors
/// When there is none, or one that can't be used.
pub fn authorities(text: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|_| PemError::Form)?;
    if found.is_empty() {
        return Err(PemError::Form);
    }
    if found.len() > AUTHORITIES_MAX {
        return Err(PemError::Count);
    }
    for (index, certificate) in found.iter().enumerate() {
        let is_whole =
            X509Certificate::from_der(certificate).is_ok_and(|(rest, _)| rest.is_empty());
        if !is_whole || RootCertStore::empty().add(certificate.clone()).is_err() {
            return Err(PemError::Certificate(index + 1));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_told_from_what_only_looks_like_them() {
        let check = |text: &str, expected: Result<usize, PemError>| {
            assert_eq!(authorities(text).map(|found| found.len()), expected, "{text}");
        };
        let own = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert.pem();
        check(&own, Ok(1));
        check(&format!("a comment\n{own}\n{own}"), Ok(2));
        check("", Err(PemError::Form));
        check("-----BEGIN CERTIFICATE-----", Err(PemError::Form));
        let other = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        check(other, Err(PemError::Certificate(1)));
        check(&format!("{own}{other}"), Err(PemError::Certificate(2)));
        check(&own.repeat(AUTHORITIES_MAX + 1), Err(PemError::Count));
    }
}
