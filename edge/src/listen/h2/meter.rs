//! Is a client worth its frames? The crate `h2` bounds what a connection holds. This bounds what it has to do: frames that
//! bring nothing cost credit, and what moves a connection on gives some.
//!
//! It sees the bytes that come in, and reads no more of them than the headers of frames (RFC 9113 §4.1).

use std::time::Duration;
use tokio::time::Instant;

const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
/// `END_STREAM` of DATA and HEADERS, and `ACK` of SETTINGS.
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Frames that bring nothing: the first ones, those that each stream may have, those that each second brings, and the bytes
/// sent to the client that it may answer with one (`WINDOW_UPDATE` above all).
const FRAMES: Credit = Credit { most: 4_096, each_second: 128 };
const FRAMES_PER_STREAM: i64 = 8;
const SENT_BYTES_PER_FRAME: usize = 512;
/// Requests taken back. Each costs two, and each request gives one: whoever takes back half of them has them all.
const RESETS: Credit = Credit { most: 512, each_second: 64 };
const RESET: i64 = 2;

/// How much there can be, and how fast it grows.
#[derive(Debug, Clone, Copy)]
struct Credit {
    most: i64,
    each_second: i64,
}

/// Why a connection is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    /// More frames that bring nothing than there is credit for.
    Frames,
    /// More requests taken back.
    Resets,
    /// The first frame is no SETTINGS (RFC 9113 §3.4).
    Preface,
}

/// What is known of the frames of a connection.
#[derive(Debug)]
pub(super) struct Meter {
    /// Bytes that belong to the preface or to the payload of a frame, and are passed over.
    left: usize,
    header: [u8; HEADER_BYTES],
    /// How much of `header` is there.
    known: usize,
    frames: i64,
    resets: i64,
    grown: Instant,
    sent: usize,
    /// Whether a first frame has come.
    has_begun: bool,
    /// Within the lines of a head.
    in_head: bool,
    /// Since when something incomplete is held.
    held_since: Option<Instant>,
    pub(super) excess: Option<Excess>,
}

