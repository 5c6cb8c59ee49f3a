//! A difference made smaller as long as it stays the same one.

use super::case::Case;
use super::exchange::{Caches, Outcome};
use super::servers::Cache;
use serde::Serialize;
use std::collections::BTreeSet;

/// A difference, and the features without which it isn't there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Signature {
    /// The other cache.
    pub peer: String,
    /// What ours does.
    pub ours: String,
    /// What the peer does.
    pub theirs: String,
    /// Features, as they display.
    pub features: Vec<String>,
}

/// The first thing in which two outcomes differ: what became of the request, its status, its age, its fields.
fn difference(ours: &Outcome, theirs: &Outcome) -> Option<(String, String)> {
    if ours.reuse != theirs.reuse {
        return Some((ours.reuse.clone(), theirs.reuse.clone()));
    }
    if ours.status != theirs.status {
        let text = |outcome: &Outcome| format!("{} {}", outcome.reuse, outcome.status);
        return Some((text(ours), text(theirs)));
    }
    if ours.age.is_empty() || theirs.age.is_empty() {
        return None;
    }
    if ours.age != theirs.age {
        return Some((ours.age.clone(), theirs.age.clone()));
    }
    let set = |fields: &str| fields.split_terminator("; ").map(str::to_owned).collect();
    let (own, other): (BTreeSet<String>, BTreeSet<String>) =
        (set(&ours.fields), set(&theirs.fields));
    let only = |set: &BTreeSet<String>, other: &BTreeSet<String>| {
        set.difference(other).cloned().collect::<Vec<_>>().join("; ")
    };
    (own != other).then(|| (only(&own, &other), only(&other, &own)))
}

/// A difference on its way to its signature.
struct Shrinking {
    case: Case,
    difference: (String, String),
    /// The step that is tried next; those before it lead to something else.
    next: usize,
}

/// What was found in many cases.
#[derive(Debug)]
pub struct Found {
    /// Of each case with a difference, the difference.
    pub signatures: Vec<Signature>,
    /// Differences that weren't there when they were tried again.
    pub fleeting: usize,
}

/// The signatures of those of `cases` in which ours and `peer` differ.
pub async fn shrink(caches: &mut Caches, peer: Cache, cases: &[Case]) -> Found {
    let ours = caches.outcomes(Cache::Ours, cases).await;
    let theirs = caches.outcomes(peer, cases).await;
    let mut all = Vec::new();
    for ((case, ours), theirs) in cases.iter().zip(ours).zip(theirs) {
        if let Some(difference) = difference(&ours, &theirs) {
            all.push(Shrinking { case: case.clone(), difference, next: 0 });
        }
    }
    loop {
        let open: Vec<&mut Shrinking> =
            all.iter_mut().filter(|one| one.case.smaller(one.next).is_some()).collect();
        if open.is_empty() {
            break;
        }
        round(caches, peer, open).await;
    }
    let count = all.len();
    let signatures = confirmed(caches, peer, all).await;
    Found { fleeting: count - signatures.len(), signatures }
}

/// Tries one more step of each difference.
async fn round(caches: &mut Caches, peer: Cache, open: Vec<&mut Shrinking>) {
    let smaller: Vec<Case> = open.iter().filter_map(|one| one.case.smaller(one.next)).collect();
    let ours = caches.outcomes(Cache::Ours, &smaller).await;
    let theirs = caches.outcomes(peer, &smaller).await;
    for (((one, smaller), ours), theirs) in open.into_iter().zip(smaller).zip(ours).zip(theirs) {
        if difference(&ours, &theirs).as_ref() == Some(&one.difference) {
            one.case = smaller;
            one.next = 0;
        } else {
            one.next += 1;
        }
    }
}

/// Lets what is left go through both caches once more: a coincidence in time is no difference.
async fn confirmed(caches: &mut Caches, peer: Cache, all: Vec<Shrinking>) -> Vec<Signature> {
    let cases: BTreeSet<Case> = all.iter().map(|one| one.case.clone()).collect();
    let cases: Vec<Case> = cases.into_iter().collect();
    let mut same = BTreeSet::new();
    for batch in cases.chunks(64) {
        let ours = caches.run(Cache::Ours, batch).await;
        let theirs = caches.run(peer, batch).await;
        for ((case, ours), theirs) in batch.iter().zip(ours).zip(theirs) {
            same.extend(difference(&ours, &theirs).map(|found| (case.clone(), found)));
        }
    }
    let signature = |one: Shrinking| Signature {
        peer: peer.to_string(),
        features: one.case.features().map(ToString::to_string).collect(),
        ours: one.difference.0,
        theirs: one.difference.1,
    };
    all.into_iter()
        .filter(|one| same.contains(&(one.case.clone(), one.difference.clone())))
        .map(signature)
        .collect()
}
