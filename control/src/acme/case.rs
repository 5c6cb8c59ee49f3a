//! What is done for one domain that is due? DNS is asked whose it is, then a certificate is ordered, renewed or revoked.
//! Each step is written before the next.

use super::authority::Conversation;
use super::backoff::after;
use super::domain::{Domain, Event, Trouble, Wish};
use super::engine::Engine;
use super::ownership::{Answer, Edges, owned, points_here};
use super::renewal::{Window, ask_again, renew_at};
use crate::clock::{Moment, now};
use crate::db::leases::Term;
use api::domains::{DomainErrorKind, DomainState, ownership_name};
use instant_acme::{CertificateIdentifier, Error, RevocationReason, RevocationRequest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::time::Duration;

/// When a certificate is looked at again whose authority has no renewal information.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 3_600);

/// Why a case is left.
pub(crate) enum Stop {
    /// Another replica works on it, or it is another one's domain now.
    Lost,
    /// It failed.
    Trouble(Trouble),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Trouble(error.into())
    }
}

/// A domain that is due.
pub(crate) struct Case<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) term: Term,
    pub(crate) domain: Domain,
    /// What was asked for when it was begun.
    pub(crate) wish: Option<Wish>,
}

impl<'e> Case<'e> {
    /// A domain as it was read.
    pub(crate) fn new(engine: &'e Engine, term: Term, domain: Domain) -> Self {
        let wish = domain.asked;
        Self { engine, term, domain, wish }
    }

    /// Does what is due.
    pub(crate) async fn attend(mut self) {
        if let Err(Stop::Trouble(trouble)) = self.work().await {
            let host = self.domain.host.clone();
            self.engine.app.metrics.domain_failed(trouble.kind);
            tracing::warn!(host, state = self.domain.state.as_str(), "{trouble}");
            // a domain that was lost is another's trouble
            let _ = self.note(Event::Failed(trouble)).await;
        }
    }

    /// Writes what happened.
    pub(crate) async fn note(&mut self, event: Event) -> Result<(), Stop> {
        let next = self.next(event);
        let db = &self.engine.app.db;
        if !db.write_domain(&next, self.wish, self.term).await? {
            return Err(Stop::Lost);
        }
        self.domain = next;
        Ok(())
    }

    /// The domain after `event`.
    pub(crate) fn next(&self, event: Event) -> Domain {
        self.domain.clone().after(event, &self.engine.settings.delays, rand::random(), now())
    }

    async fn work(&mut self) -> Result<(), Stop> {
        match (self.domain.state, self.wish) {
            (DomainState::Issued, Some(Wish::Verify)) => {
                self.verify().await?;
                return self.look().await;
            }
            (DomainState::PendingVerification, _) | (_, Some(Wish::Verify)) => {
                self.verify().await?;
            }
            (_, Some(Wish::Revoke)) => self.revoke().await?,
            (DomainState::Issued, None) if !self.is_to_be_renewed().await? => {
                return self.look().await;
            }
            _ => {}
        }
        self.order().await
    }

    /// Asks DNS whether the host is to be served here.
    async fn verify(&mut self) -> Result<(), Stop> {
        let (host, dns) = (self.domain.host.clone(), &self.engine.dns);
        let name = ownership_name(&host);
        let (texts, (lead, edges)) = tokio::join!(dns.texts(&name), self.lead());
        owned(&host, &self.domain.token, &texts, &lead, &edges)?;
        self.note(Event::Owned).await
    }

    /// Where the host leads, and where the edges are. For a wildcard, some name below it is looked up.
    async fn lead(&self) -> (Answer<super::ownership::Lead>, Edges) {
        let dns = &self.engine.dns;
        let name = match self.domain.host.strip_prefix("*.") {
            Some(below) => format!("{}.{below}", self.domain.token),
            None => self.domain.host.clone(),
        };
        let names = &self.engine.settings.edge_names;
        if names.is_empty() {
            return (Answer::Nothing, Edges::default());
        }
        tokio::join!(dns.lead(&name), dns.edges(names))
    }

    /// Why the host doesn't lead to the edges, where it is known where they are.
    pub(crate) async fn elsewhere(&self) -> Option<Trouble> {
        let (lead, edges) = self.lead().await;
        if !edges.are_known() {
            return None;
        }
        points_here(&self.domain.host, &lead, &edges).err()
    }

