//! An edge: what it adopted, its journal, and what it stored.

use super::Random;
use super::control::{Control, HOSTS, PATHS, REGION, TAGS, What};
use crate::feed::adopted::{Adopted, Applied, CaughtUp};
use crate::feed::entry::Entry;
use crate::feed::journal::Batch;
use crate::feed::journal::tests::Bytes;
use api::feed::Hello;
use api::id::LogId;
use purge::{Facts, Tags, Verdict};
use std::collections::{BTreeMap, VecDeque};

/// Events applied together, at most.
const BATCH_MAX: usize = 5;

/// What an edge is told.
enum Event {
    Hello(Hello),
    Entry(String),
    Current(u64),
}

/// A message in NATS: the entry's number, that of the one before, and the entry.
#[derive(Clone)]
struct Message {
    seq: u64,
    prev: u64,
    text: String,
}

/// What is followed.
enum Source {
    Nothing,
    /// A stream of control's, and what of it is on its way.
    Control(VecDeque<Event>),
    Nats(VecDeque<Message>),
}

/// A response, or a fetch.
#[derive(Debug, Clone)]
struct Stored {
    what: What,
    /// When the fetch began, really.
    began: u64,
    epoch: u64,
    /// The number up to which the feed was applied then, or the newest it was compared with since.
    applied: u64,
}

/// A stored response that a request finds, and what becomes of it.
#[derive(Debug)]
pub(super) struct Usable {
    pub(super) what: What,
    pub(super) began: u64,
    pub(super) is_used_as_fresh: bool,
    pub(super) is_used_at_all: bool,
}

pub(super) struct Edge {
    pub(super) number: usize,
    pub(super) is_in_region: bool,
    adopted: Adopted,
    journal: Bytes,
    /// Bytes of the journal that are flushed.
    flushed: usize,
    source: Source,
    /// What every follower of NATS would be given.
    newest_sent: u64,
    readings: u128,
    fetches: Vec<Stored>,
    stored: Vec<Stored>,
    /// The newest number that control was told, of each log.
    pub(super) acknowledged: BTreeMap<LogId, u64>,
}

impl Edge {
    pub(super) fn new(number: usize, is_in_region: bool) -> Self {
        Self {
            number,
            is_in_region,
            adopted: Adopted::default(),
            journal: Bytes::default(),
            flushed: 0,
            source: Source::Nothing,
            newest_sent: 0,
            readings: 0,
            fetches: Vec::new(),
            stored: Vec::new(),
            acknowledged: BTreeMap::new(),
        }
    }

    /// Control sends an entry, whichever way it is followed. In NATS it may get lost, come twice, or late.
    pub(super) fn send(&mut self, seq: u64, text: &str, random: &mut Random) {
        let prev = std::mem::replace(&mut self.newest_sent, seq);
        match &mut self.source {
            Source::Nothing => {}
            Source::Control(events) => {
                events.push_back(Event::Entry(text.to_owned()));
                events.push_back(Event::Current(seq));
            }
            Source::Nats(messages) => {
                for _ in 0..[1, 1, 1, 1, 1, 1, 2, 0][random.below(8)] {
                    messages.push_back(Message { seq, prev, text: text.to_owned() });
                }
                if random.one_in(8) && messages.len() > 1 {
                    let other = random.below(messages.len());
                    messages.swap(0, other);
                }
            }
        }
    }

    pub(super) fn cut(&mut self) {
        self.source = Source::Nothing;
    }

    /// Loses some of what is on its way; the stream is over then.
    pub(super) fn disturb(&mut self, random: &mut Random) {
        match &mut self.source {
            Source::Control(events) => {
                // the rest of the stream never comes
                events.truncate(random.below(events.len() + 1));
                let mut rest = std::mem::take(events);
                self.apply_events(&mut rest, usize::MAX);
                self.cut();
            }
            Source::Nats(messages) => messages.truncate(random.below(messages.len() + 1)),
            Source::Nothing => {}
        }
    }