impl Meter {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            left: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            known: 0,
            frames: FRAMES.most,
            resets: RESETS.most,
            grown: now,
            sent: 0,
            has_begun: false,
            in_head: false,
            held_since: Some(now),
            excess: None,
        }
    }

    /// Since when the first frame, or the rest of a head, is waited for.
    pub(super) const fn held_since(&self) -> Option<Instant> {
        self.held_since
    }

    /// Notes bytes that came in.
    pub(super) fn receive(&mut self, mut bytes: &[u8], now: Instant) {
        while !bytes.is_empty() {
            let passed = self.left.min(bytes.len());
            self.left -= passed;
            bytes = bytes.get(passed..).unwrap_or_default();
            let missing = HEADER_BYTES - self.known;
            let (more, rest) = bytes.split_at(missing.min(bytes.len()));
            for (place, byte) in self.header.iter_mut().skip(self.known).zip(more) {
                *place = *byte;
            }
            self.known += more.len();
            bytes = rest;
            if self.known == HEADER_BYTES {
                self.known = 0;
                self.begin_frame(now);
            }
        }
        // what ends here ends a head as well, unless it is cut
        let is_held = !self.has_begun || self.in_head;
        self.held_since = is_held.then(|| self.held_since.unwrap_or(now));
    }

    /// Notes bytes that went out.
    pub(super) fn send(&mut self, bytes: usize) {
        self.sent += bytes;
        self.frames += i64::try_from(self.sent / SENT_BYTES_PER_FRAME).unwrap_or(i64::MAX);
        self.frames = self.frames.min(FRAMES.most);
        self.sent %= SENT_BYTES_PER_FRAME;
    }

    fn begin_frame(&mut self, now: Instant) {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if is_first && (kind != SETTINGS || flags & END_STREAM != 0) {
            self.excess = Some(Excess::Preface);
        }
        match kind {
            HEADERS => {
                self.in_head = flags & END_HEADERS == 0;
                self.frames += FRAMES_PER_STREAM;
                self.resets += 1;
            }
            DATA if self.left > 0 || flags & END_STREAM != 0 => {}
            CONTINUATION => {
                self.in_head &= flags & END_HEADERS == 0;
                self.frames -= 1;
            }
            RST_STREAM => self.resets -= RESET,
            _ => self.frames -= 1,
        }
        if self.frames < 0 || self.resets < 0 {
            self.grow(now);
        }
        (self.frames, self.resets) = (self.frames.min(FRAMES.most), self.resets.min(RESETS.most));
        if self.frames < 0 {
            self.excess.get_or_insert(Excess::Frames);
        }
        if self.resets < 0 {
            self.excess.get_or_insert(Excess::Resets);
        }
    }

    /// Gives what the time since the last time is worth.
    fn grow(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.grown);
        let worth = |credit: Credit| {
            let grown = since.as_millis() * u128::from(credit.each_second.unsigned_abs()) / 1_000;
            i64::try_from(grown).unwrap_or(i64::MAX).min(credit.most)
        };
        if since >= Duration::from_millis(100) {
            self.frames = self.frames.saturating_add(worth(FRAMES));
            self.resets = self.resets.saturating_add(worth(RESETS));
            self.grown = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0; HEADER_BYTES + length];
        frame[..3].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
        frame[3] = kind;
        frame[4] = flags;
        frame
    }

    fn begun() -> (Meter, Instant) {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        let mut start = vec![b'x'; PREFACE_BYTES];
        start.extend(frame(SETTINGS, 0, 18));
        assert_eq!(meter.held_since(), Some(now));
        meter.receive(&start, now);
        assert_eq!((meter.held_since(), meter.excess), (None, None));
        (meter, now)
    }

    /// Whether so many of some frames, at once, are too many.
    fn check(frames: &[Vec<u8>], times: usize, expected: Option<Excess>) {
        let (mut meter, now) = begun();
        for _ in 0..times {
            meter.receive(&frames.concat(), now);
        }
        assert_eq!(meter.excess, expected, "{frames:?} {times} times");
    }

    #[test]
    fn frames_that_bring_nothing_are_counted() {
        const PING: u8 = 6;
        check(&[frame(PING, 0, 8)], 4_000, None);
        for kind in [PING, SETTINGS, CONTINUATION, 2, 8, 200] {
            check(&[frame(kind, 0, 8)], 5_000, Some(Excess::Frames));
        }
        check(&[frame(DATA, 0, 0)], 5_000, Some(Excess::Frames));
        check(&[frame(DATA, 0, 1)], 100_000, None);
    }

    #[test]
    fn requests_that_are_answered_may_have_frames_of_their_own() {
        let (headers, update) = (frame(HEADERS, END_HEADERS | END_STREAM, 40), frame(8, 0, 4));
        check(&[headers.clone(), update.clone(), update.clone(), update], 100_000, None);
        check(&[headers], 100_000, None);
    }

    #[test]
    fn requests_that_are_taken_back_are_counted() {
        let (headers, reset) = (frame(HEADERS, END_HEADERS, 40), frame(RST_STREAM, 0, 4));
        check(&[headers.clone(), reset.clone()], 500, None);
        check(&[headers.clone(), reset.clone()], 600, Some(Excess::Resets));
        check(&[headers.clone(), headers, reset], 100_000, None);
    }

    #[test]
    fn credit_grows_with_time_and_with_what_is_sent() {
        let update = frame(8, 0, 4);
        let (mut meter, mut now) = begun();
        for _ in 0..100 {
            now += Duration::from_secs(1);
            meter.receive(&update.repeat(120), now);
        }
        assert_eq!(meter.excess, None);
        for _ in 0..10_000 {
            meter.send(2 * SENT_BYTES_PER_FRAME);
            meter.receive(&update.repeat(2), now);
        }
        assert_eq!(meter.excess, None);
    }

    #[test]
    fn the_first_frame_is_settings() {
        for (kind, flags, expected) in [
            (SETTINGS, 0, None),
            (SETTINGS, END_STREAM, Some(Excess::Preface)),
            (HEADERS, END_HEADERS, Some(Excess::Preface)),
        ] {
            let mut meter = Meter::new(Instant::now());
            meter.receive(&[0; PREFACE_BYTES], Instant::now());
            meter.receive(&frame(kind, flags, 0), Instant::now());
            assert_eq!(meter.excess, expected);
        }
    }

    #[test]
    fn a_head_is_held_until_its_end() {
        let (mut meter, now) = begun();
        meter.receive(&frame(HEADERS, 0, 10), now);
        assert_eq!(meter.held_since(), Some(now));
        meter.receive(&frame(CONTINUATION, 0, 10), now + Duration::from_secs(1));
        assert_eq!(meter.held_since(), Some(now));
        meter.receive(&frame(CONTINUATION, END_HEADERS, 10), now);
        assert_eq!(meter.held_since(), None);
    }

    proptest! {
        #[test]
        fn it_is_the_same_however_bytes_are_cut(
            frames in prop::collection::vec((0_u8..12, any::<u8>(), 0_usize..40), 1..50),
            cut in 1_usize..60,
        ) {
            let frames = frames.into_iter().map(|(kind, flags, length)| frame(kind, flags, length));
            let bytes = [vec![0; PREFACE_BYTES], frames.flatten().collect()].concat();
            let now = Instant::now();
            let (mut whole, mut pieces) = (Meter::new(now), Meter::new(now));
            whole.receive(&bytes, now);
            bytes.chunks(cut).for_each(|piece| pieces.receive(piece, now));
            prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        }
    }
}
