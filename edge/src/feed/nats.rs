//! The other way to control's entries: a subject in NATS (`api::feed`'s `NATS_…`).
//!
//! Control publishes each entry once, to a `JetStream` stream, and NATS carries it to all edges. What an edge missed it asks
//! control for, never the stream: so it needs no consumer there, and a subscription will do. Each message tells the number
//! of the one before, and heartbeats tell the newest: nothing can be missed without notice.

use super::events::{EVENT_MAX_BYTES, Inflate};
use super::link::ZSTD;
use api::feed::{Current, NATS_CURRENT_PREFIX, NATS_PREV, NATS_SEQ, NATS_SUBJECT_PREFIX};
use api::id::LogId;
use async_nats::{ConnectOptions, Event, Subscriber};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages applied together.
const BATCH_MAX: usize = 512;
/// Of messages that are held until they join on to what is applied.
const HELD_MAX_BYTES: usize = 32 << 20;
/// What a message takes beside its text.
const MESSAGE_BYTES: usize = 64;
const CONTENT_ENCODING: &str = "Content-Encoding";

/// Where NATS is.
pub(crate) struct Nats {
    pub(crate) url: String,
    pub(crate) secret: Secret,
}

/// What an edge shows NATS. Files are read at each connection: they can be replaced without a restart.
pub(crate) enum Secret {
    /// None, or what the URL holds.
    Absent,
    /// A token in a file.
    Token(PathBuf),
    /// A credentials file, as NATS' own tools write them.
    Credentials(PathBuf),
}

/// An entry, as NATS has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) seq: u64,
    /// The number of the entry before.
    pub(super) prev: u64,
    pub(super) text: String,
}

/// A session, or the way to one.
pub(super) enum Attempt<'n> {
    Opening(BoxFuture<'n, Result<Session, String>>),
    Open(Box<Session>),
}

/// What a session says.
pub(super) enum Said {
    Entry(Message),
    /// A heartbeat with the newest number.
    Current(u64),
    /// It is over.
    Lost(String),
}

/// A connection that is subscribed. It is not made again when it is lost: what was missed has to be asked for elsewhere.
pub(super) struct Session {
    entries: Subscriber,
    heartbeats: Subscriber,
    lost: watch::Receiver<Option<String>>,
    /// What came before the stream of control's is let go.
    held: Vec<Message>,
    held_bytes: usize,
    /// What the last heartbeat told.
    newest: Option<u64>,
    _client: async_nats::Client,
}

impl Attempt<'_> {
    /// What the session says next, once there is one.
    pub(super) async fn next(&mut self) -> Said {
        loop {
            match self {
                Self::Open(session) => return session.next().await,
                Self::Opening(opening) => match opening.await {
                    Ok(session) => *self = Self::Open(Box::new(session)),
                    Err(reason) => return Said::Lost(reason),
                },
            }
        }
    }

    /// The session, where there is one.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        match self {
            Self::Opening(_) => None,
            Self::Open(session) => Some(session),
        }
    }
}

impl Nats {
    /// Connects at a time, and and subscribes to the entries of a log.
    pub(super) fn open(&self, log: LogId, at: Instant) -> Attempt<'_> {
        let opening = async move {
            sleep_until(at).await;
            let opening = timeout(CONNECT_TIMEOUT, self.subscribe(&log));
            opening.await.map_err(|_| "NATS does not answer in time".to_owned())?
        };
        Attempt::Opening(opening.boxed())
    }

    async fn subscribe(&self, log: &LogId) -> Result<Session, String> {
        let (lose, lost) = watch::channel(None);
        let options = self.options().await.map_err(|error| error.to_string())?;
        let options = options.name("longshore-edge").event_callback(move |event| {
            let reason = loss(&event);
            if reason.is_some() {
                lose.send_replace(reason);
            }
            std::future::ready(())
        });
        let client = options.connect(self.url.as_str()).await.map_err(|error| error.to_string())?;
        let subscribe = async |prefix: &str| client.subscribe(format!("{prefix}{log}")).await;
        let entries = subscribe(NATS_SUBJECT_PREFIX).await.map_err(|error| error.to_string())?;
        let heartbeats = subscribe(NATS_CURRENT_PREFIX).await.map_err(|error| error.to_string())?;
        // the server has both when this is over
        client.flush().await.map_err(|error| error.to_string())?;
        let (held, held_bytes, newest) = (Vec::new(), 0, None);
        Ok(Session { entries, heartbeats, lost, held, held_bytes, newest, _client: client })
    }

    async fn options(&self) -> io::Result<ConnectOptions> {
        let options = ConnectOptions::new().connection_timeout(CONNECT_TIMEOUT);
        match &self.secret {
            Secret::Absent => Ok(options),
            Secret::Token(path) => {
                let token = tokio::fs::read_to_string(path).await?;
                Ok(options.token(token.trim().to_owned()))
            }
            Secret::Credentials(path) => options.credentials_file(path).await,
        }
    }
}

