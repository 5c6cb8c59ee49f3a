//! `longshore domains`: ls, show, verify, renew, revoke.

use crate::args::{Domains as Args, HostWait};
use crate::client::{Answer, Ask, Client};
use crate::failure::Failure;
use crate::output::{Output, table};
use api::domains::{DomainPage, DomainRecord, DomainState, PAGE_MAX};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(250);

/// Does what was asked.
pub(crate) async fn run(args: Args, client: &Client, output: Output) -> Result<(), Failure> {
    match args {
        Args::Ls { state, site } => list(state.as_deref(), site.as_deref(), client, output).await,
        Args::Show { host } => {
            let (body, record) = read(&host, client).await?;
            output.result(&body, || shown(&record));
            Ok(())
        }
        Args::Verify(asked) => ask("verify", &asked, client, output).await,
        Args::Renew(asked) => ask("renew", &asked, client, output).await,
        Args::Revoke(asked) => ask("revoke", &asked, client, output).await,
    }
}

async fn list(
    state: Option<&str>,
    site: Option<&str>,
    client: &Client,
    output: Output,
) -> Result<(), Failure> {
    let limit = PAGE_MAX.to_string();
    let mut after: Option<String> = None;
    let (mut all, mut rows): (Vec<Value>, _) = (Vec::new(), Vec::new());
    loop {
        let mut query = vec![("limit", limit.as_str())];
        query.extend(state.map(|state| ("state", state)));
        query.extend(site.map(|site| ("site", site)));
        query.extend(after.as_deref().map(|after| ("after", after)));
        let ask = Ask { path: &["v1", "domains"], query: &query, ..Ask::default() };
        let mut answer: Answer = client.send(Method::GET, ask).await?;
        let page: DomainPage = answer.read()?;
        rows.extend(page.domains.iter().map(row));
        let listed = answer.body["domains"].as_array_mut();
        all.extend(listed.map(std::mem::take).unwrap_or_default());
        if page.next.is_none() || page.next == after {
            break;
        }
        after = page.next;
    }
    output.result(&json!({ "domains": all }), || {
        table(["HOST", "STATE", "NOT AFTER", "NEXT", "LAST ERROR"], &rows)
    });
    Ok(())
}

fn row(domain: &DomainRecord) -> [String; 5] {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let error = domain.last_error.as_ref().map(|error| error.detail.clone());
    [
        domain.host.clone(),
        domain.state.as_str().to_owned(),
        or_none(&domain.not_after),
        or_none(&domain.next_attempt_at),
        or_none(&error),
    ]
}

async fn read(host: &str, client: &Client) -> Result<(Value, DomainRecord), Failure> {
    let path = &["v1", "domains", host];
    let answer = client.send(Method::GET, Ask { path, ..Ask::default() }).await?;
    let record = answer.read()?;
    Ok((answer.body, record))
}

/// Everything of a domain, a line for each thing, and what is to be set in DNS where that is missing.
fn shown(domain: &DomainRecord) -> String {
    let mut lines = vec![
        ("host", domain.host.clone()),
        ("site", domain.site_id.to_string()),
        ("state", domain.state.as_str().to_owned()),
    ];
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add("verified", domain.verified_at.clone());
    add("method", domain.method.map(|method| method.as_str().to_owned()));
    add("certificate", domain.certificate_id.as_ref().map(ToString::to_string));
    add("valid until", domain.not_after.clone());
    add("renewal", domain.renew_at.clone());
    if let Some(error) = &domain.last_error {
        add("last error", Some(format!("{} ({})", error.detail, error.at)));
        add("attempts", Some(domain.attempts.to_string()));
    }
    add("next", domain.next_attempt_at.clone());
    let lines: String = lines.iter().map(|(name, value)| format!("{name:13}{value}\n")).collect();
    format!("{lines}{}", records(domain))
}

/// What is to be set in DNS.
fn records(domain: &DomainRecord) -> String {
    if domain.verified_at.is_some() {
        return String::new();
    }
    let record = &domain.ownership;
    let text = format!("{}. {} \"{}\"", record.name, record.kind, record.value);
    match domain.points_to.as_slice() {
        [] => format!("\nset this record in DNS:\n  {text}\n"),
        names => {
            format!("\nset one of these records in DNS:\n  {text}\n  {}\n", pointing(domain, names))
        }
    }
}

