//! What all followers of a log have in common, as far as TLS needs it.

use api::feed::Key;
use seal::{Purpose, Sealer};
use zeroize::Zeroizing;

/// The key of a log: opens what is sealed in its entries, and makes session tickets that other edges understand.
pub(crate) struct Secret {
    bytes: Zeroizing<[u8; Key::BYTES]>,
    sealer: Sealer,
}

impl Secret {
    /// None for a text that is no key.
    pub(crate) fn new(key: &Key) -> Option<Self> {
        let bytes = Zeroizing::new(key.bytes()?);
        let sealer = Sealer::new(&bytes, Purpose::Feed);
        Some(Self { bytes, sealer })
    }

    /// Opens what entries hold.
    pub(super) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// What tickets are made under, for `context`.
    pub(super) fn derive_ticket_key(&self, context: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let mut derived = Zeroizing::new([0; 32]);
        seal::derive(&self.bytes, Purpose::Tickets, context, &mut *derived).then_some(derived)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(_)")
    }
}
