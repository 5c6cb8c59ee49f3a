//! Which control to speak to, and as whom: the command line, the environment, then what `longshore up` wrote.

use crate::failure::Failure;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};

const EDGE_ADMIN_DEFAULT: &str = "http://127.0.0.1:9180";
const CONTROL_DEFAULT: &str = "http://127.0.0.1:7070";
const FILE_MAX_BYTES: u64 = 65_536;
/// The file of the admin token, in the data directory.
pub(crate) const TOKEN_FILE: &str = "token";
/// The file of [`UpFile`], in the data directory.
pub(crate) const UP_FILE: &str = "up.json";

/// What was given on the command line and in the environment.
#[derive(Debug, clap::Args)]
pub(crate) struct Given {
    /// URL of control
    #[arg(long, global = true, value_name = "URL", env = "LONGSHORE_CONTROL")]
    pub(crate) control: Option<String>,
    /// File in PEM with the authorities that control's certificate may be from
    #[arg(long, global = true, value_name = "FILE", env = "LONGSHORE_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Directory of `longshore up`
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "LONGSHORE_DATA",
        default_value = "data",
        hide_default_value = true
    )]
    pub(crate) data_dir: PathBuf,
}

/// What `longshore up` writes for the other commands once everything is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpFile {
    /// URL of control.
    pub(crate) control: String,
    /// URL of the edge.
    pub(crate) edge: String,
    /// URL of the edge over TLS.
    pub(crate) edge_https: String,
    /// URL of the edge's admin port.
    pub(crate) admin: String,
    /// URL of the demo site, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) demo: Option<String>,
    /// URL of the demo site over TLS, while it has a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) demo_https: Option<String>,
    /// The file of the root of control's local authority, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) root_file: Option<PathBuf>,
    /// Where the admin token is.
    pub(crate) token_file: PathBuf,
}

/// Resolved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where control is.
    pub(crate) control: Url,
    /// The token to show. Without one, control says what it thinks of that.
    pub(crate) token: Option<String>,
    /// Authorities that control's certificate may be from; the system's where absent.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Given {
    /// Settings for this process.
    pub(crate) fn resolve(self) -> Result<Settings, Failure> {
        let up = read_small(&self.data_dir.join(UP_FILE))?;
        // Written by `up`, or half gone: either way not worth more than the default.
        let up = up.and_then(|text| serde_json::from_str::<UpControl>(&text).ok());
        let written = read_small(&self.data_dir.join(TOKEN_FILE))?;
        let token = std::env::var("LONGSHORE_TOKEN").ok();
        let settings = resolve(self.control, token, up.map(|up| up.control), written)?;
        let ca_file = self.ca_file.filter(|path| !path.as_os_str().is_empty());
        Ok(Settings { ca_file, ..settings })
    }
}

/// The members of [`UpFile`] that are read back, whatever version wrote it.
#[derive(Deserialize)]
struct UpControl {
    control: String,
}

#[derive(Deserialize)]
struct UpAdmin {
    admin: String,
}

/// Where an edge's admin address is: as given, or what `longshore up` wrote.
pub(crate) fn edge_admin(edge: Option<&str>, given: &Given) -> Result<Url, Failure> {
    let up = read_small(&given.data_dir.join(UP_FILE))?;
    let up = up.and_then(|text| serde_json::from_str::<UpAdmin>(&text).ok());
    let text = edge.map(str::to_owned).or_else(|| up.map(|up| up.admin));
    let text = text.unwrap_or_else(|| EDGE_ADMIN_DEFAULT.to_owned());
    let url = Url::parse(&text).ok().filter(|url| url.scheme() == "http" && url.host().is_some());
    url.ok_or_else(|| {
        Failure::usage(format!("`{text}` is no URL of an edge's admin address (http://host:port)"))
    })
}

/// A token that `up` wrote goes to the control that `up` started, and to this machine, but not elsewhere.
fn resolve(
    control: Option<String>,
    token: Option<String>,
    up_control: Option<String>,
    up_token: Option<String>,
) -> Result<Settings, Failure> {
    let given = control.filter(|url| !url.is_empty());
    let fallback = up_control.unwrap_or_else(|| CONTROL_DEFAULT.to_owned());
    let started_here = url(&fallback)?;
    let control = given.as_deref().map_or(Ok(started_here.clone()), url)?;
    let written_for = control == started_here || is_loopback(&control);
    let token = token.filter(|token| !token.is_empty());
    let token = token.or_else(|| up_token.filter(|_| written_for));
    let token = token.map(|token| token.trim().to_owned());
    if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(Failure::usage("the token is not made of visible ASCII characters"));
    }
    Ok(Settings { control, token, ca_file: None })
}

fn url(text: &str) -> Result<Url, Failure> {
    let refuse = || Failure::usage(format!("`{text}` is no URL of control (https://host:port)"));
    let url = Url::parse(text).map_err(|_| refuse())?;
    let right = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    let url = right.then_some(url).ok_or_else(refuse)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        let refusal =
            "is not this machine, and the token would pass in the clear; name control by https";
        return Err(Failure::usage(format!("`{text}` {refusal}")));
    }
    Ok(url)
}

/// Whether requests to `url` stay on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The start of a file, `None` where there is no file.
fn read_small(path: &Path) -> Result<Option<String>, Failure> {
    let mut text = String::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(FILE_MAX_BYTES).read_to_string(&mut text),
        Err(error) => Err(error),
    }
    .map(|_| Some(text))
    .or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Ok(None),
        _ => Err(Failure::file(path, error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(text: Option<&str>) -> Option<String> {
        text.map(str::to_owned)
    }

    /// Given URL and token, what `up` wrote of each → the URL and token used.
    fn check(given: [Option<&str>; 2], written: [Option<&str>; 2], expected: (&str, Option<&str>)) {
        let [control, token] = given.map(owned);
        let [up_control, up_token] = written.map(owned);
        let settings = resolve(control, token, up_control, up_token).unwrap();
        assert_eq!((settings.control.as_str(), settings.token.as_deref()), expected);
    }

    #[test]
    fn what_is_given_goes_before_what_up_wrote() {
        let up = [Some("http://127.0.0.1:4000"), Some("ls_up\n")];
        check([None, None], [None, None], ("http://127.0.0.1:7070/", None));
        check([None, None], up, ("http://127.0.0.1:4000/", Some("ls_up")));
        check([Some(""), Some("")], up, ("http://127.0.0.1:4000/", Some("ls_up")));
        check(
            [Some("https://c.example"), Some("ls_me")],
            up,
            ("https://c.example/", Some("ls_me")),
        );
    }

    #[test]
    fn the_written_token_stays_on_this_machine() {
        let up = [Some("http://127.0.0.1:4000"), Some("ls_up")];
        check([Some("https://c.example"), None], up, ("https://c.example/", None));
        check([Some("http://localhost:1"), None], up, ("http://localhost:1/", Some("ls_up")));
        check([Some("http://[::1]:1"), None], up, ("http://[::1]:1/", Some("ls_up")));
        let remote = [Some("https://10.0.0.1:7070"), Some("ls_up")];
        check(
            [Some("https://10.0.0.1:7070"), None],
            remote,
            ("https://10.0.0.1:7070/", Some("ls_up")),
        );
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for wrong in
            ["control:7070", "ftp://a", "7070", "http://", "http://10.0.0.1", "http://c.example"]
        {
            assert!(resolve(owned(Some(wrong)), None, None, None).is_err(), "{wrong}");
        }
        assert!(resolve(None, owned(Some("ls_a b")), None, None).is_err());
    }
}
