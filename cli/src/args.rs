//! What can be typed.

use crate::settings::Given;
use clap::{ArgGroup, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed or refused
  2  the command line, a setting or a file named is wrong; nothing was sent
  3  control can't be reached, or what answers there is not control
  4  not authorised: no token, a wrong one, or one without the scope
  5  not found
  6  conflict: a name or host is another site's, or the site was changed meanwhile

Environment:
  LONGSHORE_CONTROL  URL of control; without, what `longshore up` wrote to up.json, or http://127.0.0.1:7070
  LONGSHORE_CA_FILE  authorities that control's certificate may be from; without, the system's
  LONGSHORE_TOKEN    API token; without, what `longshore up` wrote to the file token, for the control it started
  LONGSHORE_DATA     directory of `longshore up`; without, ./data";

/// Longshore: a CDN you run yourself.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) given: Given,
    /// Print JSON for programs: what control's API answered, on one line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start control, one edge and a demo site on this machine, until Ctrl-C
    Up(Up),
    /// Put, list, show and remove sites
    #[command(subcommand)]
    Site(Site),
    /// List, show, add, replace and remove certificates
    #[command(subcommand)]
    Certificate(Certificate),
    /// List and show hosts whose certificates an ACME authority issues; verify and renew them
    #[command(subcommand)]
    Domains(Domains),
    /// List edges, and forget those that are gone
    #[command(subcommand)]
    Edge(Edge),
    /// Have edges forget what they stored of a site, or use it as stale
    Purge(Purge),
    /// Have edges fetch anew what they stored of a site: stale at once, and fetched again if it is asked for much
    Revalidate(Revalidate),
    /// Have edges fetch what clients will ask for
    Warm(Warm),
    /// Show what became of purges, revalidations, warmings and dry runs of the last 24 hours
    #[command(subcommand)]
    Purges(Purges),
    /// Ask an edge why a URL is a hit or not: its name, what is stored, how fresh it is, what would happen now
    Explain(Explain),
    /// Ask an edge what it has stored, and how its store does
    #[command(subcommand)]
    Cache(Cache),
    /// Show how control and the edges are
    Status,
    /// Become another program that dies with the one that started it
    #[command(hide = true)]
    Child(Child),
}

