//! How is an authority shown who has a host? One of the methods that it offers and control can use; the next one after
//! each failure.

use super::domain::Trouble;
use api::domains::{ChallengeMethod, DomainErrorKind};

/// What there is to choose from.
#[derive(Debug)]
pub(crate) struct Means<'m> {
    /// What is liked, in order.
    pub(crate) preferred: &'m [ChallengeMethod],
    /// What the authority offers.
    pub(crate) offered: &'m [ChallengeMethod],
    /// Whether somebody sets TXT records.
    pub(crate) has_provider: bool,
    /// Why the host does not lead to the edges. None where it does, or it isn't known where they are.
    pub(crate) elsewhere: Option<&'m Trouble>,
}

/// The method for `host`, after `attempts` failures in a row.
///
/// # Errors
/// What is missing.
pub(crate) fn choose(
    host: &str,
    means: &Means<'_>,
    attempts: u32,
) -> Result<ChallengeMethod, Trouble> {
    let dns = ChallengeMethod::Dns01;
    if host.starts_with("*.") {
        return match means {
            Means { has_provider: false, .. } => Err(no_provider(host)),
            Means { offered, .. } if !offered.contains(&dns) => Err(not_offered(host, &[dns])),
            _ => Ok(dns),
        };
    }
    let is_usable = |method: &ChallengeMethod| match method {
        ChallengeMethod::Dns01 => means.has_provider,
        ChallengeMethod::Http01 | ChallengeMethod::TlsAlpn01 => means.elsewhere.is_none(),
    };
    let mut usable: Vec<ChallengeMethod> =
        means.preferred.iter().copied().filter(is_usable).collect();
    if usable.is_empty() && means.has_provider {
        usable.push(dns);
    }
    if usable.is_empty() {
        return Err(means.elsewhere.cloned().unwrap_or_else(|| no_provider(host)));
    }
    let offered: Vec<ChallengeMethod> =
        usable.iter().copied().filter(|method| means.offered.contains(method)).collect();
    let turn = offered.len().max(1);
    let index = usize::try_from(attempts).unwrap_or(usize::MAX) % turn;
    offered.get(index).copied().ok_or_else(|| not_offered(host, &usable))
}

fn no_provider(host: &str) -> Trouble {
    let detail = format!(
        "{host} has to be shown by a TXT record (dns-01), and control has nobody to set it: \
         --acme-dns-hook or --acme-dns-cloudflare-token-file"
    );
    Trouble::new(DomainErrorKind::DnsProvider, detail)
}

fn not_offered(host: &str, usable: &[ChallengeMethod]) -> Trouble {
    let usable: Vec<&str> = usable.iter().map(|method| method.as_str()).collect();
    let detail = format!("the authority offers none of {} for {host}", usable.join(", "));
    Trouble::new(DomainErrorKind::Rejected, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChallengeMethod::{Dns01, Http01, TlsAlpn01};

    #[test]
    fn methods_take_turns_and_wildcards_have_one() {
        let elsewhere = Trouble::new(DomainErrorKind::Ownership, "elsewhere");
        let check = |host: &str, preferred, has_provider, is_here, attempts, expected| {
            let means = Means {
                preferred,
                offered: &ChallengeMethod::ALL,
                has_provider,
                elsewhere: if is_here { None } else { Some(&elsewhere) },
            };
            let found = choose(host, &means, attempts).map_err(|trouble| trouble.kind);
            assert_eq!(found, expected, "{host} {means:?} {attempts}");
        };
        let both: &[ChallengeMethod] = &[Http01, TlsAlpn01];
        check("a.b", both, false, true, 0, Ok(Http01));
        check("a.b", both, false, true, 1, Ok(TlsAlpn01));
        check("a.b", both, false, true, 2, Ok(Http01));
        check("a.b", &[TlsAlpn01], true, true, 3, Ok(TlsAlpn01));
        check("a.b", &[TlsAlpn01], true, false, 0, Ok(Dns01));
        check("a.b", &[Dns01, Http01], true, true, 0, Ok(Dns01));
        check("a.b", &[Dns01, Http01], false, true, 0, Ok(Http01));
        check("a.b", both, false, false, 0, Err(DomainErrorKind::Ownership));
        check("a.b", &[Dns01], false, true, 0, Err(DomainErrorKind::DnsProvider));
        check("*.b", both, true, false, 1, Ok(Dns01));
        check("*.b", both, false, true, 0, Err(DomainErrorKind::DnsProvider));
    }

    #[test]
    fn only_what_is_offered_is_chosen() {
        let check = |offered: &[ChallengeMethod], expected: Option<ChallengeMethod>| {
            let preferred = &[Http01, TlsAlpn01];
            let means = Means { preferred, offered, has_provider: false, elsewhere: None };
            assert_eq!(choose("a.b", &means, 0).ok(), expected);
        };
        check(&[TlsAlpn01], Some(TlsAlpn01));
        check(&[Dns01], None);
        check(&[], None);
    }
}
