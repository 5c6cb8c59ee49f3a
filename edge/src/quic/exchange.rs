//! One request of HTTP/3 and its response, on a stream of its own: RFC 9114 §4.1.

use super::connection::Peer;
use super::fault::{Code, Fault};
use super::frame::{Frame, Frames, kind, put_head, put_number};
use super::request::urgency;
use super::{head, qpack};
use crate::bridge::Exchange;
use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, Response};
use quinn::SendStream;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

/// Bytes of a DATA frame's content, so that bytes which wait for room aren't announced long before.
const DATA_MAX_BYTES: usize = 1 << 20;
/// Room for the head of a HEADERS frame, its length in four bytes.
const HEADERS_HEAD_BYTES: usize = 5;
/// What a field counts for beside its name and value (§4.2.2).
const FIELD_BYTES: u64 = 32;

/// A request whose head was read.
pub(super) struct Stream {
    send: SendStream,
    frames: Frames,
    peer: Arc<Peer>,
    /// What goes before anything else that is sent; empty most of the time.
    ahead: Vec<Bytes>,
    /// How much of the frame that was begun last is still to come.
    owed: usize,
    reading: Reading,
    /// The response has ended, or was broken off.
    is_over: bool,
    was_cancelled: bool,
}

/// What a request begins with.
pub(super) enum Opening {
    Section(Bytes),
    TooLarge,
}

/// Where in a request's body the next frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Known by the frame that was read before its time: DATA.
    Data,
    Frames,
    End,
}

impl Stream {
    pub(super) fn new(send: SendStream, frames: Frames, peer: Arc<Peer>) -> Self {
        let reading = Reading::Frames;
        let (ahead, owed) = (Vec::new(), 0);
        Self { send, frames, peer, ahead, owed, reading, is_over: false, was_cancelled: false }
    }

    /// Reads the frame that a request begins with (§4.1).
    pub(super) async fn opening(&mut self) -> Result<Opening, Fault> {
        match self.frames.next(self.peer.section_max_bytes).await? {
            Some(Frame::Whole(kind::HEADERS, section)) => Ok(Opening::Section(section)),
            Some(Frame::TooLong(kind::HEADERS)) => Ok(Opening::TooLarge),
            Some(_) => Err(UNEXPECTED),
            None => Err(Fault::Stream(Code::RequestIncomplete, "a request without a head")),
        }
    }

    /// Has what is sent go before what is wanted less.
    pub(super) fn heed_priority(&self, fields: &HeaderMap) {
        /// What is meant where nothing is said (RFC 9218 §4.1).
        const USUAL: u8 = 3;
        if let Some(urgency) = urgency(fields).filter(|urgency| *urgency != USUAL) {
            // the client may have stopped the stream
            self.send.set_priority(i32::from(USUAL) - i32::from(urgency)).ok();
        }
    }

    /// Looks whether a body follows: true once the request is known to have none.
    pub(super) async fn look_ahead(&mut self) -> Result<bool, Fault> {
        if self.reading == Reading::Frames {
            self.reading = match self.frames.next(self.peer.section_max_bytes).await? {
                None => Reading::End,
                Some(Frame::Data) => Reading::Data,
                Some(frame) => self.end_with(frame).await?,
            };
        }
        Ok(self.reading == Reading::End)
    }

    /// What ends a body: trailers, after which nothing may come that means something.
    async fn end_with(&mut self, frame: Frame) -> Result<Reading, Fault> {
        let section = match frame {
            Frame::Whole(kind::HEADERS, section) => section,
            Frame::TooLong(kind::HEADERS) => {
                return Err(Fault::Stream(Code::ExcessiveLoad, "the trailers are too large"));
            }
            Frame::Whole(..) | Frame::TooLong(_) | Frame::Data => return Err(UNEXPECTED),
        };
        head::check_trailers(&section, self.peer.section_max_bytes).map_err(
            |error| match error {
                head::NoRequest::Undecodable(_) => UNDECODABLE,
                head::NoRequest::Refused(_) => Fault::Stream(Code::MessageError, "no trailers"),
            },
        )?;
        match self.frames.next(0).await? {
            None => Ok(Reading::End),
            Some(_) => Err(UNEXPECTED),
        }
    }

