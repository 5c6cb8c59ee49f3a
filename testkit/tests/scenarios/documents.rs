//! The documents say what the programs do: examples run, tables name what there is, links lead somewhere.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "documents/alerts.rs"]
mod alerts;
#[path = "documents/console.rs"]
mod console;
#[path = "documents/markdown.rs"]
mod markdown;
#[path = "documents/settings.rs"]
mod settings;

use console::Terminal;
use markdown::Document;
use std::collections::BTreeSet;
use testkit::{Call, Origin, Up};

/// What users read, beside the top-level pages.
const DIRECTORIES: [&str; 3] = ["", "docs", "docs/adr"];

fn documents() -> Vec<Document> {
    DIRECTORIES.iter().flat_map(|directory| Document::in_directory(directory)).collect()
}

#[test]
fn links_lead_to_files_and_sections_that_exist() {
    let documents = documents();
    assert!(documents.len() > 8, "documents were found");
    let broken: Vec<String> = documents.iter().flat_map(Document::broken_links).collect();
    assert_eq!(broken, [""; 0]);
}

#[test]
fn toml_is_a_site_or_the_configuration_of_an_edge() {
    let mut blocks = 0;
    for document in documents() {
        for block in document.blocks("toml") {
            blocks += 1;
            let value: serde_json::Value = toml::from_str(&block.text)
                .unwrap_or_else(|error| panic!("{}: {error}", block.place));
            let wrong = if value.get("name").is_some() {
                settings::problems_of_site(value)
            } else {
                settings::unknown_edge_keys(&value)
            };
            assert!(wrong.is_empty(), "{}: {wrong:?}", block.place);
        }
    }
    assert!(blocks > 3, "blocks were found");
}

#[test]
fn every_operation_of_the_api_has_a_section_and_no_other() {
    let openapi = std::fs::read_to_string(markdown::root().join("control/openapi.json")).unwrap();
    let openapi: serde_json::Value = serde_json::from_str(&openapi).unwrap();
    let paths = openapi["paths"].as_object().unwrap().iter();
    let operations: BTreeSet<String> = paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let api = Document::read("docs/api.md");
    let sections: BTreeSet<String> = api
        .headings()
        .filter(|heading| heading.contains(" /"))
        .map(|heading| heading.replace('`', ""))
        .collect();
    assert_eq!(sections, operations);
}

#[tokio::test]
async fn every_metric_is_listed_and_no_other() {
    let up = Up::start().await;
    up.get("demo.localhost", "/").await;
    let admin = up.program.ready["admin"].as_str().unwrap().trim_start_matches("http://");
    let mut exposed = BTreeSet::new();
    for address in [admin.parse().unwrap(), up.control()] {
        let page = Call::new(address, "GET", "metrics", "/metrics").send().await;
        let types = page.text().lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let types = types.filter(|line| !line.starts_with("longshore_edge_disk_"));
        exposed.extend(types.map(str::to_owned));
    }
    let listed: BTreeSet<String> = Document::read("docs/operating.md")
        .rows()
        .filter(|row| row[0].starts_with("`longshore_"))
        // those of directories are compared in the edge's own tests
        .filter(|row| !row[0].starts_with("`longshore_edge_disk_"))
        .map(|row| format!("{} {}", row[0].trim_matches('`'), row[1]))
        .collect();
    assert_eq!(listed, exposed);
}

#[test]
fn alerts_are_rules_on_metrics_that_exist() {
    let text = std::fs::read_to_string(markdown::root().join("config/alerts.yml")).unwrap();
    let rules = alerts::rules(&text);
    assert!(rules.len() > 5, "rules were found");
    let operating = Document::read("docs/operating.md");
    let listed: BTreeSet<&str> = operating.rows().map(|row| row[0].trim_matches('`')).collect();
    for rule in rules {
        let metrics = rule.metrics();
        assert!(!metrics.is_empty(), "{rule:?}");
        let unknown: Vec<&str> =
            metrics.into_iter().filter(|metric| !listed.contains(metric)).collect();
        assert_eq!(unknown, [""; 0], "{}", rule.name);
    }
}

/// Every transcript of a page, in order, in a terminal of its own.
async fn check_transcripts(page: &str) {
    let document = Document::read(page);
    let origin = Origin::start().await;
    let page = "<h1>Hello</h1>\n";
    origin
        .on("/")
        .respond(200)
        .header("Server", "nginx")
        .header("Content-Type", "text/html")
        .header("Last-Modified", "Fri, 20 Nov 2026 08:00:00 GMT")
        .header("ETag", "\"6740f3c0-f\"")
        .body(page);
    let mut terminal = Terminal::start(origin.address()).await;
    for step in console::steps(&document) {
        terminal.run(&step).await;
    }
    terminal.end().await;
}

#[tokio::test]
async fn the_tour_shows_what_happens() {
    check_transcripts("README.md").await;
}

#[tokio::test]
async fn the_examples_of_the_api_show_what_happens() {
    check_transcripts("docs/api.md").await;
}

#[tokio::test]
async fn the_examples_of_the_command_line_show_what_happens() {
    check_transcripts("docs/cli.md").await;
}

#[tokio::test]
async fn the_examples_of_caching_show_what_happens() {
    check_transcripts("docs/caching.md").await;
}

#[tokio::test]
async fn the_examples_of_purging_show_what_happens() {
    check_transcripts("docs/purging.md").await;
}

#[tokio::test]
async fn the_examples_of_operating_show_what_happens() {
    check_transcripts("docs/operating.md").await;
}
