//! Which of the slices that would answer a request are stored?

use super::{Known, Question};
use crate::cache::Head;
use crate::slices::Group;
use crate::stage::reuse::{self, Outcome as Reusable};
use crate::stage::slice::{self, Answer, Facts, Slice};
use api::explain::{Explanation, Outcome};
use http::header;
use semantics::range::{self, Spec, Wanted};
use semantics::reuse::Reuse;
use std::sync::Arc;
use store::Found;

/// Slices that are looked for.
const LOOKED_FOR_MAX: u64 = 64;

/// What there is of the slices that a request wants.
#[derive(Default)]
struct Count {
    wanted: u64,
    looked_for: u64,
    stored: u64,
    /// Of those stored.
    to_validate: u64,
}

impl Known<'_> {
    /// What becomes of a request that is answered from slices. None for one that isn't.
    pub(super) async fn sliced(&self, question: &Question<'_>) -> Option<Explanation> {
        let spec = self.asks_slices(question).await?;
        let fields = &question.asked.fields;
        let is_part = fields.contains_key(header::RANGE);
        let begun =
            || self.says(Outcome::Miss, "nothing is stored; the range is fetched in slices");
        let (name, served) = ((&*question.name, question.hash), &question.routed.served);
        let group = self.slices.known_group(self.cache, name, served).await;
        let Some(group) = group else {
            return (is_part && !self.is_in_vain(question)).then(begun);
        };
        let facts = self
            .facts_of(&group, question)
            .filter(|facts| is_part || facts.complete_length > self.slices.bytes)?;
        let bytes = self.slices.bytes;
        let index = slice::first_index(spec, bytes, Some(facts.complete_length));
        let first = Slice { index, bytes, group: group.number };
        match self.slice(question, first).await {
            None if self.is_in_vain(question) => return None,
            None => {}
            Some(found) => {
                let head = found.head.header();
                match slice::decide(fields, &head.headers, facts, self.now.wall) {
                    Answer::Bytes { .. } => {}
                    Answer::Other => return None,
                    Answer::Unsatisfiable => {
                        let said = self.says(Outcome::Hit, "by its slices, it has no such bytes");
                        return Some(Explanation { status: Some(416), ..said });
                    }
                }
            }
        }
        match range::wanted(fields, facts.complete_length) {
            Wanted::One(range) => Some(self.counted(question, first, range.last(), 206).await),
            Wanted::Whole => {
                Some(self.counted(question, first, facts.complete_length - 1, 200).await)
            }
            Wanted::Unsatisfiable | Wanted::Many(_) => Some(begun()),
        }
    }

    /// The range that slices are asked for. None where nothing is, or may be, answered from slices.
    async fn asks_slices(&self, question: &Question<'_>) -> Option<Spec> {
        let Question { asked, routed, directives, .. } = question;
        if !routed.rule.caching.slices || directives.no_store() || directives.only_if_cached() {
            return None;
        }
        let spec = slice::asked(&asked.method, &asked.fields)?;
        let key = &routed.rule.caching.key;
        let whole = self.cache.select(&question.name, &asked.fields, Some(key)).await.response;
        let whole = whole.map(|(_, found)| found);
        (!self.slices.are_needless(whole, spec, (&question.name, &routed.served))).then_some(spec)
    }

    fn is_in_vain(&self, question: &Question<'_>) -> bool {
        self.slices.are_in_vain(question.hash, self.remembered(question))
    }

    /// What is known of a group, where the request selects it.
    pub(super) fn facts_of<'g>(
        &self,
        group: &'g Arc<Group>,
        question: &Question<'_>,
    ) -> Option<&'g Facts> {
        let key = &question.routed.rule.caching.key;
        group.facts().filter(|_| group.is_selected(&question.asked.fields, Some(key)))
    }

    async fn slice(&self, question: &Question<'_>, slice: Slice) -> Option<Found<Head>> {
        let mut name = question.name.clone();
        slice.append_to(&mut name);
        let key = &question.routed.rule.caching.key;
        let found = self.cache.select(&name, &question.asked.fields, Some(key)).await;
        found.response.map(|(_, found)| found)
    }

    /// Counts the slices from `first` to the one with the byte `last`.
    async fn count(&self, question: &Question<'_>, first: Slice, last: u64) -> Count {
        let wanted = (last / first.bytes).saturating_sub(first.index) + 1;
        let looked_for = wanted.min(LOOKED_FOR_MAX);
        let mut count = Count { wanted, looked_for, ..Count::default() };
        for index in first.index..first.index + looked_for {
            let slice = Slice { index, ..first };
            let Some(found) = self.slice(question, slice).await else { continue };
            let mut name = question.name.clone();
            slice.append_to(&mut name);
            let verdict = question.routed.served.verdict(&name, &found.head);
            match reuse::decide(found.head.kept(), &question.directives, verdict, self.now.steady) {
                Reusable::Nothing | Reusable::Purged => {}
                Reusable::Stored { reuse: Reuse::Fresh | Reuse::Stale, .. } => count.stored += 1,
                Reusable::Stored { .. } => {
                    count.stored += 1;
                    count.to_validate += 1;
                }
            }
        }
        count
    }

    /// What becomes of a request for the slices from `first` to the one with the byte `last`. `status` is its answer's.
    async fn counted(
        &self,
        question: &Question<'_>,
        first: Slice,
        last: u64,
        status: u16,
    ) -> Explanation {
        let Count { wanted, looked_for, stored, to_validate } =
            self.count(question, first, last).await;
        let is_long = looked_for < wanted;
        let of = if is_long {
            format!("the first {looked_for} of {wanted}")
        } else {
            wanted.to_string()
        };
        let all = if is_long { "" } else { "all " };
        let together = format!("it is put together from slices, {all}{of} of which are stored");
        if stored < looked_for {
            self.says(Outcome::Miss, format!("{stored} of {of} slices of it are stored"))
        } else if to_validate > 0 {
            let why = format!("{together}; {to_validate} of them are validated first");
            self.says(Outcome::Validate, why)
        } else {
            Explanation { status: Some(status), ..self.says(Outcome::Hit, together) }
        }
    }
}
