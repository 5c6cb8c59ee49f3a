//! What was adopted, as bytes that can be appended to.
//!
//! A journal is a sequence of frames: a mark, a length, a checksum, a payload. One append is one frame, and is flushed
//! before the next: so what is wrong at the end is an append that a crash cut short, and what is wrong before a sound
//! frame is damage. The checksum depends on the frame's place: nothing that a payload holds can pass for a frame.
//!
//! A payload is a sequence of records. A journal begins with one of its version, the epoch and the log; then comes the
//! state that it was begun with, up to the first [`Record::Advanced`]; then what was adopted since, as it was received.

use super::adopted::Adopted;
use api::feed::Key;
use api::id::LogId;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::str;
use twox_hash::XxHash3_64;

/// Begins a frame. No UTF-8 text holds it.
const MARK: [u8; 4] = *b"\xffLSJ";
/// Mark, length of the payload, checksum.
pub(super) const HEADER_BYTES: usize = 16;
/// Of records.
const VERSION: u64 = 1;
/// Bytes of a payload of a whole state, about.
const PAYLOAD_BYTES: usize = 1 << 20;

const HEAD: u8 = 1;
const SITE: u8 = 2;
const REJECTED: u8 = 3;
const ENTRY: u8 = 4;
const ADVANCED: u8 = 5;
const KEY: u8 = 6;
const CERTIFICATE: u8 = 7;

/// One thing that a journal says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'b> {
    /// Everything that follows is of this reading of this log.
    Head { epoch: u64, log: Option<LogId> },
    /// A site, with its last good document, the number of the entry that had it, and its purges as
    /// [`purge::Purges::write`] has them.
    Site { seq: u64, site_id: &'b str, document: &'b str, purges: &'b [u8] },
    /// A document that could not be used, the number of the entry that had it, and the number that was adopted when this
    /// was written.
    Rejected { seq: u64, site_id: &'b str, document: &'b str, applied: u64 },
    /// An entry as it was received, with the number it was adopted with.
    Entry { seq: u64, text: &'b str },
    /// Everything up to this number is adopted.
    Advanced(u64),
    /// What all followers of the log have in common, as digits.
    Key(&'b str),
    /// The entry that had a certificate or a challenge, as it was received: private keys in it are sealed.
    Certificate { seq: u64, text: &'b str },
}

/// What is in a journal.
#[derive(Debug)]
pub(super) enum Found {
    /// A state, where what the journal was begun with ends, and where its last sound frame does: anything behind is to be
    /// cut off.
    State { adopted: Box<Adopted>, begun: u64, end: u64 },
    /// Something else.
    Damage,
}

/// What was adopted in one go, as records.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: Vec<u8>,
    /// A number that is adopted without a record yet.
    passed: Option<u64>,
}

impl Batch {
    /// Notes an entry that changed something.
    pub(super) fn entry(&mut self, seq: u64, text: &str) {
        self.passed = None;
        Record::Entry { seq, text }.write(&mut self.records);
    }

    /// Notes what all followers of the log have in common.
    pub(super) fn key(&mut self, key: &Key) {
        Record::Key(key.reveal()).write(&mut self.records);
    }

    /// Notes that there is nothing else up to a number.
    pub(super) fn pass(&mut self, seq: u64) {
        self.passed = Some(seq);
    }

    /// The records.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if let Some(seq) = self.passed {
            Record::Advanced(seq).write(&mut self.records);
        }
        self.records
    }
}

