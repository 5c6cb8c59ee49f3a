//! Private keys as people have them: PKCS #8 (RFC 5958), PKCS #1 (RFC 8017) or SEC 1 (RFC 5915) in PEM. All are kept as
//! PKCS #8.

use api::check::Problems;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::pem::Pem;
use zeroize::{Zeroize as _, Zeroizing};

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

/// A private key that was read, and its public one as a certificate has it (`subjectPublicKey`).
pub(super) struct Read {
    pub(super) private: PrivateKey,
    pub(super) public: Vec<u8>,
}

/// Reads the one private key in `pem`.
pub(super) fn read(pem: &str, problems: &mut Problems) -> Option<Read> {
    let found = find(pem).and_then(|(label, mut der)| {
        let read = decode(&label, &der);
        der.zeroize();
        read
    });
    match found {
        Ok(read) => Some(read),
        Err(detail) => {
            problems.at("key", |problems| problems.add(detail, None));
            None
        }
    }
}

/// The label and the content of the one key in a text, which may have parameters of its curve beside it.
fn find(pem: &str) -> Result<(String, Vec<u8>), &'static str> {
    if pem.contains("ENCRYPTED") {
        return Err("is encrypted; `openssl pkey -in FILE` writes it as it is needed");
    }
    let mut found = None;
    for part in Pem::iter_from_buffer(pem.as_bytes()) {
        let part = part.map_err(|_| "is not PEM that can be read (RFC 7468)")?;
        match part.label.as_str() {
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" if found.is_some() => {
                return Err("has more than one private key");
            }
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                found = Some((part.label, part.contents));
            }
            "EC PARAMETERS" => {}
            _ => return Err("has something that is no private key"),
        }
    }
    found.ok_or("must be a private key in PEM: `-----BEGIN PRIVATE KEY-----`…")
}

fn decode(label: &str, der: &[u8]) -> Result<Read, &'static str> {
    let unknown = "must be RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519";
    let read = match label {
        "RSA PRIVATE KEY" => rsa::KeyPair::from_der(der).ok().and_then(|key| rsa_key(&key)),
        "EC PRIVATE KEY" => [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING]
            .iter()
            .find_map(|kind| EcdsaKeyPair::from_private_key_der(kind, der).ok())
            .and_then(|key| ec_key(&key)),
        _ => pkcs8(der),
    };
    read.ok_or(unknown)
}

fn pkcs8(der: &[u8]) -> Option<Read> {
    if let Ok(key) = rsa::KeyPair::from_pkcs8(der) {
        return rsa_key(&key);
    }
    if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        let document = key.to_pkcs8v1().ok()?;
        return Some(Read {
            private: pem(document.as_ref()),
            public: key.public_key().as_ref().to_vec(),
        });
    }
    let kinds = [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING];
    let key = kinds.iter().find_map(|kind| EcdsaKeyPair::from_pkcs8(kind, der).ok())?;
    ec_key(&key)
}

fn rsa_key(key: &rsa::KeyPair) -> Option<Read> {
    let document: Pkcs8V1Der<'static> = key.as_der().ok()?;
    let public = key.public_key().as_ref().to_vec();
    (key.public_modulus_len() >= 256).then(|| Read { private: pem(document.as_ref()), public })
}

fn ec_key(key: &EcdsaKeyPair) -> Option<Read> {
    let document = key.to_pkcs8v1().ok()?;
    let public = key.public_key().as_ref().to_vec();
    Some(Read { private: pem(document.as_ref()), public })
}

fn pem(der: &[u8]) -> PrivateKey {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    // room for all of it: a text that grows leaves what it had behind
    let mut text = String::with_capacity(encoded.len() + encoded.len() / 64 + 64);
    super::chain::write_pem(&mut text, "PRIVATE KEY", &encoded);
    PrivateKey::new(text)
}
