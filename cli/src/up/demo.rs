//! The demo site: files in the data directory, an origin that serves them, and a site at control.

use super::files::{self, Layout};
use super::origin;
use crate::client::{Answer, Ask, Client};
use crate::failure::Failure;
use api::site::Site;
use api::site::cache::Cache;
use api::site::origin::Origin;
use api::site::rule::Rule;
use api::site::tls::{CertificateSource, Tls};
use api::sites::SiteRecord;
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use tokio::net::TcpListener;

/// What the site is called.
pub(super) const NAME: &str = "demo";
/// Where it is served. Browsers and curl take every name below `localhost` for this machine (RFC 6761 §6.3).
pub(super) const HOST: &str = "demo.localhost";

const FILES: [(&str, &str); 3] = [
    ("index.html", include_str!("../../demo/index.html")),
    ("about.html", include_str!("../../demo/about.html")),
    ("assets/style.css", include_str!("../../demo/style.css")),
];

/// The demo site's origin, and what is known of the site from last time.
pub(super) struct Demo {
    listener: TcpListener,
    log: std::fs::File,
    directory: PathBuf,
    record: PathBuf,
    last: Option<Last>,
}

/// How the demo site stands at control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// As it was put here, at this place in the feed.
    Ours(u64),
    /// With another origin, which somebody gave it.
    Theirs,
    /// Not at all: somebody removed it.
    Removed,
}

impl Standing {
    /// Its place in the feed, where it was put here.
    pub(super) const fn seq(self) -> Option<u64> {
        match self {
            Self::Ours(seq) => Some(seq),
            Self::Theirs | Self::Removed => None,
        }
    }
}

/// Written before the site is, so that a crash in between leaves no site that nobody recognises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    /// URL of the origin in the site.
    origin: String,
    /// The site's id, once it was created.
    site: Option<String>,
}

impl Demo {
    /// Listens, at last time's port if it can be had, and writes the files the first time.
    pub(super) async fn open(layout: &Layout) -> Result<Self, Failure> {
        let (directory, record) = (layout.demo(), layout.data.join("demo.json"));
        let last = files::read(&record)?;
        let last: Option<Last> = last.and_then(|text| serde_json::from_str(&text).ok());
        if !directory.exists() {
            write_files(&directory)?;
        }
        let listener = listen(last.as_ref()).await;
        let listener =
            listener.map_err(|error| Failure::failed("no port for the demo origin", error))?;
        let (log, _) = layout.open_log("demo")?;
        Ok(Self { listener, log, directory, record, last })
    }

    /// Control's database is another than last time.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Creates the site the first time, and later tells control of another port. A site that was changed or removed
    /// stays so.
    pub(super) async fn put(&mut self, client: &Client) -> Result<Standing, Failure> {
        let address = self.listener.local_addr();
        let address = address.map_err(|error| Failure::failed("no demo origin", error))?;
        let origin = format!("http://{address}");
        if self.last.as_ref().is_none_or(|last| last.site.is_none()) {
            if self.last.is_none() {
                self.remember(Last { origin: origin.clone(), site: None })?;
            }
            match create(&origin, client).await {
                Ok(record) => return self.created(origin, &record),
                Err(failure) if failure.status() == Some(409) => {}
                Err(failure) => return Err(failure),
            }
        }
        self.update(&origin, client).await
    }

    fn created(&mut self, origin: String, record: &SiteRecord) -> Result<Standing, Failure> {
        self.remember(Last { origin, site: Some(record.id.to_string()) })?;
        Ok(Standing::Ours(record.seq))
    }

    /// Replaces the origin in the site, if it is still the one of last time.
    async fn update(&mut self, origin: &str, client: &Client) -> Result<Standing, Failure> {
        let Some(last) = self.last.clone() else { return Ok(Standing::Removed) };
        let path = &["v1", "sites", last.site.as_deref().unwrap_or(NAME)];
        let found = client.send(Method::GET, Ask { path, ..Ask::default() }).await;
        let found = match found {
            Err(failure) if failure.status() == Some(404) => return Ok(Standing::Removed),
            found => found?,
        };
        let record: SiteRecord = found.read()?;
        if !record.site.origins.iter().any(|known| known.url == last.origin) {
            return Ok(Standing::Theirs);
        }
        if origin == last.origin {
            return self.created(last.origin, &record);
        }
        let answer = replace_origin(&found, &last.origin, origin, path, client).await?;
        self.created(origin.to_owned(), &answer.read()?)
    }

