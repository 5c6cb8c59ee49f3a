//! An edge with a disk tier is killed, and what it stores is damaged, while clients check every byte they get.
//!
//! A cycle is: load, perhaps a purge; then a moment of rest, so that it is known what is written; then load during which
//! the edge is killed; then damage, a start, and the next one. Which requests, when it is killed, and what is damaged
//! follow from a seed. What must not be served is in `ledger`; what may go wrong is a [`Fault`].

mod ask;
mod content;
mod damage;
mod layer;
mod ledger;
mod load;
mod origin;
mod room;
mod run;
mod stage;
mod tally;

pub use room::NotPermitted;
pub use tally::{Tally, table};

use anyhow::Result;
use run::Run;
use std::fmt;
use std::str::FromStr;

/// What goes wrong beside the edge's being killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Kill,
    /// There is so little room that it is made all the time.
    Crowded,
    /// Bits of stored files flip.
    Flip,
    /// Stored files are truncated, overwritten, removed, exchanged; others come in.
    Cut,
    /// Directories are removed, and other things put in their place.
    Vanish,
    /// The device is smaller than it was said to be, and sometimes full.
    Full,
    /// Calls on stored files fail, do half of what they should, or take long.
    Errors,
    /// Reads and writes say that they succeed, and bits of them are flipped.
    Lies,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Kill,
        Self::Crowded,
        Self::Flip,
        Self::Cut,
        Self::Vanish,
        Self::Full,
        Self::Errors,
        Self::Lies,
    ];

    /// Whether what is stored may come to say something else.
    const fn is_damage(self) -> bool {
        matches!(self, Self::Flip | Self::Cut | Self::Lies)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kill => "kill",
            Self::Crowded => "crowded",
            Self::Flip => "flip",
            Self::Cut => "cut",
            Self::Vanish => "vanish",
            Self::Full => "full",
            Self::Errors => "errors",
            Self::Lies => "lies",
        })
    }
}

/// No kind of fault.
#[derive(Debug, thiserror::Error)]
#[error("no kind of fault: {0}")]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let found = Self::ALL.into_iter().find(|fault| fault.to_string() == text);
        found.ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

/// Goes through so many cycles.
///
/// # Errors
/// When the run itself doesn't work: a file system can't be mounted, the fault layer sees nothing, the edge can't be
/// started twice in a row.
pub async fn run(fault: Fault, cycles: u64, seed: u64) -> Result<Tally> {
    let mut run = Run::begin(fault, seed).await?;
    for cycle in 0..cycles {
        run.cycle(cycle % 2 == 1).await?;
    }
    run.end()
}