/// The addresses may have port 0: the kernel chooses. `--json` prints what was bound.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Where control listens
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "LONGSHORE_CONTROL_ADDR",
        default_value = "127.0.0.1:7070"
    )]
    pub(crate) control_listen: String,
    /// Where the edge serves HTTP
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "LONGSHORE_EDGE_HTTP_ADDR",
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) http_listen: String,
    /// Where the edge serves HTTPS
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "LONGSHORE_EDGE_HTTPS_ADDR",
        default_value = "127.0.0.1:8443"
    )]
    pub(crate) https_listen: String,
    /// Where the edge's metrics and health are
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "LONGSHORE_EDGE_ADMIN_ADDR",
        default_value = "127.0.0.1:9180"
    )]
    pub(crate) admin_listen: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Site {
    /// Create a site, or replace the one of that name
    Put {
        /// A document in TOML or JSON; `-` reads it from standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        #[command(flatten)]
        wait: Wait,
    },
    /// List all sites
    List,
    /// Show a site: as TOML that `put` takes, or with `--json` as control holds it
    Get {
        /// Name or id
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
    },
    /// Remove a site
    Rm {
        /// Name or id
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Certificate {
    /// List all certificates
    Ls {
        /// Only those from there: uploaded, acme or local
        #[arg(long, value_name = "SOURCE")]
        source: Option<String>,
        /// Only those for this host, wildcards too
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
    },
    /// Show a certificate and its chain; private keys are never shown
    Show {
        /// Its id
        #[arg(value_name = "ID", value_parser = name)]
        id: String,
    },
    /// Upload a certificate for the hosts it names
    Add {
        #[command(flatten)]
        pair: Pair,
        #[command(flatten)]
        wait: Wait,
    },
    /// Upload a certificate in place of one that was uploaded
    Replace {
        /// Its id
        #[arg(value_name = "ID", value_parser = name)]
        id: String,
        #[command(flatten)]
        pair: Pair,
        #[command(flatten)]
        wait: Wait,
    },
    /// Remove a certificate; refused while it is the only valid one for a host
    Rm {
        /// Its id
        #[arg(value_name = "ID", value_parser = name)]
        id: String,
        /// Remove it though hosts need it
        #[arg(long)]
        force: bool,
    },
}

/// A certificate and its key.
#[derive(Debug, clap::Args)]
pub(crate) struct Pair {
    /// A file in PEM with the certificate first, and then those of the authorities between it and a root
    #[arg(value_name = "CHAIN")]
    pub(crate) chain: PathBuf,
    /// A file in PEM with its private key, not encrypted
    #[arg(value_name = "KEY")]
    pub(crate) key: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Domains {
    /// List the hosts of sites whose `tls.certificate` is `acme`
    Ls {
        /// Only those in this state: `pending_verification`, verified, issuing, issued, renewing, failed
        #[arg(long, value_name = "STATE", value_parser = state)]
        state: Option<String>,
        /// Only those of the site with this id
        #[arg(long, value_name = "ID", value_parser = name)]
        site: Option<String>,
    },
    /// Show how far a host is, why it is not further, and what is to be set in DNS
    Show {
        /// The host, as its site names it
        #[arg(value_name = "HOST", value_parser = host)]
        host: String,
    },
    /// Look in DNS now whose a host is, and order a certificate where there is none
    Verify(HostWait),
    /// Order another certificate now; the one that is there stays until then
    Renew(HostWait),
    /// Have the authority revoke the certificate, and order one with another key
    Revoke(HostWait),
}

#[derive(Debug, clap::Args)]
pub(crate) struct HostWait {
    /// The host, as its site names it
    #[arg(value_name = "HOST", value_parser = host)]
    pub(crate) host: String,
    /// Wait until it has a certificate or it is known why not, 60 seconds at most unless said otherwise
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "60",
        value_parser = seconds
    )]
    pub(crate) wait: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Edge {
    /// List the edges and how far each has followed the feed
    List,
    /// Take an edge that is gone off the list; one that reports again is listed again
    Rm {
        /// Id
        #[arg(value_name = "ID", value_parser = name)]
        id: String,
    },
}

#[derive(Debug, clap::Args)]
#[command(group(
    ArgGroup::new("what")
        .args(["tag", "url", "prefix", "host", "everything", "from"])
        .required(true)
        .multiple(true)
))]
pub(crate) struct Purge {
    /// Name or id of the site
    #[arg(value_name = "SITE", value_parser = name)]
    pub(crate) site: String,
    /// What has this tag in Cache-Tag, Surrogate-Key or xkey; may be repeated, as all selectors may
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// A URL, all its variants: `https://HOST/PATH`, or `/PATH` for all hosts; without a query with any
    #[arg(long, value_name = "URL|PATH")]
    pub(crate) url: Vec<String>,
    /// What begins so
    #[arg(long, value_name = "URL|PATH")]
    pub(crate) prefix: Vec<String>,
    /// What is stored for one host of the site
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Vec<String>,
    /// Everything stored for the site
    #[arg(long, conflicts_with_all = ["tag", "url", "prefix", "host", "from"])]
    pub(crate) everything: bool,
    /// What a file names, `-` is standard input: a line for each, `tag TAG`, `url URL`, `prefix URL` or `host HOST`
    #[arg(long, value_name = "FILE|-")]
    pub(crate) from: Option<PathBuf>,
    /// Make it stale instead: used while a new one is fetched, and when the origin fails
    #[arg(long)]
    pub(crate) soft: bool,
    /// Only at the edges of a region; may be repeated
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Vec<String>,
    /// Count what would be purged, and purge nothing; waits for the counts
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("what").args(["path", "tag"]).required(true).multiple(true)))]
pub(crate) struct Revalidate {
    /// Name or id of the site
    #[arg(value_name = "SITE", value_parser = name)]
    pub(crate) site: String,
    /// A path, or a URL, as for a purge; may be repeated
    #[arg(long, value_name = "PATH|URL")]
    pub(crate) path: Vec<String>,
    /// What has this tag; may be repeated
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// How many responses each edge fetches again at once, those asked for most first; others when they are asked for
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) refetch: u32,
    /// Only at the edges of a region; may be repeated
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Vec<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("what").args(["url", "sitemap"]).required(true).multiple(true)))]
pub(crate) struct Warm {
    /// Name or id of the site
    #[arg(value_name = "SITE", value_parser = name)]
    pub(crate) site: String,
    /// URLs under the site's hosts
    #[arg(value_name = "URL")]
    pub(crate) url: Vec<String>,
    /// A sitemap under the site's hosts, which names URLs; may be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) sitemap: Vec<String>,
    /// Requests a second of each edge
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub(crate) rate: u32,
    /// Only at the edges of a region; may be repeated
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Vec<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Purges {
    /// List them, the newest first
    List {
        /// How many at most
        #[arg(
            long,
            value_name = "NUMBER",
            default_value_t = 50,
            value_parser = clap::value_parser!(u32).range(1..=200)
        )]
        limit: u32,
    },
    /// Show how each edge stands to one
    Show {
        /// Its number
        #[arg(value_name = "NUMBER")]
        seq: u64,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// Scheme, host, path and query, as a client would ask for it
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// A field of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) field: Vec<String>,
    /// The request's method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// Whose request it is, where the site's key has the country
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) client: Option<std::net::IpAddr>,
    #[command(flatten)]
    pub(crate) at: AtEdge,
}

