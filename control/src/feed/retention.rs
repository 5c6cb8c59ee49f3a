//! What of the log is kept, and how long?
//!
//! A follower may come from any number, so a purge is never dropped without another in its place: those of one site
//! and mode up to a number become one purge of everything with that number. A follower that had read less far hears of
//! it, and purges more than it was asked to, never less; one that had read further hears nothing. Removals of sites and
//! certificates are dropped for good; who has not heard of one by then begins anew. Challenges expire by themselves.

use crate::clock::{self, Moment};
use crate::db::Db;
use std::time::Duration;

/// Dry runs and warmings are of use to nobody later.
const WORK_KEPT: Duration = Duration::from_secs(3_600);
/// Longer than any authority lets a challenge stand.
const CHALLENGES_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);
/// As long as an edge that doesn't report is remembered.
const REMOVALS_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// How much of purges is kept as it was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// How long.
    pub(crate) kept: Duration,
    /// How many purges and selectors, all together.
    pub(crate) max: u64,
}

/// A purge, as far as retention looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weighed {
    pub(crate) seq: u64,
    /// 0 for everything.
    pub(crate) selectors: u64,
    pub(crate) created_at: Moment,
}

/// Up to which of `purges`, which are of one site and mode and in order, one of everything takes their place: those
/// made before `too_old`, and as many as make them lighter by `excess`. None where that changes nothing.
pub(crate) fn coarsen(purges: &[Weighed], too_old: Moment, excess: u64) -> Option<u64> {
    let mut weight = 0;
    let mut last = None;
    for (index, purge) in purges.iter().enumerate() {
        // the one in their place weighs 1
        if purge.created_at >= too_old && weight >= excess.saturating_add(1) {
            break;
        }
        weight += purge.selectors + 1;
        let changes = index > 0 || purge.selectors > 0;
        let wanted = purge.created_at < too_old || excess > 0;
        last = (changes && wanted).then_some(purge.seq).or(last);
    }
    last
}

/// Thins out the log.
pub(crate) async fn thin_out(db: &Db, retention: Retention, now: Moment) -> sqlx::Result<()> {
    let too_old = now.before(retention.kept);
    while let Some(group) = db.old_purges(too_old).await? {
        let purges = db.oldest_purges(&group).await?;
        // all up to the last one, also where the clock was set back in between
        let last = purges.iter().rposition(|purge| purge.created_at < too_old);
        let old = last.and_then(|last| purges.get(..=last)).unwrap_or_default();
        let Some(seq) = coarsen(old, Moment(i64::MAX), 0) else { break };
        db.coarsen(&group, seq).await?;
    }
    let mut weight = db.purges_weight().await?;
    while weight > retention.max {
        let Some(group) = db.heaviest_purges().await? else { break };
        let purges = db.oldest_purges(&group).await?;
        let Some(seq) = coarsen(&purges, Moment(i64::MIN), weight - retention.max) else { break };
        db.coarsen(&group, seq).await?;
        tracing::info!(site.id = %group.site_id, seq, "older purges became one of everything: there are too many");
        weight = db.purges_weight().await?;
    }
    db.drop_work(now.before(WORK_KEPT)).await?;
    db.drop_challenges(now.before(CHALLENGES_KEPT)).await?;
    db.drop_removals(now.before(REMOVALS_KEPT)).await
}

