//! Which certificate is for a name? A copy shares everything with its original, and a change costs what it changes.

use super::certificate::Certificate;
use super::secret::Secret;
use route::Shards;
use rustls::sign::CertifiedKey;
use std::cmp::Reverse;
use std::sync::Arc;

/// Certificates by their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Certificates {
    by_id: Shards<Arc<Certificate>>,
    exact: Shards<Claims>,
    /// By what comes behind `*.`.
    wildcard: Shards<Claims>,
}

/// Those for one name. Invariant: the one that was made last first, and never none.
type Claims = Arc<[Arc<Certificate>]>;

impl Certificates {
    /// The certificate with this id.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Certificate>> {
        self.by_id.get(id)
    }

    /// Every certificate, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        self.by_id.iter().map(|(_, certificate)| certificate)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Uses a certificate from now on, instead of any with its id.
    pub(crate) fn put(&mut self, certificate: &Arc<Certificate>) {
        let id = certificate.told.certificate_id.as_str();
        self.remove(id);
        for name in &certificate.told.names {
            let (claims, name) = self.part(name);
            let others = claims.get(name).map_or(&[][..], |others| &**others);
            let mut all: Vec<_> = others.to_vec();
            // a name may be in a certificate twice
            all.retain(|other| !Arc::ptr_eq(other, certificate));
            all.push(Arc::clone(certificate));
            all.sort_by_key(|one| Reverse((one.told.not_before, one.seq)));
            claims.insert(name, all.into());
        }
        self.by_id.insert(id, Arc::clone(certificate));
    }

    /// Uses a certificate no more.
    pub(crate) fn remove(&mut self, id: &str) {
        let Some(certificate) = self.by_id.remove(id) else { return };
        for name in &certificate.told.names {
            let (claims, name) = self.part(name);
            let others = claims.get(name).map_or(&[][..], |others| &**others);
            let left: Vec<_> =
                others.iter().filter(|other| !Arc::ptr_eq(other, &certificate)).cloned().collect();
            if left.is_empty() {
                claims.remove(name);
            } else {
                claims.insert(name, left.into());
            }
        }
    }

    /// Has those opened that came before the key.
    pub(crate) fn unlock(&mut self, secret: &Arc<Secret>) {
        let locked = self.iter().filter_map(|certificate| certificate.with_secret(secret));
        let locked: Vec<_> = locked.map(Arc::new).collect();
        locked.iter().for_each(|certificate| self.put(certificate));
    }

    /// The certificate for `name`, a DNS name in lower case or an IP address: one of exactly this name before one of all
    /// below its parent, one that is valid `now` before one that isn't, one that is fit for the client before others, and
    /// the one made last of those that are left. An expired one is shown rather than none: clients judge by themselves.
    pub(crate) fn find(
        &self,
        name: &str,
        now: i64,
        is_fit: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<Arc<CertifiedKey>> {
        let exact = self.exact.get(name);
        let below = name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        let candidates = || [exact, below].into_iter().flatten().flat_map(|claims| claims.iter());
        let valid = || candidates().filter(|certificate| certificate.is_valid(now));
        let mut fit = valid().filter_map(|certificate| certificate.key()).filter(|key| is_fit(key));
        let found = fit.next().or_else(|| candidates().find_map(|certificate| certificate.key()));
        found.cloned()
    }

    fn part<'n>(&mut self, name: &'n str) -> (&mut Shards<Claims>, &'n str) {
        match name.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, name),
        }
    }
}

#[cfg(test)]
mod tests;
