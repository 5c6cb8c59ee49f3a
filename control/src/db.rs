//! Where is it stored? `SQLite` or `PostgreSQL`, by one set of queries; nothing outside this module knows SQL.
//!
//! What writes to the feed goes through [`Change`]: one transaction, numbered by its first statement.

mod authority;
pub(crate) mod certificates;
pub(crate) mod domains;
pub(crate) mod edges;
pub(crate) mod feed;
pub(crate) mod idempotency;
pub(crate) mod leases;
mod notices;
pub(crate) mod purges;
pub(crate) mod reports;
mod secrets;
pub(crate) mod sites;
pub(crate) mod tokens;

use crate::secrets::{Secrets, SecretsError, SecretsKey};
use api::feed::Key;
use api::id::LogId;
use notices::Notices;
use secrets::{Closed, Vault};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Executor as _, Row as _, Transaction};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::timeout;

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTIONS_MAX: u32 = 8;
/// A transaction is on disk before its answer is sent; readers do not wait for the writer.
const SQLITE_SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;";

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no database that control can use.
    #[error("the database URL must begin with `sqlite:` or `postgres:`")]
    Url(#[source] Option<sqlx::Error>),
    /// It has no tables yet.
    #[error("the database is empty; `longshore-control serve` makes its tables")]
    Empty,
    /// It cannot be reached or written.
    #[error("cannot open the database")]
    Open(#[source] sqlx::Error),
    /// Its tables cannot be brought to this version.
    #[error("cannot bring the tables of the database up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// Its secrets stay sealed.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

impl From<Closed> for OpenError {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Key(error) => Self::Secrets(error),
            Closed::Database(error) => Self::Open(error),
        }
    }
}

/// The database.
pub(crate) struct Db {
    pool: AnyPool,
    log: LogId,
    /// None where it was opened without its key.
    vault: Option<Vault>,
    /// Held by the one writer. `SQLite` has room for one; those of `PostgreSQL` are ordered by the row of `log` in any case.
    writer: Mutex<()>,
    notices: Notices,
    /// The newest sequence number known here.
    /// Invariant: it never decreases. [`Db::observe`] is its only writer.
    newest: watch::Sender<u64>,
}

impl Db {
    /// Opens the database at `url`, makes its tables where it has none, and brings them up to date. `key` is told whether
    /// there may be a new key, because nothing is sealed yet.
    pub(crate) async fn make(
        url: &str,
        key: impl FnOnce(bool) -> Result<SecretsKey, SecretsError>,
    ) -> Result<Self, OpenError> {
        Self::begin(connect(url).await?, url).await?.unseal(key).await
    }

    async fn unseal(
        mut self,
        key: impl FnOnce(bool) -> Result<SecretsKey, SecretsError>,
    ) -> Result<Self, OpenError> {
        let is_new = !secrets::has_any(&self.pool).await.map_err(OpenError::Open)?;
        self.vault = Some(Vault::open(&self.pool, Secrets::new(&key(is_new)?)).await?);
        Ok(self)
    }

    /// Opens the database at `url`, which has tables, without its key, and brings them up to date.
    pub(crate) async fn open(url: &str) -> Result<Self, OpenError> {
        // a file that is not there stays so
        let file = url.starts_with("sqlite:").then(|| url.replace("mode=rwc", "mode=rw"));
        let pool = connect(file.as_deref().unwrap_or(url)).await?;
        match sqlx::query("SELECT one FROM log").fetch_optional(&pool).await {
            Ok(_) => Self::begin(pool, url).await,
            Err(sqlx::Error::Database(error)) if is_no_table(&*error) => Err(OpenError::Empty),
            Err(error) => Err(OpenError::Open(error)),
        }
    }

    /// Opens the database at `url`, which has tables, with its key.
    pub(crate) async fn open_sealed(
        url: &str,
        key: impl FnOnce(bool) -> Result<SecretsKey, SecretsError>,
    ) -> Result<Self, OpenError> {
        Self::open(url).await?.unseal(key).await
    }

    async fn begin(pool: AnyPool, url: &str) -> Result<Self, OpenError> {
        sqlx::migrate!().run(&pool).await.map_err(OpenError::Migrate)?;
        let (log, newest) = feed::begin(&pool).await.map_err(OpenError::Open)?;
        let notices = Notices::new(url, &log);
        let (writer, newest) = (Mutex::new(()), watch::Sender::new(newest));
        Ok(Self { pool, log, vault: None, writer, notices, newest })
    }

