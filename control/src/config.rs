//! What was control asked to do? Arguments and environment, and what follows from them.

mod acme;

pub use acme::Acme;

use api::token::Scope;
use async_nats::ServerAddr;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The control service of Longshore: holds sites and feeds them to the edges.
///
/// Exit status: 0 when all went well, 1 when something failed, 2 when arguments or configuration are wrong.
#[derive(Debug, Parser)]
#[command(name = "longshore-control", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API and the feed until SIGTERM or SIGINT
    Serve(Box<Serve>),
    /// Make, list and revoke API tokens; works while control serves
    #[command(subcommand)]
    Token(TokenCommand),
    /// Replace the key that the database's secrets are sealed under
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Print the root of the local authority, in PEM
    Authority {
        /// Where state is.
        #[command(flatten)]
        place: Place,
    },
    /// Print the OpenAPI document
    Openapi,
}

/// Where state is.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Directory of control's state, which `serve` makes; `control` in `LONGSHORE_DATA` where absent
    #[arg(
        long,
        env = "LONGSHORE_CONTROL_DATA",
        value_name = "DIR",
        default_value_os_t = data_dir(std::env::var_os("LONGSHORE_DATA"))
    )]
    pub data_dir: PathBuf,
    /// `sqlite://PATH?mode=rwc` or `postgres://USER:PASSWORD@HOST/NAME`; `control.db` in the directory where absent
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
}

/// Where the key of the database's secrets is.
#[derive(Debug, Clone, Args)]
pub struct SecretsPlace {
    /// A file with the key that the database's secrets are sealed under: 64 hexadecimal digits. `secrets.key` in the
    /// data directory where absent, which the first start makes. The environment may have the key itself:
    /// `LONGSHORE_SECRETS_KEY`
    #[arg(long = "secrets-key-file", env = "LONGSHORE_SECRETS_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// How to serve.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where state is.
    #[command(flatten)]
    pub place: Place,
    /// Where the key of the database's secrets is.
    #[command(flatten)]
    pub secrets: SecretsPlace,
    /// Host and port; port 0 is one of the kernel's choice
    #[arg(
        long,
        env = "LONGSHORE_CONTROL_ADDR",
        default_value = "127.0.0.1:7070",
        value_name = "HOST:PORT"
    )]
    pub listen: String,
    /// How it is protected.
    #[command(flatten)]
    pub channel: Channel,
    /// Print where control listens as one line of JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Edges that may follow the feed at one time
    #[arg(long, default_value_t = 1_000, value_name = "COUNT", value_parser = count)]
    pub followers_max: usize,
    /// Connections that may be open at one time; further ones wait
    #[arg(long, default_value_t = 4_096, value_name = "COUNT", value_parser = count)]
    pub connections_max: usize,
    /// Requests that may wait for edges at one time; further ones are refused
    #[arg(long, default_value_t = 1_000, value_name = "COUNT", value_parser = count)]
    pub waiters_max: usize,
    /// Seconds that an edge which reports may adopt nothing, though there is something, and still be waited for
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = seconds)]
    pub ack_limit_seconds: u64,
    /// Seconds that purges are kept as they were asked; older ones of a site become one of everything
    #[arg(long, default_value_t = 604_800, value_name = "SECONDS", value_parser = purge_seconds)]
    pub purges_kept_seconds: u64,
    /// Purges and their selectors that are kept, all together; beyond, the same happens to the site with most of them
    #[arg(long, default_value_t = 1_000_000, value_name = "COUNT", value_parser = number)]
    pub purges_kept_max: u64,
    /// How the feed is published to NATS.
    #[command(flatten)]
    pub nats: Nats,
    /// How certificates are got from an ACME authority.
    #[command(flatten)]
    pub acme: Acme,
}

/// How the way to control is protected. Plain HTTP is for this machine alone, and for a proxy that terminates TLS.
#[derive(Debug, Clone, Default, Args)]
pub struct Channel {
    /// Serve HTTPS with this certificate: a file in PEM, the server's first. Read again when it changes
    #[arg(
        long,
        env = "LONGSHORE_CONTROL_TLS_CERTIFICATE",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_certificate: Option<PathBuf>,
    /// Its private key: a file in PEM
    #[arg(
        long,
        env = "LONGSHORE_CONTROL_TLS_KEY",
        value_name = "FILE",
        requires = "tls_certificate"
    )]
    pub tls_key: Option<PathBuf>,
    /// Serve HTTPS with a certificate of the local authority, whose root is at `/v1/authority` and printed by
    /// `longshore-control authority`
    #[arg(long, env = "LONGSHORE_CONTROL_TLS_LOCAL", conflicts_with = "tls_certificate")]
    pub tls_local: bool,
    /// A name or address by which control is reached, for that certificate; more than one may be given
    #[arg(long = "tls-name", value_name = "NAME", requires = "tls_local", value_parser = host)]
    pub tls_names: Vec<String>,
    /// Serve plain HTTP to others than this machine: something in front terminates TLS
    #[arg(long, env = "LONGSHORE_CONTROL_BEHIND_TLS", conflicts_with_all = ["tls_certificate", "tls_local"])]
    pub behind_tls: bool,
}

