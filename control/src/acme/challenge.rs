//! How do edges, and DNS, come to have the answer to a challenge? Edges by the feed, DNS by a provider; and it is waited
//! until they have it before the authority is told to look.

use super::domain::Trouble;
use super::engine::Engine;
use super::ownership::Answer as Asked;
use super::provider::Record;
use crate::clock::now;
use crate::db::feed::Subject;
use crate::db::leases::Term;
use crate::waiting::{Adopted, until_adopted};
use api::certificate::{Answer, Challenge};
use api::domains::{ChallengeMethod, DomainErrorKind};
use api::feed::Change;
use api::id::ChallengeId;
use instant_acme::KeyAuthorization;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long edges may take to have the answer. Those that don't have it then are not waited for.
const ADOPTION_MAX: Duration = Duration::from_secs(15);
/// How long edges have it: longer than an authority needs.
const KEPT: Duration = Duration::from_secs(3_600);
/// Between two questions to DNS.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Puts the answer to a challenge where the authority will look for it.
pub(crate) async fn show(
    engine: &Engine,
    term: Term,
    host: &str,
    method: ChallengeMethod,
    token: &str,
    key_authorization: &KeyAuthorization,
) -> Result<Option<Record>, Trouble> {
    if method == ChallengeMethod::Dns01 {
        let record = Record::new(host, key_authorization.dns_value());
        return show_in_dns(engine, record).await.map(Some);
    }
    let challenge_id = new_id();
    let answer = match method {
        ChallengeMethod::TlsAlpn01 => {
            tls_alpn(engine, host, &challenge_id, key_authorization.digest().as_ref())?
        }
        ChallengeMethod::Http01 | ChallengeMethod::Dns01 => Answer::Http {
            token: token.to_owned(),
            key_authorization: key_authorization.as_str().to_owned(),
        },
    };
    tell_edges(engine, term, host, challenge_id, answer).await.map(|()| None)
}

async fn tell_edges(
    engine: &Engine,
    term: Term,
    host: &str,
    challenge_id: ChallengeId,
    answer: Answer,
) -> Result<(), Trouble> {
    let expires_at = super::backoff::after(now(), KEPT).0 / 1_000;
    let subject = challenge_id.clone();
    let put = Challenge { challenge_id, host: host.to_owned(), expires_at, answer };
    let mut change = engine.app.db.change().await?;
    if !change.holds(term).await? {
        let detail = "another replica has taken over";
        return Err(Trouble::new(DomainErrorKind::Internal, detail).passing());
    }
    let seq = change.seq();
    change.tell(Subject::Challenge(&subject), Change::ChallengePut(put)).await?;
    change.commit().await?;
    let none = |detail: &str| Err(Trouble::new(DomainErrorKind::Edges, detail).passing());
    match until_adopted(&engine.app, seq, ADOPTION_MAX).await {
        Adopted::All => Ok(()),
        Adopted::Some => {
            tracing::warn!(host, "some edges did not take the answer to a challenge in time");
            Ok(())
        }
        Adopted::None => {
            none("no edge has taken the answer to the challenge: `longshore edge list` shows them")
        }
        Adopted::Nobody => none("no edge is connected that could answer the authority"),
    }
}

/// A certificate that answers by RFC 8737 §3.
fn tls_alpn(
    engine: &Engine,
    host: &str,
    id: &ChallengeId,
    digest: &[u8],
) -> Result<Answer, Trouble> {
    let failed = |error: rcgen::Error| {
        Trouble::new(
            DomainErrorKind::Internal,
            format!("no certificate for the challenge: {error}"),
        )
    };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(failed)?;
    let pem = zeroize::Zeroizing::new(key.serialize_pem());
    let sealed = engine.app.db.seal_for_edges(pem.as_bytes(), id.as_str())?;
    Ok(Answer::TlsAlpn { chain: certificate.pem(), key: sealed.as_str().to_owned() })
}

/// Has a record set, and waits until DNS has it.
async fn show_in_dns(engine: &Engine, record: Record) -> Result<Record, Trouble> {
    engine.provider.present(&record).await?;
    let began = Instant::now();
    loop {
        let texts = engine.dns.texts(&record.name).await;
        if matches!(&texts, Asked::Found(texts) if texts.contains(&record.value)) {
            return Ok(record);
        }
        if began.elapsed() >= engine.settings.dns_wait {
            forget(engine, &record).await;
            return Err(Trouble::new(DomainErrorKind::Dns, not_seen(&record, &texts, engine)));
        }
        sleep(ASK_AGAIN).await;
    }
}

fn not_seen(record: &Record, texts: &Asked<Vec<String>>, engine: &Engine) -> String {
    let seconds = engine.settings.dns_wait.as_secs();
    let instead = match texts {
        Asked::Found(_) => "it has others there".to_owned(),
        Asked::Nothing => "it has none there".to_owned(),
        Asked::Failed(why) => why.clone(),
    };
    format!("DNS does not have the TXT record {} after {seconds} s: {instead}", record.name)
}

/// Has a record taken away that nobody looks for any more.
pub(crate) async fn forget(engine: &Engine, record: &Record) {
    if let Err(trouble) = engine.provider.cleanup(record).await {
        tracing::warn!(record = record.name, "a TXT record was not removed: {trouble}");
    }
}

fn new_id() -> ChallengeId {
    #[expect(clippy::expect_used, reason = "a ULID is 26 letters and digits")]
    ChallengeId::from_ulid(&ulid::Ulid::new().to_string()).expect("a ULID is 26 letters and digits")
}
