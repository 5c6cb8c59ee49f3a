//! Path patterns: which requests a rule is for.

use std::cmp::Ordering;

const PATTERN_MAX_BYTES: usize = 1_024;
const WILDCARDS_MAX: usize = 9;

/// A path with `*` for any run of characters, `/` included. Compared with the path of a request as it came, byte by
/// byte, without the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    /// Invariant: the text between wildcards, one piece more than there are wildcards.
    pieces: Vec<String>,
}

/// Why a path pattern is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathPatternError {
    /// Not an absolute path.
    #[error("must begin with `/`")]
    Relative,
    /// Over the limit.
    #[error("must be at most {PATTERN_MAX_BYTES} bytes long")]
    Long,
    /// Over the limit.
    #[error("must have at most {WILDCARDS_MAX} `*`")]
    Wildcards,
    /// A character that the path of a request cannot contain.
    #[error("must be made of the visible ASCII characters of a path, without `?` and `#`")]
    Character,
}

impl std::fmt::Display for PathPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.pieces.join("*"))
    }
}

impl PathPattern {
    /// Reads a pattern such as `/assets/*` or `/*/feed.xml`.
    ///
    /// # Errors
    /// [`PathPatternError`], which names the limit.
    pub fn parse(text: &str) -> Result<Self, PathPatternError> {
        if !text.starts_with('/') {
            return Err(PathPatternError::Relative);
        }
        if text.len() > PATTERN_MAX_BYTES {
            return Err(PathPatternError::Long);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')) {
            return Err(PathPatternError::Character);
        }
        let pieces: Vec<String> = text.split('*').map(str::to_owned).collect();
        if pieces.len() - 1 > WILDCARDS_MAX {
            return Err(PathPatternError::Wildcards);
        }
        Ok(Self { pieces })
    }

    /// How many `*` the pattern has.
    #[must_use]
    pub fn wildcards(&self) -> usize {
        self.pieces.len() - 1
    }

    /// Whether `path` matches; the text that each `*` stood for, shortest first from the left, is added to `captures`.
    pub fn matches<'p>(&self, path: &'p str, captures: &mut Vec<&'p str>) -> bool {
        captures.clear();
        let Some((first, later)) = self.pieces.split_first() else { return false };
        let Some(mut rest) = path.strip_prefix(first.as_str()) else { return false };
        let Some((last, middle)) = later.split_last() else { return rest.is_empty() };
        for piece in middle {
            let Some((before, after)) = rest.split_once(piece.as_str()) else { return false };
            captures.push(before);
            rest = after;
        }
        match rest.strip_suffix(last.as_str()) {
            Some(capture) => captures.push(capture),
            None => return false,
        }
        true
    }

    /// Orders patterns from the most specific: no wildcard first, then more literal characters, then fewer wildcards.
    #[must_use]
    pub fn by_specificity(&self, other: &Self) -> Ordering {
        let rank = |pattern: &Self| {
            let literal: usize = pattern.pieces.iter().map(String::len).sum();
            (pattern.wildcards() > 0, std::cmp::Reverse(literal), pattern.wildcards())
        };
        rank(self).cmp(&rank(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pattern: &str, path: &str, expected: Option<&[&str]>) {
        let mut captures = Vec::new();
        let matched = PathPattern::parse(pattern).unwrap().matches(path, &mut captures);
        assert_eq!(matched.then_some(&captures[..]), expected, "{pattern} {path}");
    }

    #[test]
    fn stars_match_any_run() {
        check("/", "/", Some(&[]));
        check("/", "/a", None);
        check("/*", "/", Some(&[""]));
        check("/a/*", "/a/b/c", Some(&["b/c"]));
        check("/a/*", "/a", None);
        check("/*.jpg", "/x/y.jpg", Some(&["x/y"]));
        check("/*/feed.xml", "/en/feed.xml", Some(&["en"]));
        check("/*/b/*", "/a/b/c/b/d", Some(&["a", "c/b/d"]));
        check("/a*a", "/a", None);
    }

    #[test]
    fn the_most_specific_pattern_comes_first() {
        let mut patterns: Vec<_> = ["/*", "/a/*", "/a/b", "/a/*/c", "/a/*/*"]
            .map(|text| PathPattern::parse(text).unwrap())
            .into();
        patterns.sort_by(PathPattern::by_specificity);
        let texts: Vec<String> = patterns.iter().map(|pattern| pattern.pieces.join("*")).collect();
        assert_eq!(texts, ["/a/b", "/a/*/c", "/a/*/*", "/a/*", "/*"]);
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_it_was_made_from(pieces in prop::collection::vec("[a-c/]{0,3}", 1..5), fill in "[a-c/]{0,4}") {
            let pattern = PathPattern::parse(&format!("/{}", pieces.join("*"))).unwrap();
            let path = format!("/{}", pieces.join(&fill));
            prop_assert!(pattern.matches(&path, &mut Vec::new()));
        }
    }
}
