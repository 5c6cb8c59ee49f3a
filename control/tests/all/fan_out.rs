//! Many followers at once: what they share is right for each, whatever its place and its pace.

use crate::client::Client;
use crate::feed::{Event, Feed};
use crate::on_both_databases;
use crate::service::{Database, site};
use api::feed::Change;
use api::id::LogId;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

on_both_databases!(
    followers_that_catch_up_miss_nothing_while_sites_change,
    compressed_and_plain_streams_say_the_same,
    many_that_begin_at_once_get_everything,
);

const SITES: usize = 300;

/// A site of some 3 KB, so that the log has several pages.
fn large(number: usize, change: u64) -> Value {
    let mut site = site(&format!("s{number}"));
    let target = |rule: usize| format!("/{change}/{rule}/{}", "x".repeat(300));
    let rules = (0..8)
        .map(|rule| json!({ "paths": [format!("/{rule}")], "redirect": { "to": target(rule) } }));
    site["rules"] = Value::Array(rules.collect());
    site
}

/// What a follower knows: the number and the document of each site.
#[derive(Debug, Default, Clone, PartialEq)]
struct Known {
    sites: BTreeMap<String, (u64, Value)>,
    place: u64,
}

impl Known {
    /// Hears a stream up to the first `current`.
    async fn hear(&mut self, control: &Client, log: &LogId, compressed: bool) {
        let query = match self.place {
            0 => String::new(),
            place => format!("?after={place}&log={log}"),
        };
        let mut feed = match compressed {
            true => Feed::compressed(control, &query).await,
            false => Feed::open(control, &query).await,
        };
        assert!(!feed.hello().await.reset);
        loop {
            match feed.next().await {
                Event::Entry(entry) => {
                    assert!(entry.seq > self.place, "numbers rise");
                    self.place = entry.seq;
                    let Change::SitePut { site_id, site } = entry.change else { panic!() };
                    self.sites.insert(site_id.to_string(), (entry.seq, site));
                }
                Event::Current(current) => {
                    assert!(current.newest >= self.place);
                    self.place = current.newest;
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Sites change all the time, each at a new number, while followers come from the beginning and from where they were.
/// When one is told that it has everything, it has a document of every site.
async fn followers_that_catch_up_miss_nothing_while_sites_change(database: Database) {
    let services = [database.start().await, database.start().await];
    for number in 0..SITES {
        services[0].admin.post("/v1/sites", &large(number, 0)).await.expect(201);
    }
    let log = Feed::open(&services[0].admin, "").await.hello().await.log;
    let stop = AtomicBool::new(false);
    let writers = (0..4_u64).map(|writer| {
        let (control, stop) = (&services[usize::from(writer % 2 == 1)].admin, &stop);
        async move {
            let mut random = StdRng::seed_from_u64(writer);
            for change in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let number = random.random_range(0..SITES);
                let path = format!("/v1/sites/s{number}");
                let document = large(number, change * 4 + writer);
                control.put(&path, "*", &document).await.expect(200);
            }
        }
    });
    let followers = (0..8_u64).map(|follower| {
        let (services, log) = (&services, &log);
        async move {
            let mut random = StdRng::seed_from_u64(100 + follower);
            let mut known = Known::default();
            for _ in 0..12 {
                if random.random_bool(0.4) {
                    known = Known::default();
                }
                let control = &services[random.random_range(0..2)].admin;
                known.hear(control, log, random.random_bool(0.5)).await;
                assert_eq!(known.sites.len(), SITES);
            }
            known
        }
    });
    let followed = async {
        let known = join_all(followers).await;
        stop.store(true, Ordering::Relaxed);
        known
    };
    let (known, _) = tokio::join!(followed, join_all(writers));
    let mut truth = Known::default();
    truth.hear(&services[0].admin, &log, false).await;
    for mut known in known {
        known.hear(&services[1].admin, &log, true).await;
        assert_eq!(known.sites, truth.sites);
    }
}

async fn compressed_and_plain_streams_say_the_same(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    for number in 0..100 {
        control.post("/v1/sites", &large(number, 0)).await.expect(201);
    }
    let mut feeds = [Feed::open(control, "").await, Feed::compressed(control, "").await];
    let mut heard = Vec::new();
    for feed in &mut feeds {
        let hello = feed.hello().await;
        heard.push((hello, feed.until_current().await));
    }
    assert_eq!(heard[0], heard[1]);
    assert!(feeds[1].bytes * 5 < feeds[0].bytes, "{} {}", feeds[1].bytes, feeds[0].bytes);
    for change in 1..20 {
        control.put("/v1/sites/s7", "*", &large(7, change)).await.expect(200);
        let [plain, compressed] = &mut feeds;
        assert_eq!(plain.until_current().await, compressed.until_current().await);
    }
}

async fn many_that_begin_at_once_get_everything(database: Database) {
    let service = database.start().await;
    for number in 0..SITES {
        service.admin.post("/v1/sites", &large(number, 0)).await.expect(201);
    }
    let log = Feed::open(&service.admin, "").await.hello().await.log;
    let followers = (0..80).map(|follower| {
        let (control, log) = (&service.admin, &log);
        async move {
            let mut known = Known::default();
            known.hear(control, log, follower % 2 == 0).await;
            assert_eq!((known.sites.len(), known.place), (SITES, SITES as u64));
        }
    });
    join_all(followers).await;
    let metrics = service.admin.get("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let reads =
        metrics.lines().find_map(|line| line.strip_prefix("longshore_control_feed_pages_total "));
    // each has four pages of the log
    assert!(reads.unwrap().parse::<u64>().unwrap() < 80, "{metrics}");
}

/// One that takes nothing holds up nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_follower_holds_others_back_in_nothing() {
    let service = Database::sqlite().start().await;
    let control = &service.admin;
    let mut slow = Feed::open(control, "").await;
    let mut quick = [Feed::open(control, "").await, Feed::compressed(control, "").await];
    for feed in &mut quick {
        feed.hello().await;
        feed.until_current().await;
    }
    let mut document = site("a");
    control.post("/v1/sites", &document).await.expect(201);
    for change in 1..100_u64 {
        // more than sockets and what is in memory hold
        let texts = (0..110).map(|rule| {
            let target = format!("/{change}/{}", "x".repeat(1_900));
            json!({ "paths": [format!("/{rule}")], "redirect": { "to": target } })
        });
        document["rules"] = Value::Array(texts.collect());
        control.put("/v1/sites/a", "*", &document).await.expect(200);
    }
    for feed in &mut quick {
        let mut newest = 0;
        while newest < 100 {
            newest = feed.numbers().await.1;
        }
    }
    // it hears what is, not all that was
    slow.hello().await;
    let (mut numbers, mut newest) = (Vec::new(), 0);
    while newest < 100 {
        let (more, current) = slow.numbers().await;
        numbers.extend(more);
        newest = current;
    }
    assert!(numbers.is_sorted() && numbers.len() < 100, "{numbers:?}");
}
