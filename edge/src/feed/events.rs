//! From bytes to events: the stream format of server-sent events (HTML, "Interpreting an event stream"), as far as a feed
//! has it, and its compression.
//!
//! Both take what comes in pieces that are cut anywhere, and hold one event at most.

use api::feed::ENTRY_MAX_BYTES;
use std::io;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

/// Bytes of one event: an entry, its number and what is around them.
pub(super) const EVENT_MAX_BYTES: usize = ENTRY_MAX_BYTES + 1_024;
/// The largest window of a frame: 8 MiB, which RFC 9659 §3 asks decoders of `zstd` to support, and no more.
const WINDOW_LOG_MAX: u32 = 23;
/// Decompressed at a time.
const PIECE_BYTES: usize = 1 << 17;

/// One event.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) data: String,
}

/// An event is longer than [`EVENT_MAX_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Events as they come.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// A line that has not ended.
    line: Vec<u8>,
    event: Event,
    /// Whether the event has data.
    has_data: bool,
    event_bytes: usize,
}

impl Parser {
    /// Takes a piece of a stream, and hands on the events that end in it.
    pub(super) fn take(&mut self, piece: &[u8], out: &mut Vec<Event>) -> Result<(), TooLong> {
        let mut rest = piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (ended, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            self.grow(ended.len() + 1)?;
            if self.line.is_empty() {
                self.end_line(ended, out);
            } else {
                self.line.extend_from_slice(ended);
                let line = std::mem::take(&mut self.line);
                self.end_line(&line, out);
            }
        }
        self.grow(rest.len())?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), TooLong> {
        self.event_bytes += bytes;
        if self.event_bytes > EVENT_MAX_BYTES { Err(TooLong) } else { Ok(()) }
    }

    fn end_line(&mut self, line: &[u8], out: &mut Vec<Event>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            self.event_bytes = 0;
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                out.push(event);
            }
            return;
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "id" => value.clone_into(&mut self.event.id),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {} // a comment, or a field that no feed has
        }
    }
}

/// Undoes `zstd`: one frame after the other (RFC 8878 §3).
pub(super) struct Inflate {
    decoder: Decoder<'static>,
    piece: Vec<u8>,
}

impl Inflate {
    pub(super) fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(Self { decoder, piece: vec![0; PIECE_BYTES] })
    }

    /// Takes a piece of a stream, and hands on what it comes to, in pieces.
    pub(super) fn take<E: From<io::Error>>(
        &mut self,
        compressed: &[u8],
        mut out: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut input = InBuffer::around(compressed);
        loop {
            let mut output = OutBuffer::around(self.piece.as_mut_slice());
            self.decoder.run(&mut input, &mut output)?;
            let written = output.pos();
            out(self.piece.get(..written).unwrap_or_default())?;
            // a full piece may have more behind it
            if input.pos() == compressed.len() && written < PIECE_BYTES {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(stream: &[u8], pieces: impl Iterator<Item = usize>) -> Vec<Event> {
        let (mut parser, mut found, mut rest) = (Parser::default(), Vec::new(), stream);
        for length in pieces {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            parser.take(piece, &mut found).unwrap();
            rest = after;
        }
        parser.take(rest, &mut found).unwrap();
        found
    }

    fn event(name: &str, id: &str, data: &str) -> Event {
        Event { name: name.to_owned(), id: id.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn a_stream_is_cut_anywhere() {
        let stream = "event: hello\ndata: {}\n\n: comment\n\nevent: entry\r\nid: 7\r\ndata: \u{e4}\r\n\
            data:two\r\n\r\ndata\n\nevent: nothing\n\nretry: 5\ndata: x: y\n\ndata: unfinished\n";
        let expected = [
            event("hello", "", "{}"),
            event("entry", "7", "\u{e4}\ntwo"),
            event("", "", ""),
            event("", "", "x: y"),
        ];
        for length in 1..stream.len() {
            assert_eq!(events(stream.as_bytes(), std::iter::repeat_n(length, 999)), expected);
        }
    }

    #[test]
    fn one_event_is_bounded_and_a_stream_of_them_is_not() {
        let (mut parser, mut found) = (Parser::default(), Vec::new());
        let megabyte = vec![b'x'; 1 << 20];
        for _ in 0..16 {
            parser.take(b"data: ", &mut found).unwrap();
            parser.take(&megabyte, &mut found).unwrap();
            parser.take(b"\n\n", &mut found).unwrap();
        }
        assert_eq!(found.len(), 16);
        for _ in 0..EVENT_MAX_BYTES >> 20 {
            parser.take(&megabyte, &mut found).unwrap();
        }
        assert_eq!(parser.take(&megabyte, &mut found), Err(TooLong));
    }

    fn inflate(compressed: &[u8], length: usize) -> io::Result<Vec<u8>> {
        let (mut inflate, mut out) = (Inflate::new()?, Vec::new());
        for piece in compressed.chunks(length) {
            inflate.take(piece, |bytes| {
                out.extend_from_slice(bytes);
                io::Result::Ok(())
            })?;
        }
        Ok(out)
    }

    #[test]
    fn compressed_frames_follow_each_other_and_are_cut_anywhere() {
        let texts =
            ["event: hello\n\n".to_owned(), "x".repeat(300_000), String::new(), "end".into()];
        let frame = |text: &String| zstd::bulk::compress(text.as_bytes(), 1).unwrap();
        let compressed: Vec<u8> = texts.iter().flat_map(frame).collect();
        for length in 1..=compressed.len() {
            assert_eq!(
                inflate(&compressed, length).unwrap(),
                texts.concat().as_bytes(),
                "{length}"
            );
        }
    }

    #[test]
    fn what_a_frame_holds_comes_out_before_the_next_begins() {
        let frame = zstd::bulk::compress(b"event: current\ndata: {}\n\n", 1).unwrap();
        let (mut inflate, mut out) = (Inflate::new().unwrap(), Vec::new());
        for times in 1..3 {
            let taken = inflate.take(&frame, |bytes| {
                out.extend_from_slice(bytes);
                io::Result::Ok(())
            });
            taken.unwrap();
            assert_eq!(out.len(), times * b"event: current\ndata: {}\n\n".len());
        }
    }

    #[test]
    fn what_is_no_frame_or_has_too_large_a_window_is_an_error() {
        assert!(inflate(b"event: hello\n\n", 5).is_err());
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(24).unwrap();
        io::Write::write_all(&mut encoder, &vec![7; 20 << 20]).unwrap();
        assert!(inflate(&encoder.finish().unwrap(), 1 << 16).is_err());
    }
}
