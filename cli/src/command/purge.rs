//! `longshore purge`, `revalidate`, `warm`: have edges do something with stored responses of a site.

use super::progress;
use crate::args::{Purge as Args, Revalidate, Warm};
use crate::client::{Ask, Client};
use crate::failure::Failure;
use crate::output::{Output, count};
use api::purge::{
    Mode, PurgeAccepted, PurgeRequest, RevalidateRequest, SelectorCounts, WarmRequest,
};
use reqwest::Method;
use serde::Serialize;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the counts of a dry run are waited for where nothing else is said.
const COUNTS_LIMIT: Duration = Duration::from_secs(30);

/// Has edges forget what they stored, or count it.
pub(crate) async fn run(args: &Args, client: &Client, output: Output) -> Result<(), Failure> {
    let request = request(args)?;
    let what = match args.dry_run {
        true => "dry run",
        false => "purge",
    };
    let wait = if args.dry_run { args.wait.wait.or(Some(COUNTS_LIMIT)) } else { args.wait.wait };
    let told = format!("{what} of {}", selected(&counts(&request)));
    let sent = Sent { site: &args.site, path: "purge", what, told, wait };
    sent.send(&request, client, output).await
}

/// Has edges fetch anew what they stored.
pub(crate) async fn revalidate(
    args: &Revalidate,
    client: &Client,
    output: Output,
) -> Result<(), Failure> {
    let request = RevalidateRequest {
        paths: args.path.clone(),
        tags: args.tag.clone(),
        refetch: args.refetch,
        regions: args.region.clone(),
        ..RevalidateRequest::default()
    };
    let (tags, urls) = (args.tag.len() as u64, args.path.len() as u64);
    let counts = SelectorCounts { tags, urls, ..SelectorCounts::default() };
    let told = format!("revalidation of {}", selected(&counts));
    let wait = args.wait.wait;
    let sent = Sent { site: &args.site, path: "revalidate", what: "revalidation", told, wait };
    sent.send(&request, client, output).await
}

/// Has edges fetch what clients will ask for.
pub(crate) async fn warm(args: &Warm, client: &Client, output: Output) -> Result<(), Failure> {
    let request = WarmRequest {
        urls: args.url.clone(),
        sitemaps: args.sitemap.clone(),
        rate: args.rate,
        regions: args.region.clone(),
        ..WarmRequest::default()
    };
    let kinds = [(args.url.len(), "URL"), (args.sitemap.len(), "sitemap")];
    let told = format!("warming by {}", listed(&kinds));
    let wait = args.wait.wait;
    let sent = Sent { site: &args.site, path: "warm", what: "warming", told, wait };
    sent.send(&request, client, output).await
}

/// A request to control about one site.
struct Sent<'a> {
    site: &'a str,
    path: &'a str,
    /// What it is called.
    what: &'static str,
    /// What it is called, with what it selects.
    told: String,
    wait: Option<Duration>,
}

impl Sent<'_> {
    async fn send(
        &self,
        request: &impl Serialize,
        client: &Client,
        output: Output,
    ) -> Result<(), Failure> {
        let request = serde_json::to_value(request)
            .map_err(|error| Failure::failed("the request can't be written", error))?;
        let since = Instant::now();
        let path = &["v1", "sites", self.site, self.path];
        let ask = Ask { path, body: Some(&request), ..Ask::default() };
        let answer = client.send(Method::POST, ask).await?;
        let PurgeAccepted { seq } = answer.read()?;
        let accepted = || format!("{}: {} accepted, feed {seq}", self.site, self.told);
        let Some(limit) = self.wait else {
            output.result(&answer.body, accepted);
            return Ok(());
        };
        if !output.json {
            output.result(&answer.body, accepted);
        }
        let about = progress::About { site: self.site, what: self.what, seq };
        progress::follow(&about, client, output, since, limit).await
    }
}

