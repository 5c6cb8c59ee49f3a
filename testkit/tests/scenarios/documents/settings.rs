//! `docs/configuration.md` against the types, the shipped file, and the programs' own words.

use super::markdown::{self, Document};
use api::check::parse;
use api::site::Site;
use api::site::origin::Origin;
use api::site::rule::{Redirect, Rewrite, Rule};
use api::site::tls::{ClientAuth, Hsts, Tls};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// A key as the page describes it.
struct Described {
    default: String,
    range: String,
}

/// The keys of one section's tables: key, default, range or limits.
fn described(is_wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Described> {
    let page = Document::read("docs/configuration.md");
    let mut found = BTreeMap::new();
    for row in page.rows().filter(|row| row.len() == 4) {
        let key = row[0].trim_matches('`').to_owned();
        if is_wanted(&key) {
            let own = Described { default: row[1].to_owned(), range: row[2].to_owned() };
            assert!(found.insert(key.clone(), own).is_none(), "{key} is described twice");
        }
    }
    found
}

fn shipped() -> String {
    std::fs::read_to_string(markdown::root().join("config/edge.toml")).unwrap()
}

/// `section.key` and value of everything in a table of tables, `section.key.key` of tables in these, and
/// `section.key[].key` of lists of tables.
fn flat(table: &toml::Table) -> BTreeMap<String, toml::Value> {
    let sections = table.iter().flat_map(|(section, keys)| {
        let keys = keys.as_table().unwrap().iter();
        keys.map(move |(key, value)| (format!("{section}.{key}"), value.clone()))
    });
    let mut found: BTreeMap<_, _> = sections.collect();
    for (key, value) in found.clone() {
        if let Some(table) = value.as_table() {
            found.remove(&key);
            found.extend(table.iter().map(|(own, value)| (format!("{key}.{own}"), value.clone())));
        }
        for item in value.as_array().into_iter().flatten().filter_map(toml::Value::as_table) {
            found.extend(item.iter().map(|(own, value)| (format!("{key}[].{own}"), value.clone())));
        }
    }
    found
}

/// The shipped file with every key that stands in a comment.
fn every_edge_key() -> BTreeMap<String, toml::Value> {
    let shipped = shipped();
    let uncommented = shipped.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| is_key(key)) => rest.to_owned(),
        Some(rest) if rest.starts_with('[') => rest.to_owned(),
        _ => line.to_owned(),
    });
    flat(&uncommented.collect::<Vec<_>>().join("\n").parse().unwrap())
}

