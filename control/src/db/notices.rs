//! What do replicas on one database tell each other at once?
//!
//! `PostgreSQL` tells whoever listens when a transaction commits. Nothing depends on it: a replica that hears nothing
//! finds what is new when it looks, which the tail of the feed does several times a second.

use super::Db;
use api::id::LogId;
use sqlx::AnyConnection;
use sqlx::postgres::PgListener;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

const RETRY: Duration = Duration::from_secs(1);

/// Whom a database can have told, and of what.
pub(super) struct Notices {
    /// Where it can tell anybody: the URL to listen at.
    url: Option<String>,
    feed: String,
    acks: String,
    count: watch::Sender<u64>,
}

impl Notices {
    /// Those of the log `log`, at the database of `url`.
    pub(super) fn new(url: &str, log: &LogId) -> Self {
        let log = log.as_str();
        Self {
            url: url.starts_with("postgres").then(|| url.to_owned()),
            feed: format!("longshore_feed_{log}"),
            acks: format!("longshore_acks_{log}"),
            count: watch::Sender::new(0),
        }
    }

    /// Has the listeners of a channel told when the transaction of `connection` commits.
    async fn tell(
        &self,
        connection: &mut AnyConnection,
        channel: &str,
        text: String,
    ) -> sqlx::Result<()> {
        if self.url.is_some() {
            let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(channel.to_owned());
            notify.bind(text).execute(connection).await?;
        }
        Ok(())
    }
}

impl Db {
    /// A number that rises when the log has a new entry or acknowledgements came, here or at another replica.
    pub(crate) fn notices(&self) -> watch::Receiver<u64> {
        self.notices.count.subscribe()
    }

    /// Notes that there is something new.
    pub(super) fn notice(&self) {
        self.notices.count.send_modify(|count| *count += 1);
    }

    /// Has replicas told of the log's entry `seq` when the transaction of `connection` commits.
    pub(super) async fn tell_feed(
        &self,
        connection: &mut AnyConnection,
        seq: u64,
    ) -> sqlx::Result<()> {
        self.notices.tell(connection, &self.notices.feed, seq.to_string()).await
    }

    /// Has replicas told of acknowledgements when the transaction of `connection` commits.
    pub(super) async fn tell_acks(&self, connection: &mut AnyConnection) -> sqlx::Result<()> {
        self.notices.tell(connection, &self.notices.acks, String::new()).await
    }

    /// Listens to the other replicas, for ever.
    pub(crate) async fn listen(&self) {
        let Some(url) = &self.notices.url else { return std::future::pending().await };
        let mut heard = true;
        loop {
            let ended = self.hear(url, &mut heard).await;
            if heard {
                let why = ended.err().map_or_else(|| "it was closed".to_owned(), |e| e.to_string());
                tracing::warn!("the connection that other replicas are heard by is lost: {why}");
            }
            heard = false;
            sleep(RETRY).await;
        }
    }

    /// Listens until the connection is lost.
    async fn hear(&self, url: &str, heard: &mut bool) -> sqlx::Result<()> {
        let mut listener = PgListener::connect(url).await?;
        listener.eager_reconnect(false);
        let Notices { feed, acks, .. } = &self.notices;
        listener.listen_all([feed.as_str(), acks.as_str()]).await?;
        if !*heard {
            tracing::info!("other replicas are heard again");
        }
        *heard = true;
        // what was told before nobody listened
        self.read_newest().await?;
        self.notice();
        while let Some(notification) = listener.try_recv().await? {
            match notification.payload().parse() {
                Ok(seq) if notification.channel() == feed => self.observe(seq),
                Ok(_) | Err(_) => self.notice(),
            }
        }
        Ok(())
    }
}
