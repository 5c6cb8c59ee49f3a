use super::*;
use crate::stage::slice::Slice;
use crate::stage::testing::{self, fields};
use api::purge::{Mode, Purge, Selector, Selectors};

fn facts(complete_length: u64) -> Facts {
    let range = format!("bytes 0-0/{complete_length}");
    let head = [
        (http::header::CONTENT_RANGE, range.parse().unwrap()),
        (http::header::CONTENT_LENGTH, "1".parse().unwrap()),
        (http::header::ETAG, "\"a\"".parse().unwrap()),
    ];
    let slice = Slice { index: 0, bytes: 1, group: 0 };
    slice.facts(http::StatusCode::PARTIAL_CONTENT, &head.into_iter().collect()).unwrap()
}

fn responses() -> Responses {
    let limits = store::Limits {
        memory_bytes: 1 << 20,
        response_max_bytes: 1 << 16,
        filling_max_bytes: 1 << 16,
        variants_max: 4,
    };
    Responses::new(store::Store::new(limits), 0)
}

fn accepts(group: &Group, facts: &Facts, head: &HeaderMap, request: &HeaderMap) -> bool {
    group.accepts(&Told { facts, head, request, key: None, applied: 4 })
}

fn served() -> Arc<Served> {
    testing::routed().served
}

#[tokio::test]
async fn a_group_that_was_purged_is_none_wherever_it_is_known_from() {
    let (responses, none) = (responses(), HeaderMap::new());
    let (routed, identity) = (testing::routed(), testing::identity("a.example"));
    let (served, key) = (&routed.served, &routed.rule.caching.key);
    let uri = "/a".parse().unwrap();
    let name = crate::stage::lookup::name(&uri, &identity, &served.site.id, key, 0);
    let of = (&*name, [1; 16]);
    let head = fields(&[("surrogate-key", "t u")]);
    let slices = Slices::new(10, 1 << 20);
    let purge = |selector, mode, seq| {
        let site_id = served.site.id.clone();
        served.purge(&Purge { site_id, selector, mode, regions: Vec::new(), refetch: 0 }, seq);
    };
    let tag = || Selector::Any(Selectors { tags: vec!["t".into()], ..Selectors::default() });

    let group = slices.group(&responses, of, served).await;
    assert!(accepts(&group, &facts(5), &head, &none));
    let since = responses.store.moment();
    slices.keep_group(&responses, &name, &group, (testing::kept("max-age=60", 4), since));
    purge(Selector::Everything, Mode::Soft, 5);
    let stale = slices.known_group(&responses, of, served).await;
    assert_eq!(stale.map(|group| group.number), Some(group.number));
    purge(tag(), Mode::Hard, 6);
    assert!(slices.known_group(&responses, of, served).await.is_none());
    assert!(!slices.is_current([1; 16], &group), "it is forgotten");
    let known = facts(5);
    let told = |applied| Told { facts: &known, head: &head, request: &none, key: None, applied };
    let other = slices.group_of_whole(of, &told(6), served).unwrap();
    assert_ne!(other.number, group.number);
    let again = slices.group_of_whole(of, &told(6), served).unwrap();
    assert_eq!(again.number, other.number);

    let after = Slices::new(10, 1 << 20);
    assert!(after.known_group(&responses, of, served).await.is_some());
    after.leave([1; 16], &group);
    purge(Selector::Everything, Mode::Hard, 7);
    assert!(after.known_group(&responses, of, served).await.is_none());
}

#[tokio::test]
async fn a_group_is_of_one_representation() {
    let (slices, responses) = (Slices::new(10, 1 << 20), responses());
    let group = slices.group(&responses, (b"/a", [1; 16]), &served()).await;
    let none = HeaderMap::new();
    assert!(slices.known_group(&responses, (b"/a", [1; 16]), &served()).await.is_none());
    assert!(accepts(&group, &facts(5), &none, &none));
    assert!(!accepts(&group, &facts(6), &none, &none));
    let known = slices.known_group(&responses, (b"/a", [1; 16]), &served()).await;
    assert_eq!(known.map(|group| group.number), Some(group.number));
    slices.forget(&responses, b"/a", [1; 16]);
    assert_ne!(slices.group(&responses, (b"/a", [1; 16]), &served()).await.number, group.number);
    assert!(!slices.is_current([1; 16], &group));
}

#[tokio::test]
async fn a_group_that_the_table_forgot_is_found_in_the_store_until_it_is_forgotten() {
    let (responses, none) = (responses(), HeaderMap::new());
    let before = Slices::new(10, 1 << 20);
    let group = before.group(&responses, (b"/a", [1; 16]), &served()).await;
    assert!(accepts(&group, &facts(5), &none, &none));
    let since = responses.store.moment();
    before.keep_group(&responses, b"/a", &group, (testing::kept("max-age=60", 0), since));
    let after = Slices::new(10, 1 << 20);
    let found = after.group(&responses, (b"/a", [1; 16]), &served()).await;
    assert_eq!(found.number, group.number);
    assert!(!accepts(&found, &facts(6), &none, &none));
    after.forget(&responses, b"/a", [1; 16]);
    let other = Slices::new(10, 1 << 20);
    assert!(other.known_group(&responses, (b"/a", [1; 16]), &served()).await.is_none());
}

#[test]
fn a_whole_of_another_representation_begins_a_new_group() {
    let (slices, none) = (Slices::new(10, 1 << 20), HeaderMap::new());
    let of = |facts: &Facts| {
        let told = Told { facts, head: &none, request: &none, key: None, applied: 4 };
        slices.group_of_whole((b"/a", [1; 16]), &told, &served()).map(|group| group.number)
    };
    let first = of(&facts(5));
    assert!(first.is_some() && of(&facts(5)) == first);
    assert_ne!(of(&facts(6)), first);
}

#[test]
fn a_group_is_of_one_variant() {
    let slices = Slices::new(10, 1 << 20);
    let (group, head) = (Group::new(), fields(&[("vary", "a")]));
    let (one, other) = (fields(&[("a", "1"), ("b", "2")]), fields(&[("a", "2")]));
    assert!(group.is_selected(&other, None));
    assert!(accepts(&group, &facts(5), &head, &fields(&[("a", "1")])));
    assert!(group.is_selected(&one, None) && !group.is_selected(&other, None));
    let facts = facts(5);
    let of = |request| Told { facts: &facts, head: &head, request, key: None, applied: 4 };
    assert!(slices.group_of_whole((b"/a", [1; 16]), &of(&one), &served()).is_some());
    assert!(slices.group_of_whole((b"/a", [1; 16]), &of(&other), &served()).is_none());
}

#[tokio::test]
async fn a_name_that_was_declined_keeps_its_slices() {
    let (slices, responses) = (Slices::new(10, 1 << 20), responses());
    let none = HeaderMap::new();
    let group = slices.group(&responses, (b"/a", [1; 16]), &served()).await;
    assert!(accepts(&group, &facts(5), &none, &none));
    slices.decline([1; 16]);
    assert!(slices.are_in_vain([1; 16], None) && !slices.are_in_vain([2; 16], None));
    assert!(slices.are_in_vain([2; 16], Some("private")));
    assert!(!slices.are_in_vain([2; 16], Some(keep::TOO_LARGE.token)));
    assert!(slices.known_group(&responses, (b"/a", [1; 16]), &served()).await.is_some());
}
