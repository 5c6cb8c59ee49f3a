use super::*;
use api::id::SiteId;

use proptest::prelude::*;

fn purge(selector: Selector, mode: Mode) -> Purge {
    let site_id = SiteId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
    Purge { site_id, selector, mode, regions: Vec::new(), refetch: 0 }
}

fn select(change: impl FnOnce(&mut Selectors)) -> Selector {
    let mut selectors = Selectors::default();
    change(&mut selectors);
    Selector::Any(selectors)
}

fn whole(_: &str, query: &str) -> Option<Cow<'static, str>> {
    Some(query.to_owned().into())
}

fn applied(selector: Selector, mode: Mode, seq: u64) -> Purges {
    let purges = Purges::default();
    purges.apply(&purge(selector, mode), seq, whole);
    purges
}

fn verdict(purges: &Purges, applied: u64, url: &str, tags: &str) -> Verdict {
    let target = Target::parse(url).unwrap();
    let tags = Tags::read([tags.as_bytes()].into_iter(), 100);
    let facts = Facts {
        authority: target.host.as_deref().unwrap_or_default(),
        path: &target.path,
        query: target.query.as_deref(),
        tags: &tags,
    };
    purges.verdict(applied, &facts)
}

/// Whether a purge of `selector` reaches the response for `url`.
fn reaches(selector: Selector, url: &str, tags: &str) -> bool {
    let purges = applied(selector, Mode::Hard, 8);
    assert_eq!(verdict(&purges, 8, url, tags), Verdict::Current, "{url}: fetched after it");
    match verdict(&purges, 7, url, tags) {
        Verdict::Gone(8) => true,
        Verdict::Current => false,
        other => panic!("{url}: {other:?}"),
    }
}

#[test]
fn a_url_selects_one_query_or_all() {
    let check = |purged: &str, stored: &str, expected: bool| {
        let selector = select(|selectors| selectors.urls.push(purged.to_owned()));
        assert_eq!(reaches(selector, stored, ""), expected, "{purged} {stored}");
    };
    check("/a", "http://h/a", true);
    check("/a", "http://h/a?q=1", true);
    check("/a", "http://h/a/", false);
    check("/a?q=1", "http://h/a?q=1", true);
    check("/a?q=1", "http://h/a?q=2", false);
    check("/a?q=1", "http://h/a", false);
    check("/a?", "http://h/a?", true);
    check("/a?", "http://h/a?q", false);
    check("https://h/a", "http://h/a", true);
    check("h/a", "http://h/a", true);
    check("h", "http://h/", true);
    check("https://h:443/a", "http://h/a", true);
    check("http://h:8080/a", "http://h:8080/a", true);
    check("http://h:8080/a", "http://h/a", false);
    check("http://h/a", "http://h:8080/a", true);
    check("http://other/a", "http://h/a", false);
    check("http://H/a", "http://h/a", true);
    check("/caf\u{e9}", "http://h/caf%c3%a9", true);
    check("/%7euser", "http://h/~user", true);
    check("/a/../b", "http://h/b", true);
    check("/b", "http://h/a/../b", true);
    check("/a?x=%2f", "http://h/a?x=%2F", true);
}

#[test]
fn a_query_is_purged_as_it_is_stored() {
    let purges = Purges::default();
    let selector = select(|selectors| {
        selectors.urls.extend(["/sorted?b&a".to_owned(), "/none?x".to_owned()]);
    });
    purges.apply(&purge(selector, Mode::Hard), 8, |path, _| match path {
        "/sorted" => Some("a&b".into()),
        _ => None,
    });
    assert_eq!(verdict(&purges, 1, "http://h/sorted?a&b", ""), Verdict::Gone(8));
    assert_eq!(verdict(&purges, 1, "http://h/none", ""), Verdict::Gone(8));
    assert_eq!(verdict(&purges, 1, "http://h/sorted", ""), Verdict::Current);
}