fn is_key(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Keys of a document that an edge's configuration does not have.
pub(crate) fn unknown_edge_keys(document: &Value) -> Vec<String> {
    let known = every_edge_key();
    let table: toml::Table = toml::Table::try_from(document).unwrap();
    flat(&table).into_keys().filter(|key| !known.contains_key(key)).collect()
}

/// What is wrong with a site.
pub(crate) fn problems_of_site(document: Value) -> Vec<String> {
    let problems = parse::<Site>(document).err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn every_key_of_an_edge_is_described_with_its_default() {
    let shipped = flat(&shipped().parse().unwrap());
    let every = every_edge_key();
    let described = described(is_edge_key);
    assert_eq!(described.keys().collect::<Vec<_>>(), every.keys().collect::<Vec<_>>());
    for (key, own) in &described {
        match shipped.get(key) {
            Some(value) => assert_eq!(own.default, format!("`{value}`"), "{key}"),
            None => assert!(!own.default.contains('`'), "{key} has no default"),
        }
    }
}

/// Whether a key stands in a section that no site document has.
fn is_edge_key(key: &str) -> bool {
    const SECTIONS: [&str; 15] = [
        "node",
        "http",
        "http2",
        "https",
        "admin",
        "control",
        "feed",
        "state",
        "memory",
        "disk",
        "collapse",
        "origins",
        "access_log",
        "geo",
        "purge",
    ];
    key.split_once('.').is_some_and(|(section, _)| SECTIONS.contains(&section))
}

/// The edge names every number that is out of range, with its limits.
#[test]
fn ranges_of_an_edge_are_the_ones_it_enforces() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("edge.toml");
    let numbers = every_edge_key().into_iter().filter(|(_, value)| value.is_integer());
    let lines = numbers.map(|(key, _)| match key.split_once("[].") {
        Some((list, own)) => format!("{list} = [{{ path = \"p\", {own} = {} }}]\n", i64::MAX),
        None => format!("{key} = {}\n", i64::MAX),
    });
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let run =
        Command::new(testkit::program_path("longshore-edge")).arg("--config").arg(&file).output();
    let run = run.unwrap();
    assert_eq!(run.status.code(), Some(2));
    let log = String::from_utf8(run.stderr).unwrap();
    let described = described(|key| every_edge_key().get(key).is_some_and(toml::Value::is_integer));
    for (key, own) in described {
        let (least, most) = own.range.split_once(" to ").unwrap_or_else(|| panic!("{key}"));
        let named = key.replace("[]", "[0]");
        let enforced = format!("longshore-edge: {named}: must be {least} to {most} ");
        let line = log.lines().find(|line| line.starts_with(&enforced));
        let value = format!("(got {})", i64::MAX);
        assert!(line.is_some_and(|line| line.ends_with(&value)), "{enforced} is not in {log}");
    }
}

/// A site with every field.
fn full_site() -> Value {
    let mut site: Site = parse(json!({
        "name": "full", "hosts": ["a.example"],
        "origins": [{ "name": "main", "url": "https://127.0.0.1:9", "host_header": "b.example",
            "shield": true, "protocol": "auto",
            "tls": { "server_name": "c.example", "ca": testkit::Authority::new().root(),
                "pins": ["0".repeat(64)],
                "client_certificate": testkit::Feed::certificate_id(1) } }],
        "rules": [{ "paths": ["/*"], "origin": "main",
            "request_headers": { "set": { "A": "b" }, "remove": ["C"] },
            "response_headers": { "set": { "A": "b" }, "remove": ["C"] } }],
        "cache": { "enabled": true, "lifetime_seconds": 1, "default_lifetime_seconds": 1,
            "stale_while_revalidate_seconds": 1, "stale_if_error_seconds": 1,
            "status_lifetimes_seconds": { "404": 1 }, "heuristic": true, "store_set_cookie": true,
            "store_post": true, "honour_request_directives": true, "surrogate_control": true,
            "forward_cdn_cache_control": true,
            "slices": false,
            "bypass": { "headers": ["A"], "cookies": ["a"], "query": ["a"] },
            "key": { "query": "all", "sort_query": true, "headers": ["A"], "cookies": ["a"],
                "country": true, "device": true } },
        "tls": { "minimum_version": "1.3", "hsts": { "max_age_seconds": 1 },
            "client_auth": { "ca": "-----BEGIN CERTIFICATE-----" } },
    }))
    .unwrap();
    site.rules[0].redirect = Some(Redirect { to: "/".to_owned(), ..Redirect::default() });
    site.rules[0].rewrite = Some(Rewrite { to: "/".to_owned() });
    serde_json::to_value(site).unwrap()
}

/// The paths of all leaves. The own path of a map, of a plain list and of what is empty is a leaf.
fn leaves(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    let of_objects = |items: &[Value]| items.first().is_some_and(Value::is_object);
    let is_map = path.ends_with(".set") || path.ends_with(".status_lifetimes_seconds");
    match value {
        Value::Object(members) if !members.is_empty() && !is_map => {
            for (member, value) in members {
                let dot = if path.is_empty() { "" } else { "." };
                leaves(&format!("{path}{dot}{member}"), value, found);
            }
        }
        Value::Array(items) if of_objects(items) => leaves(&format!("{path}[]"), &items[0], found),
        _ => drop(found.insert(path.to_owned(), value.clone())),
    }
}

/// What fields are where a document leaves them out.
fn site_defaults() -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut add = |path: &str, value: Value| leaves(path, &value, &mut found);
    add("origins[]", serde_json::to_value(Origin::default()).unwrap());
    // left out where it is false
    add("origins[].shield", Origin::default().shield.into());
    add("rules[]", serde_json::to_value(Rule::default()).unwrap());
    add("tls", serde_json::to_value(Tls::default()).unwrap());
    add("tls.hsts", serde_json::to_value(Hsts::default()).unwrap());
    add("tls.client_auth", serde_json::to_value(ClientAuth::default()).unwrap());
    add("rules[].redirect", serde_json::to_value(Redirect::default()).unwrap());
    found
}

