//! Addresses: free ones before the start, bound ones after it.

use super::files::Layout;
use crate::args::Up as Args;
use crate::failure::Failure;
use reqwest::Url;
use serde_json::Value;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

/// Where to listen.
#[derive(Debug)]
pub(super) struct Addresses {
    control: String,
    http: String,
    https: String,
    admin: String,
}

/// The variables that set the addresses: control's, the edge's for HTTP, for HTTPS, and for its admin port.
pub(super) const VARIABLES: [&str; 4] = [
    "LONGSHORE_CONTROL_ADDR",
    "LONGSHORE_EDGE_HTTP_ADDR",
    "LONGSHORE_EDGE_HTTPS_ADDR",
    "LONGSHORE_EDGE_ADMIN_ADDR",
];

impl Addresses {
    /// The addresses asked for, none of which anything listens on now.
    pub(super) fn free(args: &Args) -> Result<Self, Failure> {
        let asked =
            [&args.control_listen, &args.http_listen, &args.https_listen, &args.admin_listen];
        let mut held = Vec::new();
        for (address, variable) in asked.into_iter().zip(VARIABLES) {
            held.push(hold(address, variable)?);
        }
        let [control, http, https, admin] = asked.map(String::clone);
        Ok(Self { control, http, https, admin })
    }

    /// The command line of control.
    pub(super) fn control(&self, layout: &Layout) -> Vec<OsString> {
        let data_dir = layout.control().into_os_string();
        let listen = OsString::from(&self.control);
        let words = ["serve", "--json", "--data-dir"].map(OsString::from).into_iter();
        words.chain([data_dir, "--listen".into(), listen]).collect()
    }

    /// The command line of the edge.
    pub(super) fn edge(&self, layout: &Layout, control: &Url) -> Vec<OsString> {
        let mut words = vec![OsString::from("--json")];
        let options: [(&str, OsString); 8] = [
            ("--config", layout.edge_config().into_os_string()),
            ("--http-listen", OsString::from(&self.http)),
            ("--https-listen", OsString::from(&self.https)),
            ("--admin-listen", OsString::from(&self.admin)),
            ("--state-dir", layout.edge().into_os_string()),
            ("--control-url", written(control).into()),
            ("--token-file", layout.edge_token().into_os_string()),
            ("--access-log", layout.log("access").into_os_string()),
        ];
        for (option, value) in options {
            words.extend([option.into(), value]);
        }
        words
    }
}

/// Listens for a moment. All are held at once, so that one address given twice is found too.
fn hold(address: &str, variable: &'static str) -> Result<Option<TcpListener>, Failure> {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        None => Err(Failure::usage(format!("{variable}: `{address}` must be a host and a port"))),
        Some(0) => Ok(None),
        Some(_) => match TcpListener::bind(address) {
            Ok(listener) => Ok(Some(listener)),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                Err(Failure::Taken { address: address.to_owned(), variable })
            }
            Err(error) => {
                let what = format!("can't listen on {address}; set {variable} to another address");
                Err(Failure::failed(what, error))
            }
        },
    }
}

/// The URL under `member` of a program's line, at which it can be reached from here.
pub(super) fn reachable(line: &Value, member: &str) -> Result<Url, Failure> {
    reachable_by("http", line, member)
}

/// The same, over TLS.
pub(super) fn reachable_secure(line: &Value, member: &str) -> Result<Url, Failure> {
    reachable_by("https", line, member)
}

fn reachable_by(scheme: &str, line: &Value, member: &str) -> Result<Url, Failure> {
    let text = line.get(member).and_then(Value::as_str).unwrap_or_default();
    let url = if text.contains("://") { text.to_owned() } else { format!("{scheme}://{text}") };
    let mut url = parse(&url)?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    // A program that listens everywhere is reached over the loopback.
    let loopback: Option<IpAddr> = match host.parse() {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => Some(Ipv4Addr::LOCALHOST.into()),
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => Some(Ipv6Addr::LOCALHOST.into()),
        _ => None,
    };
    if let Some(loopback) = loopback {
        _ = url.set_ip_host(loopback);
    }
    Ok(url)
}

/// Reads a URL that a program told.
pub(super) fn parse(text: &str) -> Result<Url, Failure> {
    Url::parse(text).map_err(|error| Failure::failed(format!("`{text}` is no address"), error))
}

/// A URL without the slash at its end.
pub(super) fn written(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_program_that_listens_everywhere_is_reached_over_the_loopback() {
        let check = |told: &str, expected: &str| {
            let url = reachable(&json!({ "at": told }), "at").unwrap();
            assert_eq!(written(&url), expected);
        };
        check("http://127.0.0.1:7070", "http://127.0.0.1:7070");
        check("0.0.0.0:8080", "http://127.0.0.1:8080");
        check("[::]:8080", "http://[::1]:8080");
        check("10.0.0.1:9180", "http://10.0.0.1:9180");
        assert!(reachable(&json!({}), "at").is_err());
    }

    #[test]
    fn a_taken_address_is_named_with_its_variable() {
        let args = |control: &str, http: &str| Args {
            control_listen: control.to_owned(),
            http_listen: http.to_owned(),
            https_listen: "127.0.0.1:0".to_owned(),
            admin_listen: "127.0.0.1:0".to_owned(),
        };
        // An address of this test alone, so that nobody takes the port meanwhile.
        let taken = TcpListener::bind("127.83.7.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let message = |args| Addresses::free(&args).unwrap_err().to_string();
        let refused = message(args("127.0.0.1:0", &address));
        assert!(refused.contains(&address) && refused.contains("LONGSHORE_EDGE_HTTP_ADDR"));
        drop(taken);
        assert!(Addresses::free(&args("127.0.0.1:0", &address)).is_ok());
        let twice = message(args(&address, &address));
        assert!(twice.contains("LONGSHORE_EDGE_HTTP_ADDR"), "{twice}");
        assert!(message(args("127.0.0.1", &address)).contains("LONGSHORE_CONTROL_ADDR"));
    }
}
