//! Certificates and challenges, as entries say of them.

use super::Adopted;
use crate::tls::{Certificate, CertificateTold};
use api::certificate::Challenge;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Adopted {
    /// How many certificates are used, and of how many the newest can't be.
    pub(in crate::feed) fn certificate_counts(&self) -> (usize, usize) {
        (self.certificates.len(), self.unusable.len())
    }

    /// What a journal has of certificates and challenges. Of a certificate that can't be used, the one in its place comes
    /// before it.
    pub(in crate::feed) fn certificate_entries(&self) -> impl Iterator<Item = (u64, &str)> {
        let unusable = self.unusable.iter().map(|(_, certificate)| certificate);
        let certificates = self.certificates.iter().chain(unusable);
        let certificates = certificates.map(|certificate| (certificate.seq, &*certificate.text));
        certificates.chain(self.challenges.iter().map(|held| (held.seq, &*held.text)))
    }

    /// Forgets challenges that have expired, now and then. `now` is in seconds since 1970.
    pub(in crate::feed) fn tidy_challenges(&mut self, now: i64) {
        self.challenges.tidy(now);
    }

    /// Uses a certificate. One that is to take another's place, and one that `opens`, is opened: where it can't be used, the
    /// last good one stays.
    pub(super) fn put_certificate(
        &mut self,
        seq: u64,
        told: CertificateTold,
        text: &str,
        opens: bool,
    ) {
        let id = told.certificate_id.as_str().to_owned();
        self.name(&id);
        let certificate = Arc::new(Certificate::new(seq, told, text, self.secret.clone()));
        let opens = opens || self.certificates.get(&id).is_some();
        // without a key yet, none can be opened
        if opens && self.secret.is_some() && certificate.key().is_none() {
            self.unusable.insert(&id, certificate);
        } else {
            self.unusable.remove(&id);
            self.certificates.put(&certificate);
        }
    }

    pub(super) fn remove_certificate(&mut self, id: &str) {
        self.unusable.remove(id);
        self.certificates.remove(id);
    }

    pub(super) fn put_challenge(&mut self, seq: u64, told: Challenge, text: &str) {
        self.name(told.challenge_id.as_str());
        self.challenges.put(seq, told, text, self.secret.as_deref());
    }

    /// Drops those that a log did not name.
    pub(super) fn keep_named_certificates(&mut self, named: &BTreeSet<String>) {
        let unusable = self.unusable.iter().map(|(_, certificate)| certificate);
        let known = self.certificates.iter().chain(unusable);
        let known = known.map(|certificate| certificate.told.certificate_id.as_str().to_owned());
        let gone: Vec<String> = known.filter(|id| !named.contains(id)).collect();
        gone.iter().for_each(|id| self.remove_certificate(id));
        let known = self.challenges.iter().map(|held| held.id().to_owned());
        let gone: Vec<String> = known.filter(|id| !named.contains(id)).collect();
        gone.iter().for_each(|id| self.challenges.remove(id));
    }
}

#[cfg(test)]
pub(in crate::feed) mod tests;
