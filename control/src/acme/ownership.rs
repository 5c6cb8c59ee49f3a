//! Does DNS say that a host is to be served here, and if not, what does it say? Pure decisions on what was seen.
//!
//! Either a TXT record has the host's token, or the host points to the edges: by a CNAME record, or by addresses that are
//! all theirs. The second is also what an authority needs that looks for an answer at the host itself.

use super::domain::Trouble;
use api::domains::{DomainErrorKind, OWNERSHIP_PREFIX, ownership_name};
use std::net::IpAddr;

/// Addresses, names and texts that an error names at most.
const NAMED_MAX: usize = 3;

/// What a question to DNS was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    /// With this.
    Found(T),
    /// That there is nothing.
    Nothing,
    /// Not at all, or with a failure.
    Failed(String),
}

/// Where a host leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Lead {
    /// The names it is an alias of, in order (CNAME).
    pub(crate) aliases: Vec<String>,
    /// Its addresses.
    pub(crate) addresses: Vec<IpAddr>,
}

/// The edges, as a host may point to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Edges {
    /// Their names.
    pub(crate) names: Vec<String>,
    /// Their addresses, those of the names too.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Edges {
    /// Whether it is known where a host would have to point.
    pub(crate) const fn are_known(&self) -> bool {
        !self.names.is_empty() || !self.addresses.is_empty()
    }
}

/// Whether a TXT record has the token of a host.
pub(crate) fn has_token(texts: &Answer<Vec<String>>, token: &str) -> bool {
    let Answer::Found(texts) = texts else { return false };
    texts.iter().any(|text| {
        let text = text.trim().trim_matches('"');
        text.strip_prefix(OWNERSHIP_PREFIX).is_some_and(|found| found.trim() == token)
    })
}

/// Whether a host points to the edges, and to nothing else.
///
/// # Errors
/// What it points to instead.
pub(crate) fn points_here(host: &str, lead: &Answer<Lead>, edges: &Edges) -> Result<(), Trouble> {
    let lead = match lead {
        Answer::Found(lead) => lead,
        Answer::Nothing => {
            let detail = format!("{host} has no address in DNS; {}", should_point(edges));
            return Err(Trouble::new(DomainErrorKind::Ownership, detail));
        }
        Answer::Failed(why) => {
            let detail = format!("DNS does not say where {host} points: {why}");
            return Err(Trouble::new(DomainErrorKind::Dns, detail));
        }
    };
    if lead.aliases.iter().any(|alias| edges.names.iter().any(|name| name == alias)) {
        return Ok(());
    }
    let elsewhere: Vec<String> = lead
        .addresses
        .iter()
        .filter(|address| !edges.addresses.contains(address))
        .map(ToString::to_string)
        .collect();
    if elsewhere.is_empty() && !lead.addresses.is_empty() {
        return Ok(());
    }
    Err(Trouble::new(DomainErrorKind::Ownership, elsewhere_detail(host, lead, &elsewhere, edges)))
}

fn elsewhere_detail(host: &str, lead: &Lead, elsewhere: &[String], edges: &Edges) -> String {
    let record = match lead.aliases.last() {
        Some(alias) => format!("the CNAME of {host} is {alias}, which points to"),
        None => format!("the A/AAAA of {host} points to"),
    };
    let to = if elsewhere.is_empty() { "nothing".to_owned() } else { few(elsewhere) };
    format!("{record} {to}, not here; {}", should_point(edges))
}

fn should_point(edges: &Edges) -> String {
    let addresses = edges.addresses.iter().map(ToString::to_string);
    let all: Vec<String> = match edges.names.is_empty() {
        true => addresses.collect(),
        false => edges.names.clone(),
    };
    format!("it must point to {}", few(&all))
}

/// Whether a host is to be served here, by either way.
///
/// # Errors
/// What DNS says instead, and which record would do.
pub(crate) fn owned(
    host: &str,
    token: &str,
    texts: &Answer<Vec<String>>,
    lead: &Answer<Lead>,
    edges: &Edges,
) -> Result<(), Trouble> {
    if has_token(texts, token) {
        return Ok(());
    }
    let name = ownership_name(host);
    let instead = match texts {
        Answer::Found(found) => {
            let found: Vec<String> =
                found.iter().map(|text| format!("`{}`", short(text))).collect();
            format!("the TXT record {name} is {}, not `{OWNERSHIP_PREFIX}{token}`", few(&found))
        }
        Answer::Nothing => {
            format!("there is no TXT record {name} with `{OWNERSHIP_PREFIX}{token}`")
        }
        Answer::Failed(why) => format!("DNS does not answer for the TXT record {name}: {why}"),
    };
    if !edges.are_known() {
        let kind = match texts {
            Answer::Failed(_) => DomainErrorKind::Dns,
            Answer::Found(_) | Answer::Nothing => DomainErrorKind::Ownership,
        };
        return Err(Trouble::new(kind, instead));
    }
    points_here(host, lead, edges)
        .map_err(|trouble| Trouble::new(trouble.kind, format!("{}; or {instead}", trouble.detail)))
}