/// Thins out the log again and again, for ever.
pub(crate) async fn keep(db: &Db, retention: Retention, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        if let Err(error) = thin_out(db, retention, clock::now()).await {
            tracing::warn!("the log could not be thinned out: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::feed::{Extent, Subject};
    use crate::secrets::SecretsKey;
    use api::feed;
    use api::id::SiteId;
    use api::purge::{Count, Mode, Purge, Selector};
    use proptest::prelude::*;

    /// What a purge in the log selects: all, or one of a few selectors.
    #[derive(Debug, Clone, PartialEq)]
    struct Told {
        seq: u64,
        selects: Option<Vec<u8>>,
        at: i64,
    }

    fn site(last: u8) -> SiteId {
        SiteId::from_ulid(&format!("01J9Z3K8Q4W5E6R7T8Y9V0B1N{last}")).unwrap()
    }

    async fn tell(db: &Db, subject: &SiteId, said: feed::Change) {
        let mut change = db.change().await.unwrap();
        let subject = match said {
            feed::Change::SitePut { .. } | feed::Change::SiteRemoved { .. } => {
                Subject::Site(subject)
            }
            _ => Subject::Purge(subject, change.seq()),
        };
        change.tell(subject, said).await.unwrap();
        change.commit().await.unwrap();
    }

    async fn kept(db: &Db) -> Vec<u64> {
        let page = db.feed_page(0).await.unwrap();
        page.entries.iter().map(|(seq, _)| *seq).collect()
    }

    #[tokio::test]
    async fn work_goes_after_an_hour_and_removals_after_a_month() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/control.db?mode=rwc", directory.path().display());
        let db = Db::make(&url, |_| Ok(SecretsKey::new([7; 32]))).await.unwrap();
        let (a, b) = (site(1), site(2));
        let put = |id: &SiteId| feed::Change::SitePut {
            site_id: id.clone(),
            site: serde_json::json!({}),
        };
        tell(&db, &a, put(&a)).await;
        tell(&db, &b, put(&b)).await;
        tell(&db, &b, feed::Change::SiteRemoved { site_id: b.clone() }).await;
        let selector = Selector::Everything;
        let regions = Vec::new();
        let count = Count { site_id: a.clone(), selector: selector.clone(), regions };
        tell(&db, &a, feed::Change::Count(count)).await;
        let (mode, regions) = (Mode::Soft, Vec::new());
        let purge = Purge { site_id: a.clone(), selector, mode, regions, refetch: 3 };
        tell(&db, &a, feed::Change::Purge(purge)).await;
        tell(&db, &b, feed::Change::SiteRemoved { site_id: site(3) }).await;
        let retention = Retention { kept: Duration::from_secs(7 * 24 * 3_600), max: 10 };
        let later = |hours: i64| Moment(clock::now().0 + hours * 3_600_000);
        for (hours, expected) in
            [(0, &[1, 4, 5, 6][..]), (2, &[1, 5, 6]), (29 * 24, &[1, 5, 6]), (31 * 24, &[1, 5])]
        {
            thin_out(&db, retention, later(hours)).await.unwrap();
            assert_eq!(kept(&db).await, expected, "after {hours} hours");
        }
        let Extent { newest, forgotten } = db.extent().await.unwrap();
        assert_eq!((newest, forgotten), (6, 6));
        // the numbers before it can be read, but whoever reads them has to begin anew
        assert_eq!(db.feed_page(2).await.unwrap().forgotten, 6);
        assert_eq!(db.state_page(0, 6).await.unwrap().until, 6);
        db.close().await;
    }

    fn weighed(log: &[Told]) -> Vec<Weighed> {
        let selectors = |told: &Told| told.selects.as_ref().map_or(0, |any| any.len() as u64);
        log.iter()
            .map(|told| Weighed {
                seq: told.seq,
                selectors: selectors(told),
                created_at: Moment(told.at),
            })
            .collect()
    }

    /// What the database makes of it.
    fn apply(log: &[Told], seq: u64) -> Vec<Told> {
        let mut after: Vec<Told> = log.iter().filter(|told| told.seq >= seq).cloned().collect();
        assert_eq!(after[0].seq, seq, "the number is one of theirs");
        after[0].selects = None;
        after
    }

    /// Whether a follower that has read up to `place` is told to purge `selector` where it was stored before `seq`.
    fn purges(log: &[Told], place: u64, selector: u8, stored: u64) -> bool {
        log.iter().any(|told| {
            let selected = told.selects.as_ref().is_none_or(|any| any.contains(&selector));
            told.seq > place && told.seq > stored && selected
        })
    }

    fn logs() -> impl Strategy<Value = Vec<Told>> {
        let selects = prop_oneof![
            1 => Just(None),
            4 => proptest::collection::vec(0_u8..4, 1..4).prop_map(Some)
        ];
        proptest::collection::vec((1_u64..4, selects, 0_i64..3), 1..12).prop_map(|purges| {
            let (mut seq, mut at) = (0, 0);
            let told = purges.into_iter().map(|(step, selects, later)| {
                (seq, at) = (seq + step, at + later);
                Told { seq, selects, at }
            });
            told.collect()
        })
    }

    proptest! {
        #[test]
        fn whoever_comes_from_wherever_purges_at_least_what_was_asked(
            log in logs(), too_old in 0_i64..20, excess in 0_u64..30,
        ) {
            let Some(seq) = coarsen(&weighed(&log), Moment(too_old), excess) else {
                // nothing to do: nothing old has selectors, and there is no excess that could be had
                let old: Vec<&Told> = log.iter().filter(|told| told.at < too_old).collect();
                prop_assert!(old.len() <= 1 && old.iter().all(|told| told.selects.is_none()));
                prop_assert!(excess == 0 || log.len() == 1);
                return Ok(());
            };
            let after = apply(&log, seq);
            for place in 0..40 {
                for (selector, stored) in (0..4).flat_map(|one| (0..40).map(move |at| (one, at))) {
                    if purges(&log, place, selector, stored) {
                        prop_assert!(purges(&after, place, selector, stored));
                    }
                }
            }
            let weight = |log: &[Told]| -> u64 {
                weighed(log).iter().map(|purge| purge.selectors + 1).sum()
            };
            let lighter = weight(&log) - weight(&after);
            prop_assert!(lighter >= excess || after.len() == 1, "{lighter}");
            let kept_old = after.iter().filter(|told| told.at < too_old);
            prop_assert!(kept_old.count() <= 1);
        }

        #[test]
        fn what_is_thinned_out_once_stays_so(log in logs(), too_old in 0_i64..20) {
            if let Some(seq) = coarsen(&weighed(&log), Moment(too_old), 0) {
                let again = weighed(&apply(&log, seq));
                prop_assert_eq!(coarsen(&again, Moment(too_old), 0), None);
            }
        }
    }
}