/// How the feed is published to NATS.
#[derive(Debug, Clone, Args)]
pub struct Nats {
    /// Publish the feed to NATS: `nats://HOST:PORT` or `tls://HOST:PORT`, of several servers with commas between
    #[arg(
        long = "nats-url",
        env = "LONGSHORE_NATS_URL",
        hide_env_values = true,
        value_name = "URL",
        value_delimiter = ','
    )]
    pub servers: Vec<ServerAddr>,
    /// A file with the credentials for NATS, as `nsc` writes it
    #[arg(
        long = "nats-credentials",
        env = "LONGSHORE_NATS_CREDENTIALS",
        value_name = "FILE",
        requires = "servers"
    )]
    pub credentials: Option<PathBuf>,
    /// Bytes that the stream keeps where control makes it
    #[arg(
        long = "nats-max-bytes",
        default_value_t = 1 << 30,
        value_name = "BYTES",
        value_parser = number
    )]
    pub max_bytes: u64,
}

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Seal every secret anew under another key, in one transaction; control then has to be started with it
    Rotate {
        /// Where state is.
        #[command(flatten)]
        place: Place,
        /// Where the key is now.
        #[command(flatten)]
        secrets: SecretsPlace,
        /// A file with the new key, which is made where it is not there
        #[arg(long, value_name = "FILE")]
        new_key_file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print its secret, which is shown this once
    Create {
        /// Where state is.
        #[command(flatten)]
        place: Place,
        /// What to call it: 1 to 100 characters
        #[arg(long, value_parser = token_name)]
        name: String,
        /// What it may be used for: admin, sites:read, sites:write, purge, edge; more than one may be given
        #[arg(long = "scope", required = true, num_args = 1.., value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List tokens, without their secrets
    List {
        /// Where state is.
        #[command(flatten)]
        place: Place,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token for good
    Revoke {
        /// Where state is.
        #[command(flatten)]
        place: Place,
        /// The token's id: `tok_…`
        id: api::id::TokenId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Where `longshore up` has control's state, in its own directory `up`.
fn data_dir(up: Option<OsString>) -> PathBuf {
    let up = up.filter(|up| !up.is_empty());
    Path::new(&up.unwrap_or_else(|| "data".into())).join("control")
}

impl SecretsPlace {
    /// The file of the key.
    pub(crate) fn file(&self, place: &Place) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| place.data_dir.join("secrets.key"))
    }
}

impl Place {
    /// The file of the database, where it is one in the data directory.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.database_url.is_none().then(|| self.data_dir.join("control.db"))
    }

    /// The URL of the database.
    ///
    /// # Errors
    /// When there is no working directory to complete a relative path with.
    pub(crate) fn url(&self) -> std::io::Result<String> {
        let Some(file) = self.file() else {
            return Ok(self.database_url.clone().unwrap_or_default());
        };
        Ok(format!("sqlite://{}?mode=rwc", escape(&std::path::absolute(file)?)))
    }
}

/// A path as part of a URL: every byte that could mean something there is escaped (RFC 3986 §2.1).
fn escape(path: &Path) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    bytes
        .map(
            |byte| {
                if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}

fn host(text: &str) -> Result<String, String> {
    let host = api::site::host::HostPattern::parse(text).map_err(|error| error.to_string())?;
    Ok(host.to_string().trim_matches(['[', ']']).to_owned())
}

fn purge_seconds(text: &str) -> Result<u64, String> {
    let range = 60..=31_536_000;
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| "must be a number from 60 to 31536000".to_owned())
}

fn number(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (1..=1 << 50).contains(number));
    number.ok_or_else(|| "must be a number of at least 1".to_owned())
}

fn count(text: &str) -> Result<usize, String> {
    let range = 1..=1_000_000;
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| "must be a number from 1 to 1000000".to_owned())
}

fn seconds(text: &str) -> Result<u64, String> {
    let range = 1..=86_400;
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| "must be a number from 1 to 86400".to_owned())
}

fn token_name(text: &str) -> Result<String, String> {
    let right = (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if right {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 100 characters, none a control character".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn state_is_where_up_has_it() {
        let check = |up: Option<&str>, expected: &str| {
            assert_eq!(data_dir(up.map(Into::into)), Path::new(expected));
        };
        check(None, "data/control");
        check(Some(""), "data/control");
        check(Some("/srv/longshore"), "/srv/longshore/control");
    }

    #[test]
    fn paths_keep_their_characters_in_a_url() {
        let check = |path: &str, expected: &str| assert_eq!(escape(Path::new(path)), expected);
        check("/a/b-c_d.db", "/a/b-c_d.db");
        check("/a b?c#d%e/ü", "/a%20b%3Fc%23d%25e/%C3%BC");
    }
}
