//! `longshore certificate`: ls, show, add, replace, rm.

use super::wait;
use crate::args::{Certificate as Args, Pair, Wait};
use crate::client::{Answer, Ask, Client};
use crate::failure::Failure;
use crate::output::{Output, table};
use api::certificates::{
    CHAIN_MAX_BYTES, CertificatePage, CertificateRecord, CertificateUpload, KEY_MAX_BYTES, PAGE_MAX,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

const NAMES_SHOWN: usize = 3;

/// Does what was asked.
pub(crate) async fn run(args: Args, client: &Client, output: Output) -> Result<(), Failure> {
    match args {
        Args::Ls { source, host } => list(source.as_deref(), host.as_deref(), client, output).await,
        Args::Show { id } => show(&id, client, output).await,
        Args::Add { pair, wait } => {
            let body = read(&pair)?;
            let ask = Ask { path: &["v1", "certificates"], body: Some(&body), ..Ask::default() };
            put(Method::POST, ask, "added", &pair, &wait, client, output).await
        }
        Args::Replace { id, pair, wait } => {
            let body = read(&pair)?;
            let path = &["v1", "certificates", id.as_str()];
            let ask = Ask { path, if_match: Some("*"), body: Some(&body), ..Ask::default() };
            put(Method::PUT, ask, "replaced", &pair, &wait, client, output).await
        }
        Args::Rm { id, force } => {
            let path = &["v1", "certificates", id.as_str()];
            let query: &[_] = if force { &[("force", "true")] } else { &[] };
            let ask = Ask { path, query, ..Ask::default() };
            client.send(Method::DELETE, ask).await?.read_nothing()?;
            output.result(&json!({ "removed": id }), || format!("{id}: removed"));
            Ok(())
        }
    }
}

/// What is uploaded. The key is read last and kept nowhere.
fn read(pair: &Pair) -> Result<Value, Failure> {
    let chain = read_bounded(&pair.chain, CHAIN_MAX_BYTES)?;
    let key = read_bounded(&pair.key, KEY_MAX_BYTES)?;
    serde_json::to_value(CertificateUpload { chain, key })
        .map_err(|error| Failure::failed("the certificate can't be written", error))
}

/// A file, and a byte more than control takes: it says what is too much.
fn read_bounded(path: &Path, max_bytes: usize) -> Result<String, Failure> {
    let mut text = String::new();
    let opened = std::fs::File::open(path);
    let read = opened.and_then(|file| file.take(max_bytes as u64 + 1).read_to_string(&mut text));
    read.map_err(|error| Failure::file(path, error))?;
    Ok(text)
}

async fn put(
    method: Method,
    ask: Ask<'_>,
    done: &str,
    pair: &Pair,
    wait: &Wait,
    client: &Client,
    output: Output,
) -> Result<(), Failure> {
    let since = Instant::now();
    let answer = client.send(method, ask).await;
    let answer = answer.map_err(|failure| failure.about(&pair.chain.display().to_string()))?;
    let record: CertificateRecord = answer.read()?;
    output.result(&answer.body, || {
        let CertificateRecord { id, names, not_after, seq, .. } = &record;
        format!("{id}: {done} for {}, valid until {not_after}, feed {seq}", names.join(", "))
    });
    if let Some(limit) = wait.wait {
        let adoption = wait::adopted(client, record.seq, None, since, limit).await?;
        output.note(&format!("{}: {adoption}", record.id));
    }
    Ok(())
}

async fn list(
    source: Option<&str>,
    host: Option<&str>,
    client: &Client,
    output: Output,
) -> Result<(), Failure> {
    let limit = PAGE_MAX.to_string();
    let mut after: Option<String> = None;
    let (mut all, mut rows): (Vec<Value>, _) = (Vec::new(), Vec::new());
    loop {
        let mut query = vec![("limit", limit.as_str())];
        query.extend(source.map(|source| ("source", source)));
        query.extend(host.map(|host| ("host", host)));
        query.extend(after.as_deref().map(|after| ("after", after)));
        let ask = Ask { path: &["v1", "certificates"], query: &query, ..Ask::default() };
        let mut answer: Answer = client.send(Method::GET, ask).await?;
        let page: CertificatePage = answer.read()?;
        rows.extend(page.certificates.iter().map(row));
        let listed = answer.body["certificates"].as_array_mut();
        all.extend(listed.map(std::mem::take).unwrap_or_default());
        let next = page.next.map(String::from);
        if next.is_none() || next == after {
            break;
        }
        after = next;
    }
    output.result(&json!({ "certificates": all }), || {
        table(["ID", "NAMES", "SOURCE", "NOT AFTER", "ISSUER"], &rows)
    });
    Ok(())
}

fn row(record: &CertificateRecord) -> [String; 5] {
    let CertificateRecord { id, names, source, not_after, issuer, .. } = record;
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    let names = match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(","),
        more => format!("{},+{more}", shown.join(",")),
    };
    [id.to_string(), names, source.as_str().to_owned(), not_after.clone(), issuer.clone()]
}

async fn show(id: &str, client: &Client, output: Output) -> Result<(), Failure> {
    let path = &["v1", "certificates", id];
    let answer = client.send(Method::GET, Ask { path, ..Ask::default() }).await?;
    let record: CertificateRecord = answer.read()?;
    output.result(&answer.body, || {
        let CertificateRecord { id, revision, seq, source, names, .. } = &record;
        let lines = [
            ("names", names.join(", ")),
            ("source", source.as_str().to_owned()),
            ("valid", format!("{} to {}", record.not_before, record.not_after)),
            ("issuer", record.issuer.clone()),
            ("serial", record.serial.clone()),
            ("sha256", record.fingerprint.clone()),
            ("stapled", if record.stapled { "yes" } else { "no" }.to_owned()),
        ];
        let lines: String =
            lines.iter().map(|(name, value)| format!("{name:8}{value}\n")).collect();
        let chain = record.chain.as_deref().unwrap_or_default();
        format!("{id}, revision {revision}, feed {seq}\n{lines}{chain}")
    });
    Ok(())
}
