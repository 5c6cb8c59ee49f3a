//! How does each edge stand to what was asked of it, and is that complete? Pure decisions on what the database holds.

use crate::clock::Moment;
use crate::db::edges::Edge;
use crate::db::purges::{Done, Work};
use api::edge::AWAY_SECONDS;
use api::purge::{EdgePurge, EdgeStanding, Progress, PurgeStatus};
use std::time::Duration;

/// Whether an edge reported lately.
pub(crate) fn is_connected(edge: &Edge, now: Moment) -> bool {
    edge.last_seen > now.before(Duration::from_secs(AWAY_SECONDS))
}

/// Whether an edge reports, but has adopted nothing for `limit` though there was something.
pub(crate) fn is_stalled(edge: &Edge, limit: Duration, now: Moment) -> bool {
    is_connected(edge, now) && edge.behind_since.is_some_and(|since| since <= now.before(limit))
}

/// For how many seconds an edge has adopted nothing though there was something.
pub(crate) fn lag_seconds(edge: &Edge, now: Moment) -> u64 {
    edge.behind_since.map_or(0, |since| now.since(since) / 1_000)
}

/// How an edge stands to `work`, of which it did `progress`.
pub(crate) fn standing(
    edge: &Edge,
    work: &Work,
    progress: Option<&Progress>,
    limit: Duration,
    now: Moment,
) -> EdgeStanding {
    let regions = &work.asked.regions;
    if !regions.is_empty() && !edge.region.as_ref().is_some_and(|region| regions.contains(region)) {
        return EdgeStanding::Elsewhere;
    }
    let has_adopted = edge.acked >= work.effective_seq;
    let is_finished = !work.asked.has_work || progress.is_some_and(|progress| progress.finished);
    match (has_adopted, is_finished) {
        (true, true) => EdgeStanding::Done,
        _ if !is_connected(edge, now) => EdgeStanding::Away,
        (true, false) => EdgeStanding::Working,
        (false, _) if is_stalled(edge, limit, now) => EdgeStanding::Stalled,
        (false, _) => EdgeStanding::Waiting,
    }
}

/// Whether an edge that stands so is waited for.
pub(crate) const fn is_awaited(standing: EdgeStanding) -> bool {
    matches!(standing, EdgeStanding::Waiting | EdgeStanding::Working)
}

/// What became of `work`, which edges did.
pub(crate) fn status(work: Work, done: &[Done], limit: Duration, now: Moment) -> PurgeStatus {
    let edges: Vec<EdgePurge> = done.iter().map(|done| edge(done, &work, limit, now)).collect();
    let is_adopted = edges.iter().all(|edge| edge.standing != EdgeStanding::Waiting);
    let adopted_ms = edges.iter().filter_map(|edge| edge.adopted_ms).max();
    let is_done = edges.iter().any(|edge| edge.standing == EdgeStanding::Done);
    let matched = edges.iter().filter_map(|edge| Some(edge.progress?.matched));
    PurgeStatus {
        seq: work.seq,
        kind: work.asked.kind,
        site_id: work.site_id,
        mode: work.asked.mode,
        selectors: work.asked.selectors,
        regions: work.asked.regions,
        created_at: work.created_at.rfc3339(),
        complete: is_done && !edges.iter().any(|edge| is_awaited(edge.standing)),
        adopted_ms: adopted_ms.filter(|_| is_adopted),
        matched: matched.fold(0, u64::saturating_add),
        edges,
    }
}