fn request(args: &Args) -> Result<PurgeRequest, Failure> {
    let mut request = PurgeRequest {
        tags: args.tag.clone(),
        urls: args.url.clone(),
        prefixes: args.prefix.clone(),
        hosts: args.host.clone(),
        everything: args.everything,
        mode: if args.soft { Mode::Soft } else { Mode::Hard },
        regions: args.region.clone(),
        dry_run: args.dry_run,
        ..PurgeRequest::default()
    };
    if let Some(file) = &args.from {
        let text = text_of(file).map_err(|source| Failure::file(file, source))?;
        read(&text, &mut request).map_err(|(line, problem)| {
            Failure::usage(format!("{}: line {line}: {problem}", file.display()))
        })?;
    }
    Ok(request)
}

fn text_of(file: &Path) -> std::io::Result<String> {
    if file.as_os_str() != "-" {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// Adds the selectors of a file. Empty lines and those that begin with `#` are passed over. An error is the line's number
/// and what is wrong with it.
fn read(text: &str, request: &mut PurgeRequest) -> Result<(), (usize, String)> {
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (kind, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let list = match kind {
            "tag" => &mut request.tags,
            "url" => &mut request.urls,
            "prefix" => &mut request.prefixes,
            "host" => &mut request.hosts,
            _ => {
                let wrong =
                    format!("must begin with `tag`, `url`, `prefix` or `host` (got `{kind}`)");
                return Err((index + 1, wrong));
            }
        };
        list.push(value.trim().to_owned());
    }
    Ok(())
}

fn counts(request: &PurgeRequest) -> SelectorCounts {
    SelectorCounts {
        tags: request.tags.len() as u64,
        urls: request.urls.len() as u64,
        prefixes: request.prefixes.len() as u64,
        hosts: request.hosts.len() as u64,
        everything: request.everything,
    }
}

/// `everything`, or `2 tags, 1 URL`.
pub(crate) fn selected(counts: &SelectorCounts) -> String {
    if counts.everything {
        return "everything".to_owned();
    }
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let kinds = [
        (number(counts.tags), "tag"),
        (number(counts.urls), "URL"),
        (number(counts.hosts), "host"),
    ];
    let listed = listed(&kinds);
    match (counts.prefixes, listed.is_empty()) {
        (0, _) => listed,
        (prefixes, empty) => {
            let prefixes =
                if prefixes == 1 { "1 prefix".to_owned() } else { format!("{prefixes} prefixes") };
            if empty { prefixes } else { format!("{listed}, {prefixes}") }
        }
    }
}

fn listed(kinds: &[(usize, &str)]) -> String {
    let kinds = kinds.iter().filter(|(number, _)| *number > 0);
    kinds.map(|&(number, noun)| count(number, noun)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_selectors_a_line_each() {
        let mut request = PurgeRequest::default();
        let text = "# of today\n\ntag a\n  url  https://h/a b\nprefix /x\r\nhost h\ntag b\n";
        read(text, &mut request).unwrap();
        assert_eq!(request.tags, ["a", "b"]);
        assert_eq!(request.urls, ["https://h/a b"], "what is wrong with it, control says");
        assert_eq!((request.prefixes[0].as_str(), request.hosts[0].as_str()), ("/x", "h"));
        let (line, problem) = read("tag a\npage /x", &mut request).unwrap_err();
        assert!(line == 2 && problem.contains("`page`"), "{problem}");
    }

    #[test]
    fn what_is_selected_is_told_in_words() {
        let check = |counts: SelectorCounts, expected| assert_eq!(selected(&counts), expected);
        check(SelectorCounts { everything: true, ..SelectorCounts::default() }, "everything");
        check(SelectorCounts { tags: 2, urls: 1, ..SelectorCounts::default() }, "2 tags, 1 URL");
        check(
            SelectorCounts { hosts: 1, prefixes: 2, ..SelectorCounts::default() },
            "1 host, 2 prefixes",
        );
        check(SelectorCounts { prefixes: 1, ..SelectorCounts::default() }, "1 prefix");
    }
}
