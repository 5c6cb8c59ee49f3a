//! Which frames are on a stream? RFC 9114 §7, RFC 9000 §16.
//!
//! What has no meaning is skipped as it comes in, and nothing is held that is longer than it may be.

use super::fault::{Code, Fault};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::RecvStream;

/// Types of frames.
pub(super) mod kind {
    pub(in crate::quic) const DATA: u64 = 0x0;
    pub(in crate::quic) const HEADERS: u64 = 0x1;
    pub(in crate::quic) const CANCEL_PUSH: u64 = 0x3;
    pub(in crate::quic) const SETTINGS: u64 = 0x4;
    pub(in crate::quic) const PUSH_PROMISE: u64 = 0x5;
    pub(in crate::quic) const GOAWAY: u64 = 0x7;
    pub(in crate::quic) const MAX_PUSH_ID: u64 = 0xd;
    /// Those of HTTP/2 that have no counterpart (§7.2.8).
    pub(super) const RESERVED: [u64; 4] = [0x2, 0x6, 0x8, 0x9];
    /// Those with a payload that is read as a whole.
    pub(super) const WHOLE: [u64; 6] =
        [HEADERS, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID];
}

/// Frames without meaning, or without content, that one stream may have, and their bytes.
const IDLE_FRAMES_MAX: u32 = 1_000;
const IDLE_BYTES_MAX: u64 = 1 << 20;

/// A frame that means something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// DATA, whose content is read with [`Frames::data`].
    Data,
    /// Any other, by its type.
    Whole(u64, Bytes),
    /// One with more content than may be; it is not read.
    TooLong(u64),
}

/// The frames of a stream.
pub(super) struct Frames {
    stream: RecvStream,
    /// What was received and isn't read yet.
    held: Bytes,
    place: Place,
    idle_frames: u32,
    idle_bytes: u64,
}

/// Where in a stream the next byte is.
enum Place {
    Head,
    Data { left: u64 },
    Whole { kind: u64, length: usize, read: BytesMut },
    Skipped { left: u64 },
    End,
}

impl Frames {
    pub(super) const fn new(stream: RecvStream, held: Bytes) -> Self {
        Self { stream, held, place: Place::Head, idle_frames: 0, idle_bytes: 0 }
    }

    /// The next frame, of at most `max` bytes; none at the end of the stream. What is left of DATA is skipped.
    pub(super) async fn next(&mut self, max: usize) -> Result<Option<Frame>, Fault> {
        loop {
            match &mut self.place {
                Place::Head => match head(&self.held) {
                    Some((kind, length, used)) => {
                        self.held.advance(used);
                        if let Some(frame) = self.begin(kind, length, max)? {
                            return Ok(Some(frame));
                        }
                    }
                    None if self.more().await? => {}
                    None if self.held.is_empty() => self.place = Place::End,
                    None => return Err(CUT),
                },
                Place::Whole { kind, length, read } => {
                    let missing = *length - read.len();
                    read.put(self.held.split_to(missing.min(self.held.len())));
                    if read.len() == *length {
                        let frame = Frame::Whole(*kind, std::mem::take(read).freeze());
                        self.place = Place::Head;
                        return Ok(Some(frame));
                    }
                    self.need_more().await?;
                }
                Place::Data { left } | Place::Skipped { left } => {
                    let skipped = (*left).min(self.held.len() as u64);
                    *left -= skipped;
                    let is_over = *left == 0;
                    self.held.advance(usize::try_from(skipped).unwrap_or(usize::MAX));
                    if is_over {
                        self.place = Place::Head;
                    } else {
                        self.need_more().await?;
                    }
                }
                Place::End => return Ok(None),
            }
        }
    }

