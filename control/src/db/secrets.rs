//! Secrets in the database, each sealed for its owner; their key can be replaced.

use super::{Change, Db};
use crate::secrets::{Secrets, SecretsError};
use api::feed::Key;
use seal::{Purpose, Sealed, Sealer};
use sqlx::{Any, AnyPool, Executor, Row as _};
use zeroize::Zeroizing;

/// The owner of the value by which a key is known to be the right one.
const CHECK: &str = "check";
/// The owner of the log's key.
const LOG: &str = "log";

/// What a database with its key can do, and one without can't.
pub(super) struct Vault {
    secrets: Secrets,
    /// The sealed value of [`CHECK`]. It is another one after the key was replaced.
    check: String,
    /// What all followers of the log have in common.
    pub(super) key: Key,
    /// What seals for followers.
    feed: Sealer,
}

/// Whether a database has secrets.
pub(super) async fn has_any(pool: &AnyPool) -> sqlx::Result<bool> {
    Ok(find(pool, CHECK).await?.is_some())
}

/// Why a vault stays closed.
pub(super) enum Closed {
    Key(SecretsError),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Closed {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl Vault {
    /// Opens the secrets of a database, and gives it those that it must have.
    pub(super) async fn open(pool: &AnyPool, secrets: Secrets) -> Result<Self, Closed> {
        let check = first(pool, CHECK, &secrets.seal(b"longshore", CHECK)).await?;
        if secrets.open(check.clone(), CHECK).is_err() {
            return Err(Closed::Key(SecretsError::Wrong));
        }
        let made = Key::new(&rand::random());
        let sealed = first(pool, LOG, &secrets.seal(made.reveal().as_bytes(), LOG)).await?;
        let digits = secrets.open(sealed, LOG).map_err(undecodable)?;
        let digits = String::from_utf8(digits.to_vec()).map_err(undecodable)?;
        let key = Key::kept(digits);
        let bytes = Zeroizing::new(key.bytes().ok_or_else(|| undecodable("no key"))?);
        let feed = Sealer::new(&bytes, Purpose::Feed);
        Ok(Self { secrets, check, key, feed })
    }

    /// Seals a secret for those that follow the log.
    pub(super) fn seal_for_edges(&self, secret: &[u8], owner: &str) -> Sealed {
        self.feed.seal(secret, owner)
    }
}

impl Db {
    /// # Errors
    /// Where the database was opened without its key.
    pub(super) fn vault(&self) -> sqlx::Result<&Vault> {
        let closed = || sqlx::Error::Configuration("the database is open without its key".into());
        self.vault.as_ref().ok_or_else(closed)
    }

    /// The secret of an owner.
    pub(crate) async fn secret(&self, owner: &str) -> sqlx::Result<Option<Zeroizing<Vec<u8>>>> {
        let vault = self.vault()?;
        let Some(sealed) = find(&self.pool, owner).await? else { return Ok(None) };
        vault.secrets.open(sealed, owner).map(Some).map_err(undecodable)
    }

    /// Seals a secret for those that follow the log, bound to its owner.
    pub(crate) fn seal_for_edges(&self, secret: &[u8], owner: &str) -> sqlx::Result<Sealed> {
        Ok(self.vault()?.seal_for_edges(secret, owner))
    }

    /// Seals everything anew, under `new`. How many secrets there are.
    ///
    /// A control that runs meanwhile goes on with what it has in memory, and keeps no new secret until it is started
    /// with the new key.
    pub(crate) async fn reseal(&self, new: &Secrets) -> sqlx::Result<usize> {
        let vault = self.vault()?;
        let _writing = self.writer.lock().await;
        let mut transaction = self.pool.begin().await?;
        // as changes do, so that none of them seals in between
        sqlx::query("UPDATE log SET newest = newest").execute(&mut *transaction).await?;
        let query = "SELECT owner, sealed FROM secrets ORDER BY owner";
        let rows = sqlx::query(query).fetch_all(&mut *transaction).await?;
        for row in &rows {
            let (owner, sealed): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let secret = vault.secrets.open(sealed, &owner).map_err(undecodable)?;
            sqlx::query("UPDATE secrets SET sealed = $2 WHERE owner = $1")
                .bind(owner.clone())
                .bind(new.seal(&secret, &owner))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(rows.len())
    }
}

impl Change<'_> {
    /// Keeps the secret of an owner, in place of the one it has.
    ///
    /// # Errors
    /// Also where the key was replaced since this process read it.
    pub(crate) async fn put_secret(&mut self, owner: &str, secret: &[u8]) -> sqlx::Result<()> {
        let vault = self.db.vault()?;
        if find(&mut *self.transaction, CHECK).await?.as_ref() != Some(&vault.check) {
            return Err(undecodable(
                "the secrets key was replaced; start control with the new one",
            ));
        }
        let upsert = "INSERT INTO secrets (owner, sealed) VALUES ($1, $2) \
            ON CONFLICT (owner) DO UPDATE SET sealed = excluded.sealed";
        sqlx::query(upsert)
            .bind(owner.to_owned())
            .bind(vault.secrets.seal(secret, owner))
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// The secret of an owner, as it stands in this change.
    pub(crate) async fn secret(&mut self, owner: &str) -> sqlx::Result<Option<Zeroizing<Vec<u8>>>> {
        let vault = self.db.vault()?;
        let Some(sealed) = find(&mut *self.transaction, owner).await? else { return Ok(None) };
        vault.secrets.open(sealed, owner).map(Some).map_err(undecodable)
    }

    /// Removes the secret of an owner.
    pub(crate) async fn remove_secret(&mut self, owner: &str) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM secrets WHERE owner = $1")
            .bind(owner.to_owned())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}

/// Keeps a secret for an owner that has none. What the owner has then.
async fn first(pool: &AnyPool, owner: &str, sealed: &str) -> sqlx::Result<String> {
    let insert =
        "INSERT INTO secrets (owner, sealed) VALUES ($1, $2) ON CONFLICT (owner) DO NOTHING";
    sqlx::query(insert).bind(owner.to_owned()).bind(sealed.to_owned()).execute(pool).await?;
    find(pool, owner).await?.ok_or(sqlx::Error::RowNotFound)
}

async fn find<'e>(
    executor: impl Executor<'e, Database = Any>,
    owner: &str,
) -> sqlx::Result<Option<String>> {
    let query = sqlx::query("SELECT sealed FROM secrets WHERE owner = $1").bind(owner.to_owned());
    query.fetch_optional(executor).await?.map(|row| row.try_get(0)).transpose()
}

fn undecodable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
