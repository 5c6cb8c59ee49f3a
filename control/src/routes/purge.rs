//! `/v1/sites/{site}/purge`, `/revalidate`, `/warm`: what edges are to do with stored responses.

use crate::asker::Asker;
use crate::db::purges::Asked;
use crate::db::sites::SiteRef;
use crate::input::Call;
use crate::order::{self, Order};
use crate::problem::Error;
use crate::router::App;
use crate::selectors::Hosts;
use api::check::Problems;
use api::feed::Change;
use api::id::SiteId;
use api::purge::{
    Count, Kind, Mode, Purge, PurgeAccepted, PurgeRequest, PurgeStatus, RevalidateRequest,
    Selector, SelectorCounts, Selectors, Wait, Warm, WarmRequest,
};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use std::sync::Arc;

/// Purge a site
///
/// Edges that have adopted the number in the answer don't use what it selects and was fetched before. What one request
/// selects is purged at one moment at each edge. With `wait`, the answer comes when each edge that is waited for has
/// adopted it.
#[utoipa::path(post, path = "/v1/sites/{site}/purge", tag = "purges", operation_id = "purgeSite",
    params(("site" = String, Path, description = "The id or the name of a site."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "Sent again with the same request, gives the same number again for 24 hours, and waits again; only successes are kept.")),
    request_body(content = PurgeRequest, description = "At most 10,000 selectors, and 4 MiB."),
    responses(
        (status = 200, description = "Every edge that is waited for has adopted it, and counted if asked to.", body = PurgeStatus),
        (status = 202, description = "It is in the feed: its number, or, where it was waited for edges in vain, its status.", body = PurgeAccepted)),
    security(("token" = ["purge"])))]
pub(crate) async fn purge(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    call: Call,
    site: SiteRef,
    body: Body,
) -> Result<Response, Error> {
    order::take::<PurgeRequest>(&app, &asker, &call, &site, body).await
}

/// Revalidate what is stored of a site
///
/// What is selected becomes stale, and each edge fetches again what it was asked for most. With `wait`, the answer
/// comes when they have.
#[utoipa::path(post, path = "/v1/sites/{site}/revalidate", tag = "purges", operation_id = "revalidateSite",
    params(("site" = String, Path, description = "The id or the name of a site."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "Sent again with the same request, gives the same number again for 24 hours, and waits again; only successes are kept.")),
    request_body(content = RevalidateRequest, description = "At most 10,000 selectors, and 4 MiB."),
    responses(
        (status = 200, description = "Every edge that is waited for has fetched again.", body = PurgeStatus),
        (status = 202, description = "It is in the feed: its number, or, where it was waited for edges in vain, its status.", body = PurgeAccepted)),
    security(("token" = ["purge"])))]
pub(crate) async fn revalidate(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    call: Call,
    site: SiteRef,
    body: Body,
) -> Result<Response, Error> {
    order::take::<RevalidateRequest>(&app, &asker, &call, &site, body).await
}

/// Warm a site
///
/// Each edge fetches the URLs, as if clients had asked for them. With `wait`, the answer comes when they have.
#[utoipa::path(post, path = "/v1/sites/{site}/warm", tag = "purges", operation_id = "warmSite",
    params(("site" = String, Path, description = "The id or the name of a site."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "Sent again with the same request, gives the same number again for 24 hours, and waits again; only successes are kept.")),
    request_body(content = WarmRequest, description = "At most 10,000 URLs, 100 sitemaps, and 4 MiB."),
    responses(
        (status = 200, description = "Every edge that is waited for has fetched all.", body = PurgeStatus),
        (status = 202, description = "It is in the feed: its number, or, where it was waited for edges in vain, its status.", body = PurgeAccepted)),
    security(("token" = ["purge"])))]
pub(crate) async fn warm(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    call: Call,
    site: SiteRef,
    body: Body,
) -> Result<Response, Error> {
    order::take::<WarmRequest>(&app, &asker, &call, &site, body).await
}

impl Order for PurgeRequest {
    fn check_site(&self, hosts: &Hosts, problems: &mut Problems) {
        hosts.check_urls("urls", &self.urls, problems);
        hosts.check_prefixes(&self.prefixes, problems);
        hosts.check_hosts(&self.hosts, problems);
    }

    fn wait(&self) -> (Wait, u64) {
        (self.wait, self.timeout_ms)
    }

    fn asked(&self) -> Asked {
        Asked {
            kind: if self.dry_run { Kind::Count } else { Kind::Purge },
            mode: self.mode,
            selectors: SelectorCounts {
                tags: self.tags.len() as u64,
                urls: self.urls.len() as u64,
                prefixes: self.prefixes.len() as u64,
                hosts: self.hosts.len() as u64,
                everything: self.everything,
            },
            regions: self.regions.clone(),
            has_work: self.dry_run,
        }
    }

    fn into_change(self, site_id: SiteId) -> Change {
        let (mode, regions, dry_run) = (self.mode, self.regions.clone(), self.dry_run);
        let selector = self.into_selector();
        if dry_run {
            return Change::Count(Count { site_id, selector, regions });
        }
        Change::Purge(Purge { site_id, selector, mode, regions, refetch: 0 })
    }
}

impl Order for RevalidateRequest {
    fn check_site(&self, hosts: &Hosts, problems: &mut Problems) {
        hosts.check_urls("paths", &self.paths, problems);
    }

    fn wait(&self) -> (Wait, u64) {
        (self.wait, self.timeout_ms)
    }

    fn asked(&self) -> Asked {
        let (tags, urls) = (self.tags.len() as u64, self.paths.len() as u64);
        Asked {
            kind: Kind::Revalidate,
            mode: Mode::Soft,
            selectors: SelectorCounts { tags, urls, ..SelectorCounts::default() },
            regions: self.regions.clone(),
            has_work: self.refetch > 0,
        }
    }

    fn into_change(self, site_id: SiteId) -> Change {
        let Self { paths: urls, tags, refetch, regions, .. } = self;
        let selector = Selector::Any(Selectors { tags, urls, ..Selectors::default() });
        Change::Purge(Purge { site_id, selector, mode: Mode::Soft, regions, refetch })
    }
}

impl Order for WarmRequest {
    fn check_site(&self, hosts: &Hosts, problems: &mut Problems) {
        hosts.check_absolute("urls", &self.urls, problems);
        hosts.check_absolute("sitemaps", &self.sitemaps, problems);
    }

    fn wait(&self) -> (Wait, u64) {
        (self.wait, self.timeout_ms)
    }

    fn asked(&self) -> Asked {
        let urls = (self.urls.len() + self.sitemaps.len()) as u64;
        Asked {
            kind: Kind::Warm,
            // what is stored stays in use until it is replaced
            mode: Mode::Soft,
            selectors: SelectorCounts { urls, ..SelectorCounts::default() },
            regions: self.regions.clone(),
            has_work: true,
        }
    }

    fn into_change(self, site_id: SiteId) -> Change {
        let Self { urls, sitemaps, rate, regions, .. } = self;
        Change::Warm(Warm { site_id, urls, sitemaps, rate, regions })
    }
}
