use super::*;
use crate::clock::now;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    SignatureAlgorithm,
};

struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    between: CertifiedIssuer<'static, KeyPair>,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params
}

impl Authority {
    fn new() -> Self {
        let key = || KeyPair::generate().unwrap();
        let root = CertifiedIssuer::self_signed(authority_params("root"), key()).unwrap();
        let between =
            CertifiedIssuer::signed_by(authority_params("between"), key(), &root).unwrap();
        Self { root, between }
    }

    fn issue(&self, params: &CertificateParams, key: &KeyPair) -> String {
        params.signed_by(key, &self.between).unwrap().pem()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).unwrap()
}

fn problems(chain: &str, key: &str) -> Vec<(String, String)> {
    let found = check(chain, key, now()).err().unwrap_or_default();
    found.into_iter().map(|problem| (problem.field, problem.detail)).collect()
}

#[track_caller]
fn refused(chain: &str, key: &str, field: &str, detail: &str) {
    let found = problems(chain, key);
    let is_there = found.iter().any(|(at, what)| at == field && what.contains(detail));
    assert!(is_there, "{field} {detail}: {found:?}");
}

#[test]
fn every_kind_of_key_is_taken_and_kept_as_pkcs_8() {
    let kinds: [&'static SignatureAlgorithm; 4] =
        [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256];
    for kind in kinds {
        let key = KeyPair::generate_for(kind).unwrap();
        let certificate = params(&["a.example"]).self_signed(&key).unwrap();
        let checked = check(&certificate.pem(), &key.serialize_pem(), now()).unwrap();
        let again = KeyPair::from_pem(checked.key.reveal()).unwrap();
        assert_eq!(again.public_key_raw(), key.public_key_raw(), "{kind:?}");
    }
}

#[test]
fn what_is_told_of_it_is_what_it_says() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let leaf = authority.issue(&params(&["B.example", "*.a.example", "127.0.0.1", "::1"]), &key);
    let chain = format!("a comment\n{leaf}\n{}", authority.between.pem());
    let checked = check(&chain, &key.serialize_pem(), now()).unwrap();
    assert_eq!(checked.names, ["*.a.example", "127.0.0.1", "::1", "b.example"]);
    assert_eq!(checked.issuer, "CN=between");
    assert_eq!(checked.fingerprint.len(), 64);
    assert!(checked.not_before < checked.not_after);
    assert!(!checked.chain.contains("comment"));
    assert_eq!(format!("{:?}", checked.key), "PrivateKey(_)");
}

#[test]
fn chains_are_whole_and_in_order() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let leaf = authority.issue(&params(&["a.example"]), &key);
    let (between, root) = (authority.between.pem(), authority.root.pem());
    let pem = key.serialize_pem();
    assert_eq!(problems(&format!("{leaf}{between}"), &pem), []);
    assert_eq!(problems(&format!("{leaf}{between}{root}"), &pem), []);
    // its root may be what clients have
    assert_eq!(problems(&leaf, &pem), []);
    refused(&format!("{between}{leaf}"), &pem, "chain[0]", "out of order: it issued chain[1]");
    refused(
        &format!("{leaf}{root}{between}"),
        &pem,
        "chain[0]",
        "out of order: it is issued by chain[2]",
    );
    refused(&format!("{leaf}{root}"), &pem, "chain[0]", "is issued by `CN=between`, and chain[1]");
    let other = Authority::new();
    refused(
        &format!("{leaf}{}", other.between.pem()),
        &pem,
        "chain[0]",
        "is not signed by chain[1]",
    );
    let second = params(&["b.example"]).self_signed(&key).unwrap().pem();
    refused(&format!("{leaf}{second}"), &pem, "chain[1]", "is no certificate of an authority");
    refused(&leaf.repeat(11), &pem, "chain", "more than 10");
    refused("", &pem, "chain", "must be certificates in PEM");
    refused(&format!("{leaf}{pem}"), &pem, "chain", "has a private key");
    refused(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        &pem,
        "chain[0]",
        "is no certificate",
    );
    refused(&"x".repeat(CHAIN_MAX_BYTES + 1), &pem, "chain", "65537 bytes long; at most 65536");
}

#[test]
fn a_lone_certificate_whose_issuer_is_elsewhere_is_not_whole() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let mut lone = params(&["a.example"]);
    // authorityInfoAccess: caIssuers, http://ca.example/
    let url = b"http://ca.example/";
    let mut location = vec![0x86, u8::try_from(url.len()).unwrap()];
    location.extend(url);
    let method = [0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 0x30, 2];
    let sequence =
        |inner: Vec<u8>| [vec![0x30, u8::try_from(inner.len()).unwrap()], inner].concat();
    let access = sequence(sequence([method.to_vec(), location].concat()));
    let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
    lone.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&oid, access));
    let leaf = authority.issue(&lone, &key);
    refused(&leaf, &key.serialize_pem(), "chain", "that of its issuer must follow");
    assert_eq!(problems(&format!("{leaf}{}", authority.between.pem()), &key.serialize_pem()), []);
}

#[test]
fn the_key_is_the_certificates() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let leaf = params(&["a.example"]).self_signed(&key).unwrap().pem();
    refused(&leaf, &other.serialize_pem(), "key", "is not the private key of the first");
    refused(&leaf, "", "key", "must be a private key in PEM");
    refused(&leaf, &key.serialize_pem().repeat(2), "key", "more than one");
    refused(&leaf, &leaf, "key", "no private key");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    refused(&leaf, encrypted, "key", "is encrypted");
    let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    refused(&leaf, garbage, "key", "must be RSA of 2048 to 8192 bits, P-256");
}

#[test]
fn it_is_for_servers_has_names_and_is_valid_now() {
    let key = KeyPair::generate().unwrap();
    let pem = key.serialize_pem();
    let signed = |params: &CertificateParams| params.self_signed(&key).unwrap().pem();
    refused(&signed(&params(&[])), &pem, "chain[0]", "has no DNS name");
    let mut client = params(&["a.example"]);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    refused(&signed(&client), &pem, "chain[0]", "lacks serverAuth");
    client.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    client.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    assert_eq!(problems(&signed(&client), &pem), []);
    client.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    refused(&signed(&client), &pem, "chain[0]", "lacks digitalSignature");
    let mut old = params(&["a.example"]);
    old.not_after = rcgen::date_time_ymd(2020, 1, 1);
    refused(&signed(&old), &pem, "chain[0]", "expired");
    let mut early = params(&["a.example"]);
    early.not_before = rcgen::date_time_ymd(2999, 1, 1);
    refused(&signed(&early), &pem, "chain[0]", "is not valid yet");
    let odd = signed(&params(&["f*.example"]));
    refused(&odd, &pem, "chain[0]", "has a name that must be a host name");
}
