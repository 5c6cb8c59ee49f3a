//! Reads a configuration, and finds all that is wrong with it at once.

use super::{Config, Nats};
use api::check::{Check, Problems};
use api::problem::FieldProblem;
use api::purge::{REGION_FORM, is_region};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("can't read `{path}`")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{path}`, line {line}: {problem}")]
    Syntax { path: PathBuf, line: usize, problem: String },
    /// One line for each.
    #[error("{}", lines(.0))]
    Values(Vec<FieldProblem>),
}

fn lines(problems: &[FieldProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A value that goes before the file's: section, key, and what was given.
pub(crate) type Given<'g> = (&'static str, &'static str, Option<&'g str>);

/// A number: its key, its value, the values it may have, and what it counts.
type Number = (&'static str, u64, RangeInclusive<u64>, &'static str);

/// Windows of HTTP/2: its initial one, up to its largest (RFC 9113 §6.9.1).
const WINDOW_BYTES: RangeInclusive<u64> = 65_535..=(1 << 31) - 1;

impl Config {
    /// Reads a file; without one, the defaults.
    pub(crate) fn read(path: Option<&Path>, given: &[Given<'_>]) -> Result<Self, ConfigError> {
        let mut document = match path {
            Some(path) => document(path)?,
            None => Value::Object(Map::new()),
        };
        for (section, key, value) in given {
            if let Some(value) = value {
                put(&mut document, section, key, value);
            }
        }
        resolve(document).map_err(ConfigError::Values)
    }

    fn numbers(&self) -> Vec<Number> {
        let Self { http, http2, https, memory, disk, collapse, origins, access_log, .. } = self;
        let seconds = |key, value, range| (key, value, range, "seconds");
        let bytes = |key, value, range| (key, value, range, "bytes");
        let count = |key, value: usize, range, of| (key, value as u64, range, of);
        vec![
            count("http.threads", http.threads.unwrap_or(1), 1..=1_024, "threads"),
            count("http.connections_max", http.connections_max, 1..=10_000_000, "connections"),
            seconds("http.head_timeout_seconds", http.head_timeout_seconds, 1..=3_600),
            count("http.head_max_bytes", http.head_max_bytes, 1_024..=1_048_576, "bytes"),
            seconds("http.idle_timeout_seconds", http.idle_timeout_seconds, 1..=86_400),
            seconds("http.stall_timeout_seconds", http.stall_timeout_seconds, 1..=86_400),
            seconds(
                "http.websocket_idle_timeout_seconds",
                http.websocket_idle_timeout_seconds,
                1..=86_400,
            ),
            seconds("http.drain_timeout_seconds", http.drain_timeout_seconds, 0..=3_600),
            ("http2.streams_max", http2.streams_max, 1..=10_000, "streams"),
            ("http2.requests_max", http2.requests_max, 1..=1_000_000_000, "requests"),
            bytes("http2.stream_window_bytes", http2.stream_window_bytes, WINDOW_BYTES),
            bytes("http2.connection_window_bytes", http2.connection_window_bytes, WINDOW_BYTES),
            count("https.public_port", https.public_port.into(), 1..=65_535, "(a port)"),
            seconds("https.handshake_timeout_seconds", https.handshake_timeout_seconds, 1..=3_600),
            count("https.handshakes_max", https.handshakes_max, 1..=1_000_000, "handshakes"),
            bytes("memory.capacity_bytes", memory.capacity_bytes, 1 << 20..=1 << 50),
            bytes("memory.response_max_bytes", memory.response_max_bytes, 1_024..=4_000_000_000),
            bytes(
                "memory.filling_max_bytes",
                memory.filling_max_bytes.unwrap_or(1_024),
                1_024..=1 << 50,
            ),
            bytes(
                "memory.purges_max_bytes",
                memory.purges_max_bytes.unwrap_or(1_024),
                1_024..=1 << 50,
            ),
            bytes("memory.abandoned_max_bytes", memory.abandoned_max_bytes, 0..=1 << 50),
            bytes("memory.slice_bytes", memory.slice_bytes, 65_536..=8 << 20),
            count("memory.variants_max", memory.variants_max, 1..=4_096, "variants"),
            bytes("disk.index_max_bytes", disk.index_max_bytes.unwrap_or(0), 0..=1 << 50),
            bytes("disk.queue_max_bytes", disk.queue_max_bytes.unwrap_or(0), 0..=1 << 50),
            bytes("disk.reading_max_bytes", disk.reading_max_bytes.unwrap_or(0), 0..=1 << 50),
            seconds("disk.read_timeout_seconds", disk.read_timeout_seconds, 1..=3_600),
            seconds("disk.retry_seconds", disk.retry_seconds, 1..=86_400),
            (
                "disk.sweep_records_per_second",
                disk.sweep_records_per_second,
                1..=1_000_000,
                "records",
            ),
            seconds("collapse.wait_timeout_seconds", collapse.wait_timeout_seconds, 1..=3_600),
            seconds("collapse.uncacheable_seconds", collapse.uncacheable_seconds, 1..=86_400),
            count(
                "collapse.uncacheable_entries",
                collapse.uncacheable_entries,
                1..=10_000_000,
                "entries",
            ),
            count(
                "origins.idle_connections_max",
                origins.idle_connections_max,
                1..=1_000_000,
                "connections",
            ),
            seconds(
                "origins.addresses_lifetime_seconds",
                origins.addresses_lifetime_seconds,
                1..=86_400,
            ),
            count(
                "access_log.buffer_max_bytes",
                access_log.buffer_max_bytes,
                1_024..=1 << 32,
                "bytes",
            ),
        ]
    }
}

impl Check for Config {
    fn check(&self, problems: &mut Problems) {
        for (key, value, range, unit) in self.numbers() {
            problems.at(key, |problems| problems.within(value, range, unit));
        }
        self.check_shares(problems);
        self.check_directories(problems);
        let listens = [
            ("http.listen", Some(&self.http.listen)),
            ("https.listen", self.https.listen.as_ref()),
            ("admin.listen", Some(&self.admin.listen)),
        ];
        for (key, address) in listens {
            let Some(address) = address else { continue };
            if !has_host_and_port(address) {
                let detail = "must be a host or an IP address, and a port";
                problems.at(key, |problems| problems.add(detail, Some(address)));
            }
        }
        let url = &self.control.url;
        let parsed = url.parse::<reqwest::Url>();
        if !parsed.is_ok_and(|url| ["http", "https"].contains(&url.scheme())) {
            let detail = "must be an http or https URL";
            problems.at("control.url", |problems| problems.add(detail, Some(url)));
        }
        if let Some(region) = self.node.region.as_ref().filter(|region| !is_region(region)) {
            problems.at("node.region", |problems| problems.add(REGION_FORM, Some(region)));
        }
        if let Some(nats) = &self.feed.nats {
            check_nats(nats, problems);
        }
    }
}

fn check_nats(nats: &Nats, problems: &mut Problems) {
    let parsed = nats.url.parse::<reqwest::Url>();
    if !parsed.is_ok_and(|url| ["nats", "tls"].contains(&url.scheme()) && url.has_host()) {
        // a URL may hold a secret
        problems.at("feed.nats.url", |problems| problems.add("must be a nats or tls URL", None));
    }
    if let (Some(_), Some(path)) = (&nats.token_file, &nats.credentials_file) {
        let detail = "must be left out where `token_file` is given";
        problems.at("feed.nats.credentials_file", |problems| problems.add(detail, Some(path)));
    }
}

fn document(path: &Path) -> Result<Value, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.into(), source })?;
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ConfigError::Syntax { path: path.into(), line, problem: error.message().to_owned() }
    })
}

/// Puts a value where the file may have one. A section that is none is left for the check to find.
fn put(document: &mut Value, section: &str, key: &str, value: &str) {
    let Value::Object(sections) = document else { return };
    let section = sections.entry(section).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(keys) = section {
        keys.insert(key.to_owned(), value.into());
    }
}

fn resolve(document: Value) -> Result<Config, Vec<FieldProblem>> {
    api::check::parse(document).map_err(|mut problems| {
        let numbers = Config::default().numbers();
        for problem in &mut problems {
            // what is no number at all is told the limits too
            if let Some((_, _, range, unit)) =
                numbers.iter().find(|(key, ..)| *key == problem.field)
            {
                problem.detail = format!("must be {} to {} {unit}", range.start(), range.end());
            }
        }
        problems
    })
}

/// Whether text is `host:port`, `address:port` or `[address]:port`.
fn has_host_and_port(text: &str) -> bool {
    let is_address = text.parse::<std::net::SocketAddr>().is_ok();
    let named = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains([':', '[', ' ']) && port.parse::<u16>().is_ok()
    });
    is_address || named
}

/// What is wrong with a configuration.
#[cfg(test)]
pub(super) fn problems(text: &str) -> Vec<String> {
    let found = resolve(toml::from_str(text).unwrap()).err().unwrap_or_default();
    found.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_told_with_its_key_value_and_limits() {
        let found = problems(
            "colour = 1\n[http]\nlisten = \":80\"\nthreads = -1\nhead_max_bytes = 1\n\
             [memory]\ncapacity_bytes = \"much\"\nsize = 4\n[control]\nurl = \"x\"\n",
        );
        for expected in [
            "http.threads: must be 1 to 1024 threads (got -1)",
            "http.head_max_bytes: must be 1024 to 1048576 bytes (got 1)",
            "http.listen: must be a host or an IP address, and a port (got \":80\")",
            "memory.capacity_bytes: must be 1048576 to 1125899906842624 bytes (got \"much\")",
        ] {
            assert!(found.iter().any(|line| line == expected), "{expected} in {found:?}");
        }
        for unknown in ["colour: ", "memory.size: ", "control.url: must be an http"] {
            assert!(found.iter().any(|line| line.starts_with(unknown)), "{unknown} in {found:?}");
        }
        assert_eq!(found.len(), 7, "{found:?}");
    }

    #[test]
    fn a_region_and_nats_have_their_forms() {
        let check = |text: &str, expected: &[&str]| {
            let fields: Vec<String> = problems(text)
                .iter()
                .map(|line| line.split(':').next().unwrap_or_default().to_owned())
                .collect();
            assert_eq!(fields, expected, "{text}");
        };
        check("[node]\nregion = \"eu-west\"", &[]);
        check("[node]\nregion = \"EU\"", &["node.region"]);
        check("[feed.nats]\nurl = \"nats://user:word@127.0.0.1:4222\"", &[]);
        check("[feed.nats]\nurl = \"tls://nats.example\"\ncredentials_file = \"c\"", &[]);
        check("[feed.nats]\nurl = \"http://nats.example\"", &["feed.nats.url"]);
        check(
            "[feed.nats]\nurl = \"nats://n\"\ntoken_file = \"t\"\ncredentials_file = \"c\"",
            &["feed.nats.credentials_file"],
        );
    }

    #[test]
    fn addresses_are_a_host_and_a_port() {
        let check = |listen: &str, expected| {
            let found = problems(&format!("[http]\nlisten = \"{listen}\"\n"));
            assert_eq!(found.is_empty(), expected, "{listen} {found:?}");
        };
        for listen in ["127.0.0.1:80", "[::]:0", "localhost:8080", "edge-1.example:65535"] {
            check(listen, true);
        }
        for listen in ["", "localhost", ":80", "a:b", "a:65536", "::1", "::1:80", "a b:80"] {
            check(listen, false);
        }
    }

    #[test]
    fn what_is_given_goes_before_the_file() {
        let mut document = toml::from_str("[http]\nlisten = \":80\"\n").unwrap();
        put(&mut document, "http", "listen", "a:80");
        put(&mut document, "admin", "listen", "b:80");
        let config = resolve(document).unwrap();
        assert_eq!((config.http.listen.as_str(), config.admin.listen.as_str()), ("a:80", "b:80"));
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("edge.toml");
        std::fs::write(&path, "[http]\n\nthreads = = 1\n").unwrap();
        let message = Config::read(Some(&path), &[]).unwrap_err().to_string();
        assert!(message.contains("edge.toml`, line 3: "), "{message}");
        assert_eq!(message.lines().count(), 1);
    }
}
