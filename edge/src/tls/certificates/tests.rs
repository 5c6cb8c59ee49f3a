use super::*;
use crate::tls::CertificateTold;
use api::id::CertificateId;
use proptest::prelude::*;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use std::sync::LazyLock;

/// Opening is another matter: all have one key, and are told apart by their chains.
static KEY: LazyLock<Arc<dyn SigningKey>> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().unwrap().serialize_der();
    any_supported_type(&PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key))).unwrap()
});

/// Its chain is its number.
fn certificate(id: u8, seq: u64, names: &[&str], valid: (i64, i64)) -> Arc<Certificate> {
    let told = CertificateTold {
        certificate_id: CertificateId::from_ulid(&format!("01J9Z3K8Q4W5E6R7T8Y9V0B1N{id}"))
            .unwrap(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        not_before: valid.0,
        not_after: valid.1,
    };
    let chain = vec![seq.to_be_bytes().to_vec().into()];
    Arc::new(Certificate::opened(seq, told, CertifiedKey::new(chain, Arc::clone(&KEY))))
}

fn found(certificates: &Certificates, name: &str, now: i64) -> Option<u64> {
    let found = certificates.find(name, now, |_| true)?;
    Some(u64::from_be_bytes((*found.cert[0]).try_into().unwrap()))
}

#[test]
fn the_best_certificate_is_found() {
    let mut certificates = Certificates::default();
    for (id, names, valid) in [
        (1, &["a.example", "*.a.example"][..], (0, 100)),
        (2, &["a.example"], (50, 100)),
        (3, &["b.a.example"], (0, 60)),
        (4, &["*.c.example", "192.0.2.1", "2001:db8::1"], (0, 100)),
    ] {
        certificates.put(&certificate(id, id.into(), names, valid));
    }
    let check = |name: &str, now: i64, expected: Option<u64>| {
        assert_eq!(found(&certificates, name, now), expected, "{name} {now}");
    };
    check("a.example", 10, Some(1));
    check("a.example", 50, Some(2));
    check("a.example", 200, Some(2)); // expired, and better than none
    check("b.a.example", 10, Some(3));
    check("b.a.example", 61, Some(1)); // a wildcard that is valid
    check("b.a.example", 200, Some(3));
    check("x.a.example", 10, Some(1));
    check("x.y.a.example", 10, None);
    check("c.example", 10, None);
    check("192.0.2.1", 10, Some(4));
    check("2001:db8::1", 10, Some(4));
    check("", 10, None);
}

#[test]
fn one_that_is_fit_for_the_client_goes_before_a_newer_one() {
    let mut certificates = Certificates::default();
    certificates.put(&certificate(1, 1, &["a.example"], (0, 100)));
    certificates.put(&certificate(2, 2, &["a.example"], (1, 100)));
    let older = |key: &CertifiedKey| key.cert[0].ends_with(&[1]);
    let found = certificates.find("a.example", 10, older).unwrap();
    assert!(found.cert[0].ends_with(&[1]));
    assert!(certificates.find("a.example", 10, |_| false).is_some(), "the client decides");
}

proptest! {
    #[test]
    fn of_those_that_are_put_the_newest_that_is_valid_is_found(
        changes in prop::collection::vec((0..5_u8, any::<Option<(i8, i8)>>(), 1..4_usize), 0..60),
    ) {
        let names = ["a.example", "b.example", "*.example"];
        let mut certificates = Certificates::default();
        let mut model: Vec<(u8, u64, usize, (i64, i64))> = Vec::new();
        for (seq, (id, put, many)) in (1_u64..).zip(changes) {
            model.retain(|(other, ..)| *other != id);
            if let Some((from, to)) = put {
                let valid = (from.into(), to.into());
                certificates.put(&certificate(id, seq, &names[..many], valid));
                model.push((id, seq, many, valid));
            } else {
                certificates.remove(&format!("{}01J9Z3K8Q4W5E6R7T8Y9V0B1N{id}", CertificateId::PREFIX));
            }
            prop_assert_eq!(certificates.len(), model.len());
            for (at, name) in ["a.example", "b.example", "c.example"].into_iter().enumerate() {
                let best = |of: usize, is_valid: bool| {
                    let of = model.iter().filter(|(.., many, _)| *many > of);
                    let of = of.filter(|(.., (from, to))| !is_valid || (*from..=*to).contains(&0));
                    of.max_by_key(|(_, seq, _, (from, _))| (*from, *seq)).map(|(_, seq, ..)| *seq)
                };
                let exact = |is_valid| if at < 2 { best(at, is_valid) } else { None };
                let expected = exact(true).or_else(|| best(2, true)).or_else(|| exact(false));
                prop_assert_eq!(found(&certificates, name, 0), expected.or_else(|| best(2, false)));
            }
        }
    }
}