/// A record by which a host points to the edges.
fn pointing(domain: &DomainRecord, names: &[String]) -> String {
    let name = names.iter().find(|name| name.parse::<std::net::IpAddr>().is_err());
    if let Some(name) = name {
        return format!("{}. CNAME {name}.", domain.host);
    }
    let kind = |name: &String| if name.contains(':') { "AAAA" } else { "A" };
    let records = names.iter().map(|name| format!("{}. {} {name}", domain.host, kind(name)));
    records.collect::<Vec<_>>().join("\n  ")
}

async fn ask(
    action: &str,
    asked: &HostWait,
    client: &Client,
    output: Output,
) -> Result<(), Failure> {
    let began = Instant::now();
    let path = &["v1", "domains", asked.host.as_str(), action];
    let answer = client.send(Method::POST, Ask { path, ..Ask::default() }).await?;
    let before: DomainRecord = answer.read()?;
    let Some(limit) = asked.wait else {
        output
            .result(&answer.body, || format!("{}: will be done; see `domains show`", before.host));
        return Ok(());
    };
    loop {
        let (body, now) = read(&before.host, client).await?;
        match progress(&before, &now) {
            Progress::Done => {
                output.result(&body, || shown(&now));
                return Ok(());
            }
            Progress::Failed(detail) => {
                let what = format!("{}: {detail}", now.host);
                return Err(Failure::Failed { what, source: None });
            }
            Progress::UnderWay if began.elapsed() < limit => tokio::time::sleep(POLL).await,
            Progress::UnderWay => {
                let (host, state) = (&now.host, now.state.as_str());
                let seconds = limit.as_secs_f64();
                return Err(Failure::Late(format!("{host} is {state} after {seconds} s")));
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    UnderWay,
    Done,
    Failed(String),
}

/// What became of a domain since it was as `before`.
fn progress(before: &DomainRecord, now: &DomainRecord) -> Progress {
    if now.updated_at == before.updated_at {
        return Progress::UnderWay;
    }
    match &now.last_error {
        Some(error) if before.last_error.as_ref().is_none_or(|earlier| earlier.at != error.at) => {
            Progress::Failed(error.detail.clone())
        }
        None if now.state == DomainState::Issued => Progress::Done,
        _ => Progress::UnderWay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::domains::{DomainError, DomainErrorKind};

    fn domain(state: DomainState, updated_at: &str, error_at: Option<&str>) -> DomainRecord {
        let error = |at: &str| DomainError {
            kind: DomainErrorKind::Ownership,
            detail: "no".to_owned(),
            at: at.to_owned(),
        };
        let record = json!({
            "host": "a.example.com", "site_id": "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2", "state": state,
            "ownership": { "name": "_longshore-challenge.a.example.com", "type": "TXT", "value": "v" },
            "points_to": [], "last_error": error_at.map(error), "attempts": 0, "created_at": "0",
            "updated_at": updated_at,
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn it_is_waited_until_something_new_is_known() {
        use DomainState as S;
        let before = domain(S::Issued, "1", Some("1"));
        let check = |now: DomainRecord, expected: Progress| {
            assert_eq!(progress(&before, &now), expected, "{now:?}");
        };
        check(domain(S::Issued, "1", Some("1")), Progress::UnderWay);
        check(domain(S::Renewing, "2", Some("1")), Progress::UnderWay);
        check(domain(S::Renewing, "2", None), Progress::UnderWay);
        check(domain(S::Issued, "3", None), Progress::Done);
        check(domain(S::Issued, "3", Some("3")), Progress::Failed("no".to_owned()));
    }

    #[test]
    fn what_is_to_be_set_in_dns_is_shown() {
        let check = |points_to: &[&str], expected: &str| {
            let mut domain = domain(DomainState::PendingVerification, "1", None);
            domain.points_to = points_to.iter().map(ToString::to_string).collect();
            assert!(records(&domain).contains(expected), "{}", records(&domain));
            domain.verified_at = Some("1".to_owned());
            assert_eq!(records(&domain), "");
        };
        check(&[], "_longshore-challenge.a.example.com. TXT \"v\"");
        check(&["192.0.2.1", "edge.example.net"], "a.example.com. CNAME edge.example.net.");
        check(&["192.0.2.1", "2001:db8::1"], "a.example.com. AAAA 2001:db8::1");
    }
}
