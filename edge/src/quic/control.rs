//! The streams a client sends beside its requests: RFC 9114 §6.2, RFC 9204 §4.2.

use super::fault::{Code, Fault};
use super::frame::{Frame, Frames, kind, number};
use bytes::{Buf, Bytes};
use quinn::RecvStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Types of streams.
const CONTROL: u64 = 0x0;
const PUSH: u64 = 0x1;
const ENCODER: u64 = 0x2;
const DECODER: u64 = 0x3;

/// Bytes of a frame on the control stream.
const FRAME_MAX_BYTES: usize = 4_096;
/// Frames on the control stream, beyond two for every request.
const FRAMES_MAX: u64 = 1_000;

/// A setting that is heeded (RFC 9114 §7.2.4.1).
const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
/// Settings of HTTP/2 that must not be sent (§7.2.4.1).
const RESERVED_SETTINGS: [u64; 5] = [0x0, 0x2, 0x3, 0x4, 0x5];

/// What a client says on these streams, as far as requests have to know it.
#[derive(Debug)]
pub(super) struct Said {
    /// Bytes of a field section that the client accepts.
    pub(super) section_max_bytes: AtomicU64,
    /// Requests that were begun on the connection.
    pub(super) requests: AtomicU64,
    has_control: AtomicBool,
    has_encoder: AtomicBool,
    has_decoder: AtomicBool,
}

impl Default for Said {
    fn default() -> Self {
        Self {
            section_max_bytes: AtomicU64::new(u64::MAX),
            requests: AtomicU64::default(),
            has_control: AtomicBool::default(),
            has_encoder: AtomicBool::default(),
            has_decoder: AtomicBool::default(),
        }
    }
}

/// Reads a stream to its end.
pub(super) async fn read(mut stream: RecvStream, said: &Said) -> Result<(), Fault> {
    let Some((kind, held)) = stream_kind(&mut stream).await? else { return Ok(()) };
    let once = |has: &AtomicBool| {
        let twice = has.swap(true, Ordering::Relaxed);
        let fault = Fault::Connection(Code::StreamCreationError, "a stream of a type that is open");
        if twice { Err(fault) } else { Ok(()) }
    };
    match kind {
        CONTROL => {
            once(&said.has_control)?;
            control(Frames::new(stream, held), said).await
        }
        ENCODER => {
            once(&said.has_encoder)?;
            qpack_stream(stream, held, encoder_instruction).await
        }
        DECODER => {
            once(&said.has_decoder)?;
            qpack_stream(stream, held, decoder_instruction).await
        }
        PUSH => Err(Fault::Connection(Code::StreamCreationError, "a push from a client")),
        _ => {
            // it may be anything, and means nothing (§6.2); a stream that is over needs no stop
            stream.stop(Code::StreamCreationError.into()).ok();
            Ok(())
        }
    }
}

