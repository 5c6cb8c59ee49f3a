//! Requests whose body is wrong, or how it is labelled.

use super::chance::Chance;
use super::document;
use super::some_site;
use super::wrong::{Installation, Wrong};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const TOML: &str = "application/toml";
/// One more than a document may have.
const TOO_MANY_BYTES: usize = 262_145;

/// A site to be made, or one that is there to be replaced.
fn write(chance: &mut Chance, installation: &Installation, status: u16, detail: &str) -> Wrong {
    if chance.below(2) == 0 {
        return Wrong::new(installation, "POST", "/v1/sites", status, detail);
    }
    let target = format!("/v1/sites/{}", some_site(chance));
    Wrong::new(installation, "PUT", &target, status, detail).with("If-Match", "*")
}

/// A document in one of the two formats.
fn documented(
    chance: &mut Chance,
    installation: &Installation,
    document: &Value,
    field: String,
) -> Wrong {
    let wrong = write(chance, installation, 422, "the document has").field(field);
    match toml::to_string(document) {
        Ok(text) if chance.below(2) == 0 => wrong.body(TOML, text),
        _ => wrong.body(JSON, document.to_string()),
    }
}

/// No JSON, no TOML.
pub(crate) fn syntax(chance: &mut Chance, installation: &Installation) -> Wrong {
    let document = document::right(chance).to_string();
    let colon = *chance.one_of(&["=", "", "::", ":\u{1}"]);
    let (media_type, body) = match chance.below(6) {
        0 => (JSON, document.as_bytes()[..chance.below(document.len())].to_vec()),
        1 => (JSON, [document.as_bytes(), b"}"].concat()),
        2 => (JSON, document.replacen(':', colon, 1).into_bytes()),
        3 => (JSON, "[".repeat(200 + chance.below(5_000)).into_bytes()),
        4 => (TOML, format!("name = 'a'\n{} = \n", chance.word(5)).into_bytes()),
        _ => (TOML, [b"name = '".as_slice(), &[0xff, 0xfe], b"'"].concat()),
    };
    let format = if media_type == JSON { "the body is not JSON" } else { "the body is not TOML" };
    write(chance, installation, 400, format).body(media_type, body)
}

pub(crate) fn types(chance: &mut Chance, installation: &Installation) -> Wrong {
    let (document, field) = document::wrong_type(chance);
    documented(chance, installation, &document, field)
}

pub(crate) fn unknown(chance: &mut Chance, installation: &Installation) -> Wrong {
    let (document, field) = document::unknown_field(chance);
    documented(chance, installation, &document, field)
}

pub(crate) fn values(chance: &mut Chance, installation: &Installation) -> Wrong {
    let (document, field) = document::wrong_value(chance);
    documented(chance, installation, &document, field)
}

pub(crate) fn huge(chance: &mut Chance, installation: &Installation) -> Wrong {
    let length = TOO_MANY_BYTES + chance.below(200_000);
    let body = match chance.below(3) {
        0 => vec![b' '; length],
        1 => [b"{\"name\": \"", vec![b'a'; length].as_slice(), b"\"}"].concat(),
        _ => vec![0; length],
    };
    let media_type = *chance.one_of(&[JSON, TOML]);
    write(chance, installation, 413, "longer than 262144 bytes").body(media_type, body)
}

pub(crate) fn media_type(chance: &mut Chance, installation: &Installation) -> Wrong {
    let document = document::right(chance).to_string();
    let types = [
        "text/plain",
        "text/json",
        "application/xml",
        "application/jsonp",
        "application/json/toml",
        "application/",
        "json",
        "*/*",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "",
        ";",
        "application/problem+json",
        "application/json application/toml",
        "application/j\u{e4}son",
    ];
    let own = chance.below(types.len() + 1);
    let wrong = write(chance, installation, 415, "named by Content-Type");
    match types.get(own) {
        Some(media_type) => wrong.body(media_type, document),
        None => wrong.unlabelled(document),
    }
}

/// A site that has the name or a host of another.
pub(crate) fn conflict(chance: &mut Chance, installation: &Installation) -> Wrong {
    let mut document = document::right(chance);
    let number = chance.below(super::SITES);
    document["origins"][0]["url"] = json!(installation.origin);
    let field = if chance.below(2) == 0 {
        document["name"] = json!(super::name(number));
        "name"
    } else {
        document["hosts"][1] = json!(super::host(number).to_uppercase());
        "hosts[1]"
    };
    let wrong = Wrong::new(installation, "POST", "/v1/sites", 409, "").field(field);
    wrong.body(JSON, document.to_string())
}

/// What edges are to do.
pub(crate) fn purge(chance: &mut Chance, installation: &Installation) -> Wrong {
    let elsewhere = "https://elsewhere.invalid/";
    let cases = [
        ("purge", json!({}), ""),
        ("purge", json!({ "everything": false }), ""),
        ("purge", json!({ "everything": "yes" }), "everything"),
        ("purge", json!({ "everything": true, "tags": ["a"] }), "everything"),
        ("purge", json!({ "everything": [true] }), "everything"),
        ("purge", json!({ "tags": ["a", "b c"] }), "tags[1]"),
        ("purge", json!({ "urls": ["/a", elsewhere] }), "urls[1]"),
        ("purge", json!({ "prefixes": [elsewhere] }), "prefixes[0]"),
        ("purge", json!({ "hosts": ["elsewhere.invalid"] }), "hosts[0]"),
        ("purge", json!({ "everything": true, "wait": "region" }), "wait"),
        ("revalidate", json!({ "paths": ["ftp://elsewhere.invalid/"] }), "paths[0]"),
        ("revalidate", json!({ "tags": ["a"], "refetch": -1 }), "refetch"),
        ("warm", json!({ "urls": ["/a"] }), "urls[0]"),
        ("warm", json!({ "sitemaps": [elsewhere] }), "sitemaps[0]"),
    ];
    let (operation, body, field) = chance.one_of(&cases);
    let target = format!("/v1/sites/{}/{operation}", some_site(chance));
    Wrong::new(installation, "POST", &target, 422, "").field(*field).body(JSON, body.to_string())
}

/// An edge's report.
pub(crate) fn report(chance: &mut Chance, installation: &Installation) -> Wrong {
    let cases = [
        (json!({ "http_address": 7 }), "http_address"),
        (
            json!({ "http_address": "a", "admin_address": "b", "software_version": "c", "adopted": -1 }),
            "adopted",
        ),
        (
            json!({ "http_address": "a", "admin_address": "b", "software_version": "c", "adopted": 1, "region": "A b" }),
            "region",
        ),
        (
            json!({ "http_address": "a", "admin_address": "b", "software_version": "c", "adopted": 1, "log": "x" }),
            "log",
        ),
    ];
    let (body, field) = chance.one_of(&cases);
    let target = format!("/v1/edges/edge_{}", "0".repeat(26));
    Wrong::new(installation, "PUT", &target, 422, "").field(*field).body(JSON, body.to_string())
}
