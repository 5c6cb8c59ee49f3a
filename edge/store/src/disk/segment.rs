//! One file of a directory's log: written once from its beginning to its end, read at any place.

use crate::disk::files::Files;
use crate::disk::record::{HEADER_BYTES, Header, checksum};
use crate::disk::table::{Identity, ROW_BYTES, Row, START_BYTES, TRAILER_BYTES, Trailer, rows};
use crate::disk::{locked, run};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What is read at once where only headers are looked for.
const SCAN_BYTES: u64 = 64 << 10;
const EXTENSION: &str = "segment";
/// More segments than can be written in the life of a device.
pub(super) const NUMBER_MAX: u32 = u32::MAX / 2;

/// Gives a new file its room on the device.
pub(super) type Allocate = Box<dyn Fn(&File, u64) -> io::Result<()> + Send + Sync>;

/// A segment's file. Counted as bytes on disk until it is closed: a file unlinked is there until its last reader ends.
pub(super) struct Segment {
    pub(super) identity: Identity,
    path: PathBuf,
    /// Invariant: there until it is dropped.
    file: Option<File>,
    bytes: AtomicU64,
    files: Arc<Files>,
    /// The table, encoded, while the segment is not sealed.
    open_table: Mutex<Option<Vec<u8>>>,
}

/// What a segment holds.
pub(super) struct Listing {
    pub(super) rows: Vec<Row>,
    /// Where the last record ends.
    pub(super) end: u64,
    pub(super) is_sealed: bool,
    /// Whether there may have been more.
    pub(super) is_damaged: bool,
}

impl Segment {
    /// Makes a new one, with its beginning written.
    pub(super) fn create(
        directory: &Path,
        identity: Identity,
        bytes: u64,
        allocate: &Allocate,
        files: &Arc<Files>,
    ) -> io::Result<Self> {
        let path = directory.join(file_name(identity.segment));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let made = allocate(&file, bytes)
            .and_then(|()| file.write_all_at(&identity.encode(), 0))
            // what is flushed to it later is to be found there
            .and_then(|()| run::sync(directory));
        if let Err(error) = made {
            std::fs::remove_file(&path)?;
            return Err(error);
        }
        Ok(Self::of(path, file, identity, bytes, files, Some(Vec::new())))
    }

    /// One that an earlier run wrote. What it says of itself, if anything, is found out by [`Segment::list`].
    pub(super) fn open(directory: &Path, number: u32, files: &Arc<Files>) -> io::Result<Self> {
        let path = directory.join(file_name(number));
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let bytes = file.metadata()?.len();
        let start = read(&file, 0, START_BYTES.min(bytes))?;
        let trailer = Self::trailer_of(&file, bytes)?.map(|trailer| trailer.identity);
        // a segment without either is listed as damaged
        let identity = Identity::decode(&start).or(trailer).filter(|own| own.segment == number);
        let identity = identity.unwrap_or(Identity { segment: number, run: u64::MAX });
        Ok(Self::of(path, file, identity, bytes, files, None))
    }

    fn of(
        path: PathBuf,
        file: File,
        identity: Identity,
        bytes: u64,
        files: &Arc<Files>,
        open_table: Option<Vec<u8>>,
    ) -> Self {
        files.add(bytes);
        let (file, files) = (Some(file), Arc::clone(files));
        let (bytes, open_table) = (AtomicU64::new(bytes), Mutex::new(open_table));
        Self { identity, path, file, bytes, files, open_table }
    }

    pub(super) const fn number(&self) -> u32 {
        self.identity.segment
    }

    #[expect(clippy::expect_used, reason = "whoever calls this keeps it from being dropped")]
    pub(super) const fn file(&self) -> &File {
        self.file.as_ref().expect("only `drop` takes it")
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_open(&self) -> bool {
        locked(&self.open_table).is_some()
    }

    pub(super) fn read(&self, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
        read(self.file(), offset, bytes)
    }

    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file().write_all_at(bytes, offset)
    }

