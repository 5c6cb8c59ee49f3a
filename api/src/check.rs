//! Finds every problem of a document at once.
//!
//! serde stops at the first mistake. A person who writes a document wants all of them, so [`parse`] repairs each
//! mistake in a copy, notes it, and parses again; the checks a type has of its own run on what is left.

mod words;

use crate::problem::FieldProblem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::Segment;
pub use words::plain;

/// How many problems of one document are reported.
pub const PROBLEMS_MAX: usize = 50;
const VALUE_MAX_CHARACTERS: usize = 100;
const NO_LIST: &str = "must be an object, not a list";

/// A document that can say what is wrong with it beyond the types of its fields.
pub trait Check {
    /// Adds every problem of `self`, which stands at the place `problems` is at.
    fn check(&self, problems: &mut Problems);
}

/// Problems found so far, and the place in the document where the check is now.
#[derive(Debug, Default)]
pub struct Problems {
    path: Vec<String>,
    found: Vec<FieldProblem>,
}

impl Problems {
    /// Checks a member of the current place.
    pub fn at(&mut self, member: &str, check: impl FnOnce(&mut Self)) {
        let bare = self.path.is_empty() || member.starts_with('[');
        self.path.push(if bare { member.to_owned() } else { format!(".{member}") });
        check(self);
        self.path.pop();
    }

    /// Checks each item of a list that is a member of the current place.
    pub fn each<'i, T>(
        &mut self,
        member: &str,
        items: &'i [T],
        mut check: impl FnMut(&mut Self, &'i T),
    ) {
        for (index, item) in items.iter().enumerate() {
            self.at(&format!("{member}[{index}]"), |problems| check(problems, item));
        }
    }

    /// Notes what is wrong at the current place. `value` is what was written there.
    pub fn add(&mut self, detail: impl Into<String>, value: Option<&dyn std::fmt::Debug>) {
        let value = value.map(|value| shorten(&format!("{value:?}")));
        self.note(FieldProblem { field: self.path.concat(), detail: detail.into(), value });
    }

    /// Notes at the current place that `number` is not in `range`.
    pub fn within(&mut self, number: u64, range: std::ops::RangeInclusive<u64>, unit: &str) {
        if !range.contains(&number) {
            let detail = format!("must be {} to {} {unit}", range.start(), range.end());
            self.add(detail, Some(&number));
        }
    }

