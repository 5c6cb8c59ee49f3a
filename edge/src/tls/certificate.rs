//! One certificate of the feed. It is opened when it is first needed: a start with very many would be slow otherwise.

use super::secret::Secret;
use api::certificate::Answer;
use api::id::CertificateId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pingora_core::utils::tls::CertKey;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use seal::Sealed;
use serde::Deserialize;
use std::panic::catch_unwind;
use std::sync::{Arc, OnceLock};
use zeroize::{Zeroize as _, Zeroizing};

/// Certificates in one chain.
const CHAIN_MAX: usize = 16;

/// What is read of an entry before it is opened.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Told {
    pub(crate) certificate_id: CertificateId,
    pub(crate) names: Vec<String>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// The rest of it.
#[derive(Deserialize)]
struct Closed {
    chain: String,
    key: String,
    #[serde(default)]
    ocsp: Option<String>,
}

/// Why a certificate can't be shown. Says nothing of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("the entry lacks a chain or a key")]
    Form,
    #[error("control has told no key that opens it")]
    NoSecret,
    #[error("its private key stays closed: it was sealed under another key, or is damaged")]
    Sealed,
    #[error("its chain is not 1 to {CHAIN_MAX} certificates in PEM")]
    Chain,
    #[error("its private key is none of PKCS #8, or of a kind that is not known here")]
    Key,
    #[error("its private key is another certificate's")]
    Mismatch,
}

/// A certificate as it was received.
pub(crate) struct Certificate {
    pub(crate) seq: u64,
    pub(crate) told: Told,
    /// The whole entry, its key sealed.
    pub(crate) text: Arc<str>,
    secret: Option<Arc<Secret>>,
    opened: OnceLock<Option<Arc<CertifiedKey>>>,
    /// The same in the form in which origins are shown it, where any is.
    shown: OnceLock<Option<Arc<CertKey>>>,
}

impl Certificate {
    pub(crate) fn new(seq: u64, told: Told, text: &str, secret: Option<Arc<Secret>>) -> Self {
        let (opened, shown) = (OnceLock::new(), OnceLock::new());
        Self { seq, told, text: text.into(), secret, opened, shown }
    }

    /// One that is opened already.
    #[cfg(test)]
    pub(super) fn opened(seq: u64, told: Told, key: CertifiedKey) -> Self {
        let (opened, shown) = (OnceLock::from(Some(Arc::new(key))), OnceLock::new());
        Self { seq, told, text: "".into(), secret: None, opened, shown }
    }

    /// The same, where it came before the key that opens it. None where it didn't.
    pub(super) fn with_secret(&self, secret: &Arc<Secret>) -> Option<Self> {
        let is_closed = self.secret.is_none();
        let secret = Some(Arc::clone(secret));
        is_closed.then(|| Self::new(self.seq, self.told.clone(), &self.text, secret))
    }

    /// What a handshake needs; none where it can't be used, which is logged once.
    pub(crate) fn key(&self) -> Option<&Arc<CertifiedKey>> {
        let opened = self.opened.get_or_init(|| match self.open() {
            Ok(key) => Some(Arc::new(key)),
            Err(error) => {
                let Told { certificate_id, names, .. } = &self.told;
                tracing::warn!(certificate.id = %certificate_id, ?names, seq = self.seq, "a certificate can't be used: {error}");
                None
            }
        });
        opened.as_ref()
    }

    /// What an origin is shown; none where it can't be used.
    pub(crate) fn shown(&self) -> Option<&Arc<CertKey>> {
        let shown = self.shown.get_or_init(|| {
            // what can't be used for a handshake can't be for this one, and is logged there; Pingora would panic
            self.key()?;
            let (closed, secret) = self.closed().ok()?;
            let owner = self.told.certificate_id.as_str();
            let (chain, key) = read(secret, &closed.chain, closed.key, owner).ok()?;
            let chain = chain.iter().map(|certificate| certificate.to_vec()).collect();
            let key = key.secret_der().to_vec();
            catch_unwind(|| CertKey::new(chain, key)).ok().map(Arc::new)
        });
        shown.as_ref()
    }

    fn closed(&self) -> Result<(Closed, &Secret), Unusable> {
        let closed = serde_json::from_str(&self.text).map_err(|_| Unusable::Form)?;
        Ok((closed, self.secret.as_ref().ok_or(Unusable::NoSecret)?))
    }

    fn open(&self) -> Result<CertifiedKey, Unusable> {
        let (closed, secret) = self.closed()?;
        let owner = self.told.certificate_id.as_str();
        let mut opened = open(secret, &closed.chain, closed.key, owner)?;
        opened.keys_match().map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Unusable::Mismatch,
            _ => Unusable::Chain,
        })?;
        // who gets no staple asks the issuer
        opened.ocsp = closed.ocsp.and_then(|ocsp| STANDARD.decode(ocsp).ok());
        Ok(opened)
    }

    /// Whether it is valid at a time, in seconds since 1970.
    pub(super) fn is_valid(&self, now: i64) -> bool {
        (self.told.not_before..=self.told.not_after).contains(&now)
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("seq", &self.seq).field("told", &self.told).finish()
    }
}

/// Opens the certificate that answers a challenge by a handshake. None for an answer of another kind. It isn't read: it has
/// a critical extension that only authorities know (RFC 8737 §3).
pub(super) fn open_answer(
    answer: &Answer,
    owner: &str,
    secret: Option<&Secret>,
) -> Option<Result<CertifiedKey, Unusable>> {
    let Answer::TlsAlpn { chain, key } = answer else { return None };
    let secret = secret.ok_or(Unusable::NoSecret);
    Some(secret.and_then(|secret| open(secret, chain, key.clone(), owner)))
}

fn open(secret: &Secret, chain: &str, key: String, owner: &str) -> Result<CertifiedKey, Unusable> {
    let (chain, mut der) = read(secret, chain, key, owner)?;
    let key = any_supported_type(&der);
    der.zeroize();
    Ok(CertifiedKey::new(chain, key.map_err(|_| Unusable::Key)?))
}

/// A chain, and its private key, opened.
fn read(
    secret: &Secret,
    chain: &str,
    key: String,
    owner: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Unusable> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).take(CHAIN_MAX + 1);
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|_| Unusable::Chain)?;
    if chain.is_empty() || chain.len() > CHAIN_MAX {
        return Err(Unusable::Chain);
    }
    let pem = secret.sealer().open(&Sealed::kept(key), owner).map_err(|_| Unusable::Sealed)?;
    let pem = Zeroizing::new(pem);
    // an error of what reads PEM may show what it read
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| Unusable::Key)?;
    Ok((chain, key))
}
