//! What becomes of a domain when something happened to it? One pure function, [`Domain::after`].
//!
//! ```text
//! pending_verification ──▶ verified ──▶ issuing ──▶ issued ◀──▶ renewing
//!                                          │ ▲          │
//!                                          ▼ │          ▼ (its certificate ended)
//!                                         failed ◀──────┘
//! ```

use super::backoff::{Delays, Retry, after, next_attempt};
use crate::clock::Moment;
use api::domains::{ChallengeMethod, DomainErrorKind, DomainState};
use api::id::{CertificateId, SiteId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// After this long an authority is asked for the first time when it wants a new certificate replaced.
const FIRST_LOOK: Duration = Duration::from_secs(3_600);

/// A domain, as the database holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Domain {
    pub(crate) host: String,
    pub(crate) site_id: SiteId,
    /// By which DNS says that the host is this site's.
    pub(crate) token: String,
    pub(crate) state: DomainState,
    pub(crate) asked: Option<Wish>,
    /// Failures in a row.
    pub(crate) attempts: u32,
    pub(crate) next_attempt_at: Moment,
    pub(crate) error: Option<Failure>,
    pub(crate) verified_at: Option<Moment>,
    pub(crate) method: Option<ChallengeMethod>,
    pub(crate) order_url: Option<String>,
    pub(crate) certificate: Option<Held>,
    pub(crate) created_at: Moment,
    pub(crate) updated_at: Moment,
}

/// The certificate that edges have for a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) id: CertificateId,
    pub(crate) not_before: Moment,
    pub(crate) not_after: Moment,
    /// When the one that follows is to be ordered.
    pub(crate) renew_at: Moment,
}

/// What somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To look at DNS now.
    Verify,
    /// To order a certificate now.
    Renew,
    /// To have the certificate revoked, and another ordered.
    Revoke,
}

impl Wish {
    /// As the database holds it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
        }
    }

    /// What the database holds.
    pub(crate) fn kept(text: &str) -> Option<Self> {
        [Self::Verify, Self::Renew, Self::Revoke].into_iter().find(|wish| wish.as_str() == text)
    }
}

/// What went wrong, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: DomainErrorKind,
    pub(crate) detail: String,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
}

/// Why something went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Trouble {
    pub(crate) kind: DomainErrorKind,
    pub(crate) detail: String,
    /// Before when nobody is to try again, where somebody said so.
    pub(crate) not_before: Option<Moment>,
    /// Whether the order that is under way may still end well.
    pub(crate) order_lives: bool,
}

impl Trouble {
    /// A trouble that ends the order.
    pub(crate) fn new(kind: DomainErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), not_before: None, order_lives: false }
    }

    /// The same trouble, which leaves the order as it is.
    pub(crate) fn passing(mut self) -> Self {
        self.order_lives = true;
        self
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::new(DomainErrorKind::Internal, format!("the database: {error}")).passing()
    }
}

/// What happened to a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// DNS says that the host is to be served here.
    Owned,
    /// An order was begun, or one is gone on with.
    Began,
    /// The authority has the order, which is here.
    Ordered(String),
    /// The authority is shown so.
    Shown(ChallengeMethod),
    /// Edges have this certificate.
    Obtained(Held),
    /// The certificate is to be replaced at this time, and is to be looked at again.
    Rescheduled { renew_at: Moment, look_at: Moment },
    /// The authority revoked the certificate.
    Revoked,
    /// It went wrong.
    Failed(Trouble),
}

impl Domain {
    /// Whether edges have a certificate for it that is valid.
    pub(crate) fn is_served(&self, now: Moment) -> bool {
        self.certificate.as_ref().is_some_and(|held| held.not_after > now)
    }