    /// Applies some of what is on its way.
    pub(super) fn deliver(&mut self, control: &Control, random: &mut Random) {
        match std::mem::replace(&mut self.source, Source::Nothing) {
            Source::Nothing => self.source = Source::Control(self.open(control)),
            Source::Control(mut events) => {
                self.apply_events(&mut events, 1 + random.below(BATCH_MAX));
                let is_current = events.is_empty() && self.applied(&control.log).is_some();
                self.source = if is_current && random.one_in(3) {
                    self.newest_sent = control.newest();
                    Source::Nats(VecDeque::new())
                } else {
                    Source::Control(events)
                };
            }
            Source::Nats(messages) => {
                // heartbeats tell of what is lost
                let is_behind = messages.is_empty() && self.adopted.applied < control.newest();
                if !is_behind && self.apply_messages(messages) {
                    self.source = Source::Nats(VecDeque::new());
                }
            }
        }
    }

    fn open(&self, control: &Control) -> VecDeque<Event> {
        let is_known = self.adopted.log() == Some(&control.log);
        let reset = !is_known || self.adopted.applied > control.newest();
        let after = if reset { 0 } else { self.adopted.applied };
        let (log, newest) = (control.log.clone(), control.newest());
        let hello = Event::Hello(Hello { version: 1, log, newest, reset, key: None });
        let entries = control.after(after).map(|(_, text)| Event::Entry(text));
        std::iter::once(hello).chain(entries).chain([Event::Current(newest)]).collect()
    }

    fn apply_events(&mut self, events: &mut VecDeque<Event>, count: usize) {
        let (mut batch, mut is_replaced) = (Batch::default(), false);
        for event in events.drain(..count.min(events.len())).collect::<Vec<_>>() {
            match event {
                Event::Hello(hello) => {
                    self.readings += 1;
                    let reading = self.readings + ((self.number as u128) << 64);
                    self.adopted.greet(&hello, reading);
                }
                Event::Entry(text) => self.apply(&text, &mut batch),
                Event::Current(newest) => match self.adopted.catch_up(newest) {
                    CaughtUp::Same => {}
                    CaughtUp::Advanced => batch.pass(newest),
                    CaughtUp::Replaced => is_replaced = true,
                },
            }
        }
        self.write(batch, is_replaced);
    }

    /// False where one is missing.
    fn apply_messages(&mut self, messages: VecDeque<Message>) -> bool {
        let mut batch = Batch::default();
        let mut is_whole = true;
        for Message { seq, prev, text } in messages {
            if prev > self.adopted.applied {
                is_whole = false;
                break;
            }
            assert!(seq > prev);
            self.apply(&text, &mut batch);
        }
        self.write(batch, false);
        is_whole
    }

    fn apply(&mut self, text: &str, batch: &mut Batch) {
        let entry = Entry::read(text, None).unwrap();
        let (seq, is_in_region) = (entry.seq, self.is_in_region);
        let concerns = |regions: &[String]| {
            regions.is_empty() || is_in_region && regions.iter().any(|region| region == REGION)
        };
        match self.adopted.apply(entry, concerns) {
            Applied::Before => {}
            Applied::Changed(_) => batch.entry(seq, text),
            Applied::Passed(_) => batch.pass(seq),
        }
    }

    fn write(&mut self, batch: Batch, is_replaced: bool) {
        if self.adopted.is_resetting() {
            return;
        }
        let records = batch.finish();
        if is_replaced || self.journal.0.is_empty() {
            self.rewrite();
        } else if !records.is_empty() {
            // the flush of the one before comes first
            self.flush_written();
            self.journal.append(&records);
        }
    }

    /// Writes the journal anew, which is flushed before it is in place.
    pub(super) fn rewrite(&mut self) {
        if self.adopted.is_from_control() {
            self.journal = Bytes::begin(&self.adopted);
            self.flushed = self.journal.0.len();
        }
    }

    fn flush_written(&mut self) {
        self.flushed = self.journal.0.len();
    }

    /// Flushes what was adopted, and tells control.
    pub(super) fn flush(&mut self) {
        self.flush_written();
        if self.adopted.is_from_control() {
            let log = self.adopted.log().unwrap().clone();
            self.acknowledged.insert(log, self.adopted.applied);
        }
    }

    /// Loses its state directory; the responses on disk are there.
    pub(super) fn lose_state(&mut self) {
        (self.adopted, self.journal, self.flushed) = (Adopted::default(), Bytes::default(), 0);
        self.cut();
        self.fetches.clear();
    }

