//! `longshore-edge`: arguments to configuration, configuration to a server, errors to an exit code.

mod admin;
#[cfg(test)]
mod allocations;
mod answer;
mod bridge;
mod cache;
mod check;
mod clock;
mod collapse;
mod config;
mod context;
mod explain;
mod feed;
mod listen;
mod listing;
mod origin;
mod plain;
mod proxy;
mod purges;
mod quic;
mod rarely;
mod record;
mod request_id;
mod server;
mod slices;
mod snapshot;
mod stage;
mod sweep;
mod telemetry;
mod tls;
mod uncacheable;
mod work;

use api::problem::FieldProblem;
use clap::Parser;
use config::Config;
use feed::Token;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// What the program logs unless told otherwise.
const LOG_FILTER: &str = "info,pingora_core=warn,pingora_proxy=warn,pingora_cache=warn";

/// Serves sites from its cache and their origins, as control says.
#[derive(Debug, Parser)]
#[command(
    name = "longshore-edge",
    version,
    after_help = "Exit codes: 0 stopped as told, 1 failed, 2 wrong arguments or configuration."
)]
struct Arguments {
    /// Configuration file (TOML). Without one, the defaults.
    #[arg(long, global = true, env = "LONGSHORE_EDGE_CONFIG")]
    config: Option<PathBuf>,
    /// Where clients are served, instead of `http.listen`.
    #[arg(long, global = true, env = "LONGSHORE_EDGE_HTTP_ADDR")]
    http_listen: Option<String>,
    /// Where clients are served over TLS, instead of `https.listen`.
    #[arg(long, global = true, env = "LONGSHORE_EDGE_HTTPS_ADDR")]
    https_listen: Option<String>,
    /// Where metrics and health are, instead of `admin.listen`.
    #[arg(long, global = true, env = "LONGSHORE_EDGE_ADMIN_ADDR")]
    admin_listen: Option<String>,
    /// Directory for what is adopted, instead of `state.directory`.
    #[arg(long, global = true, env = "LONGSHORE_EDGE_STATE")]
    state_dir: Option<PathBuf>,
    /// The control service, instead of `control.url`.
    #[arg(long, global = true, env = "LONGSHORE_CONTROL")]
    control_url: Option<String>,
    /// File with the authorities that control's certificate may be from, instead of `control.ca_file`.
    #[arg(long, env = "LONGSHORE_CA_FILE")]
    control_ca_file: Option<PathBuf>,
    /// File with the API token, instead of `control.token_file`.
    #[arg(long, global = true, env = "LONGSHORE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Access log, instead of `access_log.path`; `-` is standard output, empty is none.
    #[arg(long, global = true, env = "LONGSHORE_ACCESS_LOG")]
    access_log: Option<OsString>,
    /// Prints one JSON line with the addresses once they are served; of a command, its result.
    #[arg(long, global = true)]
    json: bool,
    /// Prints the default configuration file, and ends.
    #[arg(long)]
    print_defaults: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What is done instead of serving.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
enum Command {
    /// Looks at the configuration, and at what it names, without serving
    ///
    /// Exit codes: 0 an edge can start with it, 1 something that it names is wrong, 2 it is wrong itself.
    Check(check::Extent),
    /// Has the edge that runs with this configuration start its program anew, without a request being refused
    ///
    /// Exit codes: 0 the new process serves, 1 the old one goes on, 2 wrong arguments or configuration.
    Upgrade,
}

impl Arguments {
    fn configuration(&self) -> Result<Config, config::ConfigError> {
        let given = [
            ("http", "listen", self.http_listen.as_deref()),
            ("https", "listen", self.https_listen.as_deref()),
            ("admin", "listen", self.admin_listen.as_deref()),
            ("control", "url", self.control_url.as_deref()),
        ];
        let mut config = Config::read(self.config.as_deref(), &given)?;
        if let Some(directory) = &self.state_dir {
            config.state.directory.clone_from(directory);
        }
        config.control.ca_file = self.control_ca_file.clone().or(config.control.ca_file);
        config.control.token_file = self.token_file.clone().or(config.control.token_file);
        let access_log = self.access_log.as_ref().map(PathBuf::from).or(config.access_log.path);
        config.access_log.path = access_log.filter(|path| !path.as_os_str().is_empty());
        Ok(config)
    }