/// Which edge is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct AtEdge {
    /// Admin address of the edge to ask; without, that of the edge `longshore up` started
    #[arg(long, value_name = "URL", env = "LONGSHORE_EDGE_ADMIN")]
    pub(crate) edge: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Show what each tier holds, of what it may, and what became of it
    Stats {
        #[command(flatten)]
        at: AtEdge,
    },
    /// List stored responses: those being filled, in memory, on disk; of each, what was stored first
    List(CacheList),
    /// Show everything that is stored of a URL: each variant, how fresh it is, where it is, which slices
    Inspect(CacheInspect),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CacheList {
    /// Only what begins so: a URL (`http://…`), or a path of any host (`/…`)
    #[arg(long, value_name = "URL|PATH")]
    pub(crate) prefix: Option<String>,
    /// Only what is of this site: name or id
    #[arg(long, value_name = "SITE", value_parser = name)]
    pub(crate) site: Option<String>,
    /// Only what is in this tier: filling, memory or disk
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<String>,
    /// How many at most
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) at: AtEdge,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CacheInspect {
    /// Scheme, host, path and query, as a client would ask for it
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// A field of the request, which may select a variant; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) field: Vec<String>,
    #[command(flatten)]
    pub(crate) at: AtEdge,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// Wait until every connected edge has it, 30 seconds at most unless said otherwise; fail when none is connected
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30",
        value_parser = seconds
    )]
    pub(crate) wait: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Child {
    /// Id of the process to die with
    #[arg(long)]
    pub(crate) parent: u32,
    /// Program and arguments
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// A name or an id: whatever else it is, control has no such thing, and it might change the path asked for.
fn name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=100).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("names are made of letters, digits, `-` and `_`".to_owned())
}

/// A host: whatever else it is, control has no such thing.
fn host(text: &str) -> Result<String, String> {
    let host = api::site::host::HostPattern::parse(text);
    host.map(|host| host.to_string()).map_err(|error| error.to_string())
}

fn state(text: &str) -> Result<String, String> {
    let state: Result<api::domains::DomainState, _> = text.parse();
    state.map(|state| state.as_str().to_owned()).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=86_400.0).contains(number));
    number.map(Duration::from_secs_f64).ok_or_else(|| "must be 0 to 86400 seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn wait_takes_its_seconds_after_an_equals_sign() {
        let wait = |words: &[&str]| {
            let words = ["longshore", "site", "put"].iter().chain(words);
            match Args::try_parse_from(words).map(|args| args.command) {
                Ok(Command::Site(Site::Put { wait, .. })) => Some(wait.wait),
                _ => None,
            }
        };
        assert_eq!(wait(&["a.toml"]), Some(None));
        assert_eq!(wait(&["--wait", "a.toml"]), Some(Some(Duration::from_secs(30))));
        assert_eq!(wait(&["--wait=2.5", "a.toml"]), Some(Some(Duration::from_millis(2_500))));
        assert_eq!(wait(&["--wait=-1", "a.toml"]), None);
    }

    #[test]
    fn names_cannot_change_the_path() {
        for wrong in ["", "..", "a/b", "a?b", "a b", "ä"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
        assert!(name("site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2").is_ok() && name("demo-1").is_ok());
    }
}
