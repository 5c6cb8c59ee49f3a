//! Who publishes the log to NATS `JetStream`, and how does each entry get there once and in order?
//!
//! Every replica tries to. A message is published on the condition that the last one of the log's subject is the one
//! this replica knows: where two publish at one time, one of them is refused, reads what is last now, and goes on from
//! there. What was published stands in the messages alone: the last one has the number to go on from, after a restart
//! and after an outage, and each has the number of the one before it, so that a follower sees what it has missed.

use super::encoding::compressed;
use crate::db::Db;
use crate::metrics::Metrics;
use api::feed::{
    Current, HEARTBEAT_SECONDS, NATS_CURRENT_PREFIX, NATS_PREV, NATS_SEQ, NATS_STREAM,
    NATS_SUBJECT_PREFIX,
};
use async_nats::connection::State;
use async_nats::jetstream::context::{CreateStreamError, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageError, LastRawMessageErrorKind, StorageType, Stream,
};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectError, ConnectOptions, ServerAddr};
use bytes::Bytes;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// How long the server refuses a message it has had, beside the condition each has.
const DUPLICATES: Duration = Duration::from_secs(120);
const RETRY: Duration = Duration::from_secs(1);
/// How long a connection may take to be made before that is a failure.
const CONNECTING: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_secs(HEARTBEAT_SECONDS);
/// Bytes of an entry above which it is compressed.
const COMPRESSED_ABOVE: usize = 512;

/// Where to publish.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Servers of one cluster.
    pub(crate) servers: Vec<ServerAddr>,
    /// A file with a JWT and a seed.
    pub(crate) credentials: Option<PathBuf>,
    /// Bytes that the stream keeps.
    pub(crate) max_bytes: u64,
}

