//! Secrets as they are kept and sent: sealed with AES-256-GCM (NIST SP 800-38D) under a key that HKDF-SHA-256 (RFC 5869)
//! derives for one purpose, and bound to what they belong to.
//!
//! Control seals what its database holds under a key from a file or the environment. What it sends to edges, private keys
//! of certificates, it seals under the key that all followers of its log have ([`Purpose::Feed`]), so that neither a
//! message broker nor an edge's journal has a private key in the clear.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// What the text of a sealed secret begins with: the version of the format.
const PREFIX: &str = "v1.";

/// What a key is used for. Keys of different purposes have nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Secrets in control's database.
    Database,
    /// Secrets in the feed.
    Feed,
    /// Session tickets of TLS (RFC 8446 §4.6.1), by the edges of an installation.
    Tickets,
}

impl Purpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::Database => b"longshore database v1",
            Self::Feed => b"longshore feed v1",
            Self::Tickets => b"longshore tickets v1",
        }
    }
}

/// Why a sealed secret stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The text is none of this format.
    #[error("the sealed secret is not `v1.` and base64")]
    Form,
    /// It was sealed under another key, for something else, or was changed.
    #[error("the secret was sealed under another key, or is damaged")]
    Key,
}

/// A key that seals and opens.
pub struct Sealer(RandomizedNonceKey);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(_)")
    }
}

/// A secret that is sealed: `v1.` and base64 of nonce, ciphertext and tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl Sealed {
    /// A text that was sealed before; it is not looked at until it is opened.
    #[must_use]
    pub const fn kept(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `length` bytes of the key for `purpose` that follows from `key`, at most 8,160.
#[must_use]
pub fn derive(key: &[u8; KEY_BYTES], purpose: Purpose, context: &[u8], out: &mut [u8]) -> bool {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let pseudorandom = Salt::new(HKDF_SHA256, b"longshore").extract(key);
    let info = [purpose.info(), context];
    let expanded = pseudorandom.expand(&info, Length(out.len()));
    expanded.and_then(|material| material.fill(out)).is_ok()
}

impl Sealer {
    /// What seals for `purpose` under `key`.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES], purpose: Purpose) -> Self {
        let mut derived = [0; KEY_BYTES];
        let derives = derive(key, purpose, b"", &mut derived);
        debug_assert!(derives, "32 bytes are within what HKDF gives");
        #[expect(clippy::expect_used, reason = "the key has the length that the cipher asks for")]
        Self(RandomizedNonceKey::new(&AES_256_GCM, &derived).expect("a key of 32 bytes"))
    }

    /// Seals `secret`, which belongs to `owner` and opens for nothing else.
    #[must_use]
    pub fn seal(&self, secret: &[u8], owner: &str) -> Sealed {
        let mut sealed = secret.to_vec();
        #[expect(clippy::expect_used, reason = "fails beyond 64 GiB only")]
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(owner.as_bytes()), &mut sealed)
            .expect("a secret of a size that can be sealed");
        let mut bytes = nonce.as_ref().to_vec();
        bytes.append(&mut sealed);
        Sealed(format!("{PREFIX}{}", STANDARD.encode(bytes)))
    }

    /// Opens what was sealed for `owner`.
    ///
    /// # Errors
    /// [`SealError`], for another key, another owner, or a text that is damaged.
    pub fn open(&self, sealed: &Sealed, owner: &str) -> Result<Vec<u8>, SealError> {
        let text = sealed.0.strip_prefix(PREFIX).ok_or(SealError::Form)?;
        let mut bytes = STANDARD.decode(text).map_err(|_| SealError::Form)?;
        if bytes.len() < NONCE_LEN {
            return Err(SealError::Form);
        }
        let mut ciphertext = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| SealError::Form)?;
        let opened = self.0.open_in_place(nonce, Aad::from(owner.as_bytes()), &mut ciphertext);
        opened.map(|secret| secret.to_vec()).map_err(|_| SealError::Key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_key_purpose_and_owner_alone() {
        let sealer = Sealer::new(&[7; 32], Purpose::Feed);
        let sealed = sealer.seal(b"secret", "crt_1");
        assert!(sealed.as_str().starts_with("v1.") && !sealed.as_str().contains("secret"));
        assert_ne!(sealed, sealer.seal(b"secret", "crt_1"), "each has a nonce of its own");
        assert_eq!(sealer.open(&sealed, "crt_1").as_deref(), Ok(&b"secret"[..]));
        assert_eq!(sealer.open(&sealed, "crt_2"), Err(SealError::Key));
        let others = [(&[8; 32], Purpose::Feed), (&[7; 32], Purpose::Database)];
        for (key, purpose) in others {
            assert_eq!(Sealer::new(key, purpose).open(&sealed, "crt_1"), Err(SealError::Key));
        }
    }

    #[test]
    fn what_is_damaged_stays_closed() {
        let sealer = Sealer::new(&[7; 32], Purpose::Feed);
        let sealed = sealer.seal(b"secret", "o");
        let text = sealed.as_str();
        for (damaged, expected) in [
            (String::new(), SealError::Form),
            ("v2.AAAA".to_owned(), SealError::Form),
            ("v1.AAAA".to_owned(), SealError::Form),
            ("v1.%".to_owned(), SealError::Form),
            (text.replace("v1.", "v1.AAAA"), SealError::Key),
            (format!("v1.{}", STANDARD.encode([0; 40])), SealError::Key),
        ] {
            assert_eq!(sealer.open(&Sealed::kept(damaged), "o"), Err(expected));
        }
    }

    #[test]
    fn derived_keys_differ_by_context() {
        let (mut one, mut other, mut again) = ([0; 16], [0; 16], [0; 16]);
        assert!(derive(&[1; 32], Purpose::Tickets, b"1", &mut one));
        assert!(derive(&[1; 32], Purpose::Tickets, b"2", &mut other));
        assert!(derive(&[1; 32], Purpose::Tickets, b"1", &mut again));
        assert!(one != other && one == again);
    }
}
