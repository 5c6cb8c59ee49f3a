//! Do `If-Match` and `If-None-Match` hold for a revision? (RFC 9110 §13.1)

use crate::problem::Error;
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

/// Entity tags that one field may list.
const TAGS_MAX: usize = 100;

/// What a condition names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// `*`: any revision.
    Any,
    /// These entity tags, each with whether it is weak.
    Tags(Vec<(bool, String)>),
}

/// The `ETag` of a revision.
pub(crate) fn etag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

impl Condition {
    /// The `If-Match` of a request, if it has one.
    pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        Self::read(headers, &IF_MATCH, "If-Match")
    }

    /// The `If-None-Match` of a request, if it has one.
    pub(crate) fn if_none_match(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        Self::read(headers, &IF_NONE_MATCH, "If-None-Match")
    }

    fn read(
        headers: &HeaderMap,
        field: &HeaderName,
        name: &'static str,
    ) -> Result<Option<Self>, Error> {
        if !headers.contains_key(field) {
            return Ok(None);
        }
        let detail = "must be `*` or a list of entity tags in double quotes";
        let lines: Result<Vec<&str>, _> =
            headers.get_all(field).iter().map(HeaderValue::to_str).collect();
        let text = lines.map_err(|_| Error::Header { name, detail })?.join(",");
        Self::parse(&text).map(Some).ok_or(Error::Header { name, detail })
    }

    fn parse(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        let tags: Option<Vec<_>> = text
            .split(',')
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
            .map(|tag| {
                let opaque = tag.strip_prefix("W/");
                let quoted = opaque.unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
                (!quoted.contains('"')).then(|| (opaque.is_some(), quoted.to_owned()))
            })
            .collect();
        tags.filter(|tags| (1..=TAGS_MAX).contains(&tags.len())).map(Self::Tags)
    }

    /// Strong comparison, which `If-Match` asks for: a weak tag is no match (§8.8.3.2).
    pub(crate) fn matches_strongly(&self, revision: u64) -> bool {
        self.matches(revision, |weak| !weak)
    }

    /// Weak comparison, which `If-None-Match` asks for.
    pub(crate) fn matches_weakly(&self, revision: u64) -> bool {
        self.matches(revision, |_| true)
    }

    fn matches(&self, revision: u64, strength: impl Fn(bool) -> bool) -> bool {
        let revision = revision.to_string();
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|(weak, tag)| strength(*weak) && *tag == revision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the condition holds for revision 3: strongly, weakly.
    fn check(text: &str, expected: Option<(bool, bool)>) {
        let condition = Condition::parse(text);
        let found = condition.map(|it| (it.matches_strongly(3), it.matches_weakly(3)));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn conditions_compare_as_rfc_9110_says() {
        check("*", Some((true, true)));
        check("\"3\"", Some((true, true)));
        check("W/\"3\"", Some((false, true)));
        check("\"1\" , \"3\"", Some((true, true)));
        check("\"1\",W/\"2\"", Some((false, false)));
        check("\"03\"", Some((false, false)));
        for wrong in ["", "3", "\"3", "*, \"3\"", "\"a\"b\"", ",", "w/\"3\""] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_revision_has_one_tag() {
        assert_eq!(etag(12), "\"12\"");
    }
}
