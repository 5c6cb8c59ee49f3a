//! Applies what control says, whichever way it comes.
//!
//! A stream of control's is followed first, always: it alone gives what was missed. Where there is NATS, and nothing is
//! missed any more, entries are taken from there, up to the first doubt: an entry that is missing, a heartbeat that is
//! ahead, silence. Then control is asked again.

use super::adopted::{Adopted, Applied, CaughtUp};
use super::entry::{Entry, Says};
use super::events::Event;
use super::journal::Batch;
use super::keeper::Unwritten;
use super::link::{Events, LinkError};
use super::nats::{Attempt, Message, Said, Session};
use super::{Feed, number};
use crate::clock;
use crate::telemetry::metrics::Source;
use crate::tls;
use crate::work::Task;
use api::edge::AWAY_SECONDS;
use api::feed::{self, HEARTBEAT_SECONDS};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// A stream that says nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT_SECONDS);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long NATS may have told less than its heartbeat tells of.
const BEHIND_MAX: Duration = Duration::from_secs(2);
/// After a session with NATS, until the next is tried.
const NATS_RETRY_FIRST: Duration = Duration::from_secs(1);
const NATS_RETRY_MAX: Duration = Duration::from_secs(30);
/// A session that lasted so long was a good one.
const NATS_SOUND: Duration = Duration::from_secs(60);
/// How long after an edge had everything what it is told is still to be done.
const AWAY: Duration = Duration::from_secs(AWAY_SECONDS);

/// Follows the feed.
pub(super) struct Follower<'f> {
    feed: &'f Feed,
    unwritten: &'f Unwritten,
    changed: &'f watch::Sender<u64>,
    heard: &'f watch::Sender<bool>,
    adopted: Adopted,
    /// The newest number when the stream began.
    newest_at_first: u64,
    /// When everything there was, was last known to be adopted.
    current_at: Option<Instant>,
    nats_retry: Duration,
    /// When NATS is tried next.
    nats_at: Instant,
}

/// What a batch of events came to.
#[derive(Default)]
struct Step {
    records: Batch,
    has_changed: bool,
    /// Whether a log was read from its beginning to its end.
    is_replaced: bool,
    is_current: bool,
    tasks: Vec<(u64, Task)>,
}

impl<'f> Follower<'f> {
    pub(super) fn new(
        feed: &'f Feed,
        unwritten: &'f Unwritten,
        changed: &'f watch::Sender<u64>,
        heard: &'f watch::Sender<bool>,
        adopted: Adopted,
    ) -> Self {
        Self {
            feed,
            unwritten,
            changed,
            heard,
            adopted,
            newest_at_first: 0,
            current_at: None,
            nats_retry: NATS_RETRY_FIRST,
            nats_at: Instant::now(),
        }
    }

    /// Follows for ever.
    pub(super) async fn run(mut self) {
        let mut pause = RETRY_FIRST;
        let mut told = String::new();
        loop {
            let before = self.adopted.applied;
            let error = self.follow_once().await;
            let is_nats = matches!(error, LinkError::Nats(_));
            self.feed.telemetry.metrics.feed.follows(None);
            self.heard.send_replace(true);
            let reason = error.to_string();
            if reason != told {
                tracing::warn!("the feed is not followed: {reason}");
                told = reason;
            }
            if self.adopted.applied > before {
                pause = RETRY_FIRST;
            }
            if !is_nats {
                sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }

    /// Follows control until that ends, then NATS if that was why, and says why nothing is followed any more.
    async fn follow_once(&mut self) -> LinkError {
        let opened = self.feed.link.open_feed(self.adopted.applied, self.adopted.log()).await;
        match opened {
            Ok(events) => match self.follow_control(events).await {
                Ok(session) => self.follow_nats(session).await,
                Err(error) => error,
            },
            Err(error) => error,
        }
    }

    /// Follows a stream of control's until a session with NATS can be followed instead.
    async fn follow_control(&mut self, mut events: Events) -> Result<Session, LinkError> {
        let mut batch = Vec::new();
        let mut attempt: Option<Attempt<'f>> = None;
        // NATS says nothing of whether control is heard
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                next = timeout_at(heard_at + SILENCE, events.next(&mut batch)) => {
                    heard_at = Instant::now();
                    // what came before the stream broke is not sent again, so it is served from now on
                    let is_current = self.apply_events(std::mem::take(&mut batch))?;
                    next.map_err(|_| LinkError::Silent)??;
                    if is_current && attempt.is_none() {
                        attempt = self.open_nats();
                    }
                }
                said = hear(&mut attempt) => {
                    if let Err(reason) = note(&mut attempt, said) {
                        tracing::warn!("NATS can't be followed, control is: {reason}");
                        attempt = None;
                        self.put_nats_off();
                    }
                }
            }
            let joins = |session: &mut Session| session.joins(self.adopted.applied);
            if attempt.as_mut().and_then(Attempt::session).is_some_and(joins)
                && let Some(Attempt::Open(session)) = attempt.take()
            {
                return Ok(*session);
            }
        }
    }

