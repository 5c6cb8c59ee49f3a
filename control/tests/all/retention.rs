//! What is kept of purges: one of everything takes the place of older ones, site by site.

use crate::client::Client;
use crate::feed::Feed;
use crate::on_both_databases;
use crate::service::{Database, site};
use api::feed::Change;
use api::purge::{Mode, Selector};
use serde_json::json;

on_both_databases!(old_purges_become_one_of_everything, too_many_purges_become_fewer);

/// The purges that one who has read up to `after` hears of: number, everything or not, mode.
async fn purges(control: &Client, after: u64) -> Vec<(u64, bool, Mode)> {
    let log = Feed::open(control, "").await.hello().await.log;
    let mut feed = Feed::open(control, &format!("?after={after}&log={log}")).await;
    feed.hello().await;
    let entries = feed.until_current().await.0.into_iter();
    let purges = entries.filter_map(|entry| match entry.change {
        Change::Purge(purge) => {
            Some((entry.seq, purge.selector == Selector::Everything, purge.mode))
        }
        _ => None,
    });
    purges.collect()
}

async fn purge(control: &Client, site: &str, tags: &[&str], mode: &str) -> u64 {
    let request = json!({ "tags": tags, "mode": mode });
    let answer = control.post(&format!("/v1/sites/{site}/purge"), &request).await.expect(202);
    answer.json()["seq"].as_u64().unwrap()
}

async fn old_purges_become_one_of_everything(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    for name in ["a", "b"] {
        control.post("/v1/sites", &site(name)).await.expect(201);
    }
    for tags in [&["x"][..], &["x", "y"], &["z"]] {
        purge(control, "a", tags, "hard").await;
    }
    purge(control, "a", &["x"], "soft").await;
    purge(control, "b", &["x"], "soft").await;
    let before = purges(control, 0).await;
    assert_eq!(before.len(), 5);
    service.stop().await;
    // everything is old
    let service = database.start_with(|config| config.purges_kept_seconds = 0).await;
    let expected = [(5, true, Mode::Hard), (6, true, Mode::Soft), (7, true, Mode::Soft)];
    while purges(&service.admin, 0).await != expected {}
    assert_eq!(purges(&service.admin, 4).await, expected, "also for who had heard of the first");
    assert_eq!(purges(&service.admin, 5).await, expected[1..]);
    // a site that goes takes its purges with it
    service.admin.send("DELETE", "/v1/sites/a", &[], "").await.expect(204);
    assert_eq!(purges(&service.admin, 0).await, expected[2..]);
}

async fn too_many_purges_become_fewer(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    for name in ["a", "b"] {
        control.post("/v1/sites", &site(name)).await.expect(201);
    }
    purge(control, "b", &["x"], "hard").await;
    for _ in 0..10 {
        purge(control, "a", &["x", "y"], "hard").await;
    }
    service.stop().await;
    let service = database.start_with(|config| config.purges_kept_max = 20).await;
    let mut kept = purges(&service.admin, 0).await;
    while kept.len() > 8 {
        kept = purges(&service.admin, 0).await;
    }
    // the site with most gave way: 2 of b, 1 for what was, 3 each of the others
    let everything: Vec<u64> =
        kept.iter().filter(|(_, everything, _)| *everything).map(|(seq, ..)| *seq).collect();
    assert_eq!((kept.len(), everything), (7, vec![8]));
    assert_eq!(kept[0], (3, false, Mode::Hard), "another site's are as they were");
}
