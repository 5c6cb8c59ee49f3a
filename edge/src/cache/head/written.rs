//! A head as it is written down: numbers in little-endian order, then the lines.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version |
//! | 1 | flags |
//! | 8 | the start of the machine that the steady time counts from; zero where it isn't known |
//! | 8, 8 | when it was received: steady time, and nanoseconds since 1970 by the wall clock |
//! | 21 | freshness |
//! | 8 | the sequence number applied when its fetch began, or a later one that it is known not to have been purged with |
//! | 8 | its place in the order of all responses |
//! | 16 | which variant it is, where the flags say that it is one |
//! | 4, 4 | bytes of the lines that clients are sent, and of all |
//!
//! What it was written with is checked by who keeps it; here no bytes are trusted to be a head.

use super::Head;
use super::lines::Lines;
use crate::clock::{Boot, Now, Steady};
use crate::stage::reuse::Kept;
use semantics::freshness::Freshness;
use std::time::{Duration, SystemTime};

/// Of the form. A reader knows no other.
const VERSION: u8 = 1;

const IS_FAILURE: u8 = 1;
const FORWARDS_CDN_CACHE_CONTROL: u8 = 1 << 1;
const IS_VARIANT: u8 = 1 << 2;
const KNOWN_FLAGS: u8 = IS_FAILURE | FORWARDS_CDN_CACHE_CONTROL | IS_VARIANT;

impl Head {
    /// Appends it, in a form to be read in this start of the machine, `boot`, or in another.
    pub(super) fn write(&self, boot: Option<Boot>, out: &mut Vec<u8>) {
        let (lines, sent) = self.lines.all();
        let Ok(length) = u32::try_from(lines.len()) else { return };
        let Kept { freshness, received, is_failure, forwards_cdn_cache_control, .. } = self.kept;
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        out.push(VERSION);
        out.push(
            flag(IS_FAILURE, is_failure)
                | flag(FORWARDS_CDN_CACHE_CONTROL, forwards_cdn_cache_control)
                | flag(IS_VARIANT, self.variance.is_some()),
        );
        out.extend_from_slice(&boot.map_or(0, |boot| boot.0).to_le_bytes());
        out.extend_from_slice(&received.steady.nanoseconds().to_le_bytes());
        out.extend_from_slice(&nanoseconds(received.wall).to_le_bytes());
        out.extend_from_slice(&freshness.to_bytes());
        out.extend_from_slice(&self.compared.number().to_le_bytes());
        out.extend_from_slice(&self.since.to_le_bytes());
        out.extend_from_slice(&self.variance.unwrap_or_default());
        out.extend_from_slice(&sent.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(lines);
    }

    /// Reads what was written, in the start `boot` of the machine, at `now`. None for bytes that are no head.
    pub(super) fn read(mut bytes: &[u8], boot: Option<Boot>, now: Now) -> Option<Self> {
        let from = &mut bytes;
        let [version, flags] = take(from)?;
        if version != VERSION || flags & !KNOWN_FLAGS != 0 {
            return None;
        }
        let written_in = Some(u64::from_le_bytes(take(from)?)).filter(|&hash| hash != 0).map(Boot);
        let steady = Steady::from_nanoseconds(i64::from_le_bytes(take(from)?));
        let received = Now { steady, wall: wall(i64::from_le_bytes(take(from)?)) };
        let kept = Kept {
            received: received.carried_over(written_in, boot, now),
            freshness: Freshness::from_bytes(&take(from)?),
            applied: u64::from_le_bytes(take(from)?),
            is_failure: flags & IS_FAILURE != 0,
            forwards_cdn_cache_control: flags & FORWARDS_CDN_CACHE_CONTROL != 0,
        };
        let since = u64::from_le_bytes(take(from)?);
        let variance = Some(take(from)?).filter(|_| flags & IS_VARIANT != 0);
        let sent = u32::from_le_bytes(take(from)?);
        let length = usize::try_from(u32::from_le_bytes(take(from)?)).ok()?;
        let lines = Lines::read(bytes, sent).filter(|lines| lines.len() == length)?;
        Some(Self::new(lines, kept, variance, since))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// Nanoseconds since 1970; the nearest that can be written.
fn nanoseconds(time: SystemTime) -> i64 {
    let written = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => written(since),
        Err(before) => -written(before.duration()),
    }
}

fn wall(nanoseconds: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    let time = if nanoseconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
