//! The authorities of origins, in the form in which Pingora wants them, made once for each.

use moka::sync::Cache;
use pingora_core::protocols::tls::CaType;
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use route::Trust;
use rustls::pki_types::CertificateDer;
use std::panic::catch_unwind;
use std::sync::Arc;

/// Rules of trust remembered.
const REMEMBERED_MAX: u64 = 10_000;

/// By the digest of the rules that name them.
pub(crate) struct Authorities(Cache<u64, Option<Arc<CaType>>>);

impl Default for Authorities {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED_MAX))
    }
}

impl Authorities {
    /// Those that `trust` names; none where these are the system's.
    ///
    /// # Errors
    /// When one can't be read. The check of a site finds that; Pingora reads them once more, its own way.
    pub(crate) fn of(&self, trust: &Trust) -> Result<Option<Arc<CaType>>, Unreadable> {
        let Some(authorities) = &trust.authorities else { return Ok(None) };
        let made = self.0.get_with(trust.digest(), || wrap(authorities));
        made.map(Some).ok_or(Unreadable)
    }
}

/// Pingora can't read a certificate.
#[derive(Debug, thiserror::Error)]
#[error("a certificate of tls.ca can't be read")]
pub(crate) struct Unreadable;

fn wrap(authorities: &[CertificateDer<'_>]) -> Option<Arc<CaType>> {
    let wrap = |der: &CertificateDer<'_>| {
        let der = der.to_vec();
        // Pingora panics where it can't read one
        catch_unwind(|| WrappedX509::new(der, parse_x509)).ok()
    };
    authorities.iter().map(wrap).collect::<Option<Vec<_>>>().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pingora_cannot_read_is_no_panic() {
        assert!(wrap(&[CertificateDer::from(vec![1, 2, 3])]).is_none());
        assert!(wrap(&[]).is_some());
    }
}
