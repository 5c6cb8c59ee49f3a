//! How `memory.capacity_bytes` is shared out, and whether the disk tier's directories can be used.

use super::{Config, Directory};
use api::check::Problems;

/// The part of the memory that is left to stored responses at least.
const LEFT_SHARE: u64 = 8;
/// The part of the memory that each of two tables of what is remembered of slices may take.
const SLICES_SHARE: u64 = 32;
/// The part of the memory that purges may take.
const PURGES_SHARE: u64 = 8;
const DIRECTORY_MIN_BYTES: u64 = 16 << 20;
const DIRECTORIES_MAX: usize = 16;

/// What each use of the store's memory gets of it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) filling_bytes: u64,
    pub(crate) purges_bytes: u64,
    pub(crate) index_bytes: u64,
    pub(crate) queue_bytes: u64,
    pub(crate) reading_bytes: u64,
    /// Each of two.
    pub(crate) slices_bytes: u64,
    /// What is left: stored responses.
    pub(crate) memory_bytes: u64,
}

impl Config {
    /// Shares the memory out; what was set too large leaves nothing.
    pub(crate) fn shares(&self) -> Shares {
        let all = self.memory.capacity_bytes;
        let part = |set: Option<u64>, share: u64| set.unwrap_or(all / share);
        let of_disk = |set: Option<u64>, share: u64| {
            if self.disk.directories.is_empty() { 0 } else { part(set, share) }
        };
        let mut shares = Shares {
            filling_bytes: part(self.memory.filling_max_bytes, 4),
            index_bytes: of_disk(self.disk.index_max_bytes, 4),
            queue_bytes: of_disk(self.disk.queue_max_bytes, 8),
            reading_bytes: of_disk(self.disk.reading_max_bytes, 16),
            slices_bytes: all / SLICES_SHARE,
            purges_bytes: 0,
            memory_bytes: 0,
        };
        // not set, it leaves what has to be left
        let left = all.saturating_sub(shares.given()).saturating_sub(all / LEFT_SHARE);
        shares.purges_bytes = part(self.memory.purges_max_bytes, PURGES_SHARE);
        if self.memory.purges_max_bytes.is_none() {
            shares.purges_bytes = shares.purges_bytes.min(left);
        }
        shares.memory_bytes = all.saturating_sub(shares.given());
        shares
    }

    pub(super) fn check_shares(&self, problems: &mut Problems) {
        let (shares, all) = (self.shares(), self.memory.capacity_bytes);
        if shares.memory_bytes >= all / LEFT_SHARE {
            return;
        }
        let Shares { filling_bytes, purges_bytes, index_bytes, queue_bytes, reading_bytes, .. } =
            shares;
        let detail = format!(
            "an eighth of capacity_bytes must be left for stored responses, but of {all} \
             memory.filling_max_bytes takes {filling_bytes}, memory.purges_max_bytes \
             {purges_bytes}, disk.index_max_bytes {index_bytes}, \
             disk.queue_max_bytes {queue_bytes}, disk.reading_max_bytes {reading_bytes}"
        );
        problems.at("memory", |problems| problems.add(detail, None));
    }

    pub(super) fn check_directories(&self, problems: &mut Problems) {
        let directories = &self.disk.directories;
        let count = directories.len();
        if count > DIRECTORIES_MAX {
            let detail = format!("must be at most {DIRECTORIES_MAX} directories");
            problems.at("disk.directories", |problems| problems.add(detail, Some(&count)));
        }
        problems.each("disk.directories", directories, |problems, directory| {
            let Directory { path, capacity_bytes } = directory;
            let named = directories.iter().filter(|other| other.path == *path).count();
            problems.at("path", |problems| {
                if path.as_os_str().is_empty() {
                    problems.add("must be a path", Some(path));
                } else if named > 1 {
                    problems.add("must not be named twice", Some(path));
                }
            });
            problems.at("capacity_bytes", |problems| {
                problems.within(*capacity_bytes, DIRECTORY_MIN_BYTES..=1 << 50, "bytes");
            });
        });
    }
}

impl Shares {
    fn given(&self) -> u64 {
        let Self { filling_bytes, purges_bytes, index_bytes, queue_bytes, reading_bytes, .. } =
            self;
        [filling_bytes, purges_bytes, index_bytes, queue_bytes, reading_bytes]
            .into_iter()
            .chain([&self.slices_bytes; 2])
            .fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::problems;
    use super::*;

    #[test]
    fn the_shares_are_what_there_is() {
        let shares = Config::default().shares();
        let all = Config::default().memory.capacity_bytes;
        assert_eq!(shares.given() + shares.memory_bytes, all);
        assert_eq!((shares.index_bytes, shares.filling_bytes), (0, all / 4));
    }

    #[test]
    fn uses_that_leave_nothing_are_told() {
        let found = problems("[memory]\ncapacity_bytes = 1048576\nfilling_max_bytes = 2000000\n");
        let expected = "memory: an eighth of capacity_bytes must be left for stored responses, but \
                        of 1048576 memory.filling_max_bytes takes 2000000, ";
        assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
    }

    #[test]
    fn directories_are_checked_one_by_one() {
        let found = problems(
            "[[disk.directories]]\npath = \"a\"\ncapacity_bytes = 5\n\
             [[disk.directories]]\npath = \"\"\ncapacity_bytes = 16777216\n",
        );
        assert_eq!(
            found,
            [
                "disk.directories[0].capacity_bytes: must be 16777216 to 1125899906842624 bytes (got 5)",
                "disk.directories[1].path: must be a path (got \"\")",
            ]
        );
    }
}
