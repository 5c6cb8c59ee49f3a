//! Chains of certificates: the server's first, each issued by the next (RFC 8446 §4.4.2).

use super::{Checked, PrivateKey};
use crate::clock::Moment;
use api::certificates::{CHAIN_MAX, NAMES_MAX};
use api::check::Problems;
use api::site::host::HostPattern;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_PKCS1_SHA1WITHRSA, OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519,
};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

/// Bits of an RSA key.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Bytes of a key on the curves P-256 and P-384, as points.
const POINT_BYTES: [usize; 2] = [65, 97];
const ED25519: &str = "1.3.101.112";

/// A chain that was read.
pub(super) struct Read {
    /// All but the key.
    pub(super) checked: Checked,
    /// `subjectPublicKey` of the first certificate.
    pub(super) public_key: Vec<u8>,
}

/// Reads a chain. Problems are noted at `chain`, or at the certificate they are of. None where nothing can be said of
/// the first certificate.
pub(super) fn read(chain: &str, now: Moment, problems: &mut Problems) -> Option<Read> {
    let parts = match parts(chain) {
        Ok(parts) => parts,
        Err(detail) => {
            problems.at("chain", |problems| problems.add(detail, None));
            return None;
        }
    };
    let mut certificates = Vec::new();
    problems.each("chain", &parts, |problems, der| match X509Certificate::from_der(der) {
        Ok(([], certificate)) => certificates.push(certificate),
        _ => problems.add("is no certificate that can be read (RFC 5280)", None),
    });
    if certificates.len() < parts.len() {
        return None;
    }
    check_links(&certificates, problems);
    problems.each("chain", &certificates, |problems, certificate| {
        check_time(certificate, now, problems);
        check_signature_kind(certificate, problems);
    });
    let leaf = certificates.first()?;
    let mut names = Vec::new();
    problems.at("chain[0]", |problems| {
        check_use(leaf, problems);
        check_public_key(leaf, problems);
        names = read_names(leaf, problems);
    });
    let validity = leaf.validity();
    let checked = Checked {
        names,
        chain: written(&parts),
        key: PrivateKey::new(String::new()),
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
        fingerprint: hexadecimal(digest::digest(&digest::SHA256, parts.first()?).as_ref()),
        issuer: leaf.issuer().to_string(),
        serial: hexadecimal(leaf.raw_serial()),
    };
    Some(Read { checked, public_key: leaf.public_key().subject_public_key.data.to_vec() })
}

/// The certificates of a text in PEM.
fn parts(chain: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut parts = Vec::new();
    for part in Pem::iter_from_buffer(chain.as_bytes()) {
        let part = part.map_err(|_| "is not PEM that can be read (RFC 7468)".to_owned())?;
        match part.label.as_str() {
            "CERTIFICATE" => parts.push(part.contents),
            label if label.contains("KEY") => {
                return Err("has a private key; it belongs in `key`".to_owned());
            }
            _ => return Err("has something that is no certificate".to_owned()),
        }
        if parts.len() > CHAIN_MAX {
            return Err(format!("has more than {CHAIN_MAX} certificates"));
        }
    }
    match parts.is_empty() {
        true => Err("must be certificates in PEM: `-----BEGIN CERTIFICATE-----`…".to_owned()),
        false => Ok(parts),
    }
}

