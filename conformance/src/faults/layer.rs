//! The fault layer: a library, loaded into the edge before its C library, that makes calls on stored files fail.
//!
//! It sees what the store asks of its files because the store's own calls go through the C library too (rustix's
//! `use-libc`). That it does is not taken on trust: a run that injected nothing fails.

use crate::differential::Random;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use testkit::EdgeOptions;
use tokio::process::Command;

const SOURCE: &str = include_str!("../../faults/layer.c");
/// Slots of `struct control` in the source.
const SLOTS: usize = 16;
const CALLS_AT: u64 = 4 * SLOTS as u64 + 8;
const CONTROL_BYTES: usize = 4 * SLOTS + 8 + 8 + 8 * SLOTS;
/// Longer than the edge waits for a read.
const LATE_MILLISECONDS: u32 = 1_500;

/// What can go wrong with a call, in the order of `enum kind` in the source.
#[derive(Debug, Clone, Copy)]
enum Kind {
    ReadError,
    ReadShort,
    ReadLate,
    ReadFlipped,
    WriteError,
    WriteFull,
    WriteShort,
    WriteFlipped,
    AllocateFull,
    SyncError,
    OpenError,
    RemoveError,
}

/// Rates per million calls.
type Weather = &'static [(Kind, u32)];

/// What happens together.
const WEATHERS: [Weather; 9] = [
    &[],
    &[(Kind::ReadError, 20_000)],
    &[(Kind::ReadError, 1_000_000)],
    &[(Kind::ReadShort, 300_000), (Kind::WriteShort, 300_000)],
    &[(Kind::ReadLate, 10_000)],
    &[(Kind::WriteError, 100_000), (Kind::SyncError, 100_000)],
    &[(Kind::WriteFull, 50_000), (Kind::AllocateFull, 500_000)],
    &[(Kind::OpenError, 300_000), (Kind::RemoveError, 300_000)],
    &[
        (Kind::ReadError, 1_000_000),
        (Kind::WriteError, 1_000_000),
        (Kind::SyncError, 1_000_000),
        (Kind::OpenError, 1_000_000),
        (Kind::RemoveError, 1_000_000),
    ],
];

/// What happens where files may come to hold other bytes than were written, without an error.
const LIES: [Weather; 3] = [
    &[(Kind::ReadFlipped, 100_000)],
    &[(Kind::WriteFlipped, 100_000)],
    &[(Kind::ReadFlipped, 20_000), (Kind::WriteFlipped, 20_000), (Kind::ReadShort, 200_000)],
];

/// The layer, for the files below one directory.
pub(crate) struct Layer {
    library: PathBuf,
    control_file: PathBuf,
    control: File,
    under: PathBuf,
    /// Whether it lies about bytes too.
    lies: bool,
}

impl Layer {
    /// Compiles the layer into `directory`, for what is below `under`.
    pub(crate) async fn build(directory: &Path, under: &Path, lies: bool) -> Result<Self> {
        let (source, library) = (directory.join("layer.c"), directory.join("layer.so"));
        std::fs::write(&source, SOURCE)?;
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let output = compile.output().await.context("there is no C compiler")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let control_file = directory.join("control");
        std::fs::write(&control_file, [0; CONTROL_BYTES])?;
        let control = File::options().read(true).write(true).open(&control_file)?;
        Ok(Self { library, control_file, control, under: under.to_owned(), lies })
    }

    /// Has an edge run above it.
    pub(crate) fn below(&self, options: EdgeOptions) -> EdgeOptions {
        options
            .environment("LD_PRELOAD", &self.library)
            .environment("FAULTS_CONTROL", &self.control_file)
            .environment("FAULTS_UNDER", &self.under)
    }

    /// Sets what goes wrong from now on.
    pub(crate) fn change(&self, random: &mut Random) -> Result<()> {
        let weathers = if self.lies { LIES.as_slice() } else { &WEATHERS };
        self.set(weathers[random.below(weathers.len())])
    }

    /// Has nothing go wrong from now on.
    pub(crate) fn calm(&self) -> Result<()> {
        self.set(&[])
    }

    fn set(&self, weather: Weather) -> Result<()> {
        let mut rates = [0_u32; SLOTS];
        for (kind, rate) in weather {
            rates[*kind as usize] = *rate;
        }
        let words = rates.iter().chain([&LATE_MILLISECONDS]);
        let bytes: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
        Ok(self.control.write_all_at(&bytes, 0)?)
    }

    /// Calls that were seen, and faults that were injected.
    pub(crate) fn counts(&self) -> Result<(u64, u64)> {
        let mut bytes = [0; 8 + 8 * SLOTS];
        self.control.read_exact_at(&mut bytes, CALLS_AT)?;
        let mut numbers = bytes.as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes));
        Ok((numbers.next().unwrap_or_default(), numbers.sum()))
    }
}
