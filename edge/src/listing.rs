//! What is stored, as operators list it: which of it is asked for, and what is told of each response.

use crate::admin::query::Query;
use crate::cache::Head;
use crate::clock::{Now, Steady};
use crate::snapshot::{Served, Snapshot};
use crate::stage::deliver::KeyText;
use crate::stage::identify::Scheme;
use crate::stage::lookup::Named;
use api::cache::{LISTED_DEFAULT, LISTED_MAX, SlicePlace, State, StoredPage, StoredResponse, Tier};
use api::explain::PurgedBy;
use api::id::SiteId;
use api::problem::FieldProblem;
use api::purge::Mode;
use purge::Verdict;
use route::Host;
use store::{Listed, Place, Store};

const PARAMETERS: [&str; 5] = ["prefix", "site", "tier", "limit", "after"];

/// What a page of a list is to have.
#[derive(Debug, PartialEq)]
pub(crate) struct Listing {
    prefix: Prefix,
    /// The id of the site whose responses are wanted.
    site: Option<String>,
    /// The only tier that is wanted.
    tier: Option<store::Tier>,
    limit: usize,
    place: Place,
}

/// How a URL begins.
#[derive(Debug, PartialEq)]
enum Prefix {
    Url(String),
    /// Of path and query, whatever the host.
    Path(String),
}

impl Listing {
    /// Reads what is asked.
    ///
    /// # Errors
    /// Every problem of it.
    pub(crate) fn read(
        query: Option<&str>,
        snapshot: &Snapshot,
    ) -> Result<Self, Vec<FieldProblem>> {
        let mut query = Query::read(query, &PARAMETERS);
        let prefix = prefix(&mut query);
        let site = site(&mut query, snapshot);
        let limit = limit(&mut query);
        let tier = tier(&mut query);
        let place = place(&mut query, tier);
        query.end(Self { prefix, site, tier, limit, place })
    }

    /// The page, by the sites in `snapshot`.
    pub(crate) async fn page(
        &self,
        store: &Store<Head>,
        snapshot: &Snapshot,
        now: Now,
    ) -> StoredPage {
        let (mut responses, mut place) = (Vec::new(), Some(self.place));
        while let Some(at) = place.filter(|at| self.is_wanted_in(at.tier)) {
            let left = self.limit - responses.len();
            if left == 0 {
                break;
            }
            let page = store.list(at, left, |name| self.wants(name)).await;
            let told = page.listed.iter().filter_map(|listed| {
                let tiers = store.tiers(listed);
                // what is in memory too was told with that
                let is_told = self.tier.is_none() && tiers.first() != Some(&listed.tier);
                (!is_told).then(|| describe(listed, &tiers, snapshot, now.steady)).flatten()
            });
            responses.extend(told);
            place = page.next;
            // a page that is short within its tier has cost enough: the next one is asked for
            if place.is_some_and(|next| next.tier == at.tier) {
                break;
            }
        }
        let next = place.filter(|at| self.is_wanted_in(at.tier)).map(after);
        StoredPage { now: humantime::format_rfc3339_millis(now.wall).to_string(), responses, next }
    }

    fn is_wanted_in(&self, tier: store::Tier) -> bool {
        self.tier.is_none_or(|wanted| wanted == tier)
    }

    fn wants(&self, name: &[u8]) -> bool {
        let Some(named) = Named::read(name) else { return false };
        if self.site.as_ref().is_some_and(|site| site != named.site) {
            return false;
        }
        match &self.prefix {
            Prefix::Url(url) => named.url().starts_with(url),
            Prefix::Path(path) => named.target().starts_with(path),
        }
    }
}

fn prefix(query: &mut Query) -> Prefix {
    let Some(text) = query.one("prefix") else { return Prefix::Path(String::new()) };
    if text.starts_with('/') {
        return Prefix::Path(text);
    }
    let named = text.split_once("://");
    let named = named.and_then(|(scheme, rest)| Some((scheme_named(scheme)?, rest)));
    let Some((scheme, rest)) = named else {
        let detail = "must begin with `http://` or `https://`, or with `/` for a path of any host";
        let detail = detail.to_owned();
        query.refuse("prefix", detail, Some(&text));
        return Prefix::Url(text);
    };
    // a host that is whole is written as names have it
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = Host::parse(authority, scheme.default_port());
    let authority = match host {
        Ok(host) if !path.is_empty() => host.authority().to_owned(),
        _ => authority.to_ascii_lowercase(),
    };
    Prefix::Url(format!("{}://{authority}{path}", scheme.as_str()))
}

fn scheme_named(text: &str) -> Option<Scheme> {
    Scheme::named(&text.to_ascii_lowercase())
}

/// By its name, or its id, which may be that of a site that is served no longer.
fn site(query: &mut Query, snapshot: &Snapshot) -> Option<String> {
    let text = query.one("site")?;
    if let Some(served) = snapshot.site_named(&text) {
        return Some(served.site.id.to_string());
    }
    if text.parse::<SiteId>().is_err() {
        let detail = "must be the name of a site that is served here, or the id of any".to_owned();
        query.refuse("site", detail, Some(&text));
    }
    Some(text)
}

