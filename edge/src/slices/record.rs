//! What is known of a group of slices, as a response without a body: the fields that tell of the representation, its
//! `Vary`, and the group's number.
//!
//! It is stored under the name of the whole with a mark of its own, by the rules for any response: so it is where the
//! slices are, on disk too, and is removed, replaced and bounded like them.

use super::{Group, Known};
use crate::cache::{self, Cache, Head};
use crate::stage::reuse::Kept;
use crate::stage::slice::{self, Facts};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName};
use pingora_http::ResponseHeader;
use purge::{Compared, Tags};
use std::sync::OnceLock;
use store::Moment;

/// Holds the group's number; never sent to anyone.
const NUMBER: HeaderName = HeaderName::from_static("longshore-slices");

/// What is stored of the slices of this name.
pub(super) async fn find(responses: &Cache, name: &[u8]) -> Option<Group> {
    let name = name_of(name);
    let found = responses.store.find(&cache::first_variant(&name), &name).await?;
    read(&found.head.header().headers, found.head.variance(), found.head.compared().number())
}

/// Stores it.
pub(super) fn keep(responses: &Cache, name: &[u8], group: &Group, kept: Kept, since: Moment) {
    let Some(known) = group.known.get() else { return };
    let head = header(group.number, known)
        .and_then(|header| responses.new_head(kept, since, header, known.variance));
    let Some(head) = head else { return };
    store(responses, name, head, since);
}

fn store(responses: &Cache, name: &[u8], head: Head, since: Moment) {
    let name = name_of(name);
    responses.store.fill(cache::first_variant(&name), name.into(), head, since).complete();
}

/// Whether it was removed since `since`, or may have been.
pub(super) fn is_removed(responses: &Cache, name: &[u8], since: Moment) -> bool {
    responses.store.is_removed(&cache::first_variant(&name_of(name)), since)
}

/// Removes it, and what is about to be stored.
pub(super) fn remove(responses: &Cache, name: &[u8]) {
    let name = name_of(name);
    responses.store.remove(&cache::first_variant(&name));
}

fn name_of(name: &[u8]) -> Vec<u8> {
    let mut name = name.to_vec();
    slice::append_group_to(&mut name);
    name
}

fn header(number: u64, known: &Known) -> Option<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(StatusCode::PARTIAL_CONTENT, Some(8)).ok()?;
    for (name, value) in known.facts.fields().iter().chain(&known.vary) {
        header.append_header(name, value).ok()?;
    }
    header.insert_header(NUMBER, number).ok()?;
    Some(header)
}

fn read(fields: &HeaderMap, variance: Option<[u8; 16]>, applied: u64) -> Option<Group> {
    let number = fields.get(NUMBER)?.to_str().ok()?.parse().ok()?;
    let vary = fields.get_all(header::VARY).into_iter();
    let vary = vary.map(|line| (header::VARY, line.clone())).collect();
    let (tags, compared) = (Tags::default(), Compared::with(applied));
    let known = Known { facts: Facts::read(fields)?, vary, variance, tags, compared };
    Some(Group { number, known: OnceLock::from(known) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slices::Told;
    use crate::stage::testing::fields;

    #[test]
    fn what_is_known_of_a_group_is_read_as_it_was_written() {
        let head = fields(&[
            ("content-range", "bytes 0-9/25"),
            ("content-length", "10"),
            ("etag", "\"a\""),
            ("vary", "x"),
            ("vary", "y"),
        ]);
        let (facts, request) = (Facts::read(&head).unwrap(), fields(&[("x", "1")]));
        let told = Told { facts: &facts, head: &head, request: &request, key: None, applied: 4 };
        let group = Group::new();
        assert!(group.accepts(&told));
        let known = group.known.get().unwrap();
        let header = header(group.number, known).unwrap();
        let again = read(&header.headers, known.variance, 4).unwrap();
        assert_eq!(again.number, group.number);
        assert!(again.accepts(&told) && again.is_selected(&request, None));
        assert!(!again.is_selected(&fields(&[("x", "2")]), None));
        assert!(read(&head, None, 4).is_none(), "a slice tells of no group");
    }
}