    /// Says what is wrong with the configuration.
    fn refuse(&self, error: config::ConfigError) -> ExitCode {
        let is_check = matches!(self.command, Some(Command::Check(_)));
        match error {
            config::ConfigError::Values(found) if is_check => self.tell(&found, 2),
            error if is_check && self.json => {
                let detail = format!("{:#}", anyhow::Error::new(error));
                self.tell(&[FieldProblem { field: String::new(), detail, value: None }], 2)
            }
            error => fail(&anyhow::Error::new(error), 2),
        }
    }

    /// Says what a check has found: nothing is success, and anything else `code`.
    fn tell(&self, found: &[FieldProblem], code: u8) -> ExitCode {
        if self.json {
            let told = serde_json::json!({ "ok": found.is_empty(), "problems": found });
            print(&format!("{told}\n"));
        } else {
            let lines = found.iter().map(|problem| format!("{problem}\n"));
            print(&if found.is_empty() { "ok\n".to_owned() } else { lines.collect() });
        }
        if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(code) }
    }

    /// The token file that was named here goes before the token in the environment, and that before the file's.
    fn token(&self, config: &Config) -> Token {
        let given = std::env::var("LONGSHORE_TOKEN").ok().filter(|token| !token.is_empty());
        match (&self.token_file, given, &config.control.token_file) {
            (Some(path), _, _) | (None, None, Some(path)) => Token::File(path.clone()),
            (None, Some(token), _) => Token::Given(token),
            (None, None, None) => Token::Absent,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.print_defaults {
        return print(config::DEFAULTS);
    }
    if let Err(error) = init_log() {
        return fail(&anyhow::Error::new(error).context("LONGSHORE_LOG is no filter"), 2);
    }
    let config = match arguments.configuration() {
        Ok(config) => config,
        Err(error) => return arguments.refuse(error),
    };
    // the first provider installed is the one every library here uses
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    match arguments.command {
        None => serve(&arguments, &config),
        Some(Command::Check(extent)) => {
            let found = check::problems(&config, &arguments.token(&config), extent);
            arguments.tell(&found, 1)
        }
        Some(Command::Upgrade) => match server::upgrade(&config.state.directory) {
            Ok(process) if arguments.json => print(&format!("{{\"process\":{process}}}\n")),
            Ok(process) => print(&format!("process {process} serves\n")),
            Err(error) => fail(&error, 1),
        },
    }
}

fn serve(arguments: &Arguments, config: &Config) -> ExitCode {
    let started = |bound: &server::Bound| {
        let https = bound.https.map(|address| address.to_string());
        tracing::info!(http = %bound.http, https, admin = %bound.admin, "serving");
        if arguments.json {
            let https = https.map_or_else(String::new, |https| format!("\"https\":\"{https}\","));
            let (http, admin) = (bound.http, bound.admin);
            print(&format!("{{\"http\":\"{http}\",{https}\"admin\":\"{admin}\"}}\n"));
        }
    };
    let again = || arguments.configuration();
    match server::run(config, arguments.token(config), started, &again) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

/// Starts logging, by the default filter where `LONGSHORE_LOG` is none.
fn init_log() -> Result<(), ParseError> {
    let filter = match std::env::var("LONGSHORE_LOG") {
        Ok(filter) => filter.parse(),
        Err(_) => Ok(EnvFilter::new(LOG_FILTER)),
    };
    let (filter, result) = match filter {
        Ok(filter) => (filter, Ok(())),
        Err(error) => (EnvFilter::new(LOG_FILTER), Err(error)),
    };
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    result
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // nobody reads any more
    }
}

/// Says why the program ends, for people: one line for each problem.
fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    for problem in causes.join(": ").lines() {
        // without standard error, the exit code says it
        writeln!(std::io::stderr(), "longshore-edge: {problem}").ok();
    }
    ExitCode::from(code)
}