fn few(items: &[String]) -> String {
    let rest = items.len().saturating_sub(NAMED_MAX);
    let named = items.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if rest > 0 { format!("{named} and {rest} more") } else { named }
}

/// What DNS has is others': as much as can be shown of it.
fn short(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn lead(aliases: &[&str], to: &[&str]) -> Answer<Lead> {
        let aliases = aliases.iter().map(ToString::to_string).collect();
        Answer::Found(Lead { aliases, addresses: addresses(to) })
    }

    fn edges() -> Edges {
        Edges {
            names: vec!["edge.example.net".to_owned()],
            addresses: addresses(&["192.0.2.10", "2001:db8::10"]),
        }
    }

    fn texts(texts: &[&str]) -> Answer<Vec<String>> {
        Answer::Found(texts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_host_points_here_by_name_or_by_every_address() {
        let check = |lead: Answer<Lead>, expected: Result<(), &str>| {
            let found = points_here("a.example.com", &lead, &edges());
            let found = found.as_ref().copied().map_err(|trouble| trouble.detail.as_str());
            assert_eq!(found, expected, "{lead:?}");
        };
        let must = "it must point to edge.example.net";
        check(lead(&[], &["192.0.2.10"]), Ok(()));
        check(lead(&[], &["192.0.2.10", "2001:db8::10"]), Ok(()));
        check(lead(&["x.example.com", "edge.example.net"], &["198.51.100.1"]), Ok(()));
        check(lead(&["edge.example.net"], &[]), Ok(()));
        check(
            lead(&[], &["192.0.2.10", "192.0.2.1"]),
            Err(&format!("the A/AAAA of a.example.com points to 192.0.2.1, not here; {must}")),
        );
        check(
            lead(&["other.example.org"], &["192.0.2.1"]),
            Err(&format!(
                "the CNAME of a.example.com is other.example.org, which points to 192.0.2.1, not here; {must}"
            )),
        );
        check(Answer::Nothing, Err(&format!("a.example.com has no address in DNS; {must}")));
        check(
            Answer::Failed("SERVFAIL".to_owned()),
            Err("DNS does not say where a.example.com points: SERVFAIL"),
        );
    }

    #[test]
    fn a_token_shows_whose_a_host_is() {
        let check = |texts: Answer<Vec<String>>, lead: Answer<Lead>, edges: &Edges, expected| {
            let found = owned("*.example.com", "t0", &texts, &lead, edges);
            let found = found.map_err(|trouble| (trouble.kind, trouble.detail));
            assert_eq!(found.clone().err().map(|(kind, _)| kind), expected, "{found:?}");
            found.err().map(|(_, detail)| detail).unwrap_or_default()
        };
        let none = Edges::default();
        use DomainErrorKind as K;
        check(texts(&["longshore-verify=t0"]), Answer::Nothing, &none, None);
        check(texts(&["v=spf1", "\"longshore-verify=t0\""]), Answer::Nothing, &none, None);
        check(Answer::Nothing, lead(&[], &["192.0.2.10"]), &edges(), None);
        check(Answer::Nothing, lead(&[], &["192.0.2.10"]), &none, Some(K::Ownership));
        check(Answer::Failed("timeout".into()), Answer::Nothing, &none, Some(K::Dns));
        let said =
            check(texts(&["longshore-verify=other"]), Answer::Nothing, &none, Some(K::Ownership));
        assert_eq!(
            said,
            "the TXT record _longshore-challenge.example.com is `longshore-verify=other`, not `longshore-verify=t0`"
        );
        let said = check(Answer::Nothing, lead(&[], &["192.0.2.1"]), &edges(), Some(K::Ownership));
        assert!(
            said.contains("points to 192.0.2.1, not here") && said.contains("or there is no TXT")
        );
        check(texts(&["longshore-verify=t01"]), Answer::Nothing, &none, Some(K::Ownership));
    }
}