    /// The next bytes of a DATA frame; none at its end.
    pub(super) async fn data(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let Place::Data { left } = &mut self.place else { return Ok(None) };
            if *left == 0 {
                self.place = Place::Head;
                return Ok(None);
            }
            if !self.held.is_empty() {
                let length = self.held.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                return Ok(Some(self.held.split_to(length)));
            }
            self.need_more().await?;
        }
    }

    /// Whether the stream has been read to its end.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.place, Place::End)
    }

    /// Asks the client to send no more.
    pub(super) fn stop(&mut self, code: Code) {
        // a stream that is over needs no stop
        self.stream.stop(code.into()).ok();
    }

    /// Enters a frame. One that means something and has no content, or will have none, comes back.
    fn begin(&mut self, kind: u64, length: u64, max: usize) -> Result<Option<Frame>, Fault> {
        if kind::RESERVED.contains(&kind) {
            return Err(Fault::Connection(Code::FrameUnexpected, "a frame of HTTP/2"));
        }
        if kind::WHOLE.contains(&kind) {
            let Some(length) = usize::try_from(length).ok().filter(|length| *length <= max) else {
                self.place = Place::Skipped { left: length };
                return Ok(Some(Frame::TooLong(kind)));
            };
            if self.held.len() >= length {
                return Ok(Some(Frame::Whole(kind, self.held.split_to(length))));
            }
            self.place = Place::Whole { kind, length, read: BytesMut::with_capacity(length) };
            return Ok(None);
        }
        let is_data = kind == kind::DATA;
        if !is_data || length == 0 {
            self.idle_frames += 1;
            self.idle_bytes += if is_data { 0 } else { length };
            if self.idle_frames > IDLE_FRAMES_MAX || self.idle_bytes > IDLE_BYTES_MAX {
                return Err(Fault::Connection(Code::ExcessiveLoad, "frames without meaning"));
            }
        }
        self.place =
            if is_data { Place::Data { left: length } } else { Place::Skipped { left: length } };
        Ok(is_data.then_some(Frame::Data))
    }

    /// Receives more; false at the end of the stream.
    async fn more(&mut self) -> Result<bool, Fault> {
        let Some(chunk) = self.stream.read_chunk(usize::MAX, true).await? else {
            return Ok(false);
        };
        self.held = if self.held.is_empty() {
            chunk.bytes
        } else {
            // the beginning of a frame's head
            let mut joined = BytesMut::with_capacity(self.held.len() + chunk.bytes.len());
            joined.put_slice(&self.held);
            joined.put_slice(&chunk.bytes);
            joined.freeze()
        };
        Ok(true)
    }

    /// Receives more inside of a frame, which must not end there (§7.1).
    async fn need_more(&mut self) -> Result<(), Fault> {
        if self.more().await? { Ok(()) } else { Err(CUT) }
    }
}

const CUT: Fault = Fault::Connection(Code::FrameError, "the stream ends inside of a frame");

/// Type, length and size of the head that `bytes` begin with; none where it isn't whole.
fn head(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let mut rest = bytes;
    let kind = number(&mut rest)?;
    let length = number(&mut rest)?;
    Some((kind, length, bytes.len() - rest.len()))
}

/// The integer (RFC 9000 §16) that `rest` begins with, which is taken out; none where it isn't whole.
pub(super) fn number(rest: &mut &[u8]) -> Option<u64> {
    let length = 1 << (rest.first()? >> 6);
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    let whole = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Some(whole & (u64::MAX >> (66 - 8 * length)))
}

/// Writes an integer, which must be below 2^62.
pub(super) fn put_number(out: &mut impl BufMut, number: u64) {
    match number {
        0..0x40 => out.put_uint(number, 1),
        0x40..0x4000 => out.put_uint(number | 0x4000, 2),
        0x4000..0x4000_0000 => out.put_uint(number | 0x8000_0000, 4),
        _ => out.put_u64(number | 0xc000_0000_0000_0000),
    }
}

/// The head of a frame.
pub(super) fn put_head(out: &mut impl BufMut, kind: u64, length: u64) {
    put_number(out, kind);
    put_number(out, length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_as_in_the_standard() {
        let check = |mut bytes: &[u8], expected| assert_eq!(number(&mut bytes), expected);
        // RFC 9000 §A.1
        check(b"\xc2\x19\x7c\x5e\xff\x14\xe8\x8c", Some(151_288_809_941_952_652));
        check(b"\x9d\x7f\x3e\x7d", Some(494_878_333));
        check(b"\x7b\xbd", Some(15_293));
        check(b"\x25", Some(37));
        check(b"\x40\x25", Some(37));
        check(b"", None);
        check(b"\x40", None);
    }

    #[test]
    fn a_head_is_whole_or_none() {
        assert_eq!(head(b"\x01\x40\x25rest"), Some((1, 37, 3)));
        assert_eq!(head(b"\x01"), None);
        assert_eq!(head(b"\x01\x40"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(written in 0_u64..1 << 62) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, written);
            prop_assert_eq!(number(&mut &*bytes), Some(written));
        }
    }
}