    /// The domain after `event`. `chance` is from 0 up to 1 and spreads what would come at one time.
    pub(crate) fn after(mut self, event: Event, delays: &Delays, chance: f64, now: Moment) -> Self {
        self.updated_at = now;
        match event {
            Event::Owned => {
                self.verified_at = Some(now);
                let of_dns = [DomainErrorKind::Ownership, DomainErrorKind::Dns];
                self.error = self.error.filter(|error| !of_dns.contains(&error.kind));
                if self.state == DomainState::PendingVerification {
                    self = self.settled(DomainState::Verified, now);
                }
            }
            Event::Began => {
                let renews = self.is_served(now);
                self.state = if renews { DomainState::Renewing } else { DomainState::Issuing };
                self.next_attempt_at = now;
                // what somebody asked for is tried again until it is there
                if let Some(held) = &mut self.certificate {
                    held.renew_at = held.renew_at.min(now);
                }
            }
            Event::Ordered(url) => self.order_url = Some(url),
            Event::Shown(method) => self.method = Some(method),
            Event::Obtained(held) => {
                let next = held.renew_at.min(after(now, FIRST_LOOK));
                self.order_url = None;
                self.certificate = Some(held);
                self = self.settled(DomainState::Issued, next);
            }
            Event::Rescheduled { renew_at, look_at } => {
                if let Some(held) = &mut self.certificate {
                    held.renew_at = renew_at;
                }
                self.next_attempt_at = look_at.min(renew_at);
            }
            Event::Revoked => {
                if let Some(held) = &mut self.certificate {
                    held.renew_at = now;
                }
                (self.order_url, self.next_attempt_at) = (None, now);
            }
            Event::Failed(trouble) => self = self.failed(trouble, delays, chance, now),
        }
        self
    }

    fn settled(mut self, state: DomainState, next: Moment) -> Self {
        (self.state, self.attempts, self.error, self.next_attempt_at) = (state, 0, None, next);
        self
    }

