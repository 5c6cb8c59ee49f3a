//! The words in which a test writes what its origin does.

use super::answer::{Answer, Ending, Framed, Step};
use super::{Live, PathScript, State};
use crate::message::Fields;
use crate::wait::Barrier;
use bytes::Bytes;

/// One answer for one path, being written. Each word takes effect at once.
#[derive(Debug)]
pub struct Script<'o> {
    state: &'o State,
    path: String,
    turn: usize,
}

impl<'o> Script<'o> {
    pub(super) fn new(state: &'o State, path: &str) -> Self {
        let turn = state.change(|inner| {
            let known = inner.scripts.iter().position(|script| script.path == path);
            let index = known.unwrap_or_else(|| {
                let (path, answers) = (path.to_owned(), Vec::new());
                inner.scripts.push(PathScript { path, answers, given: 0 });
                inner.scripts.len() - 1
            });
            let answers = &mut inner.scripts[index].answers;
            answers.push(Answer::default());
            answers.len() - 1
        });
        Self { state, path: path.to_owned(), turn }
    }

    /// Answers with a final response, or with 101.
    pub fn respond(self, status: u16) -> Self {
        self.step(Step::Head { status, fields: Fields::default() })
    }

    /// Sends an interim response (RFC 9110 §15.2) with one field before the final one.
    pub fn interim(self, status: u16, name: &str, value: &str) -> Self {
        self.raw(format!("HTTP/1.1 {status} Interim\r\n{name}: {value}\r\n\r\n"))
    }

    /// A field line of the response begun last.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.edit(|answer| {
            let heads = answer.steps.iter_mut().rev();
            let fields = heads.filter_map(|step| match step {
                Step::Head { fields, .. } => Some(fields),
                Step::Body(_) | Step::Raw(_) | Step::Wait(_) | Step::Live(_) | Step::Echo => None,
            });
            fields.take(1).for_each(|fields| fields.push(name, value));
        })
    }

    /// A piece of the body. Alone, it is the body.
    pub fn body(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Body(bytes.into()))
    }

    /// Declares a body length instead of counting.
    pub fn length(self, length: usize) -> Self {
        self.edit(|answer| answer.framing = Framed::Length(length))
    }

    /// Answers as an origin does that knows ranges and entity tags: with a part where one is asked for.
    pub fn ranged(self) -> Self {
        self.edit(|answer| answer.ranged = true)
    }

    /// Sends each piece of the body as a chunk (RFC 9112 §7.1).
    pub fn chunked(self) -> Self {
        self.edit(|answer| answer.framing = Framed::Chunked)
    }

    /// Ends the body by closing the connection.
    pub fn until_close(self) -> Self {
        self.edit(|answer| answer.framing = Framed::UntilClose)
    }

    /// Bytes as they are, instead of or between what the other words write.
    pub fn raw(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Raw(bytes.into()))
    }

    /// Goes on when the test releases the barrier.
    pub fn wait(self, barrier: &Barrier) -> Self {
        self.step(Step::Wait(barrier.clone()))
    }

    /// Sends pieces of the body as the test makes them, from the first one on.
    pub fn live(self, live: &Live) -> Self {
        self.step(Step::Live(live.clone()))
    }

    /// Sends back whatever comes, until the other side ends: for upgraded connections.
    pub fn echo(self) -> Self {
        self.step(Step::Echo)
    }

    /// Answers without waiting for the body of the request.
    pub fn early(self) -> Self {
        self.edit(|answer| answer.early = true)
    }

    /// Waits for the body of the request without a 100 (RFC 9110 §10.1.1), for a client that expects one.
    pub fn without_continue(self) -> Self {
        self.edit(|answer| answer.unwelcoming = true)
    }

    /// Sends everything up to the next wait in one write.
    pub fn at_once(self) -> Self {
        self.edit(|answer| answer.at_once = true)
    }

    /// Closes the connection here, whatever is missing.
    pub fn close(self) -> Self {
        self.edit(|answer| answer.ending = Ending::Close)
    }

    /// Resets the connection here, whatever is missing.
    pub fn reset(self) -> Self {
        self.edit(|answer| answer.ending = Ending::Reset)
    }

    /// Does nothing more until the other side leaves.
    pub fn hang(self) -> Self {
        self.edit(|answer| answer.ending = Ending::Hang)
    }

    fn step(self, step: Step) -> Self {
        self.edit(|answer| answer.steps.push(step))
    }

    fn edit(self, edit: impl FnOnce(&mut Answer)) -> Self {
        self.state.change(|inner| {
            let script = inner.scripts.iter_mut().find(|script| script.path == self.path);
            let answer = script.and_then(|script| script.answers.get_mut(self.turn));
            edit(answer.expect("the script was not replaced while it was being written"));
        });
        self
    }
}
