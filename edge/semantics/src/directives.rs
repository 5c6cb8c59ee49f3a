//! What do the cache directives of a message say? RFC 9111 §5.2, and RFC 9213 for whom they are meant.
//!
//! `source` chooses the field that speaks to us; `response` and `request` hold what was said.

mod request;
mod response;
mod source;

pub use self::request::RequestDirectives;
pub(crate) use self::response::ResponseDirectives;
pub(crate) use self::source::Source;