    fn failed(mut self, trouble: Trouble, delays: &Delays, chance: f64, now: Moment) -> Self {
        self.attempts = self.attempts.saturating_add(1);
        self.state = match self.state {
            DomainState::PendingVerification => DomainState::PendingVerification,
            // nothing was tried
            DomainState::Verified if trouble.kind == DomainErrorKind::Off => DomainState::Verified,
            _ if self.is_served(now) => DomainState::Issued,
            _ => DomainState::Failed,
        };
        if !trouble.order_lives {
            self.order_url = None;
        }
        let retry = match self.state {
            DomainState::PendingVerification => Retry::Verification,
            _ => Retry::Order,
        };
        self.next_attempt_at =
            next_attempt(retry, self.attempts, trouble.not_before, delays, chance, now);
        self.error = Some(Failure { kind: trouble.kind, detail: trouble.detail, at: now.0 });
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const NOW: Moment = Moment(1_700_000_000_000);
    const DELAYS: Delays = Delays { first: Duration::from_secs(120) };

    pub(crate) fn domain(state: DomainState) -> Domain {
        Domain {
            host: "a.example.com".to_owned(),
            site_id: "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap(),
            token: "t".to_owned(),
            state,
            asked: None,
            attempts: 0,
            next_attempt_at: NOW,
            error: None,
            verified_at: None,
            method: None,
            order_url: None,
            certificate: None,
            created_at: NOW,
            updated_at: NOW,
        }
    }

    pub(crate) fn held(days: i64) -> Held {
        let day = 86_400_000;
        Held {
            id: "crt_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap(),
            not_before: Moment(NOW.0 - (90 - days) * day),
            not_after: Moment(NOW.0 + days * day),
            renew_at: Moment(NOW.0 + (days - 30) * day),
        }
    }

    fn trouble() -> Trouble {
        Trouble::new(DomainErrorKind::Connection, "no")
    }

    fn served(state: DomainState, days: i64) -> Domain {
        Domain { certificate: Some(held(days)), ..domain(state) }
    }

    #[test]
    fn each_event_leads_to_one_state() {
        use DomainState as S;
        let check = |before: Domain, event: Event, expected: S| {
            let text = format!("{:?} {event:?}", before.state);
            assert_eq!(before.after(event, &DELAYS, 0.5, NOW).state, expected, "{text}");
        };
        check(domain(S::PendingVerification), Event::Owned, S::Verified);
        check(domain(S::PendingVerification), Event::Failed(trouble()), S::PendingVerification);
        check(domain(S::Verified), Event::Owned, S::Verified);
        check(domain(S::Verified), Event::Began, S::Issuing);
        check(domain(S::Failed), Event::Began, S::Issuing);
        check(domain(S::Failed), Event::Owned, S::Failed);
        check(served(S::Issued, 20), Event::Began, S::Renewing);
        check(served(S::Issued, -1), Event::Began, S::Issuing);
        check(domain(S::Issuing), Event::Began, S::Issuing);
        check(domain(S::Issuing), Event::Ordered("u".to_owned()), S::Issuing);
        check(domain(S::Issuing), Event::Shown(ChallengeMethod::Http01), S::Issuing);
        check(domain(S::Issuing), Event::Obtained(held(90)), S::Issued);
        check(domain(S::Issuing), Event::Failed(trouble()), S::Failed);
        check(served(S::Renewing, 20), Event::Obtained(held(90)), S::Issued);
        check(served(S::Renewing, 20), Event::Failed(trouble()), S::Issued);
        check(served(S::Renewing, -1), Event::Failed(trouble()), S::Failed);
        check(served(S::Issued, 20), Event::Rescheduled { renew_at: NOW, look_at: NOW }, S::Issued);
        check(served(S::Issued, 20), Event::Revoked, S::Issued);
    }

    #[test]
    fn success_forgets_what_went_wrong() {
        let failed = domain(DomainState::Issuing).after(
            Event::Failed(trouble().passing()),
            &DELAYS,
            0.5,
            NOW,
        );
        assert_eq!((failed.attempts, failed.error.as_ref().unwrap().at), (1, NOW.0));
        assert!(failed.next_attempt_at > NOW);
        let obtained = failed.after(Event::Obtained(held(90)), &DELAYS, 0.5, NOW);
        assert_eq!((obtained.attempts, obtained.error), (0, None));
        assert_eq!(obtained.next_attempt_at, after(NOW, FIRST_LOOK));
    }

    #[test]
    fn a_renewal_that_was_begun_is_due_until_it_is_there() {
        let early = served(DomainState::Issued, 80).after(Event::Began, &DELAYS, 0.5, NOW);
        let failed = early.after(Event::Failed(trouble()), &DELAYS, 0.5, NOW);
        assert_eq!(failed.state, DomainState::Issued);
        assert!(failed.certificate.unwrap().renew_at <= NOW && failed.next_attempt_at > NOW);
    }

    #[test]
    fn an_order_that_may_end_well_is_kept() {
        let check = |trouble: Trouble, expected: Option<&str>| {
            let before = Domain { order_url: Some("u".to_owned()), ..domain(DomainState::Issuing) };
            let after = before.after(Event::Failed(trouble), &DELAYS, 0.5, NOW);
            assert_eq!(after.order_url.as_deref(), expected);
        };
        check(trouble(), None);
        check(trouble().passing(), Some("u"));
    }

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Owned),
            Just(Event::Began),
            Just(Event::Ordered("u".to_owned())),
            Just(Event::Shown(ChallengeMethod::Dns01)),
            (1_i64..90).prop_map(|days| Event::Obtained(held(days))),
            Just(Event::Revoked),
            Just(Event::Failed(trouble())),
            Just(Event::Failed(trouble().passing())),
        ]
    }

    proptest! {
        /// Whatever happens, a domain is due again, and what edges have is kept until something takes its place.
        #[test]
        fn nothing_is_stuck(
            happened in proptest::collection::vec((events(), 0.0_f64..1.0), 0..30),
        ) {
            let mut domain = domain(DomainState::PendingVerification);
            for (event, chance) in happened {
                let had = domain.certificate.is_some();
                domain = domain.after(event, &DELAYS, chance, NOW);
                prop_assert!(domain.certificate.is_some() || !had);
                let year = Moment(NOW.0 + 366 * 86_400_000);
                prop_assert!(domain.next_attempt_at < year);
                let is_served = domain.is_served(NOW);
                prop_assert!(domain.state != DomainState::Failed || !is_served);
                prop_assert!(domain.state != DomainState::Renewing || is_served);
            }
        }
    }
}
