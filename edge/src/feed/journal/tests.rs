use super::*;
use crate::feed::adopted::tests::{apply, following, hello, hosts, log, purge, put, removed};
use std::io::Cursor;

/// A journal in memory.
#[derive(Debug, Default, Clone)]
pub(in crate::feed) struct Bytes(pub(in crate::feed) Vec<u8>);

impl Bytes {
    pub(in crate::feed) fn begin(adopted: &Adopted) -> Self {
        let mut bytes = Vec::new();
        write(adopted, &mut bytes).unwrap();
        Self(bytes)
    }

    pub(in crate::feed) fn append(&mut self, payload: &[u8]) {
        let header = header(payload, self.0.len() as u64);
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(payload);
    }

    /// None for what is damaged.
    pub(in crate::feed) fn load(&self) -> Option<(Adopted, usize)> {
        match read(&mut Cursor::new(&self.0), self.0.len() as u64).unwrap() {
            Found::State { adopted, end, .. } => Some((*adopted, usize::try_from(end).unwrap())),
            Found::Damage => None,
        }
    }
}

/// What tells two states apart.
pub(in crate::feed) fn told(adopted: &Adopted) -> String {
    let mut sites: Vec<String> = adopted
        .sites()
        .map(|(id, site)| format!("{id} {} {}", site.document, site.served.purges.newest()))
        .collect();
    sites.sort();
    let rejected = adopted.rejected().map(|rejected| rejected.told.seq).collect::<Vec<_>>();
    let (hosts, log) = (hosts(adopted), adopted.log());
    format!("{} {log:?} {} {sites:?} {rejected:?} {hosts}", adopted.epoch(), adopted.applied)
}

/// A journal of several appends, and after each where it ended and what was adopted.
fn journal() -> (Bytes, Vec<(usize, String)>) {
    let mut adopted = following();
    let mut bytes = Bytes::begin(&adopted);
    let mut states = vec![(bytes.0.len(), told(&adopted))];
    let batches = [
        vec![put(2, 'B', &["b.example", "a.example"]), purge(3, 'B', &[])],
        vec![removed(4, 'A')],
        vec![put(5, 'C', &["not a host"]), purge(6, 'B', &["there"]), put(7, 'A', &["c.example"])],
        vec![purge(8, 'A', &["there"]), purge(9, 'B', &[])],
    ];
    for entries in batches {
        let mut batch = Batch::default();
        for text in entries {
            let seq = super::super::entry::Entry::read(&text, None).unwrap().seq;
            match apply(&mut adopted, &text) {
                super::super::adopted::Applied::Changed(_) => batch.entry(seq, &text),
                _ => batch.pass(seq),
            }
        }
        bytes.append(&batch.finish());
        states.push((bytes.0.len(), told(&adopted)));
    }
    (bytes, states)
}

#[test]
fn a_journal_that_is_cut_anywhere_is_one_of_its_states() {
    let (bytes, states) = journal();
    for length in 0..=bytes.0.len() {
        let cut = Bytes(bytes.0[..length].to_vec());
        let expected = states.iter().rev().find(|(end, _)| *end <= length);
        let found = cut.load().map(|(adopted, end)| (end, told(&adopted)));
        assert_eq!(found.as_ref(), expected, "{length}");
    }
}

#[test]
fn what_is_left_of_an_append_is_cut_off() {
    let (bytes, states) = journal();
    let (before, end) = (&states[states.len() - 2], bytes.0.len());
    // the file has grown, and some of its pages were not written
    for zeros in [before.0..end, before.0..before.0 + 9, before.0 + 20..end] {
        let mut torn = bytes.clone();
        torn.0[zeros].fill(0);
        torn.0.extend_from_slice(&[0; 5000]);
        let found = torn.load().map(|(adopted, end)| (end, told(&adopted)));
        assert_eq!(found.as_ref(), Some(before));
    }
}

#[test]
fn damage_anywhere_before_the_last_append_is_found() {
    let (bytes, states) = journal();
    let last = states[states.len() - 2].0;
    for at in 0..last {
        for flip in [1, 0x80] {
            let mut damaged = bytes.clone();
            damaged.0[at] ^= flip;
            assert!(damaged.load().is_none(), "{at}");
        }
    }
    for missing in [0, 17, states[0].0 - 1] {
        let mut damaged = bytes.clone();
        damaged.0.remove(missing);
        assert!(damaged.load().is_none(), "{missing}");
    }
    // a journal of another version
    let mut other = Bytes::default();
    let mut payload = Vec::new();
    Record::Head { epoch: 1, log: None }.write(&mut payload);
    let version = payload.len() - 8;
    payload[version] += 1;
    other.append(&payload);
    let mut end = Vec::new();
    Record::Advanced(1).write(&mut end);
    other.append(&end);
    assert!(other.load().is_none());
}

#[test]
fn nothing_in_a_document_passes_for_a_frame() {
    let (bytes, states) = journal();
    // the bytes of a whole journal, as part of the last append, which is torn
    let mut payload = bytes.0.clone();
    payload.extend_from_slice(&bytes.0[states[0].0..]);
    let mut torn = bytes.clone();
    torn.append(&payload);
    torn.0.pop();
    let (adopted, end) = torn.load().unwrap();
    assert_eq!((end, &told(&adopted)), (bytes.0.len(), &states.last().unwrap().1));
}

#[test]
fn a_log_is_read_from_its_beginning_or_not_at_all() {
    let mut adopted = following();
    let bytes = Bytes::begin(&adopted);
    hello(&mut adopted, log('2'), true, 5);
    apply(&mut adopted, &put(1, 'B', &["b.example"]));
    // nothing is written before the end of it, so a start goes on with the log of before
    assert_eq!(bytes.load().unwrap().0.log(), Some(&log('1')));
}

#[test]
fn what_is_passed_over_is_one_record() {
    let mut batch = Batch::default();
    batch.pass(5);
    batch.pass(6);
    let text = put(7, 'A', &[]);
    batch.entry(7, &text);
    batch.pass(8);
    batch.pass(9);
    let payload = batch.finish();
    let (mut records, mut found) = (payload.as_slice(), Vec::new());
    while let Some(record) = Record::read(&mut records) {
        found.push(record);
    }
    assert_eq!(found, [Record::Entry { seq: 7, text: &text }, Record::Advanced(9)]);
}
