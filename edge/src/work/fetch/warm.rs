//! What is to be warmed: the URLs that a task names, and those that its sitemaps do.

use super::sitemap::{self, Sitemap};
use super::{Fetcher, Job, Target};
use api::purge::Warm;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// URLs of one task.
const URLS_MAX: usize = 200_000;
/// Sitemaps of one task, those that others name included.
const SITEMAPS_MAX: usize = 1_000;
/// How deep sitemaps may be in those that name them.
const NESTED_MAX: usize = 2;
/// A sitemap is read as it is, and packed in one way at most.
const SITEMAP_ENCODING: &str = "gzip";

/// What a task has named so far.
#[derive(Default)]
struct Gathered {
    /// In the order they were named, each once.
    targets: Vec<Target>,
    seen: HashSet<Target>,
    /// Those that are not the site's, or too many.
    refused: u64,
}

impl Fetcher {
    /// The targets of a task, each once. Sitemaps are fetched for that, and count as what is to be fetched; what isn't the
    /// site's counts as what wasn't to be had.
    pub(super) async fn to_warm(
        &self,
        job: &Job,
        warm: &Warm,
        requests: &Arc<Semaphore>,
    ) -> Vec<Target> {
        let mut gathered = Gathered::default();
        for url in &warm.urls {
            gathered.add(self.target(url, &job.site_id));
        }
        let mut sitemaps = Gathered::default();
        let (mut next, mut nested) = (0, vec![(0, warm.sitemaps.clone())]);
        while let Some((depth, urls)) = nested.pop() {
            for url in &urls {
                sitemaps.add(self.target(url, &job.site_id));
            }
            while let Some(target) = sitemaps.targets.get(next).filter(|_| next < SITEMAPS_MAX) {
                next += 1;
                self.work.ledger.note(job.seq, |progress| progress.to_fetch += 1);
                let sitemap = self.sitemap(job, target, requests).await;
                match sitemap {
                    Sitemap::Urls(urls) => {
                        urls.iter().for_each(|url| gathered.add(self.target(url, &job.site_id)));
                    }
                    Sitemap::Index(urls) if depth < NESTED_MAX => nested.push((depth + 1, urls)),
                    Sitemap::Index(urls) => gathered.refused += urls.len() as u64,
                }
            }
        }
        let unread = sitemaps.targets.len().saturating_sub(next) as u64;
        let refused = gathered.refused + sitemaps.refused + unread;
        self.work.ledger.note(job.seq, |progress| {
            progress.to_fetch += refused;
            progress.failed += refused;
        });
        gathered.targets
    }

    /// What a sitemap names; nothing where it can't be had or read.
    async fn sitemap(&self, job: &Job, target: &Target, requests: &Arc<Semaphore>) -> Sitemap {
        let _place = requests.acquire().await;
        let mut body = Vec::new();
        let taken = |bytes: bytes::Bytes| {
            body.extend_from_slice(&bytes);
            body.len() <= sitemap::MAX_BYTES
        };
        let fetched = self.fetch(target, SITEMAP_ENCODING, job.own, taken).await;
        let read = tokio::task::spawn_blocking(move || sitemap::read(&body));
        let read = if fetched.is_some() { read.await.ok().flatten() } else { None };
        self.note(job.seq, fetched.filter(|_| read.is_some()));
        read.unwrap_or_else(|| {
            tracing::warn!(seq = job.seq, host = target.authority, "a sitemap can't be read");
            Sitemap::Urls(Vec::new())
        })
    }
}

impl Gathered {
    fn add(&mut self, target: Option<Target>) {
        match target {
            Some(target) if self.seen.contains(&target) => {}
            Some(target) if self.targets.len() < URLS_MAX => {
                self.seen.insert(target.clone());
                self.targets.push(target);
            }
            _ => self.refused += 1,
        }
    }
}
