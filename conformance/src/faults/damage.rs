//! Damages what is stored, as failing devices and people do.

use crate::differential::Random;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK_BYTES: usize = 4 << 10;
/// Blocks looked at for one that was written: most of a segment may be empty.
const TRIES: usize = 16;
const GARBAGE_BYTES: usize = 64 << 10;

/// The segment files of a directory. What vanishes meanwhile is none.
fn segments(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|file| file.path());
    let mut segments: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .collect();
    segments.sort();
    segments
}

fn one_of(directory: &Path, random: &mut Random) -> Option<PathBuf> {
    let segments = segments(directory);
    (!segments.is_empty()).then(|| segments[random.below(segments.len())].clone())
}

/// Flips a bit of something that was written. Returns how many it flipped.
pub(crate) fn flip(directory: &Path, random: &mut Random) -> io::Result<u64> {
    let Some(path) = one_of(directory, random) else { return Ok(0) };
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let blocks = usize::try_from(file.metadata()?.len()).unwrap_or_default() / BLOCK_BYTES;
    for _ in 0..TRIES {
        let mut block = [0; BLOCK_BYTES];
        let at = (random.below(blocks.max(1)) * BLOCK_BYTES) as u64;
        let count = file.read_at(&mut block, at)?;
        let written = block[..count].iter().rposition(|byte| *byte != 0);
        if let Some(written) = written {
            let place = random.below(written + 1);
            let byte = block[place] ^ (1 << random.below(8));
            file.write_all_at(&[byte], at + place as u64)?;
            return Ok(1);
        }
    }
    Ok(0)
}

/// Does something rougher to a directory. Returns how often it did.
pub(crate) fn cut(directory: &Path, random: &mut Random) -> io::Result<u64> {
    let injuries: [fn(&Path, &mut Random) -> io::Result<()>; 8] = [
        truncate,
        overwrite,
        extend,
        remove,
        exchange,
        stray_segment,
        garbled_mark,
        |directory, _| fs::remove_file(directory.join("lock")),
    ];
    match injuries[random.below(injuries.len())](directory, random) {
        Ok(()) => Ok(1),
        // the edge removes files too
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn truncate(directory: &Path, random: &mut Random) -> io::Result<()> {
    let file = opened(directory, random)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    file.set_len(random.below(length + 1) as u64)
}

fn overwrite(directory: &Path, random: &mut Random) -> io::Result<()> {
    let file = opened(directory, random)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    file.write_all_at(&random.bytes(GARBAGE_BYTES), random.below(length + 1) as u64)
}

fn extend(directory: &Path, random: &mut Random) -> io::Result<()> {
    let file = opened(directory, random)?;
    file.write_all_at(&random.bytes(GARBAGE_BYTES), file.metadata()?.len())
}

fn remove(directory: &Path, random: &mut Random) -> io::Result<()> {
    fs::remove_file(one_of(directory, random).ok_or(io::ErrorKind::NotFound)?)
}

/// Gives two segments each other's names.
fn exchange(directory: &Path, random: &mut Random) -> io::Result<()> {
    let one = one_of(directory, random).ok_or(io::ErrorKind::NotFound)?;
    let other = one_of(directory, random).ok_or(io::ErrorKind::NotFound)?;
    let between = directory.join("between");
    fs::rename(&one, &between)?;
    fs::rename(&other, &one).or_else(|_| fs::rename(&between, &one))?;
    match fs::rename(&between, &other) {
        // they were the same
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Adds a file with a segment's name that is none.
fn stray_segment(directory: &Path, random: &mut Random) -> io::Result<()> {
    let number = [0, 1, random.below(1 << 16), usize::MAX >> 33, usize::MAX >> 32][random.below(5)];
    let path = directory.join(format!("{number:08x}.segment"));
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file.write_all_at(&random.bytes(GARBAGE_BYTES), 0),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn garbled_mark(directory: &Path, random: &mut Random) -> io::Result<()> {
    let length = random.below(64);
    fs::write(directory.join("run"), random.bytes(length))
}

fn opened(directory: &Path, random: &mut Random) -> io::Result<File> {
    let path = one_of(directory, random).ok_or(io::ErrorKind::NotFound)?;
    OpenOptions::new().read(true).write(true).open(path)
}

/// Takes the whole directory away, and perhaps puts something in its place.
pub(crate) fn vanish(directory: &Path, random: &mut Random) -> io::Result<u64> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(directory)?,
        // the edge may be making files in it
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result?,
    }
    match random.below(4) {
        0 => fs::write(directory, b"a file")?,
        1 => match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        },
        _ => {}
    }
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_changes_one_bit_of_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("00000001.segment");
        let before = vec![7; 3 * BLOCK_BYTES];
        fs::write(&path, &before).unwrap();
        assert_eq!(flip(directory.path(), &mut Random::new(1)).unwrap(), 1);
        let after = fs::read(&path).unwrap();
        let bits = before.iter().zip(&after).map(|(one, other)| (one ^ other).count_ones());
        assert_eq!(bits.sum::<u32>(), 1);
    }

    #[test]
    fn a_directory_can_be_hurt_in_any_way() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("own");
        let mut random = Random::new(7);
        for _ in 0..200 {
            fs::create_dir_all(&own).unwrap();
            fs::write(own.join("00000001.segment"), [1; 100]).unwrap();
            fs::write(own.join("00000002.segment"), [2; 100]).unwrap();
            cut(&own, &mut random).unwrap();
            if random.chance(10) {
                vanish(&own, &mut random).unwrap();
                vanish(&own, &mut random).unwrap();
                if own.is_file() {
                    fs::remove_file(&own).unwrap();
                }
            }
        }
    }
}