    /// A session with NATS, when it is time to; none where there is no NATS.
    fn open_nats(&self) -> Option<Attempt<'f>> {
        let nats = self.feed.nats.as_ref()?;
        Some(nats.open(self.adopted.log()?.clone(), self.nats_at))
    }

    fn put_nats_off(&mut self) {
        self.nats_at = Instant::now() + self.nats_retry;
        self.nats_retry = (self.nats_retry * 2).min(NATS_RETRY_MAX);
    }

    /// Follows NATS until there is a doubt.
    async fn follow_nats(&mut self, mut session: Session) -> LinkError {
        tracing::info!("following NATS");
        self.feed.telemetry.metrics.feed.follows(Some(Source::Nats));
        let began = Instant::now();
        let reason = self.follow_session(&mut session).await;
        if began.elapsed() > NATS_SOUND {
            self.nats_retry = NATS_RETRY_FIRST;
        }
        self.put_nats_off();
        LinkError::Nats(reason)
    }

    async fn follow_session(&mut self, session: &mut Session) -> String {
        if let Err(reason) = self.apply_messages(session.take_held()) {
            return reason;
        }
        let mut behind_since: Option<Instant> = None;
        let mut heard_at = Instant::now();
        loop {
            let deadline = behind_since.map_or(heard_at + SILENCE, |since| since + BEHIND_MAX);
            let said = tokio::select! {
                biased;
                said = session.next() => said,
                () = sleep_until(deadline) => {
                    let what = if behind_since.is_some() { "misses entries" } else { "is silent" };
                    return format!("NATS {what}");
                }
            };
            match said {
                Said::Lost(reason) => return reason,
                Said::Entry(message) => {
                    let messages = session.with_more(message);
                    if let Err(reason) = self.apply_messages(messages) {
                        return reason;
                    }
                }
                Said::Current(newest) => {
                    heard_at = Instant::now();
                    session.heard_newest(newest);
                    self.feed.telemetry.metrics.feed.newest.set(number(newest));
                }
            }
            if session.newest() > self.adopted.applied {
                behind_since.get_or_insert_with(Instant::now);
            } else {
                behind_since = None;
                self.current_at = Some(heard_at);
            }
        }
    }

    fn apply_messages(&mut self, messages: Vec<Message>) -> Result<(), String> {
        let mut step = Step::default();
        let mut result = Ok(());
        for Message { seq, prev, text } in messages {
            if prev > self.adopted.applied {
                result =
                    Err(format!("NATS lacks what is between {} and {seq}", self.adopted.applied));
                break;
            }
            self.apply_entry(&text, Some(seq), &mut step);
        }
        self.finish(step);
        result
    }

    /// Applies events, and publishes what they came to. True where there is nothing more to come now.
    fn apply_events(&mut self, events: Vec<Event>) -> Result<bool, LinkError> {
        let mut step = Step::default();
        let mut result = Ok(());
        for event in events {
            result = self.apply_event(&event, &mut step);
            if result.is_err() {
                break;
            }
        }
        let is_current = step.is_current;
        self.finish(step);
        result.map(|()| is_current)
    }

    fn apply_event(&mut self, event: &Event, step: &mut Step) -> Result<(), LinkError> {
        let metrics = &self.feed.telemetry.metrics.feed;
        match event.name.as_str() {
            feed::EVENT_HELLO => {
                let hello: feed::Hello = serde_json::from_str(&event.data)?;
                tracing::info!(feed.log = %hello.log, feed.newest = hello.newest, reset = hello.reset, "following the feed");
                metrics.follows(Some(Source::Control));
                metrics.newest.set(number(hello.newest));
                self.newest_at_first = hello.newest;
                let reading = ulid::Ulid::from_datetime(clock::wall()).into();
                let is_new_key = self.adopted.greet(&hello, reading);
                if self.adopted.is_resetting() {
                    self.feed.work.ledger.clear();
                }
                if is_new_key {
                    step.has_changed = true;
                    self.adopted.key().into_iter().for_each(|key| step.records.key(key));
                }
            }
            feed::EVENT_ENTRY => self.apply_entry(&event.data, event.id.parse().ok(), step),
            feed::EVENT_CURRENT => {
                let current: feed::Current = serde_json::from_str(&event.data)?;
                metrics.newest.set(number(current.newest));
                step.is_current = true;
                match self.adopted.catch_up(current.newest) {
                    CaughtUp::Same => {}
                    CaughtUp::Advanced => step.pass(current.newest),
                    CaughtUp::Replaced => (step.has_changed, step.is_replaced) = (true, true),
                }
            }
            _ => {} // of a later version
        }
        Ok(())
    }

    fn apply_entry(&mut self, text: &str, seq: Option<u64>, step: &mut Step) {
        let metrics = &self.feed.telemetry.metrics.feed;
        let entry = Entry::read(text, seq);
        let is_readable = entry.as_ref().is_some_and(|entry| {
            !matches!(entry.says, Says::Unreadable | Says::UnreadablePurge { .. })
        });
        if !is_readable {
            metrics.entries_unreadable.inc();
            tracing::warn!(
                seq = entry.as_ref().map(|entry| entry.seq),
                "an entry can't be understood: what may be a purge purges all of its site or sites, anything else is passed over"
            );
        }
        let Some(entry) = entry else { return };
        metrics.entries.inc();
        let seq = entry.seq;
        let region = self.feed.region.as_ref();
        let concerns = |regions: &[String]| {
            regions.is_empty() || region.is_some_and(|region| regions.contains(region))
        };
        let task = match self.adopted.apply(entry, concerns) {
            Applied::Before => return,
            Applied::Changed(task) => {
                step.records.entry(seq, text);
                task
            }
            Applied::Passed(task) => {
                step.records.pass(seq);
                task
            }
        };
        step.has_changed = true;
        if let Some(task) = &task {
            self.feed.bound.note_task(task);
        }
        step.tasks.extend(task.map(|task| (seq, task)));
    }

    /// Serves by what was applied, has it written, and what it asks for done.
    fn finish(&mut self, step: Step) {
        let Step { records, has_changed, is_replaced, is_current, tasks } = step;
        if has_changed {
            self.adopted.tidy_challenges(tls::seconds(clock::wall()));
            self.feed.publish(&self.adopted);
            self.changed.send_replace(self.adopted.applied);
            let newest = &self.feed.telemetry.metrics.feed.newest;
            newest.set(newest.get().max(number(self.adopted.applied)));
        }
        if has_changed && !self.adopted.is_resetting() {
            if is_replaced {
                self.unwritten.replace(self.adopted.clone());
            } else {
                self.unwritten.append(self.adopted.clone(), &records.finish());
            }
        }
        for (seq, task) in tasks {
            self.begin(seq, task);
        }
        if is_current {
            self.current_at = Some(Instant::now());
            self.heard.send_replace(true);
        }
    }

    /// Has a task done that is of now. Control doesn't wait for others: they are told as finished.
    fn begin(&self, seq: u64, task: Task) {
        let was_here = self.current_at.is_some_and(|at| at.elapsed() < AWAY);
        if seq > self.newest_at_first || was_here {
            self.feed.work.begin(seq, task);
        } else if !matches!(&task, Task::Purge(purge) if purge.refetch == 0) {
            self.feed.work.ledger.note(seq, |progress| progress.finished = true);
        }
    }
}

impl Step {
    fn pass(&mut self, seq: u64) {
        self.records.pass(seq);
        self.has_changed = true;
    }
}

/// What a session says next; for ever nothing where there is none.
async fn hear(attempt: &mut Option<Attempt<'_>>) -> Said {
    match attempt {
        Some(attempt) => attempt.next().await,
        None => std::future::pending().await,
    }
}

/// Takes note of what NATS said while control is followed. An error says why that is of no use.
fn note(attempt: &mut Option<Attempt<'_>>, said: Said) -> Result<(), String> {
    let Some(session) = attempt.as_mut().and_then(Attempt::session) else {
        return match said {
            Said::Lost(reason) => Err(reason),
            Said::Entry(_) | Said::Current(_) => Ok(()),
        };
    };
    match said {
        Said::Lost(reason) => Err(reason),
        Said::Entry(message) => {
            if session.hold(message) {
                Ok(())
            } else {
                Err("NATS is too far ahead".to_owned())
            }
        }
        Said::Current(newest) => {
            session.heard_newest(newest);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
