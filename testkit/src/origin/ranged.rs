//! What an origin that knows ranges makes of an answer (RFC 9110 §14): a part, or 304, or 416.

use super::Request;
use super::answer::{Answer, Step};
use crate::message::Fields;
use std::ops::Range;

/// The answer for `request` by an origin that holds what `whole` says.
pub(super) fn answer(whole: Answer, request: &Request) -> Answer {
    let Some(Step::Head { fields, .. }) = whole.steps.first() else { return whole };
    if request.field("if-none-match").is_some_and(|tag| fields.first("etag") == Some(tag)) {
        return with(304, fields.clone(), &[]);
    }
    let body: Vec<u8> = whole.steps.iter().flat_map(Step::bytes).copied().collect();
    let Some(asked) = request.field("range") else { return whole };
    let mut fields = fields.clone();
    let Some(part) = part(asked, body.len()) else {
        fields.push("Content-Range", &format!("bytes */{}", body.len()));
        return with(416, fields, &[]);
    };
    let range = format!("bytes {}-{}/{}", part.start, part.end - 1, body.len());
    fields.push("Content-Range", &range);
    with(206, fields, &body[part])
}

fn with(status: u16, fields: Fields, body: &[u8]) -> Answer {
    let body = Step::Body(body.to_vec().into());
    Answer { steps: vec![Step::Head { status, fields }, body], ..Answer::default() }
}

/// The part of `length` bytes that `bytes=…` asks for.
fn part(asked: &str, length: usize) -> Option<Range<usize>> {
    let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first, last) {
        ("", suffix) => length.saturating_sub(suffix.parse().ok()?)..length,
        (first, "") => first.parse().ok()?..length,
        (first, last) => {
            first.parse().ok()?..last.parse::<usize>().ok()?.saturating_add(1).min(length)
        }
    };
    (range.start < range.end).then_some(range)
}
