//! What an operator sets for an edge: `config/edge.toml`, the environment and flags, in rising order.

mod read;
mod share;

pub(crate) use read::ConfigError;
pub(crate) use share::Shares;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The configuration file with every default, as shipped.
pub(crate) const DEFAULTS: &str = include_str!("../../config/edge.toml");

/// An edge's configuration. Every key's default is in `config/edge.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) node: Node,
    pub(crate) http: Http,
    pub(crate) http2: Http2,
    pub(crate) https: Https,
    pub(crate) admin: Admin,
    pub(crate) control: Control,
    pub(crate) feed: Feed,
    pub(crate) state: State,
    pub(crate) memory: Memory,
    pub(crate) disk: Disk,
    pub(crate) collapse: Collapse,
    pub(crate) origins: Origins,
    pub(crate) purge: Purge,
    pub(crate) access_log: AccessLog,
    pub(crate) geo: Geo,
}

impl Config {
    /// The sections that are not the same in another one.
    pub(crate) fn differs_from(&self, other: &Self) -> Vec<String> {
        let table = |config: &Self| toml::Table::try_from(config).unwrap_or_default();
        let (own, others) = (table(self), table(other));
        let sections = own.keys().chain(others.keys()).collect::<std::collections::BTreeSet<_>>();
        let differ = |section: &&&String| own.get(**section) != others.get(**section);
        sections.iter().filter(differ).map(|section| (**section).clone()).collect()
    }
}

/// What this edge is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Node {
    pub(crate) region: Option<String>,
}

/// Where and how clients are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http {
    pub(crate) listen: String,
    pub(crate) threads: Option<usize>,
    pub(crate) connections_max: usize,
    pub(crate) head_timeout_seconds: u64,
    pub(crate) head_max_bytes: usize,
    pub(crate) idle_timeout_seconds: u64,
    pub(crate) stall_timeout_seconds: u64,
    pub(crate) websocket_idle_timeout_seconds: u64,
    pub(crate) drain_timeout_seconds: u64,
}

/// HTTP/2 to clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http2 {
    pub(crate) cleartext: bool,
    pub(crate) streams_max: u64,
    pub(crate) requests_max: u64,
    pub(crate) stream_window_bytes: u64,
    pub(crate) connection_window_bytes: u64,
}

/// Where and how clients are served over TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Https {
    pub(crate) listen: Option<String>,
    pub(crate) public_port: u16,
    pub(crate) handshake_timeout_seconds: u64,
    pub(crate) handshakes_max: usize,
    pub(crate) default_certificate: Option<String>,
}

/// Where operators look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Admin {
    pub(crate) listen: String,
}

/// The control service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Control {
    pub(crate) url: String,
    pub(crate) token_file: Option<PathBuf>,
}

/// Other ways for what control says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Feed {
    pub(crate) nats: Option<Nats>,
}

/// NATS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nats {
    pub(crate) url: String,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) credentials_file: Option<PathBuf>,
}

/// What is kept between starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct State {
    pub(crate) directory: PathBuf,
}

/// What the store takes of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Memory {
    pub(crate) capacity_bytes: u64,
    pub(crate) response_max_bytes: u64,
    pub(crate) filling_max_bytes: Option<u64>,
    pub(crate) purges_max_bytes: Option<u64>,
    pub(crate) abandoned_max_bytes: u64,
    pub(crate) slice_bytes: u64,
    pub(crate) variants_max: usize,
}

/// The disk tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Disk {
    pub(crate) index_max_bytes: Option<u64>,
    pub(crate) queue_max_bytes: Option<u64>,
    pub(crate) reading_max_bytes: Option<u64>,
    pub(crate) read_timeout_seconds: u64,
    pub(crate) retry_seconds: u64,
    pub(crate) sweep_records_per_second: u64,
    pub(crate) directories: Vec<Directory>,
}

/// One directory of the disk tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) capacity_bytes: u64,
}

/// Requests that wait for another's fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Collapse {
    pub(crate) wait_timeout_seconds: u64,
    pub(crate) uncacheable_seconds: u64,
    pub(crate) uncacheable_entries: usize,
}

/// What clients may have purged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Purge {
    pub(crate) method: bool,
}

/// Connections to origins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Origins {
    pub(crate) idle_connections_max: usize,
    pub(crate) shields: bool,
    pub(crate) addresses_lifetime_seconds: u64,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AccessLog {
    pub(crate) path: Option<PathBuf>,
    pub(crate) buffer_max_bytes: usize,
}

