//! The local authority: issues certificates that nobody trusts who has not been given its root. For development, and for
//! control itself.
//!
//! Its root is made when it is first needed. It has no constraints of names: which hosts sites will have is not known for
//! ten years. Its key is sealed in the database, and leaves it for no one.

use crate::certificate::{self, Checked};
use crate::clock::Moment;
use crate::db::Change;
use api::problem::FieldProblem;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use std::time::{Duration, UNIX_EPOCH};
use zeroize::Zeroizing;

/// The owner of the root's key.
const OWNER: &str = "authority";
const DAY: Duration = Duration::from_secs(24 * 3_600);
const ROOT_LIFE: Duration = Duration::from_secs(3_652 * 24 * 3_600);
/// How long a certificate is valid.
pub(crate) const LIFE: Duration = Duration::from_secs(90 * 24 * 3_600);
/// Clocks of clients may be slow.
const EARLIER: Duration = Duration::from_secs(3_600);
const COMMON_NAME_MAX_BYTES: usize = 64;

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("a certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the certificate can't be used: {}", .0.first().map_or("", |problem| &problem.detail))]
    Unusable(Vec<FieldProblem>),
}

/// The authority with its key.
pub(crate) struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// The authority of the database, which is made where it has none. Its root, in PEM, is there with the change.
    pub(crate) async fn obtain(
        change: &mut Change<'_>,
        now: Moment,
    ) -> Result<Self, AuthorityError> {
        let (root, key) = match change.authority().await? {
            Some(root) => (root, change.secret(OWNER).await?.ok_or(sqlx::Error::RowNotFound)?),
            None => Self::make(change, now).await?,
        };
        let key = KeyPair::from_pem(&String::from_utf8_lossy(&key))?;
        Ok(Self(Issuer::from_ca_cert_pem(&root, key)?))
    }

    async fn make(
        change: &mut Change<'_>,
        now: Moment,
    ) -> Result<(String, Zeroizing<Vec<u8>>), AuthorityError> {
        let key = KeyPair::generate()?;
        let root = root(now).self_signed(&key)?.pem();
        let pem = Zeroizing::new(key.serialize_pem().into_bytes());
        change.put_authority(&root, now).await?;
        change.put_secret(OWNER, &pem).await?;
        tracing::info!("made the local authority");
        Ok((root, pem))
    }

    /// Issues a certificate for these names, DNS names and addresses, with a key of its own.
    pub(crate) fn issue(&self, names: &[String], now: Moment) -> Result<Checked, AuthorityError> {
        let mut params = CertificateParams::new(names)?;
        params.not_before = (time(now) - EARLIER).into();
        params.not_after = (time(now) + LIFE).into();
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = names.iter().find(|name| name.len() <= COMMON_NAME_MAX_BYTES) {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let chain = params.signed_by(&key, &self.0)?.pem();
        let pem = Zeroizing::new(key.serialize_pem());
        certificate::check(&chain, &pem, now).map_err(AuthorityError::Unusable)
    }
}

fn root(now: Moment) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = (time(now) - DAY).into();
    params.not_after = (time(now) + ROOT_LIFE).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Longshore");
    // a browser that was given the roots of two installations can tell them apart
    let name = format!("Longshore local authority {:08x}", rand::random::<u32>());
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn time(moment: Moment) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(moment.0).unwrap_or_default())
}

/// Whether a certificate has less than a third of its life left. Seconds since 1970.
pub(crate) const fn is_due(not_before: i64, not_after: i64, now: Moment) -> bool {
    not_after - (not_after - not_before) / 3 <= now.0 / 1_000
}
