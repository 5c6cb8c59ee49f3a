//! provisional
use crate::entity_tag::EntityTag;
use crate::list::integer;
use http::StatusCode;
use http::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderValue};

/// A part.
pub struct Part {
    /// first
    pub first: u64,
    /// last
    pub last: u64,
    /// complete
    pub complete_length: u64,
    /// validator
    pub validator: HeaderValue,
}

/// part
pub fn part(status: StatusCode, head: &HeaderMap) -> Option<Part> {
    if status != StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let value = head.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, complete) = value.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| integer(text.as_bytes());
    let etag = head.get(ETAG)?;
    EntityTag::read(etag.as_bytes()).filter(|tag| tag.is_strong())?;
    Some(Part {
        first: number(first)?,
        last: number(last)?,
        complete_length: number(complete)?,
        validator: etag.clone(),
    })
}
