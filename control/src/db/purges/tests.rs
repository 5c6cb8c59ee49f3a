use super::*;
use crate::db::feed::Subject;
use crate::db::feed::retention::Group;
use crate::db::reports::Report;
use crate::secrets::SecretsKey;
use api::edge::EdgeReport;
use api::feed;
use api::id::LogId;
use api::purge::{EdgeProgress, EdgeStanding, Purge, Selector};
use std::time::Duration;

const DAY: i64 = 24 * 3_600_000;
const NOW: Moment = Moment(10 * DAY);

fn site() -> SiteId {
    "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap()
}

async fn database(directory: &tempfile::TempDir) -> Db {
    let url = format!("sqlite://{}/a.db?mode=rwc", directory.path().display());
    Db::make(&url, |_| Ok(SecretsKey::new([7; 32]))).await.unwrap()
}

/// Something that edges work on, asked at a moment.
async fn ask(db: &Db, at: Moment) -> u64 {
    let asked = Asked {
        kind: Kind::Warm,
        mode: Mode::Soft,
        selectors: SelectorCounts::default(),
        regions: Vec::new(),
        has_work: true,
    };
    let mut change = db.change().await.unwrap();
    let seq = change.seq();
    let token = "tok_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap();
    change.ask(&site(), &token, &asked, at).await.unwrap();
    change.commit().await.unwrap();
    seq
}

/// The edge number `index` reports that it adopted `seq` and matched something for it.
async fn report(db: &Db, index: u64, seq: u64, at: Moment) {
    report_of(db, index, Some(db.log().clone()), seq, seq, at).await;
}

async fn report_of(db: &Db, index: u64, log: Option<LogId>, adopted: u64, seq: u64, at: Moment) {
    let progress = Progress { matched: 1, ..Progress::default() };
    let report = EdgeReport {
        http_address: String::new(),
        https_address: None,
        admin_address: String::new(),
        software_version: String::new(),
        log,
        adopted,
        rejected: Vec::new(),
        region: None,
        progress: vec![EdgeProgress { seq, progress }],
    };
    let id = format!("edge_{index:026}").parse().unwrap();
    db.keep_reports(&[Report { id, report }], at).await.unwrap();
}

async fn count(db: &Db, query: &'static str) -> u64 {
    number(&sqlx::query(query).fetch_one(&db.pool).await.unwrap(), 0).unwrap()
}

/// How many purges, acknowledgements and rows of progress there are.
async fn counts(db: &Db) -> [u64; 3] {
    [
        count(db, "SELECT COUNT(*) FROM purges").await,
        count(db, "SELECT COUNT(*) FROM acks").await,
        count(db, "SELECT COUNT(*) FROM progress").await,
    ]
}

fn keep(max: u32) -> Keep {
    let since = NOW.before(Duration::from_secs(24 * 3_600));
    Keep { since, purges_max: max, acks_max: max, progress_max: max, batch: 3 }
}

#[tokio::test]
async fn what_is_a_day_old_goes_a_batch_at_a_time() {
    let directory = tempfile::TempDir::new().unwrap();
    let db = database(&directory).await;
    for age in [3, 2, 1] {
        for index in 0..7 {
            let at = Moment(NOW.0 - age * DAY / 2 + index);
            let seq = ask(&db, at).await;
            report(&db, 0, seq, at).await;
            report(&db, 1, seq, at).await;
        }
    }
    assert_eq!(counts(&db).await, [21, 42, 42]);
    db.forget_purges(&keep(1_000)).await.unwrap();
    // those of exactly a day, and younger
    assert_eq!(counts(&db).await, [14, 28, 28]);
    assert!(db.work(7).await.unwrap().is_none());
    let work = db.work(8).await.unwrap().unwrap();
    let done = db.done(&work).await.unwrap();
    assert_eq!(done[1].acked_at, Some(work.created_at), "what is gone was older");
    assert_eq!(done[1].progress.unwrap().matched, 1);
    db.forget_purges(&keep(1_000)).await.unwrap();
    assert_eq!(counts(&db).await, [14, 28, 28]);
}

#[tokio::test]
async fn what_is_too_much_goes_the_oldest_first() {
    let directory = tempfile::TempDir::new().unwrap();
    let db = database(&directory).await;
    report(&db, 0, 0, Moment(1)).await;
    for index in 0..10 {
        let at = Moment(NOW.0 - 1_000 + 10 * index);
        let seq = ask(&db, at).await;
        report(&db, 0, seq, Moment(at.0 + 5)).await;
    }
    let keep = Keep { purges_max: 8, acks_max: 4, progress_max: 6, ..keep(0) };
    db.forget_purges(&keep).await.unwrap();
    assert_eq!(counts(&db).await, [8, 4, 6]);
    for (seq, acked_at, has_progress) in [
        (3, None, false),
        // it has adopted it, and when isn't known any more
        (6, None, true),
        (7, Some(Moment(NOW.0 - 1_000 + 65)), true),
        (10, Some(Moment(NOW.0 - 1_000 + 95)), true),
    ] {
        let work = db.work(seq).await.unwrap().unwrap();
        let done = db.done(&work).await.unwrap();
        assert_eq!(
            (done[0].acked_at, done[0].progress.is_some()),
            (acked_at, has_progress),
            "{seq}"
        );
        assert_eq!(done[0].edge.acked, 10);
    }
}