#[test]
fn a_prefix_selects_what_begins_with_it() {
    let check = |purged: &str, stored: &str, expected: bool| {
        let selector = select(|selectors| selectors.prefixes.push(purged.to_owned()));
        assert_eq!(reaches(selector, stored, ""), expected, "{purged} {stored}");
    };
    check("/a/", "http://h/a/b", true);
    check("/a/", "http://h/a", false);
    check("/a", "http://h/ab?q", true);
    check("/", "http://h/", true);
    check("h/a", "http://h/a/b", true);
    check("h/a", "http://i/a/b", false);
    check("http://h", "http://h/x", true);
}

#[test]
fn prefixes_of_more_lengths_than_are_told_apart_purge_too_much() {
    let purges = Purges::default();
    for length in 1..200 {
        let prefix = format!("/{}", "x".repeat(length));
        let selector = select(|selectors| selectors.prefixes.push(prefix));
        purges.apply(&purge(selector, Mode::Hard), 8, whole);
    }
    let url = |length: usize| format!("http://h/{}", "x".repeat(length));
    assert_eq!(verdict(&purges, 1, &url(199), ""), Verdict::Gone(8));
    assert_eq!(verdict(&purges, 1, &url(1), ""), Verdict::Gone(8));
    assert_eq!(verdict(&purges, 1, &url(0), ""), Verdict::Current);
}

#[test]
fn tags_are_those_of_the_fields() {
    let check = |purged: &str, tags: &str, expected: bool| {
        let selector = select(|selectors| selectors.tags.push(purged.to_owned()));
        assert_eq!(reaches(selector, "http://h/", tags), expected, "{purged} {tags}");
    };
    check("a", "a", true);
    check("a", "b, a", true);
    check("a", "b a  c", true);
    check("a", "ab", false);
    check("A", "a", true);
    check("article:7", "Article:7,x", true);
    check("a", "", false);
    check("a", &"b ".repeat(101), true);
    check("a", &"b".repeat(1_025), true);
}

#[test]
fn hosts_are_told_apart() {
    let check = |purged: &str, stored: &str, expected: bool| {
        let selector = select(|selectors| selectors.hosts.push(purged.to_owned()));
        assert_eq!(reaches(selector, stored, ""), expected, "{purged} {stored}");
    };
    check("a.example", "http://a.example/x", true);
    check("A.example", "http://a.example:8080/x", true);
    check("a.example", "http://b.example/x", false);
    check("a.example:81", "http://a.example/x", false);
    check("[::1]", "http://[::1]:8080/x", true);
}

#[test]
fn hard_goes_before_soft_and_late_ones_change_nothing() {
    let purges = applied(Selector::Everything, Mode::Soft, 8);
    assert_eq!(verdict(&purges, 7, "http://h/", ""), Verdict::Stale(8));
    let tag = select(|selectors| selectors.tags.push("a".into()));
    purges.apply(&purge(tag.clone(), Mode::Hard), 5, whole);
    assert_eq!(verdict(&purges, 4, "http://h/", "a"), Verdict::Gone(5));
    assert_eq!(verdict(&purges, 5, "http://h/", "a"), Verdict::Stale(8));
    purges.apply(&purge(tag, Mode::Hard), 3, whole);
    assert_eq!(verdict(&purges, 4, "http://h/", "a"), Verdict::Gone(5));
    assert_eq!(purges.newest(), 8);
}

#[test]
fn what_can_t_be_read_purges_everything() {
    for wrong in ["ftp://h/", "http://a b/", "", "http://", "http://h:x/", "/a#b"] {
        let selector = select(|selectors| selectors.urls.push(wrong.to_owned()));
        assert!(reaches(selector, "http://other/x", ""), "{wrong}");
    }
}

