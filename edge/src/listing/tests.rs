use super::*;
use crate::stage::testing;
use std::sync::Arc;
use store::Tier::{Disk, Filling, Memory};

fn snapshot() -> Snapshot {
    Snapshot::new(0, 0, [Arc::clone(&testing::routed().served)].into_iter())
}

fn read(query: &str) -> Result<Listing, Vec<FieldProblem>> {
    Listing::read(Some(query), &snapshot())
}

#[test]
fn without_a_query_everything_is_wanted_from_the_beginning() {
    let everything = Listing {
        prefix: Prefix::Path(String::new()),
        site: None,
        tier: None,
        limit: LISTED_DEFAULT,
        place: Place::beginning(Filling),
    };
    assert_eq!(Listing::read(None, &snapshot()).unwrap(), everything);
    let disk = read("tier=disk").unwrap();
    assert_eq!((disk.tier, disk.place), (Some(Disk), Place::beginning(Disk)));
}

#[test]
fn every_problem_is_told_with_its_limit() {
    let check = |query: &str, expected: &[&str]| {
        let problems = read(query).map_err(|problems| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        });
        assert_eq!(problems.unwrap_err(), expected.join("\n"), "{query}");
    };
    check(
        "prefix=ftp://a&site=b%20c&tier=tape&limit=0&after=x&colour=red",
        &[
            "colour: is no known parameter; known are prefix, site, tier, limit, after",
            "prefix: must begin with `http://` or `https://`, or with `/` for a path of any host (got ftp://a)",
            "site: must be the name of a site that is served here, or the id of any (got b c)",
            "limit: must be 1 to 1000 (got 0)",
            "tier: must be filling, memory or disk (got tape)",
            "after: must be the `next` of a page of the same list (got x)",
        ],
    );
    for limit in ["1001", "-1", "ten", ""] {
        check(&format!("limit={limit}"), &[&format!("limit: must be 1 to 1000 (got {limit})")]);
    }
    for (after, tier) in [("memory-x", "memory"), ("tape-1", "disk"), ("memory-1", "disk")] {
        let told = format!("after: must be the `next` of a page of the same list (got {after})");
        check(&format!("after={after}&tier={tier}"), &[&told]);
    }
}

#[test]
fn a_place_is_read_as_it_was_written() {
    for tier in [Filling, Memory, Disk] {
        for number in [None, Some(0), Some(u64::MAX)] {
            let place = Place { tier, after: number };
            assert_eq!(read(&format!("after={}", after(place))).unwrap().place, place);
        }
    }
}

#[test]
fn sites_are_known_by_name_and_by_id() {
    let served = testing::routed().served;
    let (name, id) = (&served.site.name, served.site.id.as_str());
    for text in [name.as_ref(), id] {
        assert_eq!(read(&format!("site={text}")).unwrap().site.as_deref(), Some(id));
    }
    let gone = "site_01J9Z3K8Q4W5E6R7T8Y9V0B1ZZ";
    assert_eq!(read(&format!("site={gone}")).unwrap().site.as_deref(), Some(gone));
}

#[test]
fn a_prefix_is_of_a_url_or_of_a_path() {
    let (routed, identity) = (testing::routed(), testing::identity("a.example:8080"));
    let (site, key) = (&routed.served.site.id, &routed.rule.caching.key);
    let uri = "/b/c?d=1".parse().unwrap();
    let name = crate::stage::lookup::name(&uri, &identity, site, key, 0);
    let check = |prefix: &str, expected: bool| {
        let listing = read(&format!("prefix={prefix}")).unwrap();
        assert_eq!(listing.wants(&name), expected, "{prefix} {:?}", listing.prefix);
    };
    for prefix in ["/", "/b", "/b/c?d=", "http://a.ex", "HTTP://A.Example", "http://a.example:80"] {
        check(prefix, true);
    }
    check("http://A.example:8080/b/c?d=1", true);
    check("http://a.example/", false);
    check("http://a.example:8080/B", false);
    check("/b/c?d=12", false);
    check("/c", false);
    assert_eq!(
        read("prefix=http://A.example:80/x").unwrap().prefix,
        Prefix::Url("http://a.example/x".to_owned())
    );
}