impl<'b> Record<'b> {
    fn write(&self, out: &mut Vec<u8>) {
        let number = match self {
            Self::Rejected { applied, .. } => *applied,
            _ => VERSION,
        };
        let number = number.to_le_bytes();
        let (kind, number, parts): (u8, u64, [&[u8]; 3]) = match self {
            Self::Head { epoch, log } => {
                let log = log.as_ref().map(LogId::as_str).unwrap_or_default();
                (HEAD, *epoch, [log.as_bytes(), b"", &number])
            }
            Self::Site { seq, site_id, document, purges } => {
                (SITE, *seq, [site_id.as_bytes(), document.as_bytes(), purges])
            }
            Self::Rejected { seq, site_id, document, .. } => {
                (REJECTED, *seq, [site_id.as_bytes(), document.as_bytes(), &number])
            }
            Self::Entry { seq, text } => (ENTRY, *seq, [text.as_bytes(), b"", b""]),
            Self::Advanced(seq) => (ADVANCED, *seq, [b"", b"", b""]),
            Self::Key(digits) => (KEY, 0, [digits.as_bytes(), b"", b""]),
            Self::Certificate { seq, text } => (CERTIFICATE, *seq, [text.as_bytes(), b"", b""]),
        };
        out.push(kind);
        out.extend_from_slice(&number.to_le_bytes());
        for part in parts {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_le_bytes());
        }
        parts.into_iter().for_each(|part| out.extend_from_slice(part));
    }

    /// Takes a record from `bytes`. None for what is none.
    fn read(bytes: &mut &'b [u8]) -> Option<Self> {
        let [kind] = take_array(bytes)?;
        let number = u64::from_le_bytes(take_array(bytes)?);
        let mut lengths = [0; 3];
        for length in &mut lengths {
            *length = usize::try_from(u32::from_le_bytes(take_array(bytes)?)).ok()?;
        }
        let [first, second, third] = lengths.map(|length| take(bytes, length));
        let (first, second, third) = (str::from_utf8(first?).ok()?, second?, third?);
        Some(match kind {
            HEAD if third == VERSION.to_le_bytes() => {
                let log = if first.is_empty() { None } else { Some(first.parse().ok()?) };
                Self::Head { epoch: number, log }
            }
            SITE => {
                let document = str::from_utf8(second).ok()?;
                Self::Site { seq: number, site_id: first, document, purges: third }
            }
            REJECTED => {
                let document = str::from_utf8(second).ok()?;
                let applied = u64::from_le_bytes(third.try_into().ok()?);
                Self::Rejected { seq: number, site_id: first, document, applied }
            }
            ENTRY => Self::Entry { seq: number, text: first },
            ADVANCED => Self::Advanced(number),
            KEY => Self::Key(first),
            CERTIFICATE => Self::Certificate { seq: number, text: first },
            _ => return None,
        })
    }
}

/// What comes before a payload in a frame that begins at `offset`.
pub(super) fn header(payload: &[u8], offset: u64) -> [u8; HEADER_BYTES] {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut header = [0; HEADER_BYTES];
    let (mark, rest) = header.split_at_mut(MARK.len());
    let (size, checksum) = rest.split_at_mut(4);
    mark.copy_from_slice(&MARK);
    size.copy_from_slice(&length.to_le_bytes());
    checksum.copy_from_slice(&XxHash3_64::oneshot_with_seed(offset, payload).to_le_bytes());
    header
}

/// Writes a journal that holds a state and nothing else. Returns its length.
pub(super) fn write(adopted: &Adopted, out: &mut impl Write) -> io::Result<u64> {
    let (mut payload, mut offset) = (Vec::new(), 0);
    let head = Record::Head { epoch: adopted.epoch(), log: adopted.log().cloned() };
    head.write(&mut payload);
    if let Some(key) = adopted.key() {
        Record::Key(key.reveal()).write(&mut payload);
    }
    flush(&mut payload, &mut offset, out)?;
    let mut purges = Vec::new();
    for (site_id, site) in adopted.sites() {
        purges.clear();
        site.served.purges.write(&mut purges);
        let (seq, document) = (site.seq, &*site.document);
        let record = Record::Site { seq, site_id, document, purges: &purges };
        record.write(&mut payload);
        if payload.len() >= PAYLOAD_BYTES {
            flush(&mut payload, &mut offset, out)?;
        }
    }
    for (seq, text) in adopted.certificate_entries() {
        Record::Certificate { seq, text }.write(&mut payload);
        if payload.len() >= PAYLOAD_BYTES {
            flush(&mut payload, &mut offset, out)?;
        }
    }
    for rejected in adopted.rejected() {
        let (seq, site_id) = (rejected.told.seq, rejected.told.site_id.as_str());
        let (document, applied) = (&*rejected.document, adopted.applied);
        Record::Rejected { seq, site_id, document, applied }.write(&mut payload);
        if payload.len() >= PAYLOAD_BYTES {
            flush(&mut payload, &mut offset, out)?;
        }
    }
    Record::Advanced(adopted.applied).write(&mut payload);
    flush(&mut payload, &mut offset, out)?;
    Ok(offset)
}