#[test]
fn coarsening_purges_too_much_and_never_too_little() {
    let purges = Purges::default();
    for seq in 1..=100 {
        let selector = select(|selectors| selectors.tags.push(format!("t{seq}")));
        purges.apply(&purge(selector, Mode::Hard), seq, whole);
    }
    purges.coarsen();
    assert_eq!(purges.len(), 49);
    assert_eq!(verdict(&purges, 10, "http://h/", "t5 t20"), Verdict::Gone(51));
    assert_eq!(verdict(&purges, 10, "http://h/", "other"), Verdict::Gone(51), "too much");
    assert_eq!(verdict(&purges, 60, "http://h/", "t80"), Verdict::Gone(80));
    assert_eq!(verdict(&purges, 60, "http://h/", "other"), Verdict::Current);
    purges.retire(100, 100);
    assert!(purges.is_empty());
    assert_eq!(verdict(&purges, 60, "http://h/", "t80"), Verdict::Current, "there is none older");
}

#[test]
fn no_bytes_are_trusted_to_be_purges() {
    let purges = applied(select(|selectors| selectors.prefixes.push("/a".into())), Mode::Soft, 8);
    let mut bytes = Vec::new();
    purges.write(&mut bytes);
    for end in 0..bytes.len() {
        assert!(Purges::read(&bytes[..end]).is_none(), "{end}");
    }
}

fn compare(purges: &Purges, compared: &Compared, tags: &str) -> Verdict {
    let tags = Tags::read([tags.as_bytes()].into_iter(), 100);
    let facts = Facts { authority: "h", path: "/", query: None, tags: &tags };
    purges.compare(compared, || Some(facts))
}

#[test]
fn what_was_found_current_is_not_looked_for_again() {
    let tag = |tag: &str| select(|selectors| selectors.tags.push(tag.to_owned()));
    let purges = applied(tag("a"), Mode::Hard, 8);
    let (compared, purged) = (Compared::with(5), Compared::with(5));
    assert_eq!(compare(&purges, &compared, "b"), Verdict::Current);
    assert_eq!(compared.number(), 8);
    let again = purges.compare(&compared, || panic!("one comparison is enough"));
    assert_eq!(again, Verdict::Current);
    assert_eq!(compare(&purges, &purged, "a"), Verdict::Gone(8));
    assert_eq!(purged.number(), 5, "it stays purged");
    purges.apply(&purge(tag("b"), Mode::Soft), 9, whole);
    assert_eq!(compare(&purges, &compared, "b"), Verdict::Stale(9));
    assert_eq!(compared.number(), 8, "a stale response is compared until it is renewed");
    assert_eq!(purges.compare(&compared, || None), Verdict::Current);
    assert_eq!(compared.number(), 8, "what has no name was not compared");
    purges.coarsen();
    assert_eq!(compare(&purges, &Compared::with(8), "c"), Verdict::Stale(9));
}

#[test]
fn what_was_current_stays_so_when_purges_are_coarsened() {
    let purges = Purges::default();
    for seq in 1..=100 {
        let selector = select(|selectors| selectors.tags.push(format!("t{seq}")));
        purges.apply(&purge(selector, Mode::Hard), seq, whole);
    }
    let (compared, other) = (Compared::with(10), Compared::with(10));
    assert_eq!(compare(&purges, &compared, "x"), Verdict::Current);
    purges.coarsen();
    assert_eq!(compare(&purges, &compared, "x"), Verdict::Current);
    assert_eq!(compare(&purges, &other, "x"), Verdict::Gone(51));
}

#[test]
fn a_name_is_purged_whatever_its_tags() {
    let purges = Purges::default();
    let newest = |path| purges.newest_of_name("h", path, None);
    assert_eq!(newest("/a"), 0);
    purges.apply(&purge(select(|s| s.tags.push("t".into())), Mode::Hard), 3, whole);
    purges.apply(&purge(select(|s| s.urls.push("/a".into())), Mode::Soft), 4, whole);
    assert_eq!(newest("/a"), 0);
    purges.apply(&purge(select(|s| s.urls.push("/a".into())), Mode::Hard), 5, whole);
    assert_eq!((newest("/a"), newest("/b")), (5, 0));
    purges.apply(&purge(Selector::Everything, Mode::Hard), 6, whole);
    assert_eq!((newest("/a"), newest("/b")), (6, 6));
}

