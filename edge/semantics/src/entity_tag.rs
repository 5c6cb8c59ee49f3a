//! Are two entity tags the same? RFC 9110 §8.8.3.

use crate::list::trim;

/// `ETag: W/"opaque"`. Any byte but a quote and controls may be inside, as `etagc` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// Reads a whole value; `None` for anything that isn't an entity tag.
    pub(crate) fn read(value: &'a [u8]) -> Option<Self> {
        match Self::first(trim(value))? {
            (tag, []) => Some(tag),
            _ => None,
        }
    }

    /// Reads the tag `value` begins with, and what follows it.
    fn first(value: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match value {
            [b'W', b'/', quoted @ ..] => (true, quoted),
            quoted => (false, quoted),
        };
        let [b'"', inner @ ..] = quoted else { return None };
        let end = inner.iter().position(|&byte| byte == b'"')?;
        let (opaque, after) = (&inner[..end], &inner[end + 1..]);
        let valid = opaque.iter().all(|&byte| byte > b' ' && byte != 0x7f);
        valid.then_some((Self { weak, opaque }, after))
    }

    /// Strong comparison (§8.8.3.2).
    pub(crate) fn is_strongly(self, other: Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison (§8.8.3.2).
    pub(crate) fn is_weakly(self, other: Self) -> bool {
        self.opaque == other.opaque
    }

    /// Whether it is no weak tag.
    pub(crate) fn is_strong(self) -> bool {
        !self.weak
    }
}

/// The tags of a list's line. It ends at the first fault: a comma may be inside a tag, so that nothing
/// after it can be told.
pub(crate) fn entity_tags(line: &[u8]) -> impl Iterator<Item = EntityTag<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let (tag, after) = EntityTag::first(rest)?;
        rest = trim(after);
        if !matches!(rest, [] | [b',', ..]) {
            rest = &[];
            return None;
        }
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weak_tags_are_only_weakly_the_same() {
        let check = |left: &str, right: &str, strongly, weakly| {
            let [left, right] = [left, right].map(|tag| EntityTag::read(tag.as_bytes()).unwrap());
            assert_eq!((left.is_strongly(right), left.is_weakly(right)), (strongly, weakly));
        };
        check("W/\"1\"", "W/\"1\"", false, true);
        check("W/\"1\"", "W/\"2\"", false, false);
        check("W/\"1\"", "\"1\"", false, true);
        check("\"1\"", "\"1\"", true, true);
        check("\"\"", "\"\"", true, true);
    }

    #[test]
    fn a_list_ends_at_its_first_fault() {
        let check = |line: &str, expected| {
            assert_eq!(entity_tags(line.as_bytes()).count(), expected, "{line}");
        };
        check("", 0);
        check("\"a\", W/\"b,c\" ,,\"d\"", 3);
        check("\"a\", b, \"c\"", 1);
        check("\"a\" \"b\"", 0);
        check("\"a\", \"b", 1);
        check("w/\"a\"", 0);
        check("\"a b\"", 0);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = EntityTag::read(&line);
            prop_assert!(entity_tags(&line).count() <= line.len());
        }
    }
}
