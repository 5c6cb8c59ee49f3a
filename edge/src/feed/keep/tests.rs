use super::*;
use crate::feed::adopted::tests::{apply, following, purge, put};
use crate::feed::journal::Batch;
use crate::feed::journal::tests::told;

const ULID: &str = "01J9Z3K8Q4W5E6R7T8Y9V0B1N2";

fn open(path: &Path) -> Result<StateDirectory, StateError> {
    StateDirectory::open(path, || EdgeId::from_ulid(ULID).unwrap())
}

/// Applies an entry, and returns what is written of it.
fn adopt(adopted: &mut Adopted, seq: u64, text: &str) -> Vec<u8> {
    apply(adopted, text);
    let mut batch = Batch::default();
    batch.entry(seq, text);
    batch.finish()
}

fn begin(directory: &Path, adopted: &Adopted) -> Journal {
    let journal = Journal::write_beside(directory, adopted).unwrap();
    journal.put_in_place(directory).unwrap();
    journal
}

/// What a start finds in a directory; nothing where it has to ask control for everything.
fn loaded(directory: &Path) -> Option<String> {
    let (adopted, journal) = open(directory).unwrap().load().unwrap();
    journal.map(|_| told(&adopted))
}

#[test]
fn what_was_written_is_loaded_and_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    assert_eq!(loaded(path), None);
    let mut adopted = following();
    let mut journal = begin(path, &adopted);
    journal.append(&adopt(&mut adopted, 2, &put(2, 'B', &["b.example"]))).unwrap();
    assert_eq!(loaded(path), Some(told(&adopted)));
    let (_, journal) = open(path).unwrap().load().unwrap();
    journal.unwrap().append(&adopt(&mut adopted, 3, &purge(3, 'B', &[]))).unwrap();
    assert_eq!(loaded(path), Some(told(&adopted)));
    StateDirectory::open(path, || unreachable!("the id is there")).unwrap();
}

#[test]
fn nobody_else_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("edge");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let _state = open(&path).unwrap();
    fs::write(path.join(BESIDE), "left behind").unwrap();
    begin(&path, &following());
    assert_eq!(mode(&path), 0o700);
    for name in [JOURNAL, ID, LOCK] {
        assert_eq!(mode(&path.join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_directory_serves_one_edge() {
    let directory = tempfile::tempdir().unwrap();
    let _first = open(directory.path()).unwrap();
    assert!(matches!(open(directory.path()), Err(StateError::Taken(_))));
}

#[test]
fn damaged_state_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    for damage in ["", "{", "\u{fffd}LSJ", "{\"version\":3}"] {
        fs::write(directory.path().join(JOURNAL), damage).unwrap();
        assert_eq!(loaded(directory.path()), None, "{damage}");
        assert!(!directory.path().join(JOURNAL).exists());
        assert!(directory.path().join(ASIDE).exists());
    }
}

#[test]
fn a_torn_append_is_cut_off_and_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut adopted = following();
    let mut journal = begin(directory.path(), &adopted);
    journal.write(b"half of a batch that a crash cut").unwrap();
    journal.file.set_len(journal.end + 20).unwrap();
    let (_, again) = open(directory.path()).unwrap().load().unwrap();
    again.unwrap().append(&adopt(&mut adopted, 2, &put(2, 'B', &["b.example"]))).unwrap();
    assert_eq!(loaded(directory.path()), Some(told(&adopted)));
}

/// Copies a directory, as it is found after a kill.
fn killed(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// Every step of writing a journal anew, with appends meanwhile: a kill between any two finds what was acknowledged.
#[test]
fn a_kill_at_any_step_finds_all_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut adopted = following();
    let mut journal = begin(path, &adopted);
    journal.append(&adopt(&mut adopted, 2, &put(2, 'B', &["b.example"]))).unwrap();
    let upto = journal.end();
    let mut beside = Journal::write_beside(path, &adopted).unwrap();
    assert_eq!(loaded(killed(path).path()), Some(told(&adopted)), "written beside");
    journal.append(&adopt(&mut adopted, 3, &purge(3, 'B', &[]))).unwrap();
    assert_eq!(loaded(killed(path).path()), Some(told(&adopted)), "appended meanwhile");
    journal.append(&adopt(&mut adopted, 4, &put(4, 'A', &["c.example"]))).unwrap();
    assert_eq!(loaded(killed(path).path()), Some(told(&adopted)), "appended again");
    beside.append_from(&journal, upto).unwrap();
    let whole = fs::read(path.join(BESIDE)).unwrap();
    for length in 0..=whole.len() {
        fs::write(path.join(BESIDE), &whole[..length]).unwrap();
        if length % 16 == 0 || length == whole.len() {
            assert_eq!(loaded(killed(path).path()), Some(told(&adopted)), "beside, {length}");
        }
    }
    beside.put_in_place(path).unwrap();
    assert_eq!(loaded(killed(path).path()), Some(told(&adopted)), "in place");
    assert_eq!(fs::read(path.join(JOURNAL)).unwrap(), whole);
    beside.append(&adopt(&mut adopted, 5, &purge(5, 'A', &[]))).unwrap();
    assert_eq!(loaded(killed(path).path()), Some(told(&adopted)), "appended to the new one");
}

#[test]
fn a_full_disk_fails_an_append_and_leaves_the_journal_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut adopted = following();
    let mut journal = begin(directory.path(), &adopted);
    let whole = std::mem::replace(
        &mut journal.file,
        File::options().write(true).open("/dev/full").unwrap(),
    );
    let records = adopt(&mut adopted, 2, &put(2, 'B', &["b.example"]));
    assert_eq!(journal.append(&records).unwrap_err().kind(), ErrorKind::StorageFull);
    journal.file = whole;
    journal.write(b"some of it").unwrap();
    journal.cut_off().unwrap();
    journal.append(&records).unwrap();
    assert_eq!(loaded(directory.path()), Some(told(&adopted)));
}

#[test]
fn a_journal_is_full_by_what_is_appended() {
    let check = |state_bytes: u64, expected: u64| assert_eq!(full_at(state_bytes), expected);
    check(1000, 1000 + (16 << 20));
    check(100 << 20, 300 << 20);
    let directory = tempfile::tempdir().unwrap();
    let mut journal = begin(directory.path(), &following());
    assert!(!journal.is_full());
    journal.append(&vec![0; 17 << 20]).unwrap();
    assert!(journal.is_full());
    journal.put_off();
    assert!(!journal.is_full());
}