fn edge(done: &Done, work: &Work, limit: Duration, now: Moment) -> EdgePurge {
    let standing = standing(&done.edge, work, done.progress.as_ref(), limit, now);
    let concerns = standing != EdgeStanding::Elsewhere;
    EdgePurge {
        id: done.edge.id.clone(),
        region: done.edge.region.clone(),
        standing,
        adopted_ms: done.acked_at.filter(|_| concerns).map(|at| at.since(work.created_at)),
        progress: done.progress,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::purges::Asked;
    use api::purge::{Kind, Mode, SelectorCounts};

    const NOW: Moment = Moment(1_000_000);
    const LIMIT: Duration = Duration::from_secs(30);

    fn edge(region: Option<&str>, acked: u64, behind_for: i64, silent_for: i64) -> Edge {
        Edge {
            id: "edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap(),
            region: region.map(ToOwned::to_owned),
            adopted: acked,
            acked,
            behind_since: (behind_for > 0).then_some(Moment(NOW.0 - behind_for)),
            first_seen: Moment(1),
            last_seen: Moment(NOW.0 - silent_for),
        }
    }

    fn work(regions: &[&str], has_work: bool) -> Work {
        let asked = Asked {
            kind: if has_work { Kind::Warm } else { Kind::Purge },
            mode: Mode::Hard,
            selectors: SelectorCounts::default(),
            regions: regions.iter().map(ToString::to_string).collect(),
            has_work,
        };
        let site_id = "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap();
        Work { seq: 9, effective_seq: 9, site_id, created_at: Moment(NOW.0 - 5_000), asked }
    }

    #[test]
    fn an_edge_is_waited_for_while_it_may_still_adopt() {
        let check = |edge: Edge, regions: &[&str], expected: EdgeStanding| {
            let found = standing(&edge, &work(regions, false), None, LIMIT, NOW);
            assert_eq!(found, expected, "{edge:?} {regions:?}");
        };
        check(edge(None, 8, 0, 0), &[], EdgeStanding::Waiting);
        check(edge(None, 9, 0, 0), &[], EdgeStanding::Done);
        check(edge(None, 9, 0, 60_000), &[], EdgeStanding::Done);
        check(edge(None, 8, 0, 19_999), &[], EdgeStanding::Waiting);
        check(edge(None, 8, 0, 20_000), &[], EdgeStanding::Away);
        check(edge(None, 8, 29_999, 0), &[], EdgeStanding::Waiting);
        check(edge(None, 8, 30_000, 0), &[], EdgeStanding::Stalled);
        check(edge(None, 8, 90_000, 20_000), &[], EdgeStanding::Away);
        check(edge(None, 9, 0, 0), &["eu"], EdgeStanding::Elsewhere);
        check(edge(Some("us"), 9, 0, 0), &["eu"], EdgeStanding::Elsewhere);
        check(edge(Some("eu"), 9, 0, 0), &["us", "eu"], EdgeStanding::Done);
    }

    #[test]
    fn work_is_done_when_it_is_finished() {
        let check = |acked, progress: Option<bool>, silent_for, expected: EdgeStanding| {
            let progress = progress.map(|finished| Progress { finished, ..Progress::default() });
            let edge = edge(None, acked, 0, silent_for);
            let found = standing(&edge, &work(&[], true), progress.as_ref(), LIMIT, NOW);
            assert_eq!(found, expected);
        };
        check(9, None, 0, EdgeStanding::Working);
        check(9, Some(false), 0, EdgeStanding::Working);
        check(9, Some(false), 20_000, EdgeStanding::Away);
        check(9, Some(true), 20_000, EdgeStanding::Done);
        check(8, None, 0, EdgeStanding::Waiting);
    }

    #[test]
    fn complete_is_what_an_edge_has_done_and_none_still_has_to_do() {
        let check = |edges: &[Edge], expected: (bool, Option<u64>)| {
            let done: Vec<Done> = edges
                .iter()
                .map(|edge| Done {
                    edge: edge.clone(),
                    acked_at: (edge.acked >= 9).then_some(Moment(NOW.0 - 4_900)),
                    progress: None,
                })
                .collect();
            let status = status(work(&["eu"], false), &done, LIMIT, NOW);
            assert_eq!((status.complete, status.adopted_ms), expected, "{edges:?}");
        };
        let (done, waiting) = (edge(Some("eu"), 9, 0, 0), edge(Some("eu"), 8, 0, 0));
        check(&[], (false, None));
        check(std::slice::from_ref(&done), (true, Some(100)));
        check(&[done.clone(), waiting], (false, None));
        check(&[done.clone(), edge(Some("eu"), 8, 0, 30_000)], (true, Some(100)));
        check(&[edge(Some("eu"), 8, 0, 30_000)], (false, None));
        check(&[edge(Some("us"), 9, 0, 0)], (false, None));
        check(&[done, edge(Some("us"), 8, 0, 0)], (true, Some(100)));
    }
}
