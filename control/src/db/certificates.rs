//! Certificates, their keys, and which names they are for.

mod needs;

pub(crate) use needs::{Ends, Need};

use super::feed::Subject;
use super::{Change, Db, number, stored};
use crate::certificate::Checked;
#[cfg(test)]
use crate::certificate::PrivateKey;
use crate::clock::Moment;
use api::certificate::Certificate;
use api::certificates::CertificateRecord;
use api::feed;
use api::id::CertificateId;
use api::site::tls::CertificateSource;
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row as _};

const COLUMNS: &str = "id, revision, seq, source, names, not_before, not_after, fingerprint, issuer, \
    serial, CAST(CASE WHEN ocsp IS NULL THEN 0 ELSE 1 END AS BIGINT), created_at, updated_at, chain";
const NO_CHAIN: &str = "''";

/// Certificates in the order of their ids.
pub(crate) struct CertificatesPage {
    /// The certificates, without their chains.
    pub(crate) certificates: Vec<CertificateRecord>,
    /// Whether there are further ones.
    pub(crate) more: bool,
}

/// Of which certificates a list is.
#[derive(Debug, Default)]
pub(crate) struct Selection<'q> {
    /// Those after this one.
    pub(crate) after: Option<&'q CertificateId>,
    /// Those from there.
    pub(crate) source: Option<CertificateSource>,
    /// Those for this host, wildcards too.
    pub(crate) host: Option<&'q str>,
}

impl Db {
    /// A certificate, with its chain.
    pub(crate) async fn certificate(
        &self,
        id: &CertificateId,
    ) -> sqlx::Result<Option<CertificateRecord>> {
        find(&self.pool, id).await
    }

    /// At most `limit` certificates.
    pub(crate) async fn certificates(
        &self,
        selection: &Selection<'_>,
        limit: u32,
    ) -> sqlx::Result<CertificatesPage> {
        let columns = COLUMNS.replace("chain", NO_CHAIN);
        let query = format!(
            "SELECT {columns} FROM certificates WHERE id > $1 AND ($2 = '' OR source = $2) \
             AND ($3 = '' OR id IN (SELECT certificate_id FROM certificate_names \
                WHERE name = $3 OR name = $4)) ORDER BY id LIMIT $5"
        );
        let host = selection.host.unwrap_or_default();
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(selection.after.map_or("", CertificateId::as_str).to_owned())
            .bind(selection.source.map_or("", CertificateSource::as_str).to_owned())
            .bind(host.to_owned())
            .bind(wildcard(host))
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.pool)
            .await?;
        let certificates: Vec<_> =
            rows.iter().take(limit as usize).map(record).collect::<sqlx::Result<_>>()?;
        Ok(CertificatesPage { more: rows.len() > certificates.len(), certificates })
    }

    /// The private key of a certificate: PKCS #8 in PEM.
    #[cfg(test)]
    pub(crate) async fn certificate_key(
        &self,
        id: &CertificateId,
    ) -> sqlx::Result<Option<PrivateKey>> {
        self.secret(id.as_str()).await?.as_deref().map(|pem| private(pem)).transpose()
    }
}

