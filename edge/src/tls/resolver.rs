//! Chooses the certificate of a handshake by the name that the client asks for (RFC 6066 §3).

use super::seconds;
use crate::clock;
use crate::snapshot::{Current, Snapshot};
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::sync::Arc;

/// Looks certificates up in the snapshot in use.
pub(super) struct Resolver {
    pub(super) current: Current,
    /// The name whose certificate is shown where none is found.
    pub(super) otherwise: Option<Box<str>>,
    /// Whether hosts are left out that ask clients for certificates: a handshake of QUIC can't ask for some hosts only.
    pub(super) for_quic: bool,
}

impl Resolver {
    /// The certificate for a name in lower case; for a client that asks for none, that of the address it came to.
    pub(super) fn find(
        &self,
        snapshot: &Snapshot,
        name: Option<&str>,
        local: Option<IpAddr>,
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let now = seconds(clock::wall());
        let is_fit = |key: &CertifiedKey| key.key.choose_scheme(schemes).is_some();
        let find = |name: &str| snapshot.certificates.find(name, now, is_fit);
        let asked = match (name, local) {
            (Some(name), _) => find(name),
            (None, Some(local)) => find(&local.to_canonical().to_string()),
            (None, None) => None,
        };
        asked.or_else(|| find(self.otherwise.as_deref()?))
    }

    fn is_refused(&self, snapshot: &Snapshot, name: &str) -> bool {
        let asks = |name: &str| snapshot.site(name)?.site.tls.client_auth.as_ref().map(|_| ());
        self.for_quic && asks(name).is_some()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let snapshot = self.current.load();
        let name = hello.server_name().map(str::to_ascii_lowercase);
        if name.as_ref().is_some_and(|name| self.is_refused(&snapshot, name)) {
            return None;
        }
        self.find(&snapshot, name.as_deref(), None, hello.signature_schemes())
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

/// Shows one certificate, whatever is asked for.
#[derive(Debug)]
pub(super) struct Fixed(pub(super) Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
