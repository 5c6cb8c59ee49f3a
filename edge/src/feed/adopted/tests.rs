use super::*;
use api::feed::Change;
use serde_json::json;

pub(in crate::feed) fn id(last: char) -> SiteId {
    SiteId::from_ulid(&format!("01J9Z3K8Q4W5E6R7T8Y9V0B1N{last}")).unwrap()
}

pub(in crate::feed) fn log(last: char) -> LogId {
    LogId::from_ulid(&format!("01J9Z3K8Q4W5E6R7T8Y9V0B1N{last}")).unwrap()
}

pub(in crate::feed) fn text(seq: u64, change: Change) -> String {
    serde_json::to_string(&api::feed::Entry { version: 1, seq, change }).unwrap()
}

pub(in crate::feed) fn put(seq: u64, site: char, hosts: &[&str]) -> String {
    let site_document = json!({
        "name": "a", "hosts": hosts, "origins": [{"name": "main", "url": "http://127.0.0.1:9"}],
    });
    text(seq, Change::SitePut { site_id: id(site), site: site_document })
}

pub(in crate::feed) fn removed(seq: u64, site: char) -> String {
    text(seq, Change::SiteRemoved { site_id: id(site) })
}

pub(in crate::feed) fn purge(seq: u64, site: char, regions: &[&str]) -> String {
    let regions = regions.iter().map(|region| (*region).to_owned()).collect();
    text(seq, Change::Purge(Purge { regions, ..everything(&id(site)) }))
}

/// Applies an entry of no region, or of the region `here`.
pub(in crate::feed) fn apply(adopted: &mut Adopted, text: &str) -> Applied {
    let concerns = |regions: &[String]| regions.is_empty() || regions.contains(&"here".to_owned());
    adopted.apply(Entry::read(text, None).unwrap(), concerns)
}

pub(in crate::feed) fn hello(adopted: &mut Adopted, log: LogId, reset: bool, reading: u128) {
    adopted.greet(&Hello { version: 1, log, newest: 1, reset, key: None }, reading);
}

pub(in crate::feed) fn following() -> Adopted {
    let mut adopted = Adopted::default();
    hello(&mut adopted, log('1'), true, 1);
    apply(&mut adopted, &put(1, 'A', &["a.example"]));
    assert_eq!(adopted.catch_up(1), CaughtUp::Replaced);
    adopted
}

/// Each host, and the last character of the id of the site that has it.
pub(in crate::feed) fn hosts(adopted: &Adopted) -> String {
    let snapshot = adopted.snapshot();
    let hosts = ["a.example", "b.example", "c.example"].into_iter();
    let served = hosts.filter_map(|host| Some((host, snapshot.site(host)?)));
    let served = served.map(|(host, served)| {
        format!("{}{}", host.get(..1).unwrap(), served.site.id.as_str().chars().last().unwrap())
    });
    served.collect::<Vec<_>>().join(" ")
}

fn newest_purge(adopted: &Adopted, host: &str) -> u64 {
    adopted.snapshot().site(host).unwrap().purges.newest()
}

pub(in crate::feed) fn again(adopted: &Adopted) -> Adopted {
    use crate::feed::journal::{self, Found};
    let mut bytes = Vec::new();
    let length = journal::write(adopted, &mut bytes).unwrap();
    assert_eq!(length, bytes.len() as u64);
    match journal::read(&mut std::io::Cursor::new(bytes), length).unwrap() {
        Found::State { adopted, .. } => *adopted,
        Found::Damage => panic!(),
    }
}

#[test]
fn entries_apply_once_and_in_order() {
    let mut adopted = following();
    assert!(matches!(apply(&mut adopted, &put(3, 'B', &["b.example"])), Applied::Changed(None)));
    let late = apply(&mut adopted, &put(2, 'C', &["c.example"]));
    assert!(matches!(late, Applied::Before));
    assert_eq!((hosts(&adopted).as_str(), adopted.applied), ("aA bB", 3));
    apply(&mut adopted, &removed(4, 'A'));
    assert!(matches!(apply(&mut adopted, &text(5, Change::Unknown)), Applied::Passed(None)));
    assert_eq!((hosts(&adopted).as_str(), adopted.applied), ("bB", 5));
}