    /// Notes a record that was written.
    pub(super) fn add(&self, row: &Row) {
        if let Some(table) = &mut *locked(&self.open_table) {
            row.encode(table);
        }
    }

    /// Bytes that the table and what ends it take so far.
    pub(super) fn table_bytes(&self) -> u64 {
        let table = locked(&self.open_table).as_ref().map_or(0, Vec::len);
        (table + TRAILER_BYTES) as u64
    }

    /// Writes the table after the records, which end at `end`, gives back the room that is left, and has all of it
    /// reach the device.
    pub(super) fn seal(&self, end: u64) -> io::Result<()> {
        let Some(table) = locked(&self.open_table).clone() else { return Ok(()) };
        self.write_table(&table, end)?;
        *locked(&self.open_table) = None;
        Ok(())
    }

    /// Seals a segment that an earlier run left open.
    pub(super) fn seal_listed(&self, listing: &Listing) -> io::Result<()> {
        let mut table = Vec::with_capacity(listing.rows.len() * ROW_BYTES);
        listing.rows.iter().for_each(|row| row.encode(&mut table));
        self.write_table(&table, listing.end)
    }

    fn write_table(&self, table: &[u8], end: u64) -> io::Result<()> {
        let trailer = Trailer {
            identity: self.identity,
            rows: u32::try_from(table.len() / ROW_BYTES).unwrap_or(u32::MAX),
            table_offset: end,
            table_checksum: checksum(table),
        };
        self.write(table, end)?;
        self.write(&trailer.encode(), end + table.len() as u64)?;
        let bytes = end + (table.len() + TRAILER_BYTES) as u64;
        self.file().set_len(bytes)?;
        let was = self.bytes.swap(bytes, Ordering::Relaxed);
        self.files.add(bytes);
        self.files.subtract(was);
        self.file().sync_data()
    }