impl Change<'_> {
    /// A certificate as it stands in this change, with its chain.
    pub(crate) async fn certificate(
        &mut self,
        id: &CertificateId,
    ) -> sqlx::Result<Option<CertificateRecord>> {
        find(&mut *self.transaction, id).await
    }

    /// Makes or replaces a certificate, keeps its key, and tells the edges. `earlier` is what it replaces.
    pub(crate) async fn put_certificate(
        &mut self,
        id: CertificateId,
        source: CertificateSource,
        checked: &Checked,
        earlier: Option<&CertificateRecord>,
        now: Moment,
    ) -> sqlx::Result<CertificateRecord> {
        let record = CertificateRecord {
            revision: earlier.map_or(0, |earlier| earlier.revision) + 1,
            seq: self.seq(),
            source,
            names: checked.names.clone(),
            not_before: seconds(checked.not_before).rfc3339(),
            not_after: seconds(checked.not_after).rfc3339(),
            fingerprint: checked.fingerprint.clone(),
            issuer: checked.issuer.clone(),
            serial: checked.serial.clone(),
            stapled: false,
            created_at: earlier.map_or_else(|| now.rfc3339(), |earlier| earlier.created_at.clone()),
            updated_at: now.rfc3339(),
            chain: Some(checked.chain.clone()),
            id,
        };
        self.put_certificate_row(&record, checked, now).await?;
        self.put_certificate_names(&record).await?;
        self.put_secret(record.id.as_str(), checked.key.reveal().as_bytes()).await?;
        self.tell_certificate(&record.id, checked, None).await?;
        Ok(record)
    }

    /// Writes the entry of a certificate, its key sealed for those that follow the log.
    async fn tell_certificate(
        &mut self,
        id: &CertificateId,
        checked: &Checked,
        ocsp: Option<String>,
    ) -> sqlx::Result<()> {
        let key = self.db.seal_for_edges(checked.key.reveal().as_bytes(), id.as_str())?;
        let put = feed::Change::CertificatePut(Certificate {
            certificate_id: id.clone(),
            names: checked.names.clone(),
            chain: checked.chain.clone(),
            key: key.as_str().to_owned(),
            ocsp,
            not_before: checked.not_before,
            not_after: checked.not_after,
        });
        self.tell(Subject::Certificate(id), put).await
    }

    async fn put_certificate_row(
        &mut self,
        record: &CertificateRecord,
        checked: &Checked,
        now: Moment,
    ) -> sqlx::Result<()> {
        let upsert = "INSERT INTO certificates (id, revision, seq, source, names, chain, not_before, \
                not_after, fingerprint, issuer, serial, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12) \
            ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, seq = excluded.seq, \
                source = excluded.source, names = excluded.names, chain = excluded.chain, \
                not_before = excluded.not_before, not_after = excluded.not_after, \
                fingerprint = excluded.fingerprint, issuer = excluded.issuer, \
                serial = excluded.serial, ocsp = NULL, ocsp_until = 0, \
                updated_at = excluded.updated_at";
        sqlx::query(upsert)
            .bind(record.id.to_string())
            .bind(stored(record.revision))
            .bind(stored(record.seq))
            .bind(record.source.as_str().to_owned())
            .bind(crate::idempotent::json(&record.names))
            .bind(checked.chain.clone())
            .bind(checked.not_before)
            .bind(checked.not_after)
            .bind(record.fingerprint.clone())
            .bind(record.issuer.clone())
            .bind(record.serial.clone())
            .bind(now.0)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    async fn put_certificate_names(&mut self, record: &CertificateRecord) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM certificate_names WHERE certificate_id = $1")
            .bind(record.id.to_string())
            .execute(&mut *self.transaction)
            .await?;
        for name in &record.names {
            let insert = "INSERT INTO certificate_names (name, certificate_id) VALUES ($1, $2) \
                ON CONFLICT (name, certificate_id) DO NOTHING";
            sqlx::query(insert)
                .bind(name.clone())
                .bind(record.id.to_string())
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }

    /// Removes a certificate and its key, and tells the edges.
    pub(crate) async fn remove_certificate(&mut self, id: &CertificateId) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM certificates WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *self.transaction)
            .await?;
        self.remove_secret(id.as_str()).await?;
        let removed = feed::Change::CertificateRemoved { certificate_id: id.clone() };
        self.tell(Subject::Certificate(id), removed).await
    }
}