/// Why a connection is not tried.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailed {
    /// The credentials can't be read.
    #[error("cannot read the credentials `{}`", path.display())]
    Credentials {
        /// Their file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The options are wrong; a server that is away is no failure.
    #[error("cannot connect to NATS")]
    Connect(#[source] ConnectError),
}

/// Why publishing broke off.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the server is away: {0}")]
    Away(String),
    #[error("the stream can be neither found nor made: {0}")]
    Stream(#[from] CreateStreamError),
    #[error("the last message cannot be read: {0}")]
    Last(#[from] LastRawMessageError),
    #[error("an entry cannot be published: {0}")]
    Publish(#[from] PublishError),
    #[error("the log cannot be read: {0}")]
    Log(#[from] sqlx::Error),
}

/// What is published up to where.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The number of the newest entry that was.
    seq: u64,
    /// The last message of the subject, as the stream counts; 0 for none.
    message: u64,
}

/// Publishes a log.
pub(crate) struct Publisher {
    client: Client,
    context: Context,
    /// What was last said of the connection.
    said: watch::Receiver<String>,
    max_bytes: u64,
}

impl Publisher {
    /// Begins to connect, and goes on trying.
    pub(crate) async fn connect(options: Options) -> Result<Self, ConnectFailed> {
        let Options { servers, credentials, max_bytes } = options;
        let (say, said) = watch::channel("not connected yet".to_owned());
        let mut connect = ConnectOptions::new()
            .name("longshore-control")
            .retry_on_initial_connect()
            // its own logs each
            .event_callback(move |event| {
                say.send_replace(event.to_string());
                std::future::ready(())
            });
        if let Some(path) = credentials {
            connect = connect
                .credentials_file(&path)
                .await
                .map_err(|source| ConnectFailed::Credentials { path, source })?;
        }
        let client = connect.connect(servers).await.map_err(ConnectFailed::Connect)?;
        let context = jetstream::new(client.clone());
        Ok(Self { client, context, said, max_bytes })
    }

    /// Publishes what comes to the log, for ever.
    pub(crate) async fn run(&self, db: &Db, metrics: &Metrics) {
        let mut place = None;
        let mut well = true;
        loop {
            let Err(ended) = self.publish(db, metrics, &mut place, &mut well).await;
            metrics.nats_failed();
            if well {
                tracing::warn!("the feed is not published: {ended}");
            }
            well = false;
            sleep(RETRY).await;
        }
    }

    /// Publishes until something fails.
    async fn publish(
        &self,
        db: &Db,
        metrics: &Metrics,
        known: &mut Option<Place>,
        well: &mut bool,
    ) -> Result<std::convert::Infallible, Ended> {
        let stream = self.stream().await?;
        let mut place = self.last(&stream, db, *known).await?;
        if !*well {
            tracing::info!("the feed is published again");
        }
        *well = true;
        let mut newest = db.newest();
        let mut beat = Instant::now();
        // up to here there is nothing to publish
        let mut read = place.seq;
        loop {
            *known = Some(place);
            metrics.nats_published(place.seq);
            let page = db.feed_page(read).await?;
            read = page.until;
            if page.forgotten > place.seq {
                // followers see the gap, and read the log itself
                place.seq = page.newest;
                read = page.newest;
                continue;
            }
            if !self.send_all(db, page.entries, &mut place).await? {
                place = self.last(&stream, db, Some(place)).await?;
                read = place.seq;
                continue;
            }
            if Instant::now() >= beat {
                self.beat(db, read).await?;
                beat = Instant::now() + HEARTBEAT;
            }
            tokio::select! {
                _ = newest.wait_for(|newest| *newest > read) => {}
                () = sleep_until(beat) => {}
            }
        }
    }

    /// Publishes entries after `place`, which moves on with each. False where another replica was first.
    async fn send_all(
        &self,
        db: &Db,
        entries: Vec<(u64, String)>,
        place: &mut Place,
    ) -> Result<bool, Ended> {
        for (seq, entry) in entries {
            self.connected()?;
            match self.send(db, *place, seq, entry).await {
                Ok(message) => *place = Place { seq, message },
                Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                    tracing::warn!(seq, "an entry is too large for NATS; followers read it here");
                    place.seq = seq;
                }
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// The stream, once there is a connection.
    async fn stream(&self) -> Result<Stream, Ended> {
        let mut said = self.said.clone();
        // whether it is connected or time is up: it looks
        let _ = timeout(CONNECTING, said.wait_for(|_| self.connected().is_ok())).await;
        self.connected()?;
        Ok(self.context.get_or_create_stream(stream_config(self.max_bytes)).await?)
    }

    fn connected(&self) -> Result<(), Ended> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => Err(Ended::Away(self.said.borrow().clone())),
        }
    }

    /// Where to go on: after the last message. Where there is none, where this replica was, or at the newest entry:
    /// followers begin with the log itself.
    async fn last(&self, stream: &Stream, db: &Db, known: Option<Place>) -> Result<Place, Ended> {
        let subject = subject(db);
        let last = match stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Some(message),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => None,
            Err(error) => return Err(error.into()),
        };
        let seq = last.as_ref().and_then(|last| last.headers.get(NATS_SEQ)?.as_str().parse().ok());
        let message = last.map_or(0, |last| last.sequence);
        let seq = match (seq, known) {
            (Some(seq), _) => seq,
            (None, Some(known)) => known.seq,
            (None, None) => db.read_newest().await?,
        };
        Ok(Place { seq, message })
    }

    /// Publishes an entry after `place`. Returns its place in the stream.
    async fn send(
        &self,
        db: &Db,
        place: Place,
        seq: u64,
        entry: String,
    ) -> Result<u64, PublishError> {
        let message = PublishMessage::build()
            .message_id(format!("{}-{seq}", db.log()))
            .expected_last_subject_sequence(place.message)
            .header(NATS_SEQ, seq.to_string())
            .header(NATS_PREV, place.seq.to_string());
        let message = match entry.len() > COMPRESSED_ABOVE {
            true => {
                message.header("Content-Encoding", "zstd").payload(compressed(entry.as_bytes()))
            }
            false => message.payload(Bytes::from(entry)),
        };
        let ack = self.context.send_publish(subject(db), message).await?.await?;
        Ok(ack.sequence)
    }

    /// Tells followers up to where there are messages.
    async fn beat(&self, db: &Db, newest: u64) -> Result<(), Ended> {
        self.connected()?;
        let subject = format!("{NATS_CURRENT_PREFIX}{}", db.log());
        let current = crate::idempotent::json(&Current { newest });
        let sent = self.client.publish(subject, Bytes::from(current)).await;
        sent.map_err(|error| Ended::Away(error.to_string()))
    }
}

fn subject(db: &Db) -> String {
    format!("{NATS_SUBJECT_PREFIX}{}", db.log())
}

/// The stream, where nobody has made it otherwise.
fn stream_config(max_bytes: u64) -> Config {
    Config {
        name: NATS_STREAM.to_owned(),
        description: Some("The feed of Longshore".to_owned()),
        subjects: vec![format!("{NATS_SUBJECT_PREFIX}>")],
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        max_age: KEPT,
        max_bytes: i64::try_from(max_bytes).unwrap_or(i64::MAX),
        duplicate_window: DUPLICATES,
        ..Config::default()
    }
}