    async fn is_to_be_renewed(&self) -> Result<bool, Stop> {
        let Some(held) = &self.domain.certificate else { return Ok(true) };
        let is_there = self.engine.app.db.certificate(&held.id).await?.is_some();
        Ok(!is_there || held.renew_at <= now())
    }

    /// Asks the authority when it wants the certificate replaced.
    async fn look(&mut self) -> Result<(), Stop> {
        let Some(held) = self.domain.certificate.clone() else { return Ok(()) };
        let chance = self.chance(held.not_after);
        let (window, look_at) = match self.window().await {
            Ok(Some((window, said))) => (Some(window), ask_again(said, now())),
            Ok(None) => (None, after(now(), LOOK_AGAIN)),
            // the old time stands
            Err(_) => return self.rescheduled(held.renew_at, after(now(), LOOK_AGAIN)).await,
        };
        let at = renew_at(held.not_before, held.not_after, window, chance);
        self.rescheduled(at, look_at).await
    }

    async fn rescheduled(&mut self, renew_at: Moment, look_at: Moment) -> Result<(), Stop> {
        self.note(Event::Rescheduled { renew_at, look_at }).await
    }

    /// A number from 0 up to 1 that is a certificate's as long as it lasts, so that asking often makes it no earlier.
    pub(crate) fn chance(&self, not_after: Moment) -> f64 {
        let hash = blake3::hash(format!("{} {}", self.domain.token, not_after.0).as_bytes());
        f64::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]])) / 65_536.0
    }

    /// The time in which the authority wants the certificate replaced, and when it is to be asked again. None where it
    /// doesn't say such things.
    async fn window(&self) -> Result<Option<(Window, Duration)>, Stop> {
        let conversation = self.converse().await?;
        let Some(leaf) = self.leaf().await? else { return Ok(None) };
        let Ok(id) = CertificateIdentifier::try_from(&leaf) else { return Ok(None) };
        match conversation.account.renewal_info(&id).await {
            Ok((info, said)) => {
                let moment =
                    |time: i128| Moment(i64::try_from(time / 1_000_000).unwrap_or(i64::MAX));
                let window = info.suggested_window;
                let start = moment(window.start.unix_timestamp_nanos());
                let end = moment(window.end.unix_timestamp_nanos());
                Ok(Some((Window { start, end }, said)))
            }
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(conversation.trouble(&self.domain.host, &error).into()),
        }
    }

    /// The certificate that edges have.
    pub(crate) async fn leaf(&self) -> Result<Option<CertificateDer<'static>>, Stop> {
        let Some(held) = &self.domain.certificate else { return Ok(None) };
        let record = self.engine.app.db.certificate(&held.id).await?;
        let chain = record.and_then(|record| record.chain).unwrap_or_default();
        Ok(CertificateDer::from_pem_slice(chain.as_bytes()).ok())
    }

    /// Has the authority revoke the certificate. Another one is ordered at once.
    async fn revoke(&mut self) -> Result<(), Stop> {
        if let Some(certificate) = self.leaf().await? {
            let conversation = self.converse().await?;
            let reason = Some(RevocationReason::Superseded);
            let request = RevocationRequest { certificate: &certificate, reason };
            match conversation.account.revoke(&request).await {
                Ok(()) => tracing::info!(host = self.domain.host, "the certificate is revoked"),
                Err(Error::Api(problem)) if is_revoked_already(&problem) => {}
                Err(error) => {
                    return Err(conversation.trouble(&self.domain.host, &error).into());
                }
            }
        }
        self.note(Event::Revoked).await
    }

    /// Begins a conversation with the authority.
    pub(crate) async fn converse(&self) -> Result<Conversation, Trouble> {
        let Some(authority) = &self.engine.authority else {
            let detail = "control is set up with no ACME authority: --acme-directory names one";
            return Err(Trouble::new(DomainErrorKind::Off, detail).passing());
        };
        authority.converse(&self.engine.app.db, self.term).await
    }
}

fn is_revoked_already(problem: &instant_acme::Problem) -> bool {
    problem.r#type.as_deref().is_some_and(|name| name.ends_with(":alreadyRevoked"))
}