    /// Takes it out of the directory.
    pub(super) fn unlink(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    fn trailer_of(file: &File, bytes: u64) -> io::Result<Option<Trailer>> {
        let Some(at) = bytes.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
        let trailer = Trailer::decode(&read(file, at, TRAILER_BYTES as u64)?);
        Ok(trailer.filter(|own| own.table_offset.checked_add(own.table_bytes()) == Some(at)))
    }

    /// Some of its rows, from row `first` on; none where there are no more. What they say is not verified.
    pub(super) fn rows(&self, first: u64, max: u64) -> io::Result<Vec<Row>> {
        let row_bytes = ROW_BYTES as u64;
        if let Some(table) = &*locked(&self.open_table) {
            let from = usize::try_from(first * row_bytes).unwrap_or(usize::MAX).min(table.len());
            let to = usize::try_from((first + max) * row_bytes).unwrap_or(usize::MAX);
            return Ok(rows(&table[from..to.min(table.len())]));
        }
        let Some(trailer) = Self::trailer_of(self.file(), self.bytes())? else {
            return Ok(Vec::new());
        };
        let count = u64::from(trailer.rows).saturating_sub(first).min(max);
        Ok(rows(&self.read(trailer.table_offset + first * row_bytes, count * row_bytes)?))
    }

    /// All of its rows so far, verified where it is sealed. None where it has no table that is whole.
    pub(super) fn table(&self) -> io::Result<Option<Vec<Row>>> {
        if let Some(table) = &*locked(&self.open_table) {
            return Ok(Some(rows(table)));
        }
        let Some(trailer) = Self::trailer_of(self.file(), self.bytes())? else { return Ok(None) };
        let table = self.read(trailer.table_offset, trailer.table_bytes())?;
        let rows = rows(&table);
        let is_whole =
            checksum(&table) == trailer.table_checksum && rows.len() * ROW_BYTES == table.len();
        Ok(is_whole.then_some(rows))
    }

    /// What it holds, by its table; where it has none, by the headers of its records.
    pub(super) fn list(&self) -> io::Result<Listing> {
        if let Some(trailer) = Self::trailer_of(self.file(), self.bytes())? {
            let table = self.read(trailer.table_offset, trailer.table_bytes())?;
            let (rows, end) = (rows(&table), trailer.table_offset);
            let is_whole = checksum(&table) == trailer.table_checksum
                && trailer.identity.segment == self.number()
                && rows.len() * ROW_BYTES == table.len();
            if is_whole {
                return Ok(Listing { rows, end, is_sealed: true, is_damaged: false });
            }
            let mut listing = self.scan(end)?;
            // the records are whole where they lead up to the table
            listing.is_damaged = listing.end != end;
            return Ok(listing);
        }
        let mut listing = self.scan(self.bytes())?;
        let end = listing.end + (listing.rows.len() * ROW_BYTES + TRAILER_BYTES) as u64;
        // or, where it isn't told where that is, leave exactly its room
        listing.is_damaged &= end != self.bytes();
        Ok(listing)
    }

    /// What the headers of the records say, up to `bytes`.
    fn scan(&self, bytes: u64) -> io::Result<Listing> {
        let mut listing =
            Listing { rows: Vec::new(), end: START_BYTES, is_sealed: false, is_damaged: false };
        let (mut window, mut window_at) = (Vec::new(), 0);
        while listing.end + HEADER_BYTES as u64 <= bytes {
            let end = listing.end;
            if end < window_at || end + HEADER_BYTES as u64 > window_at + window.len() as u64 {
                self.files.watch.work();
                (window, window_at) = (self.read(end, SCAN_BYTES.min(bytes - end))?, end);
            }
            let place = usize::try_from(end - window_at).unwrap_or(usize::MAX);
            let found = window.get(place..).unwrap_or_default();
            let header = Header::decode(found).filter(|header| {
                header.segment == self.number() && end + header.record_bytes() <= bytes
            });
            let Some(header) = header else {
                // where nothing was written, there are zeros
                listing.is_damaged = found.iter().take(HEADER_BYTES).any(|byte| *byte != 0);
                break;
            };
            listing.rows.push(Row::new(&header, end));
            listing.end += header.record_bytes();
        }
        listing.is_damaged |= self.identity.run == u64::MAX;
        Ok(listing)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // by whoever was the last to read it: not one to wait for the device
        if let Some(file) = self.file.take() {
            self.files.leave(file, self.bytes());
        }
    }
}

/// Takes room on the device; where the file system can't, says only how long the file is.
pub(super) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(bytes),
        result => Ok(result?),
    }
}

/// Reads exactly `bytes` bytes, into memory that isn't written twice.
fn read(file: &File, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut out = Vec::with_capacity(length);
    while out.len() < length {
        let at = offset + out.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut out), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    out.truncate(length);
    Ok(out)
}

fn file_name(number: u32) -> String {
    format!("{number:08x}.{EXTENSION}")
}

/// The numbers of the segments in a directory, in rising order. Other files are not ours: those too whose number no log
/// comes to.
pub(super) fn numbers(directory: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for file in std::fs::read_dir(directory)? {
        let name = file?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)?.strip_suffix('.'));
        let number = number.filter(|digits| digits.len() == 8);
        let number = number.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        numbers.extend(number.filter(|number| *number <= NUMBER_MAX));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Unlinks all segments in a directory.
pub(super) fn unlink_all(directory: &Path) -> io::Result<()> {
    unlink(directory, numbers(directory)?)
}

/// Unlinks these segments of a directory.
pub(super) fn unlink(directory: &Path, numbers: Vec<u32>) -> io::Result<()> {
    numbers
        .into_iter()
        .try_for_each(|number| std::fs::remove_file(directory.join(file_name(number))))
}

/// Unlinks the oldest segment in a directory. False where there is none.
pub(super) fn unlink_oldest(directory: &Path) -> io::Result<bool> {
    let Some(oldest) = numbers(directory)?.first().copied() else { return Ok(false) };
    std::fs::remove_file(directory.join(file_name(oldest)))?;
    Ok(true)
}
