//! What an operator sets for an edge: `config/edge.toml`, the environment and flags, in rising order.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The configuration file with every default, as shipped.
pub(crate) const DEFAULTS: &str = include_str!("../../config/edge.toml");

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("can't read `{path}`")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{path}` is wrong")]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{0}")]
    Values(String),
}

/// An edge's configuration. Every key's default is in `config/edge.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) http: Http,
    pub(crate) admin: Admin,
    pub(crate) control: Control,
    pub(crate) state: State,
    pub(crate) memory: Memory,
    pub(crate) collapse: Collapse,
    pub(crate) origins: Origins,
    pub(crate) access_log: AccessLog,
    pub(crate) geo: Geo,
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
    pub(crate) drain_timeout_seconds: u64,
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

/// What is kept between starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct State {
    pub(crate) directory: PathBuf,
}

/// The memory tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Memory {
    pub(crate) capacity_bytes: u64,
    pub(crate) response_max_bytes: u64,
    pub(crate) filling_max_bytes: u64,
}

/// Requests that wait for another's fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Collapse {
    pub(crate) wait_timeout_seconds: u64,
}

/// Connections to origins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Origins {
    pub(crate) idle_connections_max: usize,
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
            drain_timeout_seconds: 10,
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
            filling_max_bytes: 128 << 20,
        }
    }
}

impl Default for Collapse {
    fn default() -> Self {
        Self { wait_timeout_seconds: 30 }
    }
}

impl Default for Origins {
    fn default() -> Self {
        Self { idle_connections_max: 256, addresses_lifetime_seconds: 30 }
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { path: None, buffer_max_bytes: 8 << 20 }
    }
}

impl Config {
    /// Reads a file; without one, the defaults.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.into(), source: Box::new(source) })
    }

    /// Refuses values out of range, all at once, each with its key and limits.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let http = &self.http;
        let numbers = [
            ("http.threads", http.threads.unwrap_or(1) as u64, 1, 1_024),
            ("http.connections_max", http.connections_max as u64, 1, 10_000_000),
            ("http.head_timeout_seconds", http.head_timeout_seconds, 1, 3_600),
            ("http.head_max_bytes", http.head_max_bytes as u64, 1_024, 1_048_576),
            ("http.idle_timeout_seconds", http.idle_timeout_seconds, 1, 86_400),
            ("http.stall_timeout_seconds", http.stall_timeout_seconds, 1, 86_400),
            ("http.drain_timeout_seconds", http.drain_timeout_seconds, 0, 3_600),
            ("memory.capacity_bytes", self.memory.capacity_bytes, 1 << 20, 1 << 50),
            ("memory.response_max_bytes", self.memory.response_max_bytes, 1_024, 4_000_000_000),
            ("memory.filling_max_bytes", self.memory.filling_max_bytes, 1_024, 1 << 50),
            ("collapse.wait_timeout_seconds", self.collapse.wait_timeout_seconds, 1, 3_600),
            (
                "origins.idle_connections_max",
                self.origins.idle_connections_max as u64,
                1,
                1_000_000,
            ),
            (
                "origins.addresses_lifetime_seconds",
                self.origins.addresses_lifetime_seconds,
                1,
                86_400,
            ),
            (
                "access_log.buffer_max_bytes",
                self.access_log.buffer_max_bytes as u64,
                1_024,
                1 << 32,
            ),
        ];
        let wrong = numbers.iter().filter(|(_, value, least, most)| value < least || value > most);
        let numbers = wrong.map(|(key, value, least, most)| {
            format!("`{key}` is {value}, must be {least} to {most}")
        });
        let addresses = [("http.listen", &self.http.listen), ("admin.listen", &self.admin.listen)];
        let addresses = addresses.iter().filter(|(_, address)| !has_host_and_port(address));
        let addresses = addresses.map(|(key, address)| {
            format!("`{key}` is `{address}`, must be a host or an IP address, and a port")
        });
        let lines: Vec<String> = numbers.chain(addresses).collect();
        if lines.is_empty() { Ok(()) } else { Err(ConfigError::Values(lines.join("; "))) }
    }
}

/// Whether text is `host:port`, `address:port` or `[address]:port`.
fn has_host_and_port(text: &str) -> bool {
    let is_address = text.parse::<std::net::SocketAddr>().is_ok();
    let named = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains([':', '[', ' ']) && port.parse::<u16>().is_ok()
    });
    is_address || named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_the_defaults() {
        assert_eq!(toml::from_str::<Config>(DEFAULTS).unwrap(), Config::default());
        Config::default().check().unwrap();
    }

    #[test]
    fn the_shipped_file_names_every_key() {
        let threads = Http { threads: Some(1), ..Http::default() };
        let control = Control { token_file: Some("t".into()), ..Control::default() };
        let access_log = AccessLog { path: Some("p".into()), ..AccessLog::default() };
        let geo = Geo { database: Some("d".into()) };
        let config = Config { http: threads, control, access_log, geo, ..Config::default() };
        let full = toml::Value::try_from(config).unwrap();
        for (section, keys) in full.as_table().unwrap() {
            assert!(DEFAULTS.contains(&format!("[{section}]")), "{section}");
            for key in keys.as_table().unwrap().keys() {
                let named = DEFAULTS
                    .lines()
                    .any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} =")));
                assert!(named, "{section}.{key}");
            }
        }
    }

    #[test]
    fn values_out_of_range_are_named_with_their_limits() {
        let mut config = Config::default();
        config.http.head_max_bytes = 1;
        config.memory.capacity_bytes = 0;
        let message = config.check().unwrap_err().to_string();
        assert!(
            message.contains("`http.head_max_bytes` is 1, must be 1024 to 1048576"),
            "{message}"
        );
        assert!(message.contains("memory.capacity_bytes"), "{message}");
    }

    #[test]
    fn addresses_are_a_host_and_a_port() {
        let check = |listen: &str, expected| {
            let mut config = Config::default();
            listen.clone_into(&mut config.http.listen);
            let wrong = config.check().err().map(|error| error.to_string());
            assert_eq!(wrong.is_none(), expected, "{listen} {wrong:?}");
            assert!(wrong.is_none_or(|wrong| wrong.contains("`http.listen`")), "{listen}");
        };
        for listen in ["127.0.0.1:80", "[::]:0", "localhost:8080", "edge-1.example:65535"] {
            check(listen, true);
        }
        for listen in ["", "localhost", ":80", "a:b", "a:65536", "::1", "::1:80", "a b:80"] {
            check(listen, false);
        }
    }
}