    /// Which log this database holds.
    pub(crate) const fn log(&self) -> &LogId {
        &self.log
    }

    /// What all followers of this log have in common.
    pub(crate) fn key(&self) -> Option<&Key> {
        self.vault.as_ref().map(|vault| &vault.key)
    }

    /// The newest sequence number known here, and word of every higher one.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Notes that the log has reached `seq`.
    pub(crate) fn observe(&self, seq: u64) {
        let higher = self.newest.send_if_modified(|newest| {
            let higher = seq > *newest;
            *newest = seq.max(*newest);
            higher
        });
        if higher {
            self.notice();
        }
    }

    /// Begins a change to what edges are told. It waits for the writers before it.
    pub(crate) async fn change(&self) -> sqlx::Result<Change<'_>> {
        let writing = self.writer.lock().await;
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query("UPDATE log SET newest = newest + 1 WHERE one = 1 RETURNING newest")
            .fetch_one(&mut *transaction)
            .await?;
        let seq = number(&row, 0)?;
        Ok(Change { db: self, transaction, seq, _writing: writing })
    }

    /// Connections to the database: all, and those idle.
    pub(crate) fn connections(&self) -> (u64, u64) {
        (u64::from(self.pool.size()), self.pool.num_idle() as u64)
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> sqlx::Result<()> {
        sqlx::query("SELECT one FROM log").fetch_one(&self.pool).await.map(|_| ())
    }

    /// Waits for what is running and closes every connection.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether a statement failed because its table is not there, in the words of either database.
fn is_no_table(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
}

async fn connect(url: &str) -> Result<AnyPool, OpenError> {
    sqlx::any::install_default_drivers();
    let scheme = url.split(':').next().unwrap_or_default();
    let sqlite = scheme == "sqlite";
    if !sqlite && !matches!(scheme, "postgres" | "postgresql") {
        return Err(OpenError::Url(None));
    }
    let options: AnyConnectOptions = url.parse().map_err(|error| OpenError::Url(Some(error)))?;
    try_once(&options).await.map_err(OpenError::Open)?;
    pool(sqlite).connect_with(options).await.map_err(OpenError::Open)
}

/// Connects once: the pool would try again and again, and not say why it failed.
async fn try_once(options: &AnyConnectOptions) -> sqlx::Result<()> {
    let connected = timeout(ACQUIRE_TIMEOUT, AnyConnection::connect_with(options)).await;
    connected.unwrap_or(Err(sqlx::Error::PoolTimedOut))?.close().await
}

fn pool(sqlite: bool) -> AnyPoolOptions {
    let options =
        AnyPoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(ACQUIRE_TIMEOUT);
    if !sqlite {
        return options;
    }
    options.after_connect(|connection, _| {
        Box::pin(async move { connection.execute(SQLITE_SETTINGS).await.map(|_| ()) })
    })
}

/// One change to what edges are told, with the number it has in the feed.
///
/// Dropped without [`Change::commit`] it changes nothing, and its number is the next change's.
pub(crate) struct Change<'d> {
    db: &'d Db,
    transaction: Transaction<'static, Any>,
    seq: u64,
    _writing: MutexGuard<'d, ()>,
}

impl Change<'_> {
    /// The number of this change.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    /// Makes the change durable, and tells the followers of this process and the other replicas.
    pub(crate) async fn commit(mut self) -> sqlx::Result<()> {
        self.db.tell_feed(&mut self.transaction, self.seq).await?;
        self.transaction.commit().await?;
        self.db.observe(self.seq);
        Ok(())
    }
}

/// A database that is shared.
pub(crate) type SharedDb = Arc<Db>;

/// A number that is never negative.
fn number(row: &sqlx::any::AnyRow, column: usize) -> sqlx::Result<u64> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A number as the database holds it. No counter of ours reaches the limit.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A text that holds a value of type `T`, written by this module.
fn parsed<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    text: &str,
) -> sqlx::Result<T> {
    text.parse().map_err(|error: T::Err| sqlx::Error::Decode(error.into()))
}