    async fn receive_data(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            match self.reading {
                Reading::End => return Ok(None),
                Reading::Data => match self.frames.data().await? {
                    Some(data) => return Ok(Some(data)),
                    None => self.reading = Reading::Frames,
                },
                Reading::Frames => {
                    self.look_ahead().await?;
                }
            }
        }
    }

    /// Notes a fault, and does what follows from it.
    pub(super) fn note(&mut self, fault: Fault) {
        match fault {
            Fault::Connection(code, why) => self.peer.close(code, why),
            Fault::Stream(code, _) => self.break_off(code),
            Fault::Cancelled => self.was_cancelled = true,
            Fault::Lost => {}
        }
    }

    fn noted<T>(&mut self, done: Result<T, Fault>) -> io::Result<T> {
        done.map_err(|fault| {
            self.note(fault);
            fault.into()
        })
    }

    pub(super) fn break_off(&mut self, code: Code) {
        if !self.is_over {
            self.is_over = true;
            // it may have been broken off by the other end
            self.send.reset(code.into()).ok();
            self.frames.stop(code);
        }
    }

    /// Ends the response: what was given goes out, and then its end.
    fn finish(&mut self) {
        if !self.is_over {
            self.is_over = true;
            // a stream that the client stopped has ended already
            self.send.finish().ok();
        }
    }

    /// Sends what goes ahead.
    async fn send_ahead(&mut self) -> Result<(), Fault> {
        let mut nothing = Bytes::new();
        poll_fn(|cx| self.poll_send(cx, &mut nothing)).await
    }

    /// Gives what goes ahead and as much of `data` as was announced, without copying. Ready once some of `data` was
    /// taken; where there is none, once all that goes ahead was.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<Result<(), Fault>> {
        loop {
            let given = self.owed.min(data.len());
            if given == 0 && self.ahead.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.ahead.push(data.slice(..given));
            let written = pin!(self.send.write_chunks(&mut self.ahead)).poll(cx);
            let left = self.ahead.pop().map_or(0, |rest| rest.len());
            let written = ready!(written)?;
            self.ahead.drain(..written.chunks.min(self.ahead.len()));
            let taken = given - left;
            data.advance(taken);
            self.owed -= taken;
            if taken > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// A HEADERS frame with `fields`.
    fn headers(&self, status: Option<&str>, fields: &HeaderMap) -> io::Result<Bytes> {
        let mut out = BytesMut::with_capacity(512);
        out.resize(HEADERS_HEAD_BYTES, 0);
        qpack::begin(&mut out);
        let mut size = 0;
        if let Some(status) = status {
            qpack::append(&mut out, ":status", status.as_bytes());
            size += (":status".len() + status.len()) as u64 + FIELD_BYTES;
        }
        for (name, value) in fields {
            qpack::append(&mut out, name.as_str(), value.as_bytes());
            size += (name.as_str().len() + value.len()) as u64 + FIELD_BYTES;
        }
        if size > self.peer.said.section_max_bytes.load(Ordering::Relaxed) {
            let why = "the client accepts no head of this size";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let length = u32::try_from(out.len() - HEADERS_HEAD_BYTES)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        if let Some(mut place) = out.get_mut(..HEADERS_HEAD_BYTES) {
            put_number(&mut place, kind::HEADERS);
            bytes::BufMut::put_u32(&mut place, length | 0x8000_0000);
        }
        Ok(out.freeze())
    }
}

pub(super) const UNEXPECTED: Fault =
    Fault::Connection(Code::FrameUnexpected, "a frame that can't be here");
pub(super) const UNDECODABLE: Fault =
    Fault::Connection(Code::DecompressionFailed, "a field section that can't be decoded");

#[async_trait]
impl Exchange for Stream {
    async fn receive(&mut self) -> io::Result<Option<Bytes>> {
        let received = self.receive_data().await;
        self.noted(received)
    }

    fn has_ended(&self) -> bool {
        self.reading == Reading::End
    }

    async fn send_interim(&mut self, head: Response<()>) -> io::Result<()> {
        let frame = self.headers(Some(head.status().as_str()), head.headers())?;
        self.ahead.push(frame);
        match self.send_ahead().now_or_never() {
            Some(sent) => self.noted(sent),
            None => Ok(()),
        }
    }

    async fn send_head(&mut self, head: Response<()>, ends: bool) -> io::Result<()> {
        let frame = self.headers(Some(head.status().as_str()), head.headers())?;
        self.ahead.push(frame);
        let sent = self.send_ahead().await;
        self.noted(sent)?;
        if ends {
            self.finish();
        }
        Ok(())
    }

    async fn send_data(&mut self, data: &mut Bytes, ends: bool) -> io::Result<()> {
        if self.owed == 0 && !data.is_empty() {
            self.owed = data.len().min(DATA_MAX_BYTES);
            let mut frame = BytesMut::with_capacity(9);
            put_head(&mut frame, kind::DATA, self.owed as u64);
            self.ahead.push(frame.freeze());
        }
        let sent = poll_fn(|cx| self.poll_send(cx, data)).await;
        self.noted(sent)?;
        if ends && data.is_empty() {
            self.finish();
        }
        Ok(())
    }

    async fn send_trailers(&mut self, trailers: HeaderMap) -> io::Result<()> {
        let frame = self.headers(None, &trailers)?;
        self.ahead.push(frame);
        let sent = self.send_ahead().await;
        self.noted(sent)?;
        self.finish();
        Ok(())
    }

    fn reset(&mut self) {
        self.break_off(Code::InternalError);
    }

    fn refuse(&mut self) {
        self.break_off(Code::MessageError);
    }

    async fn gone(&mut self) -> io::Error {
        let stopped = self.send.stopped();
        match stopped.await {
            Ok(Some(_)) => {
                self.note(Fault::Cancelled);
                Fault::Cancelled.into()
            }
            // it has all of the response, and nothing more to say
            Ok(None) | Err(_) => Fault::Lost.into(),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.was_cancelled {
            self.peer.cancelled();
        } else if self.is_over {
            self.peer.answered();
        }
        if self.is_over {
            if !self.frames.has_ended() {
                // the response is whole without the rest of the request (§4.1)
                self.frames.stop(Code::NoError);
            }
        } else {
            let code =
                if self.was_cancelled { Code::RequestCancelled } else { Code::InternalError };
            self.break_off(code);
        }
    }
}
