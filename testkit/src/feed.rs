//! Control as an edge sees it, with a feed that says what the test wants, right or wrong ([`api::feed`]).

use crate::origin::{Live, Origin};
use crate::tls::Issued;
use api::certificate::{Answer, Certificate, Challenge};
use api::edge::EdgeReport;
use api::feed::{
    Change, Current, EVENT_CURRENT, EVENT_ENTRY, EVENT_HELLO, Entry, Hello, Key, VERSION,
};
use api::id::{CertificateId, ChallengeId, LogId, SiteId};
use api::purge::{Mode, Progress, Purge, Selector};
use seal::{Purpose, Sealer};
use serde::Serialize;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};

/// A scripted feed. Every follower is told to begin anew and gets all of it.
#[derive(Debug)]
pub struct Feed {
    control: Origin,
    events: Live,
    newest: AtomicU64,
}

impl Feed {
    /// A feed with nothing in it.
    pub async fn start() -> Self {
        let control = Origin::start().await;
        let events = Live::new();
        control
            .on("/v1/feed*")
            .respond(200)
            .header("Content-Type", "text/event-stream")
            .chunked()
            .live(&events);
        control.on("/v1/edges/*").respond(204);
        let feed = Self { control, events, newest: AtomicU64::new(0) };
        let log = LogId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").expect("26 letters and digits");
        let key = Some(Self::key());
        feed.event(
            EVENT_HELLO,
            None,
            &Hello { version: VERSION, log, newest: 0, reset: true, key },
        );
        feed.current();
        feed
    }

    /// What an edge is given as the URL of control.
    #[must_use]
    pub fn url(&self) -> String {
        self.control.url()
    }

    /// Who answers as control.
    #[must_use]
    pub fn control(&self) -> &Origin {
        &self.control
    }

    /// What all followers have in common; all feeds are of one log.
    #[must_use]
    pub fn key() -> Key {
        Key::new(&[7; Key::BYTES])
    }

    /// An id for a site, different for each `number` below 10.
    ///
    /// # Panics
    /// With a larger number.
    #[must_use]
    pub fn site_id(number: u8) -> SiteId {
        SiteId::from_ulid(&format!("01J9Z3K8Q4W5E6R7T8Y9V0B1N{number}")).expect("one digit")
    }

    /// Sends a document, which may be wrong. Returns its sequence number.
    pub fn put_site(&self, number: u8, site: Value) -> u64 {
        self.entry(Change::SitePut { site_id: Self::site_id(number), site })
    }

    /// Removes a site.
    pub fn remove_site(&self, number: u8) -> u64 {
        self.entry(Change::SiteRemoved { site_id: Self::site_id(number) })
    }

    /// Purges everything of a site.
    pub fn purge(&self, number: u8) -> u64 {
        self.purge_by(number, Selector::Everything, Mode::Hard)
    }

    /// Purges what is selected of a site.
    pub fn purge_by(&self, number: u8, selector: Selector, mode: Mode) -> u64 {
        let site_id = Self::site_id(number);
        let purge = Purge { site_id, selector, mode, regions: Vec::new(), refetch: 0 };
        self.entry(Change::Purge(purge))
    }

    /// Sends a certificate; its id is different for each `number` below 10.
    pub fn put_certificate(&self, number: u8, issued: &Issued) -> u64 {
        let certificate_id = Self::certificate_id(number);
        let key = Self::seal(&issued.key, certificate_id.as_str());
        self.entry(Change::CertificatePut(Certificate {
            certificate_id,
            names: issued.names.clone(),
            chain: issued.chain.clone(),
            key,
            ocsp: issued.ocsp.clone(),
            not_before: issued.not_before,
            not_after: issued.not_after,
        }))
    }

    /// Removes a certificate.
    pub fn remove_certificate(&self, number: u8) -> u64 {
        let certificate_id = Self::certificate_id(number);
        self.entry(Change::CertificateRemoved { certificate_id })
    }