/// Why a session is over after this.
fn loss(event: &Event) -> Option<String> {
    let reason = match event {
        Event::Disconnected | Event::Closed | Event::LameDuckMode | Event::Draining => {
            "NATS is gone".to_owned()
        }
        Event::SlowConsumer(_) => "NATS has dropped entries".to_owned(),
        Event::ServerError(error) => format!("NATS refuses: {error}"),
        Event::ClientError(error) => format!("NATS is not understood: {error}"),
        Event::Connected => return None,
    };
    Some(reason)
}

impl Session {
    /// What comes next.
    pub(super) async fn next(&mut self) -> Said {
        let Self { entries, heartbeats, lost, .. } = self;
        tokio::select! {
            biased;
            message = entries.next() => entry(message),
            message = heartbeats.next() => heartbeat(message),
            reason = lost.wait_for(Option::is_some) => {
                Said::Lost(reason.ok().and_then(|reason| reason.clone()).unwrap_or_default())
            }
        }
    }

    /// This message, and those that have come as well. The first that is none ends them, and the session with the next
    /// question.
    pub(super) fn with_more(&mut self, message: Message) -> Vec<Message> {
        let mut messages = vec![message];
        while messages.len() < BATCH_MAX
            && let Some(Said::Entry(message)) = self.entries.next().now_or_never().map(entry)
        {
            messages.push(message);
        }
        messages
    }

    /// Holds a message until the session is followed. False where there are too many.
    pub(super) fn hold(&mut self, message: Message) -> bool {
        self.held_bytes += MESSAGE_BYTES + message.text.len();
        self.held.push(message);
        self.held_bytes <= HELD_MAX_BYTES
    }

    /// What was held.
    pub(super) fn take_held(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.held)
    }

    pub(super) fn heard_newest(&mut self, newest: u64) {
        self.newest = Some(newest);
    }

    /// The newest number that a heartbeat told.
    pub(super) fn newest(&self) -> u64 {
        self.newest.unwrap_or_default()
    }

    /// Whether nothing is missing between what is applied and what this session gives.
    pub(super) fn joins(&self, applied: u64) -> bool {
        match self.held.first() {
            Some(first) => first.prev <= applied,
            None => self.newest.is_some_and(|newest| newest <= applied),
        }
    }
}

fn entry(message: Option<async_nats::Message>) -> Said {
    let Some(message) = message else { return Said::Lost("NATS is gone".to_owned()) };
    match read(&message) {
        Some(message) => Said::Entry(message),
        None => Said::Lost("NATS has a message that is no entry".to_owned()),
    }
}

fn heartbeat(message: Option<async_nats::Message>) -> Said {
    let Some(message) = message else { return Said::Lost("NATS is gone".to_owned()) };
    match serde_json::from_slice::<Current>(&message.payload) {
        Ok(current) => Said::Current(current.newest),
        Err(_) => Said::Lost("NATS has a heartbeat that is none".to_owned()),
    }
}

fn read(message: &async_nats::Message) -> Option<Message> {
    let headers = message.headers.as_ref()?;
    let number = |name| headers.get(name)?.as_str().parse().ok();
    let payload = match headers.get(CONTENT_ENCODING) {
        Some(coding) if coding.as_str() == ZSTD => inflated(&message.payload)?,
        Some(_) => return None,
        None => message.payload.to_vec(),
    };
    let text = String::from_utf8_lossy(&payload).into_owned();
    Some(Message { seq: number(NATS_SEQ)?, prev: number(NATS_PREV)?, text })
}

/// None for what is longer than an event may be.
fn inflated(payload: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let taken = Inflate::new().ok()?.take(payload, |piece| {
        text.extend_from_slice(piece);
        if text.len() > EVENT_MAX_BYTES { Err(io::Error::other("too long")) } else { Ok(()) }
    });
    taken.is_ok().then_some(text)
}

#[cfg(test)]
mod tests;
