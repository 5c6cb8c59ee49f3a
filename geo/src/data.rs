//! Whether the values of a database can be decoded in bounded time and depth (MaxMind DB file format 2.0, "MaxMind DB
//! Data Section").
//!
//! A value may point to another one. Nothing in the format keeps such pointers from going in circles, and a decoder
//! that follows them from doing so for ever.

use std::collections::HashMap;

/// How deep values may nest, pointers counted.
const DEPTH_MAX: u32 = 32;
/// How many values may make up one record, each as often as it is pointed to.
const VALUES_MAX: u64 = 10_000;

const POINTER: u8 = 1;
const MAP: u8 = 7;
const ARRAY: u8 = 11;
const BOOLEAN: u8 = 14;
const LAST: u8 = 15;

/// Walks over values, over each one that is pointed to once.
pub(crate) struct Walk<'d> {
    data: &'d [u8],
    known: HashMap<usize, Extent>,
}

/// What decoding a value costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    depth: u32,
    values: u64,
}

impl<'d> Walk<'d> {
    /// A walk over a data section, or over metadata.
    pub(crate) fn new(data: &'d [u8]) -> Self {
        Self { data, known: HashMap::new() }
    }

    /// Passes a value that ends, in `data` and within the limits.
    pub(crate) fn check(&mut self, at: usize) -> Result<(), String> {
        self.target(at, 0).map(|_| ()).map_err(|what| format!("its value at {at} {what}"))
    }

    /// The extent of the value at `at`, which may be known.
    fn target(&mut self, at: usize, above: u32) -> Result<Extent, &'static str> {
        if let Some(extent) = self.known.get(&at) {
            return Ok(*extent);
        }
        let (extent, _) = self.value(at, above)?;
        self.known.insert(at, extent);
        Ok(extent)
    }

    /// The extent of the value at `at`, and where the next one begins.
    fn value(&mut self, at: usize, above: u32) -> Result<(Extent, usize), &'static str> {
        if above >= DEPTH_MAX {
            return Err("nests too deep");
        }
        let (kind, size, at) = self.control(at)?;
        let (inside, end) = match kind {
            POINTER => {
                let (target, end) = self.pointer(size, at)?;
                (self.target(target, above + 1)?, end)
            }
            MAP => self.values(size.saturating_mul(2), at, above + 1)?,
            ARRAY => self.values(size, at, above + 1)?,
            BOOLEAN => (Extent { depth: 0, values: 0 }, at),
            _ => (Extent { depth: 0, values: 0 }, at.saturating_add(size)),
        };
        if end > self.data.len() {
            return Err("ends outside of the file");
        }
        let extent = Extent { depth: inside.depth + 1, values: inside.values + 1 };
        if extent.depth > DEPTH_MAX {
            return Err("nests too deep");
        }
        if extent.values > VALUES_MAX {
            return Err("holds too much");
        }
        Ok((extent, end))
    }

    fn values(
        &mut self,
        count: usize,
        mut at: usize,
        above: u32,
    ) -> Result<(Extent, usize), &'static str> {
        let mut all = Extent { depth: 0, values: 0 };
        for _ in 0..count {
            let (extent, end) = self.value(at, above)?;
            let values = all.values + extent.values;
            all = Extent { depth: all.depth.max(extent.depth), values };
            if all.values > VALUES_MAX {
                return Err("holds too much");
            }
            at = end;
        }
        Ok((all, at))
    }

    /// Type and size of the value at `at`, and where its content begins. For a pointer the size is the five low bits.
    fn control(&self, at: usize) -> Result<(u8, usize, usize), &'static str> {
        let control = self.byte(at)?;
        let (kind, at) = match control >> 5 {
            // An extended type has a byte of its own, which counts from 7.
            0 => (self.byte(at + 1)?.saturating_add(MAP), at + 2),
            kind => (kind, at + 1),
        };
        if kind > LAST {
            return Err("is of no known type");
        }
        let size = usize::from(control & 0x1f);
        let more = if kind == POINTER { 0 } else { size.saturating_sub(28) };
        let base = [size, 29, 285, 65_821][more];
        Ok((kind, base + self.number(at, more)?, at + more))
    }

    /// Where a pointer leads to, and where it ends.
    fn pointer(&self, size: usize, at: usize) -> Result<(usize, usize), &'static str> {
        let more = (size >> 3) + 1;
        let number = self.number(at, more)?;
        let high = (size & 0x07) << (8 * more);
        let target = match more {
            1 => high + number,
            2 => high + number + 2_048,
            3 => high + number + 526_336,
            _ => number,
        };
        let (kind, _, _) = self.control(target)?;
        if kind == POINTER { Err("points to a pointer") } else { Ok((target, at + more)) }
    }

    fn number(&self, at: usize, bytes: usize) -> Result<usize, &'static str> {
        let bytes = self.data.get(at..at + bytes).ok_or("ends outside of the file")?;
        Ok(bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn byte(&self, at: usize) -> Result<u8, &'static str> {
        self.data.get(at).copied().ok_or("begins outside of the file")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &[u8], expected: Result<(), &str>) {
        let found = Walk::new(data).check(0).map_err(|what| what.replace("its value at 0 ", ""));
        assert_eq!(found, expected.map_err(str::to_owned), "{data:x?}");
    }

    #[test]
    fn values_end_in_the_file_and_pointers_do_not_go_in_circles() {
        check(b"\x42DE", Ok(()));
        check(b"\x43DE", Err("ends outside of the file"));
        check(b"", Err("begins outside of the file"));
        check(b"\x00\xf8", Err("is of no known type"));
        // a map of one pair, whose value points to the map, and one that points to a string
        check(b"\xe1\x41a\x20\x00", Err("nests too deep"));
        check(b"\xe1\x41a\x20\x01", Ok(()));
        check(b"\x20\x02\x20\x00", Err("points to a pointer"));
    }

    #[test]
    fn a_small_file_cannot_hold_more_than_it_seems() {
        // arrays of eight pointers, each to the array after it
        let mut data: Vec<u8> = Vec::new();
        for _ in 0..10 {
            let next = u8::try_from(data.len() + 18).unwrap();
            data.extend([0x08, 0x04]);
            data.extend([0x20, next].repeat(8));
        }
        data.extend(b"\x41a");
        check(&data, Err("holds too much"));
        check(&data[18 * 8..], Err("begins outside of the file"));
    }
}
