//! Whatever is done, crashes and damage included, what is found is what was put last.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

const NAMES: u64 = 6;
const VARIANTS: u8 = 3;

#[derive(Debug, Clone)]
enum Step {
    Put(u64, u8, usize),
    Renew(u64, u8),
    Remove(u64, u8),
    Find(u64, u8),
    Settle,
    Restart,
    Crash,
    /// Flips a bit, as far into a file as the first number says, while the store is closed.
    Damage(u16, u16, u8),
    /// Cuts the end of the newest file off, or a page of it never reached the device.
    Lose(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let of = || (0..NAMES, 0..VARIANTS);
    let length = prop_oneof![
        6 => 0_usize..9_000,
        2 => 100_000_usize..300_000,
        1 => 1_000_000_usize..1_500_000,
    ];
    let step = prop_oneof![
        12 => (of(), length).prop_map(|((name, variant), length)| Step::Put(name, variant, length)),
        4 => of().prop_map(|(name, variant)| Step::Renew(name, variant)),
        3 => of().prop_map(|(name, variant)| Step::Remove(name, variant)),
        6 => of().prop_map(|(name, variant)| Step::Find(name, variant)),
        3 => Just(Step::Settle),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        1 => any::<(u16, u16, u8)>().prop_map(|(file, at, bit)| Step::Damage(file, at, bit)),
        1 => any::<u16>().prop_map(Step::Lose),
    ];
    prop::collection::vec(step, 1..120)
}

/// What was put last under each key.
#[derive(Default)]
struct Model {
    newest: HashMap<Key, Seen>,
    /// What may be found as well: the end of the log was lost, and with it what was newer.
    older: HashMap<Key, Vec<Seen>>,
    has_lost: bool,
    next: u64,
}

impl Model {
    fn set(&mut self, key: Key, seen: Option<Seen>) {
        if let Some(old) = self.newest.remove(&key) {
            self.older.entry(key).or_default().push(old);
        }
        if let Some(seen) = seen {
            self.newest.insert(key, seen);
        }
    }

    fn check(&self, key: &Key, found: Option<&Seen>) {
        let Some(found) = found else { return };
        let is_newest = self.newest.get(key) == Some(found);
        let was_put = self.older.get(key).is_some_and(|older| older.contains(found));
        assert!(is_newest || (self.has_lost && was_put), "{key:?}: number {}", found.0);
    }
}

struct Run {
    /// Dropped before its directory is removed.
    disk: Option<TestDisk>,
    directory: tempfile::TempDir,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Some(open(&options(&[directory.path()])));
        Self { directory, disk, model: Model { next: 1, ..Model::default() } }
    }

    fn disk(&self) -> &TestDisk {
        self.disk.as_ref().unwrap()
    }

    fn stop(&mut self, is_clean: bool) {
        if is_clean {
            self.disk().close();
        } else if self.disk().statistics().queue_bytes > 0 {
            // what waits is lost
            self.model.has_lost = true;
        }
        self.disk = None;
    }

    fn start(&mut self, waits: bool) {
        let options = options(&[self.directory.path()]);
        self.disk = Some(if waits { reopen(&options) } else { open(&options) });
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Put(of, variant, length) => {
                let (number, key) = (self.number(), key(of, variant));
                put(self.disk(), number, key, of, bytes(number, length));
                self.model.set(key, Some((number, bytes(number, length))));
            }
            Step::Renew(of, variant) => self.renew(of, key(of, variant)),
            Step::Remove(of, variant) => self.remove(key(of, variant)),
            Step::Find(of, variant) => self.find(of, key(of, variant)).await,
            Step::Settle => written(self.disk()),
            Step::Restart | Step::Crash => {
                self.stop(matches!(step, Step::Restart));
                self.start(self.model.next.is_multiple_of(2));
            }
            Step::Damage(file, at, bit) => {
                self.stop(bit > 127);
                self.damage(file, at, bit);
                self.start(false);
            }
            Step::Lose(bytes) => {
                self.stop(false);
                self.lose(bytes);
                self.start(true);
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.model.next += 1;
        self.model.next
    }

    fn renew(&mut self, of: u64, key: Key) {
        let Some((was, body)) = self.model.newest.get(&key).cloned() else { return };
        let number = self.number();
        self.disk().put_head(renewed(number, key, of, key, was));
        self.model.set(key, Some((number, body)));
    }

    fn remove(&mut self, key: Key) {
        self.disk().remove(&key);
        let known: Vec<_> = self.model.newest.keys().copied().collect();
        let is_removed = |other: &Key| *other == key || (key.is_first() && other.name == key.name);
        known.into_iter().filter(is_removed).for_each(|key| self.model.set(key, None));
    }

    async fn find(&self, of: u64, key: Key) {
        let found = disk_find(self.disk(), key, of).await;
        self.model.check(&key, found.as_ref());
    }

    fn damage(&mut self, file: u16, at: u16, bit: u8) {
        let files = segments(self.directory.path());
        let Some(path) = files.get(usize::from(file) % files.len().max(1)) else { return };
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        let at = length.saturating_sub(1) * u64::from(at) / u64::from(u16::MAX);
        let mut byte = [0];
        if file.read_exact_at(&mut byte, at).is_ok() {
            file.write_all_at(&[byte[0] ^ (1 << (bit % 8))], at).unwrap();
        }
        // in the newest file, it may be what ended the log
        self.model.has_lost |= path == files.last().unwrap();
    }

    fn lose(&mut self, bytes: u16) {
        if let Some(path) = segments(self.directory.path()).last() {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            let length = file.metadata().unwrap().len();
            let bytes = u64::from(bytes) * 40;
            if bytes % 80 == 0 {
                file.set_len(length.saturating_sub(bytes)).unwrap();
            } else {
                file.write_all_at(&[0; 4_096], bytes / 4_096 * 4_096 + 4_096).unwrap();
            }
            self.model.has_lost = true;
        }
    }
}

/// By one way only: what is just being written may be found in two places.
async fn disk_find(disk: &TestDisk, key: Key, of: u64) -> Option<Seen> {
    match disk.find_now(&key, &name(of)) {
        Now::Absent => None,
        Now::Found(stored) => Some(seen(stored).await),
        Now::Blocks => match disk.find(&key, &name(of)).await {
            Some(stored) => Some(seen(stored).await),
            None => None,
        },
    }
}

/// Restarts take long: fewer cases than others have. `PROPTEST_CASES` raises both.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases / 16, max_shrink_iters: 200, ..config }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn what_is_found_is_what_was_put_last(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new();
            for step in steps {
                run.step(step).await;
            }
            for of in 0..NAMES {
                for variant in 0..VARIANTS {
                    run.find(of, key(of, variant)).await;
                }
            }
        });
    }
}

/// Without crashes and damage, and with room, everything is found.
#[tokio::test]
async fn nothing_is_lost_by_clean_restarts() {
    let mut run = Run::new();
    for round in 0..12_u64 {
        for of in 0..NAMES {
            let length = usize::try_from((of * 7_919 + round * 104_729) % 200_000).unwrap();
            run.step(Step::Put(of, 1, length)).await;
            if of % 2 == round % 2 {
                run.step(Step::Settle).await;
                run.step(Step::Renew(of, 1)).await;
            }
        }
        run.step(Step::Restart).await;
        for of in 0..NAMES {
            until(|| run.disk().statistics().directories[0].recovery.is_some());
            let found = disk_find(run.disk(), key(of, 1), of).await;
            assert_eq!(found.as_ref(), run.model.newest.get(&key(of, 1)));
        }
    }
}