#[test]
fn a_wrong_document_leaves_the_last_good_one() {
    let mut adopted = following();
    apply(&mut adopted, &put(2, 'A', &["not a host"]));
    apply(&mut adopted, &put(3, 'B', &["b.example"]));
    for adopted in [again(&adopted), adopted] {
        assert_eq!(hosts(&adopted), "aA bB");
        let rejected: Vec<_> =
            adopted.rejected().map(|it| (it.told.seq, it.told.problems.len())).collect();
        assert_eq!((rejected, adopted.rejected_sites()), (vec![(2, 1)], 1));
        let mut adopted = adopted;
        apply(&mut adopted, &put(4, 'A', &["c.example"]));
        assert_eq!((hosts(&adopted).as_str(), adopted.rejected_sites()), ("bB cA", 0));
    }
}

#[test]
fn the_site_made_first_has_a_host_for_as_long_as_it_claims_it() {
    let mut adopted = following();
    apply(&mut adopted, &put(2, 'C', &["a.example", "c.example"]));
    apply(&mut adopted, &put(3, 'B', &["a.example", "b.example"]));
    assert_eq!(hosts(&adopted), "aA bB cC");
    apply(&mut adopted, &put(4, 'A', &["c.example"]));
    assert_eq!(hosts(&adopted), "aB bB cA");
    apply(&mut adopted, &removed(5, 'B'));
    assert_eq!(hosts(&adopted), "aC cA");
    assert_eq!(hosts(&again(&adopted)), "aC cA");
    apply(&mut adopted, &put(6, 'A', &["a.example"]));
    assert_eq!(hosts(&adopted), "aA cC");
}

#[test]
fn another_log_replaces_everything_once_it_is_read() {
    let mut adopted = following();
    let epoch = adopted.epoch();
    hello(&mut adopted, log('2'), true, 1);
    assert_eq!((hosts(&adopted).as_str(), adopted.is_resetting()), ("aA", true));
    apply(&mut adopted, &put(1, 'B', &["b.example"]));
    assert_eq!(adopted.catch_up(1), CaughtUp::Replaced);
    assert_eq!((hosts(&adopted).as_str(), adopted.is_resetting()), ("bB", false));
    // responses of the old log are not compared with the new one's numbers
    assert_ne!(adopted.epoch(), epoch);
    assert_eq!((adopted.catch_up(1), adopted.catch_up(7)), (CaughtUp::Same, CaughtUp::Advanced));
}

#[test]
fn purges_are_of_one_reading() {
    let mut adopted = following();
    apply(&mut adopted, &purge(900, 'A', &[]));
    let before = adopted.snapshot();
    hello(&mut adopted, log('1'), true, 2);
    assert_eq!(newest_purge(&adopted, "a.example"), 0, "what is stored from now on is not purged");
    assert_eq!(before.site("a.example").unwrap().purges.newest(), 900);
    // a purge that comes before the document of its site is named again counts as well
    apply(&mut adopted, &purge(2, 'A', &[]));
    apply(&mut adopted, &put(3, 'A', &["b.example"]));
    adopted.catch_up(3);
    assert_eq!(newest_purge(&adopted, "b.example"), 2);
}

#[test]
fn an_epoch_is_one_reading_of_one_log() {
    let read = |log, reading| {
        let mut adopted = Adopted::default();
        hello(&mut adopted, log, true, reading);
        adopted.epoch()
    };
    let first = read(log('1'), 1);
    assert_ne!(first, read(log('2'), 1), "another log");
    assert_ne!(first, read(log('1'), 2), "the same log, and the state directory was lost");
    let mut adopted = following();
    assert_eq!(adopted.epoch(), first);
    hello(&mut adopted, log('1'), false, 2);
    assert_eq!(adopted.epoch(), first, "it goes on where it was");
    hello(&mut adopted, log('1'), true, 3);
    assert_ne!(adopted.epoch(), first, "the same log, restored");
    assert_eq!(again(&adopted).epoch(), adopted.epoch());
}