async fn find<'e>(
    executor: impl Executor<'e, Database = Any>,
    id: &CertificateId,
) -> sqlx::Result<Option<CertificateRecord>> {
    let query = format!("SELECT {COLUMNS} FROM certificates WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(id.to_string())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(record).transpose()
}

/// A row of [`COLUMNS`].
fn record(row: &AnyRow) -> sqlx::Result<CertificateRecord> {
    let (names, chain): (&str, String) = (row.try_get(4)?, row.try_get(13)?);
    Ok(CertificateRecord {
        id: super::parsed(row.try_get(0)?)?,
        revision: number(row, 1)?,
        seq: number(row, 2)?,
        source: super::parsed(row.try_get(3)?)?,
        names: serde_json::from_str(names).map_err(|error| sqlx::Error::Decode(error.into()))?,
        not_before: seconds(row.try_get(5)?).rfc3339(),
        not_after: seconds(row.try_get(6)?).rfc3339(),
        fingerprint: row.try_get(7)?,
        issuer: row.try_get(8)?,
        serial: row.try_get(9)?,
        stapled: row.try_get::<i64, _>(10)? != 0,
        created_at: Moment(row.try_get(11)?).rfc3339(),
        updated_at: Moment(row.try_get(12)?).rfc3339(),
        chain: Some(chain).filter(|chain| !chain.is_empty()),
    })
}

/// The wildcard name that a certificate for `host` may have instead of it; empty where there is none.
pub(crate) fn wildcard(host: &str) -> String {
    host.split_once('.').map(|(_, below)| format!("*.{below}")).unwrap_or_default()
}

#[cfg(test)]
fn private(pem: &[u8]) -> sqlx::Result<PrivateKey> {
    let text = std::str::from_utf8(pem).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(PrivateKey::new(text.to_owned()))
}

fn seconds(seconds: i64) -> Moment {
    Moment(seconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::new_id;
    use crate::db::OpenError;
    use crate::secrets::{Secrets, SecretsError, SecretsKey};
    use seal::{Purpose, Sealed, Sealer};

    const SECRET: &str = "-----BEGIN PRIVATE KEY-----\nnobody reads this\n";

    async fn database(url: &str, key: u8) -> Result<Db, OpenError> {
        Db::make(url, |_| Ok(SecretsKey::new([key; 32]))).await
    }

    fn checked(names: &[&str]) -> Checked {
        Checked {
            names: names.iter().map(ToString::to_string).collect(),
            chain: "chain".to_owned(),
            key: PrivateKey::new(SECRET.to_owned()),
            not_before: 1,
            not_after: 2,
            fingerprint: "aa".to_owned(),
            issuer: "CN=x".to_owned(),
            serial: "01".to_owned(),
        }
    }

    async fn put(db: &Db, id: &CertificateId, names: &[&str]) -> sqlx::Result<CertificateRecord> {
        let mut change = db.change().await?;
        let earlier = change.certificate(id).await?;
        let (source, now) = (CertificateSource::Uploaded, Moment(5));
        let record = change
            .put_certificate(id.clone(), source, &checked(names), earlier.as_ref(), now)
            .await?;
        change.commit().await?;
        Ok(record)
    }

    async fn entries(db: &Db) -> Vec<feed::Change> {
        let newest = db.read_newest().await.unwrap();
        let page = db.state_page(0, newest).await.unwrap();
        let entries = page.entries.iter().map(|(_, entry)| serde_json::from_str(entry).unwrap());
        entries.map(|entry: feed::Entry| entry.change).collect()
    }

    #[tokio::test]
    async fn a_certificate_is_told_with_its_key_sealed_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/a.db?mode=rwc", directory.path().display());
        let db = database(&url, 7).await.unwrap();
        let id = new_id();
        let record = put(&db, &id, &["a.example", "*.b.example"]).await.unwrap();
        assert_eq!(db.certificate(&id).await.unwrap(), Some(record));
        assert_eq!(db.certificate_key(&id).await.unwrap().unwrap().reveal(), SECRET);
        let told = entries(&db).await;
        let [feed::Change::CertificatePut(told)] = &told[..] else { panic!("{told:?}") };
        let edge = Sealer::new(&db.key().unwrap().bytes().unwrap(), Purpose::Feed);
        let opened = edge.open(&Sealed::kept(told.key.clone()), id.as_str()).unwrap();
        assert_eq!(opened, SECRET.as_bytes());
        assert_eq!(put(&db, &id, &["a.example"]).await.unwrap().revision, 2);
        for (host, expected) in [("a.example", 1), ("x.b.example", 0), ("example", 0)] {
            let selection = Selection { host: Some(host), ..Selection::default() };
            let page = db.certificates(&selection, 10).await.unwrap();
            assert_eq!((page.certificates.len(), page.more), (expected, false), "{host}");
        }
        let mut change = db.change().await.unwrap();
        change.remove_certificate(&id).await.unwrap();
        change.commit().await.unwrap();
        assert!(entries(&db).await.is_empty());
        assert!(db.certificate_key(&id).await.unwrap().is_none());
        let extent = db.extent().await.unwrap();
        db.drop_removals(Moment(i64::MAX)).await.unwrap();
        assert_eq!(db.extent().await.unwrap().forgotten, extent.newest);
    }

    #[tokio::test]
    async fn secrets_open_under_their_key_alone_and_can_be_sealed_under_another() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/a.db?mode=rwc", directory.path().display());
        let db = database(&url, 7).await.unwrap();
        let id = new_id();
        put(&db, &id, &["a.example"]).await.unwrap();
        let wrong = database(&url, 8).await.err();
        assert!(matches!(wrong, Some(OpenError::Secrets(SecretsError::Wrong))), "{wrong:?}");
        // the check, the log's key, and the certificate's
        assert_eq!(db.reseal(&Secrets::new(&SecretsKey::new([8; 32]))).await.unwrap(), 3);
        // who has the old key in memory keeps nothing under it
        assert!(put(&db, &new_id(), &["b.example"]).await.is_err());
        let again = database(&url, 8).await.unwrap();
        assert_eq!(again.key(), db.key());
        assert_eq!(again.certificate_key(&id).await.unwrap().unwrap().reveal(), SECRET);
        assert!(put(&again, &new_id(), &["b.example"]).await.is_ok());
        let files = std::fs::read_dir(directory.path()).unwrap();
        for file in files {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for secret in ["nobody reads", again.key().unwrap().reveal()] {
                let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
                assert!(!found, "{secret}");
            }
        }
    }
}
