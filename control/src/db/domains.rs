//! Domains: hosts of sites whose certificates an authority issues, and what is known of each.
//!
//! Sites make and remove them, in the transaction that puts the site. Everything else is written by the one replica that
//! holds the lease, and only where the domain is still the one it read: its token is another one once it was given away.

use super::leases::Term;
use super::{Change, Db, number, stored};
use crate::acme::domain::{Domain, Held, Wish};
use crate::clock::Moment;
use api::domains::DomainState;
use api::id::{CertificateId, SiteId};
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row as _};

const COLUMNS: &str = "host, site_id, token, state, asked, attempts, next_attempt_at, error, \
    verified_at, method, order_url, certificate_id, not_before, not_after, renew_at, created_at, \
    updated_at";
const WRITE: &str = "UPDATE domains SET state = $3, attempts = $4, next_attempt_at = $5, error = $6, \
    verified_at = $7, method = $8, order_url = $9, certificate_id = $10, not_before = $11, \
    not_after = $12, renew_at = $13, updated_at = $14, \
    asked = CASE WHEN asked = $15 THEN '' ELSE asked END \
    WHERE host = $1 AND token = $2 \
        AND EXISTS (SELECT 1 FROM leases WHERE name = $16 AND term = $17)";

/// Of which domains a list is.
#[derive(Debug, Default)]
pub(crate) struct Selection<'q> {
    /// Those after this host.
    pub(crate) after: Option<&'q str>,
    pub(crate) state: Option<DomainState>,
    pub(crate) site: Option<&'q SiteId>,
}

/// How many domains are in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) state: DomainState,
    pub(crate) domains: u64,
}

impl Db {
    /// The domain of a host.
    pub(crate) async fn domain(&self, host: &str) -> sqlx::Result<Option<Domain>> {
        find(&self.pool, host).await
    }

