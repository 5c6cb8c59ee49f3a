//! Everything that is stored of a URL.

use super::ask::Asked;
use super::{Known, Question, found, site};
use crate::cache;
use crate::context::Routed;
use crate::listing::{state, told_tier, variant};
use crate::stage::deliver::KeyText;
use crate::stage::entrance::Entrance;
use crate::stage::fail;
use crate::stage::lookup;
use crate::stage::route::{self, Route};
use crate::stage::slice::Slice;
use api::cache::{Inspection, SlicesFound, VariantFound};
use api::explain::{ExplainRequest, KeyFound, StoredFound};
use api::problem::FieldProblem;
use semantics::directives::RequestDirectives;
use std::sync::Arc;
use store::{Head as _, Listed, Tier};

/// Slices that are looked for.
const LOOKED_FOR_MAX: u64 = 16_384;

/// Tells what is stored of the URL of `request`, and which of it its fields select.
///
/// # Errors
/// Every problem of what was asked; a URL of which nothing can be stored, because no site has its host, is one.
pub(crate) async fn inspect(
    request: &ExplainRequest,
    known: &Known<'_>,
) -> Result<Inspection, Vec<FieldProblem>> {
    let mut asked = Asked::read(request)?;
    let refused = |detail: String| {
        let value = Some(request.url.chars().take(100).collect());
        vec![FieldProblem { field: "url".to_owned(), detail, value }]
    };
    let (method, uri) = (&asked.method, &asked.uri);
    let routed = match route::decide(
        method,
        uri,
        &asked.fields,
        &asked.identity,
        Entrance::Inside,
        known.snapshot,
    ) {
        Ok(Route::Serve(routed) | Route::Redirect { routed, .. } | Route::Upgrade { routed }) => {
            routed
        }
        Ok(Route::Here) => return Err(refused("is answered here".to_owned())),
        Err(failure) => {
            let (status, sentence) = (failure.reply().0, fail::sentence(failure));
            let status = status.map(|status| format!(" {status}")).unwrap_or_default();
            return Err(refused(format!("is answered{status}: {sentence}")));
        }
    };
    asked.describe_client(request.client, &routed.rule.caching.key, known.telemetry);
    Ok(known.inspected(&asked, &routed).await)
}

impl Known<'_> {
    async fn inspected(&self, asked: &Asked, routed: &Routed) -> Inspection {
        let (key, site_id) = (&routed.rule.caching.key, &routed.served.site.id);
        let epoch = self.snapshot.epoch;
        let name = lookup::name(&asked.uri, &asked.identity, site_id, key, epoch);
        let hash = cache::hash(&name);
        let directives = RequestDirectives::read(&asked.fields, &routed.rule.caching.policy);
        let question = Question { asked, routed, directives, name, hash };
        let first = cache::first_variant_of(hash);
        let stored = self.cache.store.variants(&first, &question.name).await;
        let selected = self.cache.select(&question.name, &asked.fields, Some(key)).await.response;
        let told = |(listed, tiers): (&Listed<_>, Vec<Tier>)| {
            let is_selected = |(_, found): &(_, store::Found<cache::Head>)| {
                Arc::ptr_eq(&found.head, &listed.head)
                    || (found.number == listed.number && listed.tier != Tier::Filling)
            };
            self.variant(&question, listed, &tiers, selected.as_ref().is_some_and(is_selected))
        };
        Inspection {
            now: humantime::format_rfc3339_millis(self.now.wall).to_string(),
            site: site(routed, asked),
            key: KeyFound {
                hash: KeyText::of(&hash).as_str().to_owned(),
                parts: lookup::parts(&question.name),
            },
            variants: once_each(&stored).into_iter().map(told).collect(),
            slices: self.slices_found(&question).await,
        }
    }

    fn variant(
        &self,
        question: &Question<'_>,
        listed: &Listed<cache::Head>,
        tiers: &[Tier],
        selected: bool,
    ) -> VariantFound {
        let (head, routed) = (&listed.head, question.routed);
        let stored =
            found::describe(question, &listed.name, (head, listed.length), self.now.steady);
        VariantFound {
            variant: variant(head.variance()),
            tiers: tiers.iter().copied().map(told_tier).collect(),
            state: state(&listed.name, head, Some(&routed.served), self.now.steady),
            head_bytes: head.weight() as u64,
            applied: head.kept().applied,
            stored: StoredFound { selected, ..stored },
        }
    }

    /// What is known of the slices of a name. None where nothing is.
    async fn slices_found(&self, question: &Question<'_>) -> Option<SlicesFound> {
        let (name, served) = ((&*question.name, question.hash), &question.routed.served);
        let group = self.slices.known_group(self.cache, name, served).await?;
        let complete_length = group.facts()?.complete_length;
        let bytes = self.slices.bytes;
        let count = complete_length.div_ceil(bytes);
        let selected = self.facts_of(&group, question).is_some();
        let looked_for = count.min(LOOKED_FOR_MAX);
        let holds = |index: &u64| {
            let mut name = question.name.clone();
            Slice { index: *index, bytes, group: group.number }.append_to(&mut name);
            self.cache.store.holds(&cache::first_variant(&name))
        };
        let length = |index| bytes.min(complete_length - index * bytes);
        let lengths: Vec<_> = (0..looked_for).filter(holds).map(length).collect();
        Some(SlicesFound {
            complete_length,
            slice_bytes: bytes,
            count,
            looked_for,
            stored: lengths.len() as u64,
            stored_bytes: lengths.iter().sum(),
            selected,
        })
    }
}

/// Each response once, with the tiers it is in.
fn once_each(stored: &[Listed<cache::Head>]) -> Vec<(&Listed<cache::Head>, Vec<Tier>)> {
    let mut once: Vec<(&Listed<cache::Head>, Vec<Tier>)> = Vec::new();
    for listed in stored {
        let same = |(other, _): &&mut (&Listed<_>, Vec<Tier>)| {
            other.number == listed.number && other.tier != Tier::Filling
        };
        match once.iter_mut().find(same) {
            Some((_, tiers)) => tiers.push(listed.tier),
            None => once.push((listed, vec![listed.tier])),
        }
    }
    once
}
