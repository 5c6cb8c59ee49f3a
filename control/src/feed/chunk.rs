//! A part of the log as followers are sent it: read once, written once, compressed once, shared by all.

use super::encoding::{Encoding, compressed};
use crate::db::feed::Page;
use api::feed::{Current, EVENT_CURRENT, EVENT_ENTRY};
use bytes::Bytes;
use std::fmt::Write as _;

/// The events of the entries after one number and up to another.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The number before its first entry.
    pub(crate) after: u64,
    /// It has every entry up to this number that there was when it was read.
    pub(crate) until: u64,
    /// The newest number when it was read.
    pub(crate) newest: u64,
    /// The newest dropped removal of a site when it was read.
    pub(crate) forgotten: u64,
    /// Numbers of the entries, and where their events begin.
    marks: Vec<(u64, usize)>,
    /// Where `current` begins; the end where it has none.
    current: usize,
    text: Bytes,
    frame: Bytes,
}

impl Chunk {
    /// The entries of `page`, which is what follows `after`, and `current` where they are the newest.
    pub(crate) fn new(after: u64, page: &Page) -> Self {
        let mut text = String::with_capacity(page.entries.iter().map(|(_, e)| e.len() + 64).sum());
        let mut marks = Vec::with_capacity(page.entries.len());
        for (seq, entry) in &page.entries {
            marks.push((*seq, text.len()));
            write(&mut text, EVENT_ENTRY, Some(*seq), entry);
        }
        let current = text.len();
        if page.until >= page.newest {
            text.push_str(&current_event(page.until));
        }
        let frame = compressed(text.as_bytes());
        Self {
            after,
            until: page.until,
            newest: page.newest,
            forgotten: page.forgotten,
            marks,
            current,
            text: Bytes::from(text),
            frame,
        }
    }

    /// No entry, only that a follower that has all up to `newest` has everything.
    pub(crate) fn idle(newest: u64) -> Self {
        let page = Page { entries: Vec::new(), until: newest, newest, forgotten: 0 };
        Self::new(newest, &page)
    }

    /// What holding it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + self.frame.len() + self.marks.len() * size_of::<(u64, usize)>()
    }

    /// Whether `current` is at its end.
    pub(crate) fn has_current(&self) -> bool {
        self.current < self.text.len()
    }

    /// The events of the entries after `after`, and of `current` if it has one and is asked for. Nothing is copied or
    /// compressed for a follower that needs all of it.
    pub(crate) fn give(&self, after: u64, current: bool, encoding: Encoding) -> Bytes {
        let first = self.marks.partition_point(|(seq, _)| *seq <= after);
        let begin = self.marks.get(first).map_or(self.current, |(_, begin)| *begin);
        let end = if current { self.text.len() } else { self.current };
        match encoding {
            Encoding::Zstd if begin == 0 && end == self.text.len() => self.frame.clone(),
            Encoding::Zstd if begin == end => Bytes::new(),
            Encoding::Zstd | Encoding::Identity => encoding.encode(&self.text.slice(begin..end)),
        }
    }
}

/// `current` as an event.
pub(crate) fn current_event(newest: u64) -> String {
    event(EVENT_CURRENT, &crate::idempotent::json(&Current { newest }))
}

/// An event whose data is one line.
pub(crate) fn event(name: &str, data: &str) -> String {
    let mut text = String::new();
    write(&mut text, name, None, data);
    text
}

fn write(text: &mut String, name: &str, id: Option<u64>, data: &str) {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    // a string takes whatever is written to it
    let _ = write!(text, "event: {name}\n{id}data: {data}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(newest: u64) -> Chunk {
        let entries = [3, 5, 6].map(|seq| (seq, format!("{{\"seq\":{seq}}}"))).to_vec();
        Chunk::new(2, &Page { entries, until: 6, newest, forgotten: 0 })
    }

    fn given(chunk: &Chunk, after: u64, current: bool) -> Vec<u64> {
        let plain = chunk.give(after, current, Encoding::Identity);
        let frame = chunk.give(after, current, Encoding::Zstd);
        assert_eq!(frame.is_empty(), plain.is_empty());
        assert!(frame.is_empty() || zstd::stream::decode_all(&frame[..]).unwrap() == plain);
        let text = String::from_utf8(plain.to_vec()).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| data.chars().filter(char::is_ascii_digit).collect::<String>())
            .map(|digits| digits.parse().unwrap())
            .collect()
    }

    #[test]
    fn a_follower_gets_what_it_has_not_got() {
        let newest = chunk(6);
        for (after, expected) in
            [(2, &[3, 5, 6, 6][..]), (3, &[5, 6, 6]), (4, &[5, 6, 6]), (6, &[6])]
        {
            assert_eq!(given(&newest, after, true), expected, "{after}");
            assert_eq!(given(&newest, after, false), expected[..expected.len() - 1], "{after}");
        }
        let behind = chunk(9);
        assert!(!behind.has_current() && newest.has_current());
        assert_eq!(given(&behind, 2, true), [3, 5, 6]);
        assert_eq!(given(&Chunk::idle(7), 7, true), [7]);
    }
}
