//! The certificate of the demo site, and the root that makes clients trust it.

use super::demo::{self, Standing};
use super::files::{self, Layout};
use crate::client::{Ask, Client};
use crate::failure::Failure;
use api::certificates::CertificatePage;
use api::site::tls::CertificateSource;
use api::sites::SiteRecord;
use reqwest::Method;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Waits for the demo site's certificate, where it has one of the local authority. Its place in the feed.
pub(super) async fn of_demo(client: &Client, standing: Standing) -> Result<Option<u64>, Failure> {
    if standing == Standing::Removed {
        return Ok(None);
    }
    let path = &["v1", "sites", demo::NAME];
    let found = client.send(Method::GET, Ask { path, ..Ask::default() }).await;
    let site: SiteRecord = match found {
        // it has another name by now
        Err(failure) if failure.status() == Some(404) => return Ok(None),
        found => found?.read()?,
    };
    let is_there = site.site.hosts.iter().any(|host| host == demo::HOST);
    if site.site.tls.certificate != CertificateSource::Local || !is_there {
        return Ok(None);
    }
    let since = Instant::now();
    loop {
        let query = &[("host", demo::HOST), ("source", CertificateSource::Local.as_str())];
        let ask = Ask { path: &["v1", "certificates"], query, ..Ask::default() };
        let page: CertificatePage = client.send(Method::GET, ask).await?.read()?;
        if let Some(certificate) = page.certificates.first() {
            return Ok(Some(certificate.seq));
        }
        if since.elapsed() > LIMIT {
            let what = "the demo site gets no certificate; the log of control says why";
            return Err(Failure::Failed { what: what.to_owned(), source: None });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Writes the root of the local authority where people find it. Its path, where there is one.
pub(super) async fn write_root(
    client: &Client,
    layout: &Layout,
) -> Result<Option<PathBuf>, Failure> {
    let path = &["v1", "authority"];
    let found = client.send(Method::GET, Ask { path, ..Ask::default() }).await;
    let root: String = match found {
        Err(failure) if failure.status() == Some(404) => return Ok(None),
        found => found?.read()?,
    };
    files::write(&layout.root(), root.as_bytes(), 0o644)?;
    Ok(Some(layout.root()))
}
