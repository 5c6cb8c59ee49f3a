//! How is a certificate got? An order at the authority, from its beginning or from where it was left (RFC 8555 §7.4).

use super::authority::Conversation;
use super::case::{Case, Stop};
use super::challenge;
use super::domain::{Event, Held, Trouble};
use super::method::{Means, choose};
use super::provider::Record;
use super::renewal::renew_at;
use super::words;
use crate::certificate::{self, Checked};
use crate::clock::{Moment, now};
use crate::db::domains::order_secret;
use api::domains::{ChallengeMethod, DomainErrorKind};
use api::site::tls::CertificateSource;
use instant_acme::{
    AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeStatus,
    ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use std::time::Duration;
use zeroize::Zeroizing;

/// How the authority is asked how far it is.
const POLICY: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));

impl Case<'_> {
    /// Gets a certificate for the host and gives it to the edges.
    pub(crate) async fn order(&mut self) -> Result<(), Stop> {
        // all are acquired by orders that end
        let _place = self.engine.orders.acquire().await;
        let conversation = self.converse().await?;
        self.note(Event::Began).await?;
        let mut records = Vec::new();
        let obtained = self.obtain(&conversation, &mut records).await;
        for record in &records {
            challenge::forget(self.engine, record).await;
        }
        let checked = obtained?;
        self.keep(&checked).await
    }

    async fn obtain(
        &mut self,
        conversation: &Conversation,
        records: &mut Vec<Record>,
    ) -> Result<Checked, Stop> {
        let mut order = match self.resume(conversation).await? {
            Some(order) => order,
            None => self.begin(conversation).await?,
        };
        if order.state().status == OrderStatus::Pending {
            self.authorize(&mut order, conversation, records).await?;
        }
        let key = self.order_key().await?;
        let chain = self.finish(&mut order, &key, conversation).await?;
        self.checked(&chain, &key)
    }

    /// The order that was under way, where the authority still has it.
    async fn resume(&mut self, conversation: &Conversation) -> Result<Option<Order>, Stop> {
        let Some(url) = self.domain.order_url.clone() else { return Ok(None) };
        match conversation.account.order(url).await {
            Ok(mut order) => {
                let is_over = order.state().status == OrderStatus::Invalid;
                Ok((!is_over).then_some(order))
            }
            Err(Error::Api(problem)) => {
                let trouble = self.api_trouble(conversation, &problem).await;
                // an order that it has no more is begun anew
                if trouble.order_lives { Err(trouble.into()) } else { Ok(None) }
            }
            Err(error) => Err(self.trouble(conversation, &error).await.into()),
        }
    }

    async fn begin(&mut self, conversation: &Conversation) -> Result<Order, Stop> {
        let identifiers = [Identifier::Dns(self.domain.host.clone())];
        let leaf = self.leaf().await?;
        let replaced = leaf.as_ref().and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
        let mut asked = Err(Error::Unsupported(""));
        if let Some(replaced) = replaced {
            let new = NewOrder::new(&identifiers).replaces(replaced);
            asked = conversation.account.new_order(&new).await;
        }
        // an authority that has no such thing, or doesn't take it, is asked without
        if let Err(Error::Unsupported(_) | Error::Other(_)) = asked {
            asked = conversation.account.new_order(&NewOrder::new(&identifiers)).await;
        }
        if let Err(Error::Api(problem)) = &asked
            && problem.r#type.as_deref().is_some_and(|name| name.ends_with(":alreadyReplaced"))
        {
            asked = conversation.account.new_order(&NewOrder::new(&identifiers)).await;
        }
        let order = match asked {
            Ok(order) => order,
            Err(error) => return Err(self.trouble(conversation, &error).await.into()),
        };
        self.keep_order(order.url()).await?;
        Ok(order)
    }

    /// Keeps where the order is and the key that it is for, before anything is done for it.
    async fn keep_order(&mut self, url: &str) -> Result<(), Stop> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| failed(&error))?;
        let pem = Zeroizing::new(key.serialize_pem());
        let next = self.next(Event::Ordered(url.to_owned()));
        let mut change = self.engine.app.db.change().await?;
        change.put_secret(&order_secret(&next.host), pem.as_bytes()).await?;
        if !change.write_domain(&next, self.wish, self.term).await? {
            return Err(Stop::Lost);
        }
        change.commit().await?;
        self.domain = next;
        Ok(())
    }

    async fn order_key(&self) -> Result<Zeroizing<String>, Stop> {
        let secret = self.engine.app.db.secret(&order_secret(&self.domain.host)).await?;
        let text = secret.and_then(|pem| String::from_utf8(pem.to_vec()).ok());
        let gone = || Trouble::new(DomainErrorKind::Internal, "the key of the order is gone");
        Ok(Zeroizing::new(text.ok_or_else(gone)?))
    }

    /// Shows the authority who has the host, and waits until it has looked.
    async fn authorize(
        &mut self,
        order: &mut Order,
        conversation: &Conversation,
        records: &mut Vec<Record>,
    ) -> Result<(), Stop> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let authorization = match authorization {
                Ok(authorization) => authorization,
                Err(error) => return Err(self.trouble(conversation, &error).await.into()),
            };
            match authorization.status {
                AuthorizationStatus::Valid => {}
                AuthorizationStatus::Pending => {
                    self.answer(authorization, conversation, records).await?;
                }
                _ => return Err(self.refused(order, conversation).await.into()),
            }
        }
        match order.poll_ready(&POLICY).await {
            Ok(OrderStatus::Invalid) | Err(Error::Api(_)) => {
                Err(self.refused(order, conversation).await.into())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(self.trouble(conversation, &error).await.into()),
        }
    }

    async fn answer(
        &mut self,
        mut authorization: AuthorizationHandle<'_>,
        conversation: &Conversation,
        records: &mut Vec<Record>,
    ) -> Result<(), Stop> {
        let offered: Vec<ChallengeMethod> =
            authorization.challenges.iter().filter_map(|one| known(&one.r#type)).collect();
        let method = self.method(&offered).await?;
        let Some(mut challenge) = authorization.challenge(asked(method)) else {
            let detail = format!("the authority offers no {}", method.as_str());
            return Err(Trouble::new(DomainErrorKind::Rejected, detail).into());
        };
        self.note(Event::Shown(method)).await?;
        let answer = challenge.key_authorization();
        let host = self.domain.host.clone();
        let shown =
            challenge::show(self.engine, self.term, &host, method, &challenge.token, &answer);
        records.extend(shown.await?);
        if challenge.status != ChallengeStatus::Pending {
            return Ok(());
        }
        match challenge.set_ready().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.trouble(conversation, &error).await.into()),
        }
    }

    async fn method(&self, offered: &[ChallengeMethod]) -> Result<ChallengeMethod, Trouble> {
        let elsewhere = self.elsewhere().await;
        let means = Means {
            preferred: &self.engine.settings.challenges,
            offered,
            has_provider: self.engine.provider.is_there(),
            elsewhere: elsewhere.as_ref(),
        };
        choose(&self.domain.host, &means, self.domain.attempts)
    }

    /// Has the certificate made, and reads it.
    async fn finish(
        &self,
        order: &mut Order,
        key: &str,
        conversation: &Conversation,
    ) -> Result<String, Stop> {
        let ended = match order.state().status {
            OrderStatus::Ready | OrderStatus::Pending => {
                let csr = request(&self.domain.host, key).map_err(|error| failed(&error))?;
                match order.finalize_csr(&csr).await {
                    Ok(()) => order.poll_certificate(&POLICY).await,
                    Err(error) => Err(error),
                }
            }
            OrderStatus::Valid => match order.certificate().await {
                Ok(chain) => chain.ok_or(Error::Timeout(None)),
                Err(error) => Err(error),
            },
            _ => order.poll_certificate(&POLICY).await,
        };
        match ended {
            Ok(chain) => Ok(chain),
            Err(error) => Err(self.trouble(conversation, &error).await.into()),
        }
    }

    fn checked(&self, chain: &str, key: &str) -> Result<Checked, Stop> {
        let wrong = |detail: String| Trouble::new(DomainErrorKind::Authority, detail);
        let checked = certificate::check(chain, key, now()).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            wrong(format!("the authority's certificate can't be used: {}", problems.join("; ")))
        })?;
        if checked.names.contains(&self.domain.host) {
            return Ok(checked);
        }
        let names = words::shown(&checked.names.join(", "));
        Err(wrong(format!("the authority's certificate is for {names}")).into())
    }

    /// Keeps the certificate and tells the edges, all at once.
    async fn keep(&mut self, checked: &Checked) -> Result<(), Stop> {
        let moment = |seconds: i64| Moment(seconds.saturating_mul(1_000));
        let (not_before, not_after) = (moment(checked.not_before), moment(checked.not_after));
        let held = self.domain.certificate.as_ref();
        let id = held.map_or_else(certificate::new_id, |held| held.id.clone());
        let renew_at = renew_at(not_before, not_after, None, self.chance(not_after));
        let next =
            self.next(Event::Obtained(Held { id: id.clone(), not_before, not_after, renew_at }));
        let mut change = self.engine.app.db.change().await?;
        let earlier = change.certificate(&id).await?;
        let source = CertificateSource::Acme;
        change.put_certificate(id, source, checked, earlier.as_ref(), now()).await?;
        change.remove_secret(&order_secret(&next.host)).await?;
        if !change.write_domain(&next, self.wish, self.term).await? {
            return Err(Stop::Lost);
        }
        change.commit().await?;
        self.engine.app.metrics.domain_issued();
        let took = now().since(self.domain.created_at);
        tracing::info!(host = next.host, since_created_milliseconds = took, "got a certificate");
        self.domain = next;
        Ok(())
    }

    /// The trouble that an error of the authority is.
    async fn trouble(&self, conversation: &Conversation, error: &Error) -> Trouble {
        if let Error::Api(problem) = error {
            return self.api_trouble(conversation, problem).await;
        }
        conversation.trouble(&self.domain.host, error)
    }

    async fn api_trouble(&self, conversation: &Conversation, problem: &Problem) -> Trouble {
        let mut trouble = conversation.trouble(&self.domain.host, &Error::Api(problem.clone()));
        let name = problem.r#type.as_deref().unwrap_or_default();
        if name.ends_with(":accountDoesNotExist")
            && let Some(authority) = &self.engine.authority
        {
            if let Err(error) = authority.forget_account(&self.engine.app.db, self.term).await {
                tracing::warn!("the account can't be forgotten: {error}");
            }
            trouble.order_lives = false;
        }
        trouble
    }

    /// Why the authority did not take what it was shown.
    async fn refused(&self, order: &mut Order, conversation: &Conversation) -> Trouble {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let Ok(state) = authorization.refresh().await else { break };
            let problem = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
            if let Some(problem) = problem {
                return Trouble {
                    order_lives: false,
                    ..words::refused(&self.domain.host, problem)
                };
            }
        }
        if let Some(problem) = order.state().error.clone() {
            let trouble = conversation.trouble(&self.domain.host, &Error::Api(problem));
            return Trouble { order_lives: false, ..trouble };
        }
        Trouble::new(DomainErrorKind::Authority, "the authority refused, and doesn't say why")
    }
}

fn failed(error: &rcgen::Error) -> Trouble {
    Trouble::new(DomainErrorKind::Internal, format!("no key or request can be made: {error}"))
}

/// The request for a certificate of `host` (RFC 2986), in DER.
fn request(host: &str, key: &str) -> Result<Vec<u8>, rcgen::Error> {
    let key = KeyPair::from_pem(key)?;
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key)?.der().to_vec())
}

const fn asked(method: ChallengeMethod) -> ChallengeType {
    match method {
        ChallengeMethod::Http01 => ChallengeType::Http01,
        ChallengeMethod::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeMethod::Dns01 => ChallengeType::Dns01,
    }
}

fn known(kind: &ChallengeType) -> Option<ChallengeMethod> {
    ChallengeMethod::ALL.into_iter().find(|method| asked(*method) == *kind)
}