#[test]
fn who_looks_while_purges_are_applied_and_coarsened_misses_none() {
    let purges = Purges::default();
    let ended = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for of in 0..3 {
            let (purges, ended) = (&purges, &ended);
            scope.spawn(move || {
                let mut compared = Compared::default();
                while ended.load(Ordering::Acquire) == 0 {
                    let known = purges.newest();
                    let verdict = compare(purges, &compared, &format!("t{of}"));
                    // all tags are purged by each: what is older than the newest is never current
                    let is_purged =
                        matches!(verdict, Verdict::Gone(seq) if seq > compared.number());
                    assert!(is_purged || compared.number() >= known, "{verdict:?} {known}");
                    compared = Compared::with(compared.number().max(known));
                }
            });
        }
        for seq in 1..=300 {
            let tags = (0..300).map(|of| format!("t{of}")).collect::<Vec<_>>();
            let selector = select(|selectors| selectors.tags = tags);
            purges.apply(&purge(selector, Mode::Hard), seq, whole);
            if seq % 10 == 0 {
                purges.coarsen();
            }
        }
        ended.store(1, Ordering::Release);
    });
}

proptest! {
    /// A model that keeps every purge says the same of every response.
    #[test]
    fn purges_are_a_comparison(
        made in prop::collection::vec((0_u8..5, 0_u8..4, any::<bool>()), 0..20),
        applied in 0_u64..22, response in 0_u8..4, again in any::<bool>(),
    ) {
        let selector = |kind, of: u8| match kind {
            0 => Selector::Everything,
            1 => select(|s| s.tags.push(format!("t{of}"))),
            2 => select(|s| s.urls.push(format!("/p{of}"))),
            3 => select(|s| s.hosts.push(format!("h{of}"))),
            _ => select(|s| s.prefixes.push(format!("/p{of}"))),
        };
        let purges = Purges::default();
        let (mut hard, mut soft) = (0, 0);
        for (index, &(kind, of, is_hard)) in made.iter().enumerate() {
            let seq = index as u64 + 1;
            let mode = if is_hard { Mode::Hard } else { Mode::Soft };
            purges.apply(&purge(selector(kind, of), mode), seq, whole);
            if kind == 0 || of == response {
                *if is_hard { &mut hard } else { &mut soft } = seq;
            }
        }
        let mut bytes = Vec::new();
        purges.write(&mut bytes);
        let purges = if again { Purges::read(&bytes).unwrap() } else { purges };
        let expected = match () {
            () if hard > applied => Verdict::Gone(hard),
            () if soft > applied => Verdict::Stale(soft),
            () => Verdict::Current,
        };
        let url = format!("http://h{response}/p{response}");
        prop_assert_eq!(verdict(&purges, applied, &url, &format!("x t{response}")), expected);
    }

    /// What a response remembers changes nothing of what is said of it.
    #[test]
    fn what_is_remembered_changes_nothing(
        made in prop::collection::vec((0_u8..4, any::<bool>(), any::<bool>()), 0..30), fetched in 0_u64..32,
    ) {
        let purges = Purges::default();
        let compared = Compared::with(fetched);
        let tags = Tags::read([&b"t1 t2"[..]].into_iter(), 100);
        let facts = Facts { authority: "h", path: "/", query: None, tags: &tags };
        for (index, (of, is_hard, looks)) in made.into_iter().enumerate() {
            let seq = index as u64 + 1;
            let selector = if of == 0 { Selector::Everything } else { select(|s| s.tags.push(format!("t{of}"))) };
            let mode = if is_hard { Mode::Hard } else { Mode::Soft };
            purges.apply(&purge(selector, mode), seq, whole);
            if looks {
                prop_assert_eq!(purges.compare(&compared, || Some(facts)), purges.verdict(fetched, &facts));
            }
        }
    }
}
