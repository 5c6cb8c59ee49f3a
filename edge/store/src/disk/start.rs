//! Opens a disk tier: which directories can be used, and which of them are to be kept?

use crate::disk::directory::{Directory, Shared};
use crate::disk::index::RESPONSE_BYTES;
use crate::disk::owner::{IsHot, Owner, Start};
use crate::disk::place::Place;
use crate::disk::queue::Queue;
use crate::disk::run::{self, Mark, Run, Witness};
use crate::disk::segment::{self, Allocate};
use crate::disk::{DirectoryOptions, Disk, DiskOptions, NUMBER_BITS, record};
use crate::{Head, Key};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

impl<H: Head> Disk<H> {
    /// Opens the directories. What can't be used is out; what an earlier run left is found in the background. `is_hot` is
    /// asked whether a response is wanted, where room is made.
    pub(crate) fn open(
        options: &DiskOptions,
        is_hot: Box<dyn Fn(&Key) -> bool + Send + Sync>,
    ) -> Arc<Self> {
        Self::open_with(options, is_hot, Box::new(segment::allocate))
    }

    /// Opens with another way to take room on a device.
    pub(super) fn open_with(
        options: &DiskOptions,
        is_hot: Box<dyn Fn(&Key) -> bool + Send + Sync>,
        allocate: Allocate,
    ) -> Arc<Self> {
        let shared = Arc::new(shared(options, allocate));
        let places: Vec<_> =
            options.directories.iter().map(|directory| place(directory, &shared)).collect();
        let (ends, ended) = channel();
        let witness = options.witness.clone().map(Witness::new);
        let run = begin(&places, &Arc::from(is_hot), &shared, (witness, &ends));
        let paths = options.directories.iter().map(|directory| directory.path.as_os_str());
        Arc::new(Self {
            seeds: paths.map(|path| record::checksum(path.as_bytes())).collect(),
            places,
            shared,
            first_number: run << NUMBER_BITS,
            ended: Mutex::new(ended),
            ends_by: OnceLock::new(),
        })
    }
}

fn place<H: Head>(options: &DirectoryOptions, shared: &Arc<Shared>) -> Place<H> {
    let queue = Arc::new(Queue::new(Arc::clone(shared)));
    let own = Arc::clone(&queue);
    let drop_queued = Box::new(move || own.clear());
    let directory = Directory::new(options.clone(), Arc::clone(shared), drop_queued);
    Place { directory: Arc::new(directory), queue }
}

fn shared(options: &DiskOptions, allocate: Allocate) -> Shared {
    Shared {
        run: OnceLock::new(),
        queue_bytes: AtomicU64::new(0),
        written: Notify::new(),
        queue_max_bytes: options.queue_max_bytes,
        queue_share_bytes: options.queue_max_bytes / options.directories.len().max(1) as u64,
        reading_bytes: Arc::default(),
        reading_max_bytes: options.reading_max_bytes,
        read_timeout: options.read_timeout,
        retry: options.retry,
        responses: Arc::default(),
        responses_max: options.index_max_bytes / RESPONSE_BYTES,
        allocate,
        sweep_records_per_second: options.sweep_records_per_second,
    }
}

/// Starts the threads, and has them agree on what is kept. Returns the number of this run.
fn begin<H: Head>(
    places: &[Place<H>],
    is_hot: &IsHot,
    shared: &Shared,
    (witness, ends): (Option<Witness>, &Sender<()>),
) -> u64 {
    let (tells, told) = channel();
    let verdicts: Vec<_> = places
        .iter()
        .enumerate()
        .map(|(position, place)| spawn(place, position, is_hot, &tells, ends))
        .collect();
    drop(tells);
    let answers = collect(&told, places.len(), shared.read_timeout);
    let mut found: Vec<_> = answers.iter().map(Answer::mark).collect();
    found.push(witness.as_ref().and_then(Witness::mark));
    let newest = run::newest(&found);
    let signals = places.iter().map(|place| Arc::clone(&place.directory.signal)).collect();
    let number = shared.run.get_or_init(|| Run::after(&found, signals, witness)).mark().number;
    for ((place, verdict), answer) in places.iter().zip(&verdicts).zip(&answers) {
        match answer {
            // a thread that ended needs none
            Answer::Found(mark) => drop(verdict.send(newest.is_some() && *mark == newest)),
            Answer::Late => place.directory.fail("it doesn't answer in time".to_owned()),
        }
    }
    number
}

fn spawn<H: Head>(
    place: &Place<H>,
    position: usize,
    is_hot: &IsHot,
    tells: &Sender<(usize, Option<Mark>)>,
    ends: &Sender<()>,
) -> Sender<bool> {
    let (verdict, keeps) = channel();
    let start = Start { position, found: tells.clone(), keeps };
    let (directory, queue) = (Arc::clone(&place.directory), Arc::clone(&place.queue));
    let owner = Owner::new(directory, queue, Arc::clone(is_hot));
    let ends = ends.clone();
    let run = move || {
        owner.run(&start);
        drop(ends);
    };
    let spawned = std::thread::Builder::new().name("disk-write".to_owned()).spawn(run);
    if let Err(error) = spawned {
        place.directory.fail(format!("no thread for it: {error}"));
    }
    verdict
}

/// What a directory says at first.
#[derive(Clone, Copy)]
enum Answer {
    Late,
    /// The mark that was found, if any.
    Found(Option<Mark>),
}

impl Answer {
    const fn mark(&self) -> Option<Mark> {
        match self {
            Self::Found(mark) => *mark,
            Self::Late => None,
        }
    }
}

/// What was found in each directory that answers in time.
fn collect(told: &Receiver<(usize, Option<Mark>)>, count: usize, timeout: Duration) -> Vec<Answer> {
    let until = Instant::now() + timeout;
    let mut answers = vec![Answer::Late; count];
    for _ in 0..count {
        let left = until.saturating_duration_since(Instant::now());
        let Ok((position, mark)) = told.recv_timeout(left) else { break };
        answers[position] = Answer::Found(mark);
    }
    answers
}