#[test]
fn every_field_of_a_site_is_described_with_its_default() {
    let mut fields = BTreeMap::new();
    leaves("", &full_site(), &mut fields);
    let names: BTreeSet<String> = fields.into_keys().collect();
    let is_site_key = |key: &str| {
        let first = key.split(['.', '[']).next().unwrap_or_default();
        !is_edge_key(key) && ["name", "hosts", "origins", "rules", "cache", "tls"].contains(&first)
    };
    let described = described(is_site_key);
    let own: BTreeSet<String> = described.keys().cloned().collect();
    assert_eq!(own, names);
    let defaults = site_defaults();
    for (key, own) in described {
        let simple = |value: &&Value| value.is_number() || value.is_boolean();
        match defaults.get(&key).filter(simple) {
            Some(value) => assert_eq!(own.default, format!("`{value}`"), "{key}"),
            None if key.starts_with("cache.") => assert_eq!(own.default, cache_default(&key)),
            None => assert!(!own.default.contains('`'), "{key} has no default"),
        }
    }
}

/// What the API's own description says of a caching field's default.
fn cache_default(key: &str) -> String {
    let openapi = std::fs::read_to_string(markdown::root().join("control/openapi.json")).unwrap();
    let openapi: Value = serde_json::from_str(&openapi).unwrap();
    let (schema, name) = match key.split('.').collect::<Vec<_>>()[..] {
        [_, "bypass", name] => ("CacheBypass", name),
        [_, "key", name] => ("CacheKey", name),
        [_, name] => ("Cache", name),
        _ => panic!("{key} is no caching field"),
    };
    let property = &openapi["components"]["schemas"][schema]["properties"][name];
    let described = [&property["description"], &property["oneOf"][1]["description"]];
    let text = described.iter().find_map(|description| description.as_str());
    let text = text.unwrap_or_else(|| panic!("{key} in {property}"));
    let default = text.rsplit_once("Default: ").unwrap().1.trim_end_matches('.').replace('\n', " ");
    let literal = default == "true" || default == "false" || default.parse::<u64>().is_ok();
    if literal { format!("`{default}`") } else { default }
}

/// Numbers of a site that are out of range are refused with the limits described.
#[test]
fn limits_of_a_site_are_the_ones_enforced() {
    let mut described = described(|key| key.ends_with("_seconds") && !is_edge_key(key));
    described.retain(|key, _| key.starts_with("origins[]") || key.starts_with("cache."));
    assert_eq!(described.len(), 9);
    for (key, own) in described {
        let mut site = full_site();
        site["rules"][0].as_object_mut().unwrap().remove("rewrite");
        let mut pointer = format!("/{}", key.replace("[]", "/0").replace('.', "/"));
        if key == "cache.status_lifetimes_seconds" {
            pointer.push_str("/404");
        }
        *site.pointer_mut(&pointer).unwrap() = json!(u32::MAX);
        let problems = problems_of_site(site);
        let expected = format!("must be {} seconds", own.range);
        assert!(problems.len() == 1 && problems[0].contains(&expected), "{key}: {problems:?}");
    }
}