#[tokio::test]
async fn an_edge_is_behind_from_its_first_report_that_says_so() {
    let directory = tempfile::TempDir::new().unwrap();
    let db = database(&directory).await;
    let behind = async || db.edges_since(Moment(0)).await.unwrap()[0].behind_since;
    ask(&db, NOW).await;
    report(&db, 0, 1, Moment(1)).await;
    assert_eq!(behind().await, None);
    ask(&db, NOW).await;
    ask(&db, NOW).await;
    report(&db, 0, 1, Moment(2)).await;
    report(&db, 0, 1, Moment(3)).await;
    assert_eq!(behind().await, Some(Moment(2)));
    // it goes on, but has not everything
    report(&db, 0, 2, Moment(4)).await;
    assert_eq!(behind().await, Some(Moment(4)));
    report(&db, 0, 3, Moment(5)).await;
    assert_eq!(behind().await, None);
    // it lost its state: what it acknowledged stays so
    report(&db, 0, 1, Moment(6)).await;
    let edge = db.edges_since(Moment(0)).await.unwrap().remove(0);
    assert_eq!((edge.adopted, edge.acked, edge.behind_since), (1, 3, Some(Moment(6))));
    let work = db.work(2).await.unwrap().unwrap();
    assert_eq!(db.done(&work).await.unwrap()[0].edge.acked, 3);
}

/// A purge in the log, asked at a moment.
async fn purge(db: &Db, site_id: &SiteId, mode: Mode) -> u64 {
    let selector = Selector::Everything;
    let asked = Asked {
        kind: Kind::Purge,
        mode,
        selectors: SelectorCounts::default(),
        regions: Vec::new(),
        has_work: false,
    };
    let purge = Purge { site_id: site_id.clone(), selector, mode, regions: Vec::new(), refetch: 0 };
    let mut change = db.change().await.unwrap();
    let seq = change.seq();
    let token = "tok_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap();
    change.tell(Subject::Purge(site_id, seq), feed::Change::Purge(purge)).await.unwrap();
    change.ask(site_id, &token, &asked, NOW).await.unwrap();
    change.commit().await.unwrap();
    seq
}

#[tokio::test]
async fn what_became_a_later_purge_is_in_force_with_that() {
    let directory = tempfile::TempDir::new().unwrap();
    let db = database(&directory).await;
    let other = "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N3".parse().unwrap();
    report(&db, 0, 0, NOW).await;
    for (site_id, mode) in [
        (&site(), Mode::Hard),
        (&other, Mode::Hard),
        (&site(), Mode::Soft),
        (&site(), Mode::Hard),
        (&site(), Mode::Hard),
    ] {
        purge(&db, site_id, mode).await;
    }
    let group = Group { site_id: site(), mode: Mode::Hard };
    let check = async |expected: [EdgeStanding; 3]| {
        for (seq, expected) in [1, 2, 3].into_iter().zip(expected) {
            let work = db.work(seq).await.unwrap().unwrap();
            let done = db.done(&work).await.unwrap();
            assert_eq!(done[0].acked_at.is_some(), expected == EdgeStanding::Done, "{seq}");
            let status = crate::standing::status(work, &done, Duration::from_secs(30), NOW);
            assert_eq!(status.edges[0].standing, expected, "{seq}");
        }
    };
    // 1 goes into 4; whoever reads up to 3 is not told of it
    db.coarsen(&group, 4).await.unwrap();
    report(&db, 0, 3, NOW).await;
    check([EdgeStanding::Waiting, EdgeStanding::Done, EdgeStanding::Done]).await;
    // and 4 into 5
    db.coarsen(&group, 5).await.unwrap();
    report(&db, 0, 4, NOW).await;
    check([EdgeStanding::Waiting, EdgeStanding::Done, EdgeStanding::Done]).await;
    report(&db, 0, 5, NOW).await;
    check([EdgeStanding::Done; 3]).await;
}

#[tokio::test]
async fn only_numbers_of_this_log_count() {
    let directory = tempfile::TempDir::new().unwrap();
    let db = database(&directory).await;
    let seq = ask(&db, NOW).await;
    let other = "log_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap();
    for (log, adopted, expected) in [
        (None, 1, 0),
        (Some(other), 1, 0),
        // a number that was never given
        (Some(db.log().clone()), 2, 0),
        (Some(db.log().clone()), 1, 1),
    ] {
        report_of(&db, 0, log.clone(), adopted, seq, Moment(5)).await;
        let edge = db.edges_since(Moment(0)).await.unwrap().remove(0);
        assert_eq!((edge.adopted, edge.acked), (expected, expected), "{log:?} {adopted}");
        assert_eq!(edge.behind_since.is_none(), expected == 1);
        let done = db.done(&db.work(seq).await.unwrap().unwrap()).await.unwrap();
        assert_eq!(done[0].acked_at.is_some(), expected == 1);
    }
}
