//! What does DNS say? Questions to the resolvers of the machine, or to those that are named, without a cache.

use super::ownership::{Answer, Edges, Lead};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;
/// Records of an answer that are looked at.
const RECORDS_MAX: usize = 100;

/// Who is asked.
pub(crate) struct Dns(TokioResolver);

/// A name or an address of the edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeName {
    /// A host name, in lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl std::str::FromStr for EdgeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        match api::site::host::HostPattern::parse(text) {
            Ok(api::site::host::HostPattern::Exact(name)) => Ok(Self::Name(name)),
            Ok(api::site::host::HostPattern::Below(_)) => {
                Err("must be a host name or an IP address, without a wildcard".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

impl std::fmt::Display for EdgeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl Dns {
    /// Asks `servers`, or those of the machine where none is named.
    ///
    /// # Errors
    /// Where the machine's configuration can't be read.
    pub(crate) fn new(servers: &[SocketAddr]) -> Result<Self, NetError> {
        let mut builder = match servers {
            [] => TokioResolver::builder_tokio()?,
            servers => {
                let servers = servers.iter().copied().map(name_server).collect();
                let config = ResolverConfig::from_name_servers(servers);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        options.cache_size = 0;
        options.preserve_intermediates = true;
        options.use_hosts_file = ResolveHosts::Never;
        Ok(Self(builder.build()?))
    }

    /// The TXT records of a name.
    pub(crate) async fn texts(&self, name: &str) -> Answer<Vec<String>> {
        let lookup = self.0.lookup(absolute(name), RecordType::TXT).await;
        answer(lookup, |lookup| {
            let data = records(lookup).filter_map(|data| match data {
                RData::TXT(txt) => Some(txt.txt_data.concat()),
                _ => None,
            });
            data.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
        })
    }

    /// Where a name leads: by IPv4 and IPv6.
    pub(crate) async fn lead(&self, name: &str) -> Answer<Lead> {
        let ask = |kind| self.0.lookup(absolute(name), kind);
        let (v4, v6) = tokio::join!(ask(RecordType::A), ask(RecordType::AAAA));
        match (answer(v4, lead), answer(v6, lead)) {
            (Answer::Found(mut lead), Answer::Found(other)) => {
                lead.addresses.extend(other.addresses);
                if lead.aliases.is_empty() {
                    lead.aliases = other.aliases;
                }
                Answer::Found(lead)
            }
            (Answer::Found(lead), _) | (_, Answer::Found(lead)) => Answer::Found(lead),
            (Answer::Failed(why), _) | (_, Answer::Failed(why)) => Answer::Failed(why),
            (Answer::Nothing, Answer::Nothing) => Answer::Nothing,
        }
    }

    /// The edges under these names, with all their addresses.
    pub(crate) async fn edges(&self, named: &[EdgeName]) -> Edges {
        let mut edges = Edges::default();
        for name in named {
            match name {
                EdgeName::Address(address) => edges.addresses.push(*address),
                EdgeName::Name(name) => {
                    if let Answer::Found(lead) = self.lead(name).await {
                        edges.addresses.extend(lead.addresses);
                    }
                    edges.names.push(name.clone());
                }
            }
        }
        edges
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

/// With a dot at its end, so that no search domain is added.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn records(lookup: &Lookup) -> impl Iterator<Item = &RData> {
    lookup.answers().iter().take(RECORDS_MAX).map(|record| &record.data)
}

fn lead(lookup: &Lookup) -> Lead {
    let mut lead = Lead::default();
    for data in records(lookup) {
        match data {
            RData::A(address) => lead.addresses.push(IpAddr::V4(address.0)),
            RData::AAAA(address) => lead.addresses.push(IpAddr::V6(address.0)),
            RData::CNAME(name) => {
                let name = name.0.to_string().to_ascii_lowercase();
                lead.aliases.push(name.trim_end_matches('.').to_owned());
            }
            _ => {}
        }
    }
    lead
}

fn answer<T>(lookup: Result<Lookup, NetError>, read: impl Fn(&Lookup) -> T) -> Answer<T> {
    match lookup {
        Ok(lookup) => Answer::Found(read(&lookup)),
        Err(error) if error.is_no_records_found() => Answer::Nothing,
        Err(error) => Answer::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_named_by_name_or_address() {
        let check = |text: &str, expected: Option<&str>| {
            let found = text.parse::<EdgeName>().ok().map(|name| name.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("Edge.Example.NET", Some("edge.example.net"));
        check("192.0.2.1", Some("192.0.2.1"));
        check("2001:db8::1", Some("2001:db8::1"));
        check("*.example.net", None);
        check("http://a", None);
        check("", None);
    }
}