    /// Notes lists that stand where an object belongs: serde would read their items as the fields in order.
    fn lists_for_objects(&mut self, written: &Value, read: &Value) {
        match (written, read) {
            (Value::Array(_), Value::Object(_)) => self.add(NO_LIST, None),
            (Value::Object(written), Value::Object(read)) => {
                for (member, value) in written {
                    let read = read.get(member).unwrap_or(&Value::Null);
                    self.at(member, |problems| problems.lists_for_objects(value, read));
                }
            }
            (Value::Array(written), Value::Array(read)) => {
                for (index, (value, read)) in written.iter().zip(read).enumerate() {
                    self.at(&format!("[{index}]"), |problems| {
                        problems.lists_for_objects(value, read);
                    });
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, problem: FieldProblem) {
        let known = self.found.iter().any(|earlier| earlier.field == problem.field);
        if !known && self.found.len() < PROBLEMS_MAX {
            self.found.push(problem);
        }
    }

    /// Everything found, in the order of finding.
    #[must_use]
    pub fn into_found(self) -> Vec<FieldProblem> {
        self.found
    }
}

/// Reads a document and reports all that is wrong with it, at most [`PROBLEMS_MAX`] problems.
///
/// # Errors
/// Every problem found: fields of a wrong type, unknown fields, and what the type's own [`Check`] refuses.
pub fn parse<T: DeserializeOwned + Serialize + Check>(
    mut document: Value,
) -> Result<T, Vec<FieldProblem>> {
    let mut problems = Problems::default();
    if document.is_array() {
        problems.add(NO_LIST, None);
        return Err(problems.found);
    }
    // one problem can take two repairs
    for _ in 0..2 * PROBLEMS_MAX {
        match serde_path_to_error::deserialize::<_, T>(&document) {
            Ok(value) => {
                let mistakes = problems.found.len();
                problems.lists_for_objects(
                    &document,
                    &serde_json::to_value(&value).unwrap_or_default(),
                );
                if problems.found.len() == mistakes {
                    value.check(&mut problems);
                }
                return if problems.found.is_empty() { Ok(value) } else { Err(problems.found) };
            }
            Err(error) => {
                let segments: Vec<Segment> = error.path().iter().cloned().collect();
                let mut detail = plain(&error.inner().to_string());
                if is_table_for_list::<T>(&document, &segments) {
                    detail.push_str(&format!("; in TOML `[[{}]]`", written(&segments)));
                }
                let value = find(&mut document, &segments).map(|value| value.to_string());
                problems.note(FieldProblem {
                    field: written(&segments),
                    detail,
                    value: value.map(|value| shorten(&value)),
                });
                if !repair(&mut document, &segments) {
                    break;
                }
            }
        }
    }
    Err(problems.found)
}

/// Whether an object stands, as the first mistake, where a list of objects belongs.
fn is_table_for_list<T: DeserializeOwned>(document: &Value, segments: &[Segment]) -> bool {
    let mut repaired = document.clone();
    match find(&mut repaired, segments) {
        Some(value) if value.is_object() => *value = json!([{}]),
        _ => return false,
    }
    match serde_path_to_error::deserialize::<_, T>(&repaired) {
        Ok(_) => true,
        Err(error) => {
            let next: Vec<Segment> = error.path().iter().cloned().collect();
            !written(&next).starts_with(&written(segments))
        }
    }
}

/// `rules[2].paths[0]`
fn written(segments: &[Segment]) -> String {
    let mut text = String::new();
    for segment in segments {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    text
}

fn find<'d>(document: &'d mut Value, segments: &[Segment]) -> Option<&'d mut Value> {
    segments.iter().try_fold(document, |value, segment| match segment {
        Segment::Seq { index } => value.get_mut(*index),
        Segment::Map { key } => value.get_mut(key),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    })
}

/// Takes the mistake out of the document so that the next one shows. False when nothing could be changed.
fn repair(document: &mut Value, segments: &[Segment]) -> bool {
    let Some((last, parents)) = segments.split_last() else { return false };
    let Some(parent) = find(document, parents) else { return false };
    match (last, parent) {
        (Segment::Map { key }, Value::Object(members)) => members.remove(key).is_some(),
        (Segment::Seq { index }, Value::Array(items)) => {
            let Some(item) = items.get_mut(*index) else { return false };
            // an item keeps its place, so that later problems keep their index
            let stand_in = if item.is_object() { return false } else { next_stand_in(item) };
            *item = stand_in;
            true
        }
        _ => false,
    }
}

fn next_stand_in(item: &Value) -> Value {
    match item {
        Value::String(text) if text.is_empty() => Value::Object(serde_json::Map::new()),
        _ => Value::String(String::new()),
    }
}

/// The beginning of what was written, where it is long.
pub(crate) fn shorten(text: &str) -> String {
    let mut characters = text.chars();
    let short: String = characters.by_ref().take(VALUE_MAX_CHARACTERS).collect();
    if characters.next().is_some() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Site;

    fn fields(document: Value) -> Vec<String> {
        match parse::<Site>(document) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.field).collect(),
        }
    }

    #[test]
    fn every_problem_is_reported_with_its_field() {
        let found = fields(json!({
            "name": 7,
            "hosts": ["a.example", 5, "b c"],
            "colour": "red",
            "origins": [{"name": "main", "url": "ftp://x", "tls": {"verify": "yes"}}],
            "rules": ["text", {"paths": ["assets"], "origin": "nowhere"}],
        }));
        for field in [
            "name",
            "hosts[1]",
            "hosts[2]",
            "colour",
            "origins[0].url",
            "origins[0].tls.verify",
            "rules[0]",
            "rules[1].paths[0]",
            "rules[1].origin",
        ] {
            assert!(found.iter().any(|name| name == field), "{field} in {found:?}");
        }
    }

    #[test]
    fn a_document_that_is_no_object_is_one_problem() {
        for document in [json!(null), json!([]), json!("x"), json!(4)] {
            assert_eq!(fields(document.clone()).len(), 1, "{document}");
        }
    }

    #[test]
    fn a_list_is_no_object() {
        let site = json!({"name": "a", "hosts": ["a.example"], "origins": [["main", "http://127.0.0.1:1"]], "cache": []});
        assert_eq!(fields(site), ["cache", "origins[0]"]);
    }

    #[test]
    fn problems_are_bounded() {
        let hosts: Vec<u32> = (0..10_000).collect();
        assert!(fields(json!({ "hosts": hosts })).len() <= PROBLEMS_MAX);
    }
}
