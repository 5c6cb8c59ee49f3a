//! `longshore site`: put, list, get, rm.

use super::document::{self, Document};
use super::wait;
use crate::args::{Site as Args, Wait};
use crate::client::{Answer, Ask, Client};
use crate::failure::Failure;
use crate::output::{Output, table};
use api::site::Site;
use api::sites::{PAGE_MAX, SitePage, SiteRecord};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

const HOSTS_SHOWN: usize = 3;

/// Does what was asked.
pub(crate) async fn run(args: Args, client: &Client, output: Output) -> Result<(), Failure> {
    match args {
        Args::Put { file, wait } => put(&file, &wait, client, output).await,
        Args::List => list(client, output).await,
        Args::Get { name } => get(&name, client, output).await,
        Args::Rm { name } => {
            let path = &["v1", "sites", name.as_str()];
            client.send(Method::DELETE, Ask { path, ..Ask::default() }).await?.read_nothing()?;
            output.result(&json!({ "removed": name }), || format!("{name}: removed"));
            Ok(())
        }
    }
}

async fn put(file: &Path, wait: &Wait, client: &Client, output: Output) -> Result<(), Failure> {
    let document = document::read(file)?;
    let since = Instant::now();
    let (answer, before) =
        put_document(&document, client).await.map_err(|failure| failure.about(&document.file))?;
    let record: SiteRecord = answer.read()?;
    let done = match before {
        None => "created",
        Some(revision) if revision == record.revision => "unchanged",
        Some(_) => "replaced",
    };
    output.result(&answer.body, || {
        let SiteRecord { revision, seq, site, .. } = &record;
        format!("{}: {done}, revision {revision}, feed {seq}", site.name)
    });
    if let Some(limit) = wait.wait {
        let adoption = wait::adopted(client, record.seq, Some(&record.id), since, limit).await?;
        output.note(&format!("{}: {adoption}", record.site.name));
    }
    Ok(())
}

/// Creates the site, or replaces the one of its name if nobody changes it meanwhile. Also says the revision that was
/// there before.
async fn put_document(
    document: &Document,
    client: &Client,
) -> Result<(Answer, Option<u64>), Failure> {
    let body = Some(&document.value);
    if let Some(name) = name_of(&document.value) {
        let path = &["v1", "sites", name];
        match client.send(Method::GET, Ask { path, ..Ask::default() }).await {
            Ok(before) => {
                let ask = Ask { path, if_match: before.etag.as_deref(), body, ..Ask::default() };
                let revision = before.body.get("revision").and_then(Value::as_u64);
                let answer = client.send(Method::PUT, ask).await?;
                return Ok((answer, revision.or(Some(0))));
            }
            Err(failure) if failure.status() == Some(404) => {}
            Err(failure) => return Err(failure),
        }
    }
    let path = &["v1", "sites"];
    Ok((client.send(Method::POST, Ask { path, body, ..Ask::default() }).await?, None))
}

/// The name, where it can be one. Where not, control lists it among all that is wrong with the document.
fn name_of(document: &Value) -> Option<&str> {
    let right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let name = document.get("name")?.as_str()?;
    (!name.is_empty() && name.len() < 64 && name.bytes().all(right)).then_some(name)
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let limit = PAGE_MAX.to_string();
    let mut after: Option<String> = None;
    let mut all: Vec<Value> = Vec::new();
    let mut rows = Vec::new();
    loop {
        let mut query = vec![("limit", limit.as_str())];
        query.extend(after.as_deref().map(|after| ("after", after)));
        let ask = Ask { path: &["v1", "sites"], query: &query, ..Ask::default() };
        let mut answer = client.send(Method::GET, ask).await?;
        let page: SitePage = answer.read()?;
        rows.extend(page.sites.iter().map(row));
        all.extend(answer.body["sites"].as_array_mut().map(std::mem::take).unwrap_or_default());
        let next = page.next.map(String::from);
        if next.is_none() || next == after {
            break;
        }
        after = next;
    }
    output.result(&json!({ "sites": all }), || {
        table(["NAME", "HOSTS", "ORIGINS", "REVISION", "UPDATED"], &rows)
    });
    Ok(())
}

fn row(record: &SiteRecord) -> [String; 5] {
    let site = &record.site;
    let origins: Vec<_> = site.origins.iter().map(|origin| origin.url.clone()).collect();
    let (hosts, origins) = (shorten(&site.hosts), shorten(&origins));
    [site.name.clone(), hosts, origins, record.revision.to_string(), record.updated_at.clone()]
}