    fn remember(&mut self, last: Last) -> Result<(), Failure> {
        files::write(&self.record, &serde_json::to_vec(&last).unwrap_or_default(), 0o644)?;
        self.last = Some(last);
        Ok(())
    }

    /// Serves the files until it can't.
    pub(super) async fn serve(self) -> Result<(), Failure> {
        let served = origin::serve(self.listener, self.directory, self.log).await;
        served.map_err(|error| Failure::failed("the demo origin stopped", error))
    }
}

/// Where the site is, on `edge`.
pub(super) fn url(standing: Standing, edge: &Url) -> Option<String> {
    let port = edge.port().map(|port| format!(":{port}")).unwrap_or_default();
    (standing != Standing::Removed).then(|| format!("{}://{HOST}{port}/", edge.scheme()))
}

fn write_files(directory: &std::path::Path) -> Result<(), Failure> {
    // All of them or none: the directory gets its name last.
    let half = directory.with_extension("half");
    _ = std::fs::remove_dir_all(&half);
    for (name, text) in FILES {
        let path = half.join(name);
        let parent = path.parent().unwrap_or(&half);
        std::fs::create_dir_all(parent).map_err(|error| Failure::file(parent, error))?;
        std::fs::write(&path, text).map_err(|error| Failure::file(&path, error))?;
    }
    std::fs::rename(&half, directory).map_err(|error| Failure::file(directory, error))
}

async fn listen(last: Option<&Last>) -> std::io::Result<TcpListener> {
    let again = last.and_then(|last| last.origin.strip_prefix("http://127.0.0.1:")?.parse().ok());
    if let Some(port) = again
        && let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await
    {
        return Ok(listener);
    }
    TcpListener::bind(("127.0.0.1", 0)).await
}

fn site(origin: &str) -> Site {
    let assets = Cache { lifetime_seconds: Some(86_400), ..Cache::default() };
    Site {
        tls: Tls { certificate: CertificateSource::Local, ..Tls::default() },
        name: NAME.to_owned(),
        hosts: vec![HOST.to_owned()],
        origins: vec![Origin {
            name: "files".to_owned(),
            url: origin.to_owned(),
            ..Origin::default()
        }],
        rules: vec![Rule { paths: vec!["/assets/*".to_owned()], cache: assets, ..Rule::default() }],
        cache: Cache::default(),
    }
}

async fn create(origin: &str, client: &Client) -> Result<SiteRecord, Failure> {
    let body = serde_json::to_value(site(origin))
        .map_err(|error| Failure::failed("the demo site can't be written", error))?;
    let ask = Ask { path: &["v1", "sites"], body: Some(&body), ..Ask::default() };
    client.send(Method::POST, ask).await?.read()
}

/// Only the URL changes, so that what else was written into the site stays.
async fn replace_origin(
    found: &Answer,
    before: &str,
    after: &str,
    path: &[&str],
    client: &Client,
) -> Result<Answer, Failure> {
    let mut site = found.body["site"].clone();
    for origin in site["origins"].as_array_mut().into_iter().flatten() {
        if origin["url"] == before {
            origin["url"] = Value::from(after);
        }
    }
    let ask = Ask { path, if_match: found.etag.as_deref(), body: Some(&site), ..Ask::default() };
    client.send(Method::PUT, ask).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::check::{Check, Problems};

    #[test]
    fn the_demo_site_is_one_that_control_takes() {
        let mut problems = Problems::default();
        site("http://127.0.0.1:4000").check(&mut problems);
        assert_eq!(problems.into_found(), []);
    }

    #[tokio::test]
    async fn the_files_are_written_once_and_the_port_is_kept() {
        let data = tempfile::tempdir().unwrap();
        let layout = Layout::make(data.path()).unwrap();
        let mut demo = Demo::open(&layout).await.unwrap();
        let origin = format!("http://{}", demo.listener.local_addr().unwrap());
        demo.remember(Last { origin: origin.clone(), site: None }).unwrap();
        std::fs::write(layout.demo().join("index.html"), "mine").unwrap();
        drop(demo);
        let again = Demo::open(&layout).await.unwrap();
        assert_eq!(format!("http://{}", again.listener.local_addr().unwrap()), origin);
        assert_eq!(std::fs::read_to_string(layout.demo().join("index.html")).unwrap(), "mine");
    }
}