    /// At most `limit` domains, by host.
    pub(crate) async fn domains(
        &self,
        selection: &Selection<'_>,
        limit: u32,
    ) -> sqlx::Result<Vec<Domain>> {
        let query = format!(
            "SELECT {COLUMNS} FROM domains WHERE host > $1 AND ($2 = '' OR state = $2) \
             AND ($3 = '' OR site_id = $3) ORDER BY host LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(selection.after.unwrap_or_default().to_owned())
            .bind(selection.state.map_or("", DomainState::as_str))
            .bind(selection.site.map_or("", SiteId::as_str).to_owned())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(domain).collect()
    }

    /// Domains with something to do at `now`, at most `limit`: what somebody asked for first, then by time.
    pub(crate) async fn due_domains(&self, now: Moment, limit: u32) -> sqlx::Result<Vec<Domain>> {
        let query = format!(
            "SELECT {COLUMNS} FROM domains WHERE next_attempt_at <= $1 OR asked <> '' \
             ORDER BY CASE WHEN asked = '' THEN 1 ELSE 0 END, next_attempt_at, host LIMIT $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(now.0)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(domain).collect()
    }

    /// How many domains are in each state, and when the first certificate ends.
    pub(crate) async fn count_domains(&self) -> sqlx::Result<Vec<Count>> {
        let rows = sqlx::query("SELECT state, COUNT(*) FROM domains GROUP BY state")
            .fetch_all(&self.pool)
            .await?;
        let count = |row: &AnyRow| {
            Ok(Count { state: super::parsed(row.try_get(0)?)?, domains: number(row, 1)? })
        };
        rows.iter().map(count).collect()
    }

    /// Notes what somebody asked for. False where there is no such domain.
    pub(crate) async fn ask_domain(&self, host: &str, wish: Wish) -> sqlx::Result<bool> {
        let _writing = self.writer.lock().await;
        let asked = sqlx::query("UPDATE domains SET asked = $2 WHERE host = $1")
            .bind(host.to_owned())
            .bind(wish.as_str())
            .execute(&self.pool)
            .await?;
        Ok(asked.rows_affected() > 0)
    }

    /// Writes a domain. False where the lease or the domain is not what it was. `handled` is asked for no more.
    pub(crate) async fn write_domain(
        &self,
        domain: &Domain,
        handled: Option<Wish>,
        term: Term,
    ) -> sqlx::Result<bool> {
        let _writing = self.writer.lock().await;
        write(&self.pool, domain, handled, term).await
    }

    /// Has domains that failed for `kind` be due.
    pub(crate) async fn wake_domains(
        &self,
        kind: &str,
        now: Moment,
        term: Term,
    ) -> sqlx::Result<()> {
        let _writing = self.writer.lock().await;
        let wake = "UPDATE domains SET next_attempt_at = $1 \
            WHERE next_attempt_at > $1 AND error LIKE $2 \
                AND EXISTS (SELECT 1 FROM leases WHERE name = $3 AND term = $4)";
        sqlx::query(wake)
            .bind(now.0)
            .bind(format!("{{\"kind\":\"{kind}\"%"))
            .bind(term.name)
            .bind(stored(term.number))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Certificates that no domain has any more, at most `limit`.
    pub(crate) async fn released_certificates(
        &self,
        limit: u32,
    ) -> sqlx::Result<Vec<CertificateId>> {
        let query = "SELECT certificate_id FROM released_certificates LIMIT $1";
        let rows = sqlx::query(query).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        rows.iter().map(|row| super::parsed(row.try_get(0)?)).collect()
    }

    /// The contact that the account at an authority has. None where there is no account.
    pub(crate) async fn acme_contact(&self, directory: &str) -> sqlx::Result<Option<String>> {
        let query = sqlx::query("SELECT contact FROM acme_accounts WHERE directory = $1");
        let row = query.bind(directory.to_owned()).fetch_optional(&self.pool).await?;
        row.map(|row| row.try_get(0)).transpose()
    }
}

impl Change<'_> {
    /// Has the domains of a site be those of `hosts`: others are gone, with their certificates, and new ones begin anew.
    pub(crate) async fn put_domains(
        &mut self,
        site: &SiteId,
        hosts: &[String],
        now: Moment,
    ) -> sqlx::Result<()> {
        let rows = sqlx::query("SELECT host FROM domains WHERE site_id = $1")
            .bind(site.to_string())
            .fetch_all(&mut *self.transaction)
            .await?;
        for row in rows {
            let host: String = row.try_get(0)?;
            if !hosts.contains(&host) {
                self.remove_domain(&host).await?;
            }
        }
        for host in hosts {
            self.put_domain(site, host, now).await?;
        }
        Ok(())
    }

    async fn put_domain(&mut self, site: &SiteId, host: &str, now: Moment) -> sqlx::Result<()> {
        if find(&mut *self.transaction, host).await?.is_some_and(|domain| domain.site_id == *site) {
            return Ok(());
        }
        self.remove_domain(host).await?;
        let insert = "INSERT INTO domains \
            (host, site_id, token, state, next_attempt_at, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $5, $5)";
        sqlx::query(insert)
            .bind(host.to_owned())
            .bind(site.to_string())
            .bind(new_token())
            .bind(DomainState::PendingVerification.as_str())
            .bind(now.0)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    async fn remove_domain(&mut self, host: &str) -> sqlx::Result<()> {
        let release = "INSERT INTO released_certificates (certificate_id) \
            SELECT certificate_id FROM domains WHERE host = $1 AND certificate_id <> '' \
            ON CONFLICT (certificate_id) DO NOTHING";
        for statement in [release, "DELETE FROM domains WHERE host = $1"] {
            sqlx::query(statement).bind(host.to_owned()).execute(&mut *self.transaction).await?;
        }
        self.remove_secret(&order_secret(host)).await
    }

    /// Writes a domain with this change. False where the lease or the domain is not what it was.
    pub(crate) async fn write_domain(
        &mut self,
        domain: &Domain,
        handled: Option<Wish>,
        term: Term,
    ) -> sqlx::Result<bool> {
        write(&mut *self.transaction, domain, handled, term).await
    }

    /// Removes a certificate that no domain has any more.
    pub(crate) async fn forget_released(&mut self, id: &CertificateId) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM released_certificates WHERE certificate_id = $1")
            .bind(id.to_string())
            .execute(&mut *self.transaction)
            .await?;
        self.remove_certificate(id).await
    }

    /// Keeps the account at an authority.
    pub(crate) async fn put_acme_account(
        &mut self,
        directory: &str,
        contact: &str,
        credentials: Option<&[u8]>,
        now: Moment,
    ) -> sqlx::Result<()> {
        let upsert = "INSERT INTO acme_accounts (directory, contact, created_at) \
            VALUES ($1, $2, $3) ON CONFLICT (directory) DO UPDATE SET contact = excluded.contact";
        sqlx::query(upsert)
            .bind(directory.to_owned())
            .bind(contact.to_owned())
            .bind(now.0)
            .execute(&mut *self.transaction)
            .await?;
        match credentials {
            Some(credentials) => self.put_secret(&account_secret(directory), credentials).await,
            None => Ok(()),
        }
    }
}

/// The owner of the key that an order is for.
pub(crate) fn order_secret(host: &str) -> String {
    format!("order/{host}")
}

/// The owner of an account's credentials.
pub(crate) fn account_secret(directory: &str) -> String {
    format!("account/{directory}")
}

fn new_token() -> String {
    let bytes: [u8; 16] = rand::random();
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

async fn find<'e>(
    executor: impl Executor<'e, Database = Any>,
    host: &str,
) -> sqlx::Result<Option<Domain>> {
    let query = format!("SELECT {COLUMNS} FROM domains WHERE host = $1");
    let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(host.to_owned());
    query.fetch_optional(executor).await?.as_ref().map(domain).transpose()
}

async fn write<'e>(
    executor: impl Executor<'e, Database = Any>,
    domain: &Domain,
    handled: Option<Wish>,
    term: Term,
) -> sqlx::Result<bool> {
    let held = domain.certificate.as_ref();
    let error = domain.error.as_ref().map(serde_json::to_string).transpose();
    let error = error.map_err(|error| sqlx::Error::Encode(error.into()))?.unwrap_or_default();
    let written = sqlx::query(WRITE)
        .bind(domain.host.clone())
        .bind(domain.token.clone())
        .bind(domain.state.as_str())
        .bind(i64::from(domain.attempts))
        .bind(domain.next_attempt_at.0)
        .bind(error)
        .bind(domain.verified_at.map_or(0, |at| at.0))
        .bind(domain.method.map_or("", |method| method.as_str()))
        .bind(domain.order_url.clone().unwrap_or_default())
        .bind(held.map_or("", |held| held.id.as_str()).to_owned())
        .bind(held.map_or(0, |held| held.not_before.0))
        .bind(held.map_or(0, |held| held.not_after.0))
        .bind(held.map_or(0, |held| held.renew_at.0))
        .bind(domain.updated_at.0)
        // what was never asked for is never there
        .bind(handled.map_or("-", Wish::as_str))
        .bind(term.name)
        .bind(stored(term.number))
        .execute(executor)
        .await?;
    Ok(written.rows_affected() > 0)
}

/// A row of [`COLUMNS`].
fn domain(row: &AnyRow) -> sqlx::Result<Domain> {
    let text = |column| -> sqlx::Result<Option<&str>> {
        Ok(Some(row.try_get::<&str, _>(column)?).filter(|text| !text.is_empty()))
    };
    let moment = |column| -> sqlx::Result<Moment> { Ok(Moment(row.try_get(column)?)) };
    let error = text(7)?.map(serde_json::from_str).transpose();
    let certificate = match text(11)? {
        Some(id) => Some(Held {
            id: super::parsed(id)?,
            not_before: moment(12)?,
            not_after: moment(13)?,
            renew_at: moment(14)?,
        }),
        None => None,
    };
    Ok(Domain {
        host: row.try_get(0)?,
        site_id: super::parsed(row.try_get(1)?)?,
        token: row.try_get(2)?,
        state: super::parsed(row.try_get(3)?)?,
        asked: text(4)?.and_then(Wish::kept),
        attempts: u32::try_from(number(row, 5)?).unwrap_or(u32::MAX),
        next_attempt_at: moment(6)?,
        error: error.map_err(|error| sqlx::Error::Decode(error.into()))?,
        verified_at: Some(moment(8)?).filter(|at| at.0 != 0),
        method: text(9)?.map(super::parsed).transpose()?,
        order_url: text(10)?.map(str::to_owned),
        certificate,
        created_at: moment(15)?,
        updated_at: moment(16)?,
    })
}
