use super::super::tests::{again, apply, following, log, text};
use super::super::{Adopted, CaughtUp};
use crate::tls::Certificates;
use api::certificate::{Answer, Certificate, Challenge};
use api::feed::{Change, Hello, Key, VERSION};
use api::id::{CertificateId, ChallengeId};
use rcgen::{CertificateParams, KeyPair};
use seal::{Purpose, Sealer};

const KEY: [u8; 32] = [3; 32];
const NOW: i64 = 1_000;

fn certificate_id(last: char) -> CertificateId {
    CertificateId::from_ulid(&format!("01J9Z3K8Q4W5E6R7T8Y9V0B1N{last}")).unwrap()
}

/// A certificate for a name, valid from a time on, with its own key or another's.
pub(in crate::feed) fn put(
    seq: u64,
    certificate_id: CertificateId,
    name: &str,
    from: i64,
    is_own: bool,
) -> String {
    let key = KeyPair::generate().unwrap();
    let made = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = if is_own { key } else { KeyPair::generate().unwrap() };
    let sealer = Sealer::new(&KEY, Purpose::Feed);
    let sealed = sealer.seal(key.serialize_pem().as_bytes(), certificate_id.as_str());
    text(
        seq,
        Change::CertificatePut(Certificate {
            certificate_id,
            names: vec![name.to_owned()],
            chain: made.pem(),
            key: sealed.as_str().to_owned(),
            ocsp: None,
            not_before: from,
            not_after: 2_000,
        }),
    )
}

fn put_for(seq: u64, id: char, name: &str) -> String {
    put(seq, certificate_id(id), name, seq.cast_signed(), true)
}

fn challenge(seq: u64, id: char, host: &str, expires_at: i64) -> String {
    let challenge_id = ChallengeId::from_ulid(&format!("01J9Z3K8Q4W5E6R7T8Y9V0B1N{id}")).unwrap();
    let answer = Answer::Http { token: "t".to_owned(), key_authorization: format!("t.{seq}") };
    let host = host.to_owned();
    text(seq, Change::ChallengePut(Challenge { challenge_id, host, expires_at, answer }))
}

fn greet(adopted: &mut Adopted, reset: bool, key: Option<Key>) {
    adopted.greet(&Hello { version: VERSION, log: log('1'), newest: 1, reset, key }, 7);
}

fn with_key() -> Adopted {
    let mut adopted = following();
    greet(&mut adopted, false, Some(Key::new(&KEY)));
    adopted
}

fn finds(certificates: &Certificates, name: &str) -> bool {
    certificates.find(name, NOW, |_| true).is_some()
}

fn answer(adopted: &Adopted, host: &str, now: i64) -> Option<String> {
    let snapshot = adopted.snapshot();
    snapshot.challenges.http(host, "/.well-known/acme-challenge/t", now).map(str::to_owned)
}

#[test]
fn a_certificate_is_used_until_it_is_removed() {
    let mut adopted = with_key();
    apply(&mut adopted, &put_for(2, 'A', "a.example"));
    for adopted in [&again(&adopted), &adopted] {
        let snapshot = adopted.snapshot();
        assert!(finds(&snapshot.certificates, "a.example"));
        assert!(!finds(&snapshot.certificates, "b.example"));
    }
    apply(&mut adopted, &put_for(3, 'A', "b.example"));
    let certificates = adopted.snapshot().certificates;
    assert!(!finds(&certificates, "a.example") && finds(&certificates, "b.example"));
    apply(
        &mut adopted,
        &text(4, Change::CertificateRemoved { certificate_id: certificate_id('A') }),
    );
    assert!(!finds(&adopted.snapshot().certificates, "b.example"));
    assert_eq!(adopted.certificate_counts(), (0, 0));
}

#[test]
fn one_that_cannot_be_used_leaves_the_last_good_one() {
    let mut adopted = with_key();
    apply(&mut adopted, &put_for(2, 'A', "a.example"));
    apply(&mut adopted, &put(3, certificate_id('A'), "b.example", 3, false));
    for mut adopted in [again(&adopted), adopted] {
        assert_eq!(adopted.certificate_counts(), (1, 1));
        let certificates = adopted.snapshot().certificates;
        assert!(finds(&certificates, "a.example") && !finds(&certificates, "b.example"));
        apply(&mut adopted, &put_for(4, 'A', "c.example"));
        assert_eq!(adopted.certificate_counts(), (1, 0));
        assert!(finds(&adopted.snapshot().certificates, "c.example"));
    }
}

#[test]
fn certificates_may_come_before_the_key() {
    let mut adopted = following();
    apply(&mut adopted, &put_for(2, 'A', "a.example"));
    apply(&mut adopted, &put_for(3, 'A', "b.example"));
    assert!(!finds(&adopted.snapshot().certificates, "b.example"));
    for mut adopted in [again(&adopted), adopted] {
        greet(&mut adopted, false, Some(Key::new(&KEY)));
        assert!(finds(&adopted.snapshot().certificates, "b.example"));
    }
}

#[test]
fn what_a_log_that_is_read_anew_does_not_name_is_gone() {
    let mut adopted = with_key();
    apply(&mut adopted, &put_for(2, 'A', "a.example"));
    apply(&mut adopted, &put_for(3, 'B', "b.example"));
    apply(&mut adopted, &put(4, certificate_id('C'), "c.example", 4, false));
    apply(&mut adopted, &challenge(5, 'A', "a.example", 2_000));
    greet(&mut adopted, true, Some(Key::new(&KEY)));
    apply(&mut adopted, &put_for(1, 'B', "b.example"));
    // what there was is served until it is known what there is
    assert!(finds(&adopted.snapshot().certificates, "a.example"));
    assert_eq!(adopted.catch_up(1), CaughtUp::Replaced);
    let certificates = adopted.snapshot().certificates;
    assert!(!finds(&certificates, "a.example") && finds(&certificates, "b.example"));
    assert_eq!((adopted.certificate_counts(), answer(&adopted, "a.example", NOW)), ((1, 0), None));
}

#[test]
fn a_challenge_is_answered_until_it_expires() {
    let mut adopted = with_key();
    apply(&mut adopted, &challenge(2, 'A', "a.example", 1_001));
    apply(&mut adopted, &challenge(3, 'B', "b.example", 1_001));
    for adopted in [&again(&adopted), &adopted] {
        assert_eq!(answer(adopted, "a.example", 1_000).as_deref(), Some("t.2"));
        assert_eq!(answer(adopted, "b.example", 1_000).as_deref(), Some("t.3"));
        assert_eq!(answer(adopted, "a.example", 1_001), None);
    }
    for number in 0..500 {
        let id = char::from(b'0' + u8::try_from(number % 10).unwrap());
        apply(&mut adopted, &challenge(4 + number, id, "c.example", 1_001));
        adopted.tidy_challenges(1_002);
    }
    assert!(adopted.certificate_entries().count() <= 64);
}

#[test]
fn nothing_shows_a_key() {
    let mut adopted = with_key();
    apply(&mut adopted, &put_for(2, 'A', "a.example"));
    assert!(finds(&adopted.snapshot().certificates, "a.example"));
    let shown = format!("{adopted:?}");
    assert!(!shown.contains("PRIVATE") && !shown.contains("\"key\""), "{shown}");
    let digits = Key::new(&KEY);
    assert!(!shown.contains(digits.reveal()) && !shown.contains("3, 3, 3"), "{shown}");
}
