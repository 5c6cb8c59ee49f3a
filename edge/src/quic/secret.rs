//! What an edge remembers so that clients of its last run learn at once that their connections are gone, and so that their
//! addresses need not be validated again: RFC 9000 §8.1, §10.3.
//!
//! It is this edge's own. Edges that shared it could be made to reset each other's connections by whoever sees a packet
//! (RFC 9000 §21.11).

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand;
use quinn::crypto::{HandshakeTokenKey, HmacKey};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

const NAME: &str = "quic";
const BYTES: usize = 32;

/// A key, and what follows from it.
pub(crate) struct Secret([u8; BYTES]);

impl Secret {
    /// That of a state directory, made the first time. One that is not as it was made is made anew.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        match fs::read(&path).map(<[u8; BYTES]>::try_from) {
            Ok(Ok(bytes)) => return Ok(Self(bytes)),
            Ok(Err(_)) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut bytes = [0; BYTES];
        rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no randomness"))?;
        let beside = directory.join("quic.new");
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        Ok(Self(bytes))
    }

    /// What stateless resets are made with.
    pub(super) fn reset_key(&self) -> Arc<dyn HmacKey> {
        Arc::new(hmac::Key::new(HMAC_SHA256, &self.derive("reset")))
    }

    /// What tokens are sealed with that show that a client has its address.
    pub(super) fn token_key(&self) -> Arc<dyn HandshakeTokenKey> {
        let key: Prk = Salt::new(HKDF_SHA256, b"longshore").extract(&self.derive("token"));
        Arc::new(key)
    }

    fn derive(&self, of: &str) -> [u8; BYTES] {
        let key = hmac::Key::new(HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, format!("longshore quic {of} v1").as_bytes());
        let mut derived = [0; BYTES];
        derived.copy_from_slice(tag.as_ref());
        derived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_lasts_and_is_this_edges_own() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = Secret::open(one.path()).unwrap();
        assert_eq!(Secret::open(one.path()).unwrap().0, first.0);
        assert_ne!(Secret::open(other.path()).unwrap().0, first.0);
        assert_ne!(first.derive("reset"), first.derive("token"));
        fs::write(one.path().join(NAME), b"short").unwrap();
        let renewed = Secret::open(one.path()).unwrap();
        assert_ne!(renewed.0, first.0);
        assert_eq!(Secret::open(one.path()).unwrap().0, renewed.0);
    }
}