/// The type of a stream, and what follows it; none where the stream is over before.
async fn stream_kind(stream: &mut RecvStream) -> Result<Option<(u64, Bytes)>, Fault> {
    let mut first = Vec::new();
    loop {
        let chunk = match stream.read_chunk(usize::MAX, true).await.map_err(Fault::from) {
            Ok(Some(chunk)) => chunk.bytes,
            Ok(None) | Err(Fault::Cancelled) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        first.extend_from_slice(&chunk);
        let mut rest = &*first;
        if let Some(kind) = number(&mut rest) {
            return Ok(Some((kind, Bytes::copy_from_slice(rest))));
        }
    }
}

const CLOSED: Fault = Fault::Connection(Code::ClosedCriticalStream, "a stream that has to stay");

async fn control(mut frames: Frames, said: &Said) -> Result<(), Fault> {
    let mut order = Order::default();
    let mut count = 0;
    loop {
        let frame = frames.next(FRAME_MAX_BYTES).await.map_err(|fault| match fault {
            Fault::Cancelled => CLOSED,
            other => other,
        })?;
        if let Some(section_max_bytes) = order.take(frame.ok_or(CLOSED)?)? {
            said.section_max_bytes.store(section_max_bytes, Ordering::Relaxed);
        }
        count += 1;
        if count > FRAMES_MAX + 2 * said.requests.load(Ordering::Relaxed) {
            return Err(Fault::Connection(Code::ExcessiveLoad, "frames on the control stream"));
        }
    }
}

/// What has come on a control stream, and so what may come next.
#[derive(Debug, Default)]
struct Order {
    has_settings: bool,
    max_push: Option<u64>,
    goaway: Option<u64>,
}

impl Order {
    /// Takes the next frame. The size of sections comes back where the client limits it.
    fn take(&mut self, frame: Frame) -> Result<Option<u64>, Fault> {
        let unexpected = |said| Err(Fault::Connection(Code::FrameUnexpected, said));
        let (kind, payload) = match frame {
            Frame::Whole(kind, payload) => (kind, payload),
            Frame::TooLong(kind) => (kind, Bytes::new()),
            Frame::Data => (kind::DATA, Bytes::new()),
        };
        if !self.has_settings && kind != kind::SETTINGS {
            return Err(Fault::Connection(Code::MissingSettings, "a frame before SETTINGS"));
        }
        match kind {
            kind::SETTINGS if self.has_settings => unexpected("SETTINGS again"),
            kind::SETTINGS => {
                self.has_settings = true;
                settings(&payload)
            }
            kind::GOAWAY => {
                let id = only_number(&payload)?;
                let grows = self.goaway.replace(id).is_some_and(|before| id > before);
                if grows { Err(ID) } else { Ok(None) }
            }
            kind::MAX_PUSH_ID => {
                let id = only_number(&payload)?;
                let shrinks = self.max_push.replace(id).is_some_and(|before| id < before);
                if shrinks { Err(ID) } else { Ok(None) }
            }
            // nothing was promised that could be given up (§7.2.3)
            kind::CANCEL_PUSH => only_number(&payload).and(Err(ID)),
            _ => unexpected("a frame that is for requests"),
        }
    }
}

const ID: Fault = Fault::Connection(Code::IdError, "an id that can't be");

/// The number that is all of a payload.
fn only_number(mut payload: &[u8]) -> Result<u64, Fault> {
    let number = number(&mut payload).filter(|_| payload.is_empty());
    number.ok_or(Fault::Connection(Code::FrameError, "a frame that holds no number"))
}

/// The limit on sections, of SETTINGS.
fn settings(mut payload: &[u8]) -> Result<Option<u64>, Fault> {
    let mut seen = Vec::new();
    let mut section_max_bytes = None;
    while !payload.is_empty() {
        let pair = number(&mut payload).zip(number(&mut payload));
        let (id, value) = pair.ok_or(Fault::Connection(Code::FrameError, "SETTINGS cut short"))?;
        if RESERVED_SETTINGS.contains(&id) || seen.contains(&id) {
            let said = "a setting of HTTP/2, or one given twice";
            return Err(Fault::Connection(Code::SettingsError, said));
        }
        seen.push(id);
        if id == MAX_FIELD_SECTION_SIZE {
            section_max_bytes = Some(value);
        }
    }
    Ok(section_max_bytes)
}

/// The length of the instruction that some bytes begin with: none where it isn't whole yet, an error where nothing that
/// may be said begins so.
type Instruction = fn(&[u8]) -> Result<Option<usize>, Fault>;

/// Reads a stream of QPACK, on which little can be said to a table without room.
async fn qpack_stream(
    mut stream: RecvStream,
    mut held: Bytes,
    instruction: Instruction,
) -> Result<(), Fault> {
    loop {
        while let Some(length) = instruction(&held)? {
            held.advance(length);
        }
        let chunk = match stream.read_chunk(usize::MAX, true).await.map_err(Fault::from) {
            Ok(Some(chunk)) => chunk.bytes,
            Ok(None) | Err(Fault::Cancelled) => return Err(CLOSED),
            Err(fault) => return Err(fault),
        };
        held = if held.is_empty() { chunk } else { [&*held, &*chunk].concat().into() };
    }
}

/// Set Dynamic Table Capacity, to nothing (RFC 9204 §4.3.1).
fn encoder_instruction(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let fault = Fault::Connection(Code::EncoderStreamError, "an entry for a table without room");
    match bytes.first() {
        None => Ok(None),
        Some(0b0010_0000) => Ok(Some(1)),
        Some(_) => Err(fault),
    }
}

/// Stream Cancellation (RFC 9204 §4.4.2).
fn decoder_instruction(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    /// Bytes of the largest stream id, which has 62 bits.
    const LENGTH_MAX: usize = 10;
    let fault = Fault::Connection(Code::DecoderStreamError, "an acknowledgement of nothing");
    let Some(first) = bytes.first() else { return Ok(None) };
    match first {
        0b0100_0000..0b0111_1111 => Ok(Some(1)),
        0b0111_1111 => {
            let after = bytes.iter().skip(1).take(LENGTH_MAX);
            match after.clone().position(|byte| *byte < 0x80) {
                Some(last) => Ok(Some(last + 2)),
                None if after.len() < LENGTH_MAX => Ok(None),
                None => Err(fault),
            }
        }
        _ => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(kind: u64, payload: &'static [u8]) -> Frame {
        Frame::Whole(kind, Bytes::from_static(payload))
    }

    fn check(frames: Vec<Frame>, expected: Result<Option<u64>, Code>) {
        let mut order = Order::default();
        let shown = format!("{frames:?}");
        let mut last = Ok(None);
        for frame in frames {
            last = order.take(frame);
        }
        let last = last.map_err(|fault| match fault {
            Fault::Connection(code, _) => code,
            _ => Code::NoError,
        });
        assert_eq!(last, expected, "{shown}");
    }

    #[test]
    fn settings_come_first_and_once() {
        let settings = || whole(kind::SETTINGS, b"");
        check(vec![settings()], Ok(None));
        check(vec![whole(kind::SETTINGS, b"\x06\x44\x00\x33\x01")], Ok(Some(1_024)));
        check(vec![settings(), settings()], Err(Code::FrameUnexpected));
        check(vec![whole(kind::MAX_PUSH_ID, b"\x01")], Err(Code::MissingSettings));
        check(vec![Frame::Data], Err(Code::MissingSettings));
        check(vec![whole(kind::SETTINGS, b"\x02\x01")], Err(Code::SettingsError));
        check(vec![whole(kind::SETTINGS, b"\x06\x01\x06\x01")], Err(Code::SettingsError));
        check(vec![whole(kind::SETTINGS, b"\x06")], Err(Code::FrameError));
    }

    #[test]
    fn ids_move_one_way_and_requests_frames_stay_away() {
        let settings = || whole(kind::SETTINGS, b"");
        let push = |payload| whole(kind::MAX_PUSH_ID, payload);
        let goaway = |payload| whole(kind::GOAWAY, payload);
        check(vec![settings(), push(b"\x05"), push(b"\x05")], Ok(None));
        check(vec![settings(), push(b"\x05"), push(b"\x04")], Err(Code::IdError));
        check(vec![settings(), goaway(b"\x05"), goaway(b"\x04")], Ok(None));
        check(vec![settings(), goaway(b"\x04"), goaway(b"\x05")], Err(Code::IdError));
        check(vec![settings(), whole(kind::CANCEL_PUSH, b"\x00")], Err(Code::IdError));
        check(vec![settings(), push(b"\x05\x05")], Err(Code::FrameError));
        check(vec![settings(), goaway(b"")], Err(Code::FrameError));
        check(vec![settings(), Frame::Data], Err(Code::FrameUnexpected));
        check(vec![settings(), whole(kind::HEADERS, b"")], Err(Code::FrameUnexpected));
        check(vec![settings(), whole(kind::PUSH_PROMISE, b"")], Err(Code::FrameUnexpected));
    }

    #[test]
    fn instructions_say_next_to_nothing() {
        let length = |found: Result<Option<usize>, Fault>| found.map_err(|_| ());
        let encoder = |bytes: &[u8]| length(encoder_instruction(bytes));
        assert_eq!(encoder(b""), Ok(None));
        assert_eq!(encoder(b"\x20\x20"), Ok(Some(1)));
        for more in [&b"\x21"[..], b"\x80", b"\x41a", b"\x00"] {
            assert_eq!(encoder(more), Err(()), "{more:x?}");
        }
        let decoder = |bytes: &[u8]| length(decoder_instruction(bytes));
        assert_eq!(decoder(b"\x44\x44"), Ok(Some(1)));
        assert_eq!(decoder(b"\x7f\x81\x01\x44"), Ok(Some(3)));
        assert_eq!(decoder(b"\x7f\x81"), Ok(None));
        for more in
            [&b"\x80"[..], b"\x00", b"\x01", &[0xff; 20], &[&b"\x7f"[..], &[0x80; 20]].concat()]
        {
            assert_eq!(decoder(more), Err(()), "{more:x?}");
        }
    }
}
