//! Writes the access log on a thread of its own. A request never waits for it: when the queue is full, lines are
//! dropped and counted.

use super::metrics::Metrics;
use crate::stage::record::Line;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// The path that means standard output.
const STANDARD_OUTPUT: &str = "-";

/// The access log's queue, and the thread that empties it.
pub(crate) struct AccessLog {
    queue: SyncSender<Message>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Line(Box<Line>),
    /// The file was moved away: open it anew.
    Reopen,
    Close,
}

type Output = BufWriter<Box<dyn Write + Send>>;

impl AccessLog {
    /// Opens the log at `path`, or at standard output for `-`.
    ///
    /// # Errors
    /// When the file can't be opened, or no thread can be started.
    pub(crate) fn open(path: &Path, queue_max_lines: usize) -> io::Result<Self> {
        let output = open(path)?;
        let (queue, lines) = sync_channel(queue_max_lines);
        let path = path.to_owned();
        let writer = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&lines, output, &path))?;
        Ok(Self { queue, writer: Mutex::new(Some(writer)) })
    }

    /// Queues a line. Drops and counts it when the queue is full.
    pub(crate) fn write(&self, metrics: &Metrics, line: Line) {
        if self.queue.try_send(Message::Line(Box::new(line))).is_err() {
            metrics.log_lines_dropped.inc();
        }
    }

    /// Opens the file anew, after it was moved away by a rotation.
    pub(crate) fn reopen(&self) {
        // a writer that has ended has logged why
        self.queue.send(Message::Reopen).ok();
    }

    /// Writes what is queued and ends.
    pub(crate) fn close(&self) {
        self.queue.send(Message::Close).ok();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the access log's thread panicked");
        }
    }
}

fn open(path: &Path) -> io::Result<Output> {
    if path == Path::new(STANDARD_OUTPUT) {
        return Ok(BufWriter::new(Box::new(io::stdout())));
    }
    Ok(BufWriter::new(Box::new(OpenOptions::new().create(true).append(true).open(path)?)))
}

/// Writes lines until told to close. Flushes whenever the queue is empty.
fn write_all(lines: &Receiver<Message>, mut output: Output, path: &Path) {
    let mut failing = false;
    loop {
        let message = match lines.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Empty) => {
                note(output.flush(), path, &mut failing);
                let Ok(message) = lines.recv() else { return };
                message
            }
            Err(TryRecvError::Disconnected) => return,
        };
        match message {
            Message::Line(line) => note(write_line(&mut output, &line), path, &mut failing),
            Message::Close => return note(output.flush(), path, &mut failing),
            Message::Reopen => {
                note(output.flush(), path, &mut failing);
                match open(path) {
                    Ok(opened) => output = opened,
                    Err(error) => note(Err(error), path, &mut failing),
                }
            }
        }
    }
}

fn write_line(output: &mut Output, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *output, line)?;
    output.write_all(b"\n")
}

/// Tells of the first failure and of the first success after one: a full disk must not fill a log.
fn note(result: io::Result<()>, path: &Path, failing: &mut bool) {
    match result {
        Ok(()) => *failing = false,
        Err(error) if !*failing => {
            *failing = true;
            tracing::error!(%error, "can't write the access log `{}`", path.display());
        }
        Err(_) => {}
    }
}