    /// Ends without notice: some of what was not flushed is on disk, and a fetch is lost.
    pub(super) fn kill(&mut self, random: &mut Random) {
        let unflushed = self.journal.0.len() - self.flushed;
        self.journal.0.truncate(self.flushed + random.below(unflushed + 1));
        let Self { adopted, journal, .. } = self.restarted();
        (self.flushed, self.adopted, self.journal) = (journal.0.len(), adopted, journal);
        self.cut();
        self.fetches.clear();
        self.stored.retain(|_| !random.one_in(3));
        if let Some(log) = self.adopted.log() {
            let acknowledged = self.acknowledged.get(log).copied().unwrap_or_default();
            assert!(self.adopted.applied >= acknowledged, "it has lost what it acknowledged");
        }
    }

    /// What a start from its journal is.
    pub(super) fn restarted(&self) -> Self {
        let mut edge = Self::new(self.number, self.is_in_region);
        if !self.journal.0.is_empty() {
            let (adopted, end) = self.journal.load().expect("nothing is damaged");
            edge.adopted = adopted;
            edge.journal = Bytes(self.journal.0[..end].to_vec());
        }
        edge
    }

    /// Makes room for purges.
    pub(super) fn coarsen(&mut self, random: &mut Random) {
        for (_, site) in self.adopted.sites() {
            if random.one_in(4) {
                site.served.purges.coarsen();
            }
        }
    }

    pub(super) fn begin_fetch(&mut self, random: &mut Random, now: u64) {
        let snapshot = self.adopted.snapshot();
        let host = *random.of(&HOSTS);
        let Some(served) = snapshot.site(host) else { return };
        let (path, tags) =
            (*random.of(&PATHS), TAGS.into_iter().filter(|_| random.one_in(2)).collect());
        let what = What { site: served.site.id.clone(), host, path, tags };
        let (epoch, applied) = (snapshot.epoch, snapshot.applied);
        self.fetches.push(Stored { what, began: now, epoch, applied });
    }

    pub(super) fn end_fetch(&mut self, random: &mut Random) {
        if !self.fetches.is_empty() {
            let fetch = self.fetches.swap_remove(random.below(self.fetches.len()));
            self.stored.push(fetch);
        }
    }

    pub(super) fn end_all_fetches(&mut self) {
        self.stored.append(&mut self.fetches);
    }

    pub(super) fn forget_stored(&mut self) {
        self.stored.clear();
        self.fetches.clear();
    }

    /// A request finds one of the stored responses, and it is noted what that was compared with.
    pub(super) fn serve(&mut self, random: &mut Random) {
        if self.stored.is_empty() {
            return;
        }
        let place = random.below(self.stored.len());
        let stored = &self.stored[place];
        let snapshot = self.adopted.snapshot();
        let Some(served) = snapshot.site(stored.what.host) else { return };
        let newest = served.purges.newest();
        if self.verdict(stored) == Some(Verdict::Current) {
            let stored = &mut self.stored[place];
            stored.applied = stored.applied.max(newest);
        }
    }

    /// None for one that no request finds.
    fn verdict(&self, stored: &Stored) -> Option<Verdict> {
        let What { site, host, path, tags } = &stored.what;
        let snapshot = self.adopted.snapshot();
        let served = snapshot.site(host)?;
        if served.site.id != *site || snapshot.epoch != stored.epoch {
            return None;
        }
        let tags = Tags::read(tags.iter().map(|tag| tag.as_bytes()), 100);
        let facts = Facts { authority: host, path, query: None, tags: &tags };
        Some(served.purges.verdict(stored.applied, &facts))
    }

    /// What requests find.
    pub(super) fn usable(&self) -> impl Iterator<Item = Usable> {
        self.stored.iter().filter_map(|stored| {
            let verdict = self.verdict(stored)?;
            Some(Usable {
                what: stored.what.clone(),
                began: stored.began,
                is_used_as_fresh: verdict == Verdict::Current,
                is_used_at_all: !matches!(verdict, Verdict::Gone(_)),
            })
        })
    }

    /// The number up to which a log is applied, once it is read.
    pub(super) fn applied(&self, log: &LogId) -> Option<u64> {
        let is_followed = self.adopted.is_from_control() && self.adopted.log() == Some(log);
        is_followed.then_some(self.adopted.applied)
    }

    /// The document of each site.
    pub(super) fn sites(&self) -> BTreeMap<String, String> {
        let sites = self.adopted.sites();
        sites.map(|(id, site)| (id.to_string(), site.document.to_string())).collect()
    }
}