fn shorten(items: &[String]) -> String {
    let shown: Vec<_> = items.iter().take(HOSTS_SHOWN).map(String::as_str).collect();
    match items.len().saturating_sub(HOSTS_SHOWN) {
        0 if items.is_empty() => "-".to_owned(),
        0 => shown.join(","),
        more => format!("{},+{more}", shown.join(",")),
    }
}

async fn get(name: &str, client: &Client, output: Output) -> Result<(), Failure> {
    let path = &["v1", "sites", name];
    let answer = client.send(Method::GET, Ask { path, ..Ask::default() }).await?;
    let record: SiteRecord = answer.read()?;
    let text = written(&record.site)?;
    output.result(&answer.body, || {
        let SiteRecord { id, revision, seq, updated_at, .. } = &record;
        format!("# {id}, revision {revision}, feed {seq}, updated {updated_at}\n{text}")
    });
    Ok(())
}

/// The document as `put` takes it. Lists and tables with nothing in them say nothing, and are left out.
fn written(site: &Site) -> Result<String, Failure> {
    let written = toml::Table::try_from(site)
        .and_then(|table| toml::to_string_pretty(&toml::Value::Table(without_empty(table))));
    written.map_err(|error| Failure::failed("the site can't be written in TOML", error))
}

fn without_empty(table: toml::Table) -> toml::Table {
    let members = table.into_iter().filter_map(|(name, value)| Some((name, unless_empty(value)?)));
    members.collect()
}

fn unless_empty(value: toml::Value) -> Option<toml::Value> {
    use toml::Value::{Array, Table};
    match value {
        Table(table) => Some(without_empty(table)).filter(|table| !table.is_empty()).map(Table),
        Array(items) if items.is_empty() => None,
        // an item keeps its place, also when nothing is in it
        Array(items) => Some(Array(items.into_iter().map(without_empty_inside).collect())),
        plain => Some(plain),
    }
}

fn without_empty_inside(item: toml::Value) -> toml::Value {
    match item {
        toml::Value::Table(table) => toml::Value::Table(without_empty(table)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_name_goes_into_a_path() {
        assert_eq!(name_of(&json!({"name": "a-1"})), Some("a-1"));
        for wrong in [json!("."), json!(".."), json!("a/b"), json!("A"), json!(""), json!(7)] {
            assert_eq!(name_of(&json!({ "name": wrong })), None);
        }
        assert_eq!((name_of(&json!({})), name_of(&json!([]))), (None, None));
    }

    #[test]
    fn a_site_is_written_without_what_is_empty_and_reads_as_it_was() {
        let check = |document: Value, expected: &str| {
            let site: Site = api::check::parse(document).unwrap();
            let text = written(&site).unwrap();
            assert_eq!(text, expected);
            let read: Value = toml::from_str(&text).unwrap();
            assert_eq!(api::check::parse::<Site>(read).unwrap(), site);
        };
        let rule = json!({"paths": ["/*"], "redirect": {"to": "/b"}, "cache": {},
            "response_headers": {"set": {"X-A": "b"}}});
        let head = "name = \"a\"\nhosts = [\"a.example\"]\n";
        check(
            json!({"name": "a", "hosts": ["a.example"], "rules": [rule]}),
            &format!(
                "{head}\n[[rules]]\npaths = [\"/*\"]\n\n[rules.response_headers.set]\nX-A = \"b\"\n\n\
                 [rules.redirect]\nto = \"/b\"\nstatus = 302\n"
            ),
        );
        let origin = "[[origins]]\nname = \"main\"\nurl = \"http://127.0.0.1:1\"\nconnect_timeout_seconds = 5\n\
            read_timeout_seconds = 60\nwrite_timeout_seconds = 60\nidle_timeout_seconds = 60\n\n\
            [origins.tls]\nverify = true\n";
        check(
            json!({"name": "a", "hosts": ["a.example"], "cache": {"enabled": false},
                "origins": [{"name": "main", "url": "http://127.0.0.1:1"}]}),
            &format!("{head}\n{origin}\n[cache]\nenabled = false\n"),
        );
    }

    #[test]
    fn long_lists_of_hosts_are_counted() {
        let hosts = |count: u32| (0..count).map(|n| format!("h{n}")).collect::<Vec<_>>();
        assert_eq!(shorten(&hosts(0)), "-");
        assert_eq!(shorten(&hosts(3)), "h0,h1,h2");
        assert_eq!(shorten(&hosts(9)), "h0,h1,h2,+6");
    }
}
