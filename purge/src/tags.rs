//! Which tags has a response? As its origin wrote them in `Cache-Tag`, `Surrogate-Key` and `xkey`.

use api::purge::TAG_MAX_BYTES;
use twox_hash::XxHash3_64;

/// The hash of a tag, without regard to the case of ASCII letters.
#[must_use]
pub fn tag_hash(tag: &str) -> u64 {
    if tag.bytes().any(|byte| byte.is_ascii_uppercase()) {
        XxHash3_64::oneshot(tag.to_ascii_lowercase().as_bytes())
    } else {
        XxHash3_64::oneshot(tag.as_bytes())
    }
}

/// The tags in the value of a tag field: separated by commas or white space.
pub fn tags_in(value: &str) -> impl Iterator<Item = &str> {
    let separators = |c: char| c == ',' || c.is_ascii_whitespace();
    value.split(separators).filter(|tag| !tag.is_empty())
}

/// The tags of a response, as hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags {
    hashes: Box<[u64]>,
    /// Whether there were more, or longer ones, than may be kept. Then every purge of a tag reaches the response.
    cut: bool,
}

impl Tags {
    /// Reads the values of tag fields, with tags separated by commas or white space, and keeps at most `max` of them. A tag
    /// of more than [`TAG_MAX_BYTES`] and a value that isn't UTF-8 can't be kept.
    #[must_use]
    pub fn read<'v>(values: impl Iterator<Item = &'v [u8]>, max: usize) -> Self {
        let (mut hashes, mut cut) = (Vec::new(), false);
        for value in values {
            let Ok(value) = std::str::from_utf8(value) else {
                cut = true;
                continue;
            };
            for tag in tags_in(value) {
                if tag.len() > TAG_MAX_BYTES || hashes.len() >= max {
                    cut = true;
                } else {
                    hashes.push(tag_hash(tag));
                }
            }
        }
        Self { hashes: hashes.into(), cut }
    }

    /// The hashes of those kept.
    #[must_use]
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Whether some could not be kept.
    #[must_use]
    pub const fn are_cut(&self) -> bool {
        self.cut
    }
}