fn limit(query: &mut Query) -> usize {
    let Some(text) = query.one("limit") else { return LISTED_DEFAULT };
    let limit = text.parse().ok().filter(|limit| (1..=LISTED_MAX).contains(limit));
    limit.unwrap_or_else(|| {
        query.refuse("limit", format!("must be 1 to {LISTED_MAX}"), Some(&text));
        LISTED_DEFAULT
    })
}

fn tier(query: &mut Query) -> Option<store::Tier> {
    let text = query.one("tier")?;
    let tier = TIERS.iter().find(|(word, _)| *word == text).map(|(_, tier)| *tier);
    if tier.is_none() {
        query.refuse("tier", "must be filling, memory or disk".to_owned(), Some(&text));
    }
    tier
}

const TIERS: [(&str, store::Tier); 3] = [
    ("filling", store::Tier::Filling),
    ("memory", store::Tier::Memory),
    ("disk", store::Tier::Disk),
];

/// Where the page begins: what [`after`] wrote, or else at the first tier that is wanted.
fn place(query: &mut Query, tier: Option<store::Tier>) -> Place {
    let beginning = Place::beginning(tier.unwrap_or(store::Tier::Filling));
    let Some(text) = query.one("after") else { return beginning };
    let read = || {
        let (word, number) = text.split_once('-')?;
        let (_, own) = TIERS.iter().find(|(known, _)| *known == word)?;
        let after = if number.is_empty() { None } else { Some(number.parse().ok()?) };
        Some(Place { tier: *own, after }).filter(|own| tier.is_none_or(|tier| tier == own.tier))
    };
    read().unwrap_or_else(|| {
        let detail = "must be the `next` of a page of the same list".to_owned();
        query.refuse("after", detail, Some(&text));
        beginning
    })
}

fn after(place: Place) -> String {
    let word = TIERS.iter().find(|(_, tier)| *tier == place.tier).map_or("", |(word, _)| word);
    let number = place.after.map(|number| number.to_string()).unwrap_or_default();
    format!("{word}-{number}")
}

fn describe(
    listed: &Listed<Head>,
    tiers: &[store::Tier],
    snapshot: &Snapshot,
    now: Steady,
) -> Option<StoredResponse> {
    let (named, kept) = (Named::read(&listed.name)?, listed.head.kept());
    let resident = kept.resident(now);
    let served = served(&named, snapshot);
    let verdict = served.map(|served| served.verdict(&listed.name, &listed.head));
    Some(StoredResponse {
        url: named.url(),
        site: named.site.to_owned(),
        variant: variant(listed.head.variance()),
        slice: named
            .slice
            .map(|slice| SlicePlace { index: slice.index, first_byte: slice.first() }),
        status: listed.head.status().as_u16(),
        body_bytes: listed.length,
        tiers: tiers.iter().copied().map(told_tier).collect(),
        received: humantime::format_rfc3339_millis(kept.received.wall).to_string(),
        age_seconds: kept.freshness.age(resident).as_secs(),
        ttl_seconds: kept.freshness.ttl(resident),
        state: state(&listed.name, &listed.head, served, now),
        purged: verdict.and_then(purged_by),
        tags: listed.head.tag_texts(),
    })
}

/// The site that requests for this name come to, where that is still the one it was stored for.
pub(crate) fn served<'s>(named: &Named<'_>, snapshot: &'s Snapshot) -> Option<&'s Served> {
    let host = Host::parse(named.authority, Scheme::Http.default_port()).ok()?;
    let served = snapshot.site(host.name())?;
    let is_same = snapshot.epoch == named.epoch && served.site.id.as_str() == named.site;
    is_same.then_some(served)
}

/// Whether a response may be used, stored for the site that is served by `served`; none where it isn't served.
pub(crate) fn state(name: &[u8], head: &Head, served: Option<&Served>, now: Steady) -> State {
    let kept = head.kept();
    match served.map(|served| served.verdict(name, head)) {
        None => State::Unreachable,
        Some(Verdict::Gone(_)) => State::Purged,
        Some(Verdict::Stale(_)) => State::Stale,
        Some(_) if kept.freshness.ttl(kept.resident(now)) > 0 => State::Fresh,
        Some(_) => State::Stale,
    }
}

/// The purge by which this is said.
pub(crate) const fn purged_by(verdict: Verdict) -> Option<PurgedBy> {
    match verdict {
        Verdict::Current => None,
        Verdict::Stale(seq) => Some(PurgedBy { seq, mode: Mode::Soft }),
        Verdict::Gone(seq) => Some(PurgedBy { seq, mode: Mode::Hard }),
    }
}

/// A variant as people are told of it.
pub(crate) fn variant(variance: Option<[u8; 16]>) -> Option<String> {
    variance.map(|variance| KeyText::of(&variance).as_str().to_owned())
}

pub(crate) fn told_tier(tier: store::Tier) -> Tier {
    match tier {
        store::Tier::Filling => Tier::Filling,
        store::Tier::Memory => Tier::Memory,
        store::Tier::Disk => Tier::Disk,
    }
}

#[cfg(test)]
mod tests;