    /// An id for a certificate, different for each `number` below 10.
    ///
    /// # Panics
    /// With a larger number.
    #[must_use]
    pub fn certificate_id(number: u8) -> CertificateId {
        let ulid = format!("01J9Z3K8Q4W5E6R7T8Y9V0B1N{number}");
        CertificateId::from_ulid(&ulid).expect("one digit")
    }

    /// Sends a challenge of an authority for `host`, that expires in `seconds` (which may be past).
    ///
    /// # Panics
    /// With a `number` above 9.
    pub fn put_challenge(&self, number: u8, host: &str, seconds: i64, answer: Answer) -> u64 {
        let ulid = format!("01J9Z3K8Q4W5E6R7T8Y9V0B1N{number}");
        let challenge_id = ChallengeId::from_ulid(&ulid).expect("one digit");
        let expires_at = crate::tls::now() + seconds;
        let host = host.to_owned();
        self.entry(Change::ChallengePut(Challenge { challenge_id, host, expires_at, answer }))
    }

    /// A challenge that is answered by a handshake (RFC 8737): its certificate and key are those of `issued`.
    pub fn put_handshake_challenge(&self, number: u8, host: &str, issued: &Issued) -> u64 {
        let owner = format!("{}01J9Z3K8Q4W5E6R7T8Y9V0B1N{number}", ChallengeId::PREFIX);
        let key = Self::seal(&issued.key, &owner);
        let answer = Answer::TlsAlpn { chain: issued.chain.clone(), key };
        self.put_challenge(number, host, 3_600, answer)
    }

    fn seal(secret: &str, owner: &str) -> String {
        let key = Self::key().bytes().expect("a key of 32 bytes");
        let sealed = Sealer::new(&key, Purpose::Feed).seal(secret.as_bytes(), owner);
        sealed.as_str().to_owned()
    }

    /// Sends an entry and says that it is the newest.
    pub fn entry(&self, change: Change) -> u64 {
        let seq = self.newest.fetch_add(1, Ordering::SeqCst) + 1;
        self.event(EVENT_ENTRY, Some(seq), &Entry { version: VERSION, seq, change });
        self.current();
        seq
    }

    /// Sends a line that is no event of the feed.
    pub fn raw(&self, text: &str) {
        self.events.push(text.to_owned());
    }

    /// Waits until an edge reports that it has applied the feed up to `seq`. Returns that report.
    pub async fn adopted(&self, seq: u64) -> EdgeReport {
        let newer = |body: &[u8]| {
            serde_json::from_slice::<EdgeReport>(body).ok().filter(|report| report.adopted >= seq)
        };
        let mut number = 0;
        loop {
            number += 1;
            let request = self.control.received("/v1/edges/*", number).await;
            if let Some(report) = newer(&request.body) {
                return report;
            }
        }
    }

    /// Waits until an edge reports enough progress of the entry with this number. Returns that.
    pub async fn progress(&self, seq: u64, is_enough: impl Fn(&Progress) -> bool) -> Progress {
        let mut number = 0;
        loop {
            number += 1;
            let request = self.control.received("/v1/edges/*", number).await;
            let report = serde_json::from_slice::<EdgeReport>(&request.body).ok();
            let told = report.into_iter().flat_map(|report| report.progress);
            let mut own = told.filter(|told| told.seq == seq).map(|told| told.progress);
            if let Some(progress) = own.find(&is_enough) {
                return progress;
            }
        }
    }

    fn current(&self) {
        self.event(EVENT_CURRENT, None, &Current { newest: self.newest.load(Ordering::SeqCst) });
    }

    fn event(&self, name: &str, id: Option<u64>, data: &impl Serialize) {
        let data = serde_json::to_string(data).expect("wire types are JSON");
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        self.events.push(format!("event: {name}\n{id}data: {data}\n\n"));
    }
}