/// Places of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Geo {
    pub(crate) database: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            threads: None,
            connections_max: 20_000,
            head_timeout_seconds: 10,
            head_max_bytes: 32_768,
            idle_timeout_seconds: 60,
            stall_timeout_seconds: 60,
            websocket_idle_timeout_seconds: 600,
            drain_timeout_seconds: 10,
        }
    }
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            cleartext: false,
            streams_max: 128,
            requests_max: 100_000,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 2 << 20,
        }
    }
}

impl Default for Https {
    fn default() -> Self {
        Self {
            listen: None,
            public_port: 443,
            handshake_timeout_seconds: 10,
            handshakes_max: 4_096,
            default_certificate: None,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9180".to_owned() }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:7070".to_owned(), token_file: None }
    }
}

impl Default for State {
    fn default() -> Self {
        Self { directory: "data/edge".into() }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            capacity_bytes: 256 << 20,
            response_max_bytes: 64 << 20,
            filling_max_bytes: None,
            purges_max_bytes: None,
            abandoned_max_bytes: 16 << 20,
            slice_bytes: 1 << 20,
            variants_max: 64,
        }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            index_max_bytes: None,
            queue_max_bytes: None,
            reading_max_bytes: None,
            read_timeout_seconds: 5,
            retry_seconds: 10,
            sweep_records_per_second: 5_000,
            directories: Vec::new(),
        }
    }
}

impl Default for Collapse {
    fn default() -> Self {
        Self { wait_timeout_seconds: 30, uncacheable_seconds: 120, uncacheable_entries: 65_536 }
    }
}

impl Default for Origins {
    fn default() -> Self {
        Self { idle_connections_max: 256, shields: true, addresses_lifetime_seconds: 30 }
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { path: None, buffer_max_bytes: 8 << 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_the_defaults() {
        assert_eq!(toml::from_str::<Config>(DEFAULTS).unwrap(), Config::default());
    }

    #[test]
    fn sections_that_differ_are_named() {
        let (one, mut other) = (Config::default(), Config::default());
        assert!(one.differs_from(&other).is_empty());
        other.http.head_max_bytes += 1;
        other.geo.database = Some("d".into());
        assert_eq!(one.differs_from(&other), ["geo", "http"]);
    }

    #[test]
    fn the_shipped_file_names_every_key() {
        let threads = Http { threads: Some(1), ..Http::default() };
        let https = Https {
            listen: Some("h:1".to_owned()),
            default_certificate: Some("d".to_owned()),
            ..Https::default()
        };
        let control = Control { token_file: Some("t".into()), ..Control::default() };
        let access_log = AccessLog { path: Some("p".into()), ..AccessLog::default() };
        let geo = Geo { database: Some("d".into()) };
        let node = Node { region: Some("r".to_owned()) };
        let nats = Nats {
            url: "nats://n".to_owned(),
            token_file: Some("t".into()),
            credentials_file: Some("c".into()),
        };
        let feed = Feed { nats: Some(nats) };
        let memory =
            Memory { filling_max_bytes: Some(1), purges_max_bytes: Some(1), ..Memory::default() };
        let disk = Disk {
            index_max_bytes: Some(1),
            queue_max_bytes: Some(1),
            reading_max_bytes: Some(1),
            directories: vec![Directory { path: "p".into(), capacity_bytes: 1 }],
            ..Disk::default()
        };
        let config = Config {
            node,
            http: threads,
            https,
            control,
            feed,
            access_log,
            geo,
            memory,
            disk,
            ..Config::default()
        };
        let full = toml::Value::try_from(config).unwrap();
        for (section, keys) in full.as_table().unwrap() {
            assert!(DEFAULTS.contains(&format!("[{section}]")), "{section}");
            for (key, value) in keys.as_table().unwrap() {
                let line = match value {
                    toml::Value::Array(_) => format!("[[{section}.{key}]]"),
                    toml::Value::Table(_) => format!("[{section}.{key}]"),
                    _ => format!("{key} ="),
                };
                let mut lines = DEFAULTS.lines().map(|line| line.trim_start_matches("# "));
                assert!(lines.any(|named| named.starts_with(&line)), "{section}.{key}");
            }
        }
    }
}