/// Each is issued by the next, and none is missing as far as it can be known.
fn check_links(chain: &[X509Certificate<'_>], problems: &mut Problems) {
    for (index, pair) in chain.windows(2).enumerate() {
        let [issued, issuer] = pair else { continue };
        problems.at(&format!("chain[{index}]"), |problems| {
            if let Some(detail) = broken(issued, issuer, index, chain) {
                problems.add(detail, Some(&issued.subject().to_string()));
            }
        });
        problems.at(&format!("chain[{}]", index + 1), |problems| {
            if !issuer.is_ca() {
                let detail = "is no certificate of an authority, and stands where one belongs";
                problems.add(detail, Some(&issuer.subject().to_string()));
            }
        });
    }
    let [alone] = chain else { return };
    let is_self_issued = alone.issuer().as_raw() == alone.subject().as_raw();
    let is_elsewhere = access(alone, &OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS).is_some();
    if !is_self_issued && is_elsewhere {
        let detail = "has the server's certificate alone; that of its issuer must follow it";
        problems.at("chain", |problems| problems.add(detail, Some(&alone.issuer().to_string())));
    }
}

/// Why `issued` can't be followed by `issuer`.
fn broken(
    issued: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    index: usize,
    chain: &[X509Certificate<'_>],
) -> Option<String> {
    if issued.issuer().as_raw() == issuer.subject().as_raw() {
        let signed = issued.verify_signature(Some(issuer.public_key()));
        let is_wrong = matches!(signed, Err(X509Error::SignatureVerificationError));
        return is_wrong.then(|| format!("is not signed by chain[{}]", index + 1));
    }
    let place = chain.iter().position(|other| {
        !std::ptr::eq(other, issued) && other.subject().as_raw() == issued.issuer().as_raw()
    });
    let is_reversed = issuer.issuer().as_raw() == issued.subject().as_raw();
    Some(match place {
        None if is_reversed => {
            format!("is out of order: it issued chain[{}], which must come before it", index + 1)
        }
        Some(place) => format!(
            "is out of order: it is issued by chain[{place}]. The server's certificate comes first, and each is followed \
             by its issuer's"
        ),
        None => format!(
            "is issued by `{}`, and chain[{}], which follows it, is of `{}`",
            issued.issuer(),
            index + 1,
            issuer.subject()
        ),
    })
}

fn check_time(certificate: &X509Certificate<'_>, now: Moment, problems: &mut Problems) {
    let time = |seconds: i64| Moment(seconds.saturating_mul(1_000));
    let begin = time(certificate.validity().not_before.timestamp());
    let end = time(certificate.validity().not_after.timestamp());
    if now > end {
        problems.add("expired", Some(&end.rfc3339()));
    } else if now < begin {
        problems.add("is not valid yet", Some(&begin.rfc3339()));
    }
}

/// Signatures that clients refuse. That of a root is not looked at by anybody.
fn check_signature_kind(certificate: &X509Certificate<'_>, problems: &mut Problems) {
    let kind = &certificate.signature_algorithm.algorithm;
    let is_rsa = kind.to_id_string().starts_with("1.2.840.113549.1.1.");
    // md2, md4, md5 and SHA-1
    let is_old = *kind == OID_PKCS1_SHA1WITHRSA
        || ["2", "3", "4"]
            .iter()
            .any(|last| kind.to_id_string() == format!("1.2.840.113549.1.1.{last}"));
    let is_known = is_rsa
        || [OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519].contains(kind)
        || *kind == x509_parser::oid_registry::OID_SIG_ECDSA_WITH_SHA512;
    let is_root = certificate.issuer().as_raw() == certificate.subject().as_raw();
    if (is_old || !is_known) && !is_root {
        let detail = "is signed in a way that clients refuse; SHA-256 or better is needed";
        problems.add(detail, Some(&kind.to_id_string()));
    }
}

/// That it is for servers (RFC 5280 §4.2.1.3, §4.2.1.12).
fn check_use(leaf: &X509Certificate<'_>, problems: &mut Problems) {
    if let Ok(Some(extended)) = leaf.extended_key_usage()
        && !extended.value.server_auth
        && !extended.value.any
    {
        problems.add("is not for servers: its extended key usage lacks serverAuth", None);
    }
    if let Ok(Some(usage)) = leaf.key_usage()
        && !usage.value.digital_signature()
    {
        problems.add("is not for signing: its key usage lacks digitalSignature", None);
    }
}

fn check_public_key(leaf: &X509Certificate<'_>, problems: &mut Problems) {
    let unknown = "has a key that is none of RSA, P-256, P-384 and Ed25519";
    let key = leaf.public_key();
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if !RSA_BITS.contains(&rsa.key_size()) => {
            let detail = format!(
                "has an RSA key of {} bits; {} to {} are taken",
                rsa.key_size(),
                RSA_BITS.start(),
                RSA_BITS.end()
            );
            problems.add(detail, None);
        }
        Ok(PublicKey::RSA(_)) => {}
        Ok(PublicKey::EC(_)) if POINT_BYTES.contains(&key.subject_public_key.data.len()) => {}
        _ if key.algorithm.algorithm.to_id_string() == ED25519 => {}
        _ => problems.add(unknown, Some(&key.algorithm.algorithm.to_id_string())),
    }
}

/// Its names. The common name is none: no client looks at it (RFC 9525 §2).
fn read_names(leaf: &X509Certificate<'_>, problems: &mut Problems) -> Vec<String> {
    let alternative = leaf.subject_alternative_name().ok().flatten();
    let general = alternative.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut names = Vec::new();
    for name in general {
        match name {
            GeneralName::DNSName(name) => match HostPattern::parse(name) {
                Ok(host) => names.push(host.to_string()),
                Err(error) => problems.add(format!("has a name that {error}"), Some(name)),
            },
            GeneralName::IPAddress(bytes) => match address(bytes) {
                Some(address) => names.push(address.to_string()),
                None => problems.add("has an address of neither 4 nor 16 bytes", Some(bytes)),
            },
            _ => {}
        }
    }
    if general.len() > NAMES_MAX {
        problems.add(format!("has more than {NAMES_MAX} names"), Some(&general.len()));
    } else if names.is_empty() {
        problems.add("has no DNS name and no address in its subjectAltName", None);
    }
    names.sort();
    names.dedup();
    names
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    let sixteen = <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
    four.or(sixteen).ok()
}

/// A URL of the authority information access (RFC 5280 §4.2.2.1).
fn access(
    certificate: &X509Certificate<'_>,
    method: &x509_parser::der_parser::Oid<'_>,
) -> Option<String> {
    let mut access = certificate.extensions().iter().filter_map(|extension| {
        match extension.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => Some(access),
            _ => None,
        }
    });
    access.next()?.accessdescs.iter().find_map(|description| match &description.access_location {
        GeneralName::URI(url) if description.access_method == *method => Some((*url).to_owned()),
        _ => None,
    })
}

/// Certificates in PEM, and nothing that stood between them.
fn written(parts: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for part in parts {
        write_pem(&mut text, "CERTIFICATE", &STANDARD.encode(part));
    }
    text
}

/// Writes base64 in PEM, in lines of 64 characters (RFC 7468 §2).
pub(super) fn write_pem(text: &mut String, label: &str, encoded: &str) {
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in encoded.as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).unwrap_or_default());
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