fn flush(payload: &mut Vec<u8>, offset: &mut u64, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&header(payload, *offset))?;
    out.write_all(payload)?;
    *offset += (HEADER_BYTES + payload.len()) as u64;
    payload.clear();
    Ok(())
}

/// Reads a journal of `length` bytes.
pub(super) fn read(from: &mut (impl Read + Seek), length: u64) -> io::Result<Found> {
    let mut adopted = Box::<Adopted>::default();
    let (mut end, mut begun) = (0, None);
    let mut payload = Vec::new();
    while read_frame(from, end, length, &mut payload)? {
        let mut records = payload.as_slice();
        let next = end + (HEADER_BYTES + payload.len()) as u64;
        let mut is_first = end == 0;
        while !records.is_empty() {
            let Some(record) = Record::read(&mut records) else { return Ok(Found::Damage) };
            // the version is the first thing to be known
            let is_head = matches!(record, Record::Head { .. });
            let is_end = matches!(record, Record::Advanced(_));
            if is_head != is_first || adopted.restore(record).is_none() {
                return Ok(Found::Damage);
            }
            is_first = false;
            if is_end {
                begun.get_or_insert(next);
            }
        }
        end = next;
    }
    match begun {
        Some(begun) if !has_frame_after(from, end)? => Ok(Found::State { adopted, begun, end }),
        _ => Ok(Found::Damage),
    }
}

/// Reads the payload of the frame at `offset`. False where no sound frame is.
pub(super) fn read_frame(
    from: &mut impl Read,
    offset: u64,
    length: u64,
    payload: &mut Vec<u8>,
) -> io::Result<bool> {
    let left = length.saturating_sub(offset);
    if left < HEADER_BYTES as u64 {
        return Ok(false);
    }
    let mut found = [0; HEADER_BYTES];
    from.read_exact(&mut found)?;
    let Some(size) = payload_bytes(&found).filter(|size| *size <= left - HEADER_BYTES as u64)
    else {
        return Ok(false);
    };
    payload.clear();
    let read = from.take(size).read_to_end(payload)?;
    Ok(read as u64 == size && found == header(payload, offset))
}

fn payload_bytes(header: &[u8]) -> Option<u64> {
    let mut header = header.strip_prefix(&MARK)?;
    take_array(&mut header).map(u32::from_le_bytes).map(u64::from)
}

/// Whether a sound frame begins somewhere behind `offset`.
fn has_frame_after(from: &mut (impl Read + Seek), offset: u64) -> io::Result<bool> {
    from.seek(SeekFrom::Start(offset))?;
    let mut rest = Vec::new();
    from.read_to_end(&mut rest)?;
    let marks = memchr::memmem::find_iter(&rest, &MARK);
    Ok(marks.filter(|at| *at > 0).any(|at| {
        let bytes = rest.get(at..).unwrap_or_default();
        let Some((found, payload)) = bytes.split_at_checked(HEADER_BYTES) else { return false };
        let size = payload_bytes(found).and_then(|size| usize::try_from(size).ok());
        let payload = size.and_then(|size| payload.get(..size));
        payload.is_some_and(|payload| *found == header(payload, offset + at as u64))
    }))
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take(bytes, N)?.try_into().ok()
}

#[cfg(test)]
pub(super) mod tests;
