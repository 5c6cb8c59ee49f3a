//! Which sites have certificates of the local authority, and do these fit? Each site that asks for one has one, for all
//! its hosts, until it is removed or asks for none.
//!
//! Every replica looks; what another has done by then is seen in the change that would do it again.

use crate::authority::{Authority, AuthorityError, is_due};
use crate::clock::{self, Moment};
use crate::db::Db;
use api::certificates::CertificateRecord;
use api::id::{CertificateId, SiteId};
use api::site::Site;
use api::site::host::HostPattern;
use api::site::tls::CertificateSource;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often renewals are looked for.
const EVERY: Duration = Duration::from_secs(60);
/// Between two looks: what comes at one time is looked at together.
const PAUSE: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the certificates of sites as these want them, for ever.
pub(crate) async fn keep(db: &Db) {
    let mut newest = db.newest();
    let mut looked_at = 0;
    loop {
        let until = *newest.borrow_and_update();
        match look(db, looked_at, clock::now()).await {
            Ok(()) => looked_at = until,
            Err(error) => {
                tracing::warn!("local certificates can't be made: {error}");
                sleep(RETRY).await;
                continue;
            }
        }
        // a look that is due is no failure
        let _ = timeout(EVERY, newest.changed()).await;
        sleep(PAUSE).await;
    }
}

/// Looks at the sites with a number after `after`, and at the certificates that end.
async fn look(db: &Db, after: u64, now: Moment) -> Result<(), AuthorityError> {
    let mut after = after;
    loop {
        let sites = db.sites_after(after).await?;
        let Some((last, ..)) = sites.last() else { break };
        after = *last;
        for (_, id, site) in &sites {
            fit(db, id, Some(site), now).await?;
        }
    }
    for id in db.local_certificates_without_site().await? {
        fit(db, &site_of(&id), None, now).await?;
    }
    for id in db.local_certificates_due(now).await? {
        let site = site_of(&id);
        let record = db.site(&crate::db::sites::SiteRef::Id(site.clone())).await?;
        fit(db, &site, record.as_ref().map(|record| &record.site), now).await?;
    }
    Ok(())
}

/// Has the certificate of a site be the one it wants. A certificate that can't be made for it is the site's problem alone.
async fn fit(db: &Db, id: &SiteId, site: Option<&Site>, now: Moment) -> Result<(), AuthorityError> {
    let wanted = site.filter(|site| site.tls.certificate == CertificateSource::Local).map(names);
    let certificate_id = certificate_of(id);
    if fits(db.certificate(&certificate_id).await?.as_ref(), wanted.as_deref(), now) {
        return Ok(());
    }
    let mut change = db.change().await?;
    let earlier = change.certificate(&certificate_id).await?;
    if fits(earlier.as_ref(), wanted.as_deref(), now) {
        return Ok(());
    }
    match wanted {
        None => change.remove_certificate(&certificate_id).await?,
        Some(names) => {
            let authority = Authority::obtain(&mut change, now).await?;
            let issued = match authority.issue(&names, now) {
                Ok(issued) => issued,
                Err(error) => {
                    tracing::warn!(site.id = %id, "the site gets no local certificate: {error}");
                    return Ok(());
                }
            };
            let source = CertificateSource::Local;
            change.put_certificate(certificate_id, source, &issued, earlier.as_ref(), now).await?;
            tracing::info!(site.id = %id, "issued a local certificate");
        }
    }
    Ok(change.commit().await?)
}

fn fits(record: Option<&CertificateRecord>, wanted: Option<&[String]>, now: Moment) -> bool {
    match (record, wanted) {
        (None, None) => true,
        (Some(record), Some(wanted)) => {
            let seconds = |text: &str| humantime::parse_rfc3339(text).ok().and_then(seconds_of);
            let due = seconds(&record.not_before)
                .zip(seconds(&record.not_after))
                .is_none_or(|(not_before, not_after)| is_due(not_before, not_after, now));
            record.names == wanted && !due
        }
        _ => false,
    }
}

fn seconds_of(time: std::time::SystemTime) -> Option<i64> {
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// The names of a certificate for a site's hosts, in the order that certificates are kept with.
fn names(site: &Site) -> Vec<String> {
    let hosts = site.hosts.iter().filter_map(|host| HostPattern::parse(host).ok());
    let mut names: Vec<String> =
        hosts.map(|host| host.to_string().trim_matches(['[', ']']).to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

/// The id of a site's local certificate has what its own has after the prefix.
fn certificate_of(site: &SiteId) -> CertificateId {
    let ulid = site.as_str().trim_start_matches(SiteId::PREFIX);
    #[expect(clippy::expect_used, reason = "both ids have the same form")]
    CertificateId::from_ulid(ulid).expect("the form of a site's id")
}

fn site_of(certificate: &CertificateId) -> SiteId {
    let ulid = certificate.as_str().trim_start_matches(CertificateId::PREFIX);
    #[expect(clippy::expect_used, reason = "both ids have the same form")]
    SiteId::from_ulid(ulid).expect("the form of a certificate's id")
}
