//! What is asked for: a number and a length, which are its path and decide every byte of its body.

use anyhow::{Context, Result};

/// Bytes the longest body has.
pub(crate) const LENGTH_MAX: usize = 1 << 20;
/// Where in the noise a body begins is below this.
const BEGINNINGS: u64 = 1 << 22;

/// One response of the origin, at `/NUMBER/LENGTH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) number: u64,
    pub(crate) length: usize,
}

impl Object {
    /// The object a request's head asks for.
    pub(crate) fn asked(head: &[u8]) -> Result<Self> {
        let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let path = std::str::from_utf8(path)?;
        let (number, length) = path
            .strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .with_context(|| format!("no object at `{path}`"))?;
        Ok(Self { number: number.parse()?, length: length.parse::<usize>()?.min(LENGTH_MAX) })
    }

    /// Appends the request for it.
    pub(crate) fn write_request(self, host: &str, out: &mut Vec<u8>) {
        let Self { number, length } = self;
        let request = format!("GET /{number}/{length} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        out.extend_from_slice(request.as_bytes());
    }

    /// Its body.
    pub(crate) fn body(self, noise: &[u8]) -> &[u8] {
        let beginning = usize::try_from(mixed(self.number) % BEGINNINGS).unwrap_or_default();
        noise.get(beginning..beginning + self.length).unwrap_or_default()
    }
}

/// Bytes that don't compress, of which bodies are parts.
pub(crate) fn noise() -> Vec<u8> {
    let length = usize::try_from(BEGINNINGS).unwrap_or_default() + LENGTH_MAX;
    let words = (0_u64..).flat_map(|number| mixed(number).to_le_bytes());
    words.take(length).collect()
}

/// Another number for each number, without a pattern (`SplitMix64`).
pub(crate) const fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number from 0 up to but not 1, the same for the same number.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what a f64 has")]
pub(crate) fn fraction(number: u64) -> f64 {
    (mixed(number) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_what_its_request_asks_for() {
        let object = Object { number: 4_999_999, length: 200 };
        let mut request = Vec::new();
        object.write_request("a.example", &mut request);
        assert_eq!(Object::asked(&request).unwrap(), object);
        assert!(Object::asked(b"GET /1 HTTP/1.1\r\n\r\n").is_err());
    }

    #[test]
    fn bodies_have_their_length_and_differ() {
        let noise = noise();
        let longest = |number| Object { number, length: LENGTH_MAX }.body(&noise);
        assert!((0..1_000).all(|number| longest(number).len() == LENGTH_MAX));
        assert_ne!(longest(1), longest(2));
    }
}