#[test]
fn a_purge_outlives_new_documents_and_restarts() {
    let mut adopted = following();
    let applied = apply(&mut adopted, &purge(7, 'A', &["there", "here"]));
    assert!(matches!(applied, Applied::Changed(Some(Task::Purge(_)))));
    let applied = apply(&mut adopted, &purge(8, 'A', &["there"]));
    assert!(matches!(applied, Applied::Passed(None)));
    apply(&mut adopted, &put(9, 'A', &["a.example"]));
    for adopted in [again(&adopted), adopted] {
        assert_eq!((newest_purge(&adopted, "a.example"), adopted.applied), (7, 9));
    }
}

#[test]
fn a_purge_that_cannot_be_understood_purges_all_it_may_mean() {
    let mut adopted = following();
    apply(&mut adopted, &put(2, 'B', &["b.example"]));
    let unreadable = purge(7, 'A', &[]).replace("everything", "much");
    assert!(matches!(apply(&mut adopted, &unreadable), Applied::Changed(None)));
    let newest = |adopted: &Adopted| {
        (newest_purge(adopted, "a.example"), newest_purge(adopted, "b.example"))
    };
    assert_eq!(newest(&adopted), (7, 2));
    adopted.apply(Entry::read("{", Some(8)).unwrap(), |_| false);
    assert_eq!((newest(&adopted), adopted.applied), ((8, 8), 8));
}

#[test]
fn what_is_stored_of_a_site_that_was_not_served_may_have_been_purged() {
    let mut adopted = following();
    apply(&mut adopted, &purge(4, 'B', &[]));
    apply(&mut adopted, &put(6, 'B', &["b.example"]));
    assert_eq!(newest_purge(&adopted, "b.example"), 6);
    // one that could not be used when it was written, and can now
    let origins = r#"[{"name": "main", "url": "http://127.0.0.1:9"}]"#;
    let document = &format!(r#"{{"name": "a", "hosts": ["c.example"], "origins": {origins}}}"#);
    let mut known = Adopted::default();
    known.restore(Record::Head { epoch: 1, log: None }).unwrap();
    let site_id = id('C');
    let rejected = Record::Rejected { seq: 3, site_id: site_id.as_str(), document, applied: 9 };
    known.restore(rejected).unwrap();
    assert_eq!(newest_purge(&known, "c.example"), 9);
}

#[test]
fn the_key_of_the_log_is_kept_and_may_come_later() {
    let mut adopted = following();
    assert!(adopted.snapshot().installation.is_none());
    let key = Some(Key::new(&[3; Key::BYTES]));
    let hello = Hello { version: 1, log: log('1'), newest: 1, reset: false, key };
    assert!(adopted.greet(&hello, 2), "to be served by");
    assert!(!adopted.greet(&hello, 3), "known");
    assert!(again(&adopted).snapshot().installation.is_some());
}

#[test]
fn a_change_of_what_counts_of_queries_purges_the_site() {
    let document = |key: serde_json::Value| {
        let site = json!({
            "name": "a", "hosts": ["a.example"], "origins": [{"name": "main", "url": "http://127.0.0.1:9"}],
            "cache": {"key": key},
        });
        move |seq| text(seq, Change::SitePut { site_id: id('A'), site: site.clone() })
    };
    let (all, sorted) = (document(json!({})), document(json!({"sort_query": true})));
    let mut adopted = following();
    apply(&mut adopted, &all(2));
    assert_eq!(newest_purge(&adopted, "a.example"), 1, "nothing counts that didn't");
    apply(&mut adopted, &sorted(3));
    assert_eq!(newest_purge(&adopted, "a.example"), 3);
    apply(&mut adopted, &sorted(4));
    assert_eq!(newest_purge(&adopted, "a.example"), 3);
    apply(&mut adopted, &all(5));
    assert_eq!(newest_purge(&adopted, "a.example"), 5);
}
