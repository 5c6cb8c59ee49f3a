//! Requests that are wrong before their body: path, query, method, token, header fields.

use super::chance::Chance;
use super::document;
use super::some_site;
use super::wrong::{Installation, Wrong};

const JSON: &str = "application/json";

/// Paths that name nothing, or try to name something else.
pub(crate) fn path(chance: &mut Chance, installation: &Installation) -> Wrong {
    let (site, word) = (some_site(chance), chance.word(12));
    let byte = chance.below(256);
    let paths = [
        format!("/v1/sites/../sites/{site}"),
        format!("/v1/sites/./{site}"),
        format!("//v1/sites/{site}"),
        format!("/v1//sites/{site}"),
        format!("/v1/sites/{site}/"),
        format!("/v1/sites/{site};{word}"),
        format!("/v1/sites/{site}%2Fpurge"),
        format!("/v1/sites/{site}%00"),
        format!("/v1/sites/{site}%20"),
        format!("/v1/sites/{}", site.to_uppercase()),
        format!("/v1/sites/%{byte:02x}%{:02X}", chance.below(256)),
        format!("/v1/sites/..%2f..%2f..%2fetc%2f{word}"),
        format!("/v1/sites/{word}'%20OR%20'1'='1"),
        format!("/v1/sites/{}", word.repeat(1 + chance.below(400))),
        format!("/v1/sites/site_{}", "0".repeat(26)),
        format!("/v1/{word}"),
        format!("/{word}/v1/sites"),
        format!("/V1/SITES/{site}"),
        format!("/v1/sites/{site}/{word}"),
    ];
    let method = *chance.one_of(&["GET", "DELETE"]);
    let target: &String = chance.one_of(&paths);
    Wrong::new(installation, method, target, 404, "there is no")
}

pub(crate) fn token(chance: &mut Chance, installation: &Installation) -> Wrong {
    let admin = &installation.admin;
    let right = format!("Bearer {admin}");
    let values = match chance.below(10) {
        0 => vec![],
        1 => vec![format!("Bearer ls_{}", chance.word(64))],
        2 => vec![format!("Bearer {admin}x")],
        3 => vec![format!("Bearer {}", admin.to_uppercase())],
        4 => vec![format!("Basic {admin}")],
        5 => vec!["Bearer".to_owned()],
        6 => vec![right.clone(), right],
        7 => vec![admin.clone()],
        8 => vec![format!("Bearer {}", chance.word(9_000))],
        _ => vec![format!("Bearer {admin}, Bearer {admin}")],
    };
    let names = if values.is_empty() { "Authorization is missing" } else { "token" };
    let target =
        *chance.one_of(&["/v1/sites", "/v1/edges", "/v1/feed?after=0", "/v1/sites/site-1"]);
    let names = if values.len() > 1 { "Authorization" } else { names };
    Wrong::new(installation, "GET", target, 401, names).authorization(&values)
}

pub(crate) fn scope(chance: &mut Chance, installation: &Installation) -> Wrong {
    let site = format!("/v1/sites/{}", some_site(chance));
    let edge = format!("/v1/edges/edge_{}", "0".repeat(26));
    let cases = [
        ("POST", "/v1/sites".to_owned(), "sites:write"),
        ("PUT", site.clone(), "sites:write"),
        ("DELETE", site.clone(), "sites:write"),
        ("POST", format!("{site}/purge"), "purge"),
        ("GET", "/v1/feed?after=0".to_owned(), "edge"),
        ("PUT", edge.clone(), "edge"),
        ("DELETE", edge, "admin"),
    ];
    let (method, target, scope) = chance.one_of(&cases);
    let wrong = Wrong::new(installation, method, target, 403, scope);
    wrong.authorization(&[format!("Bearer {}", installation.reader)])
}

pub(crate) fn method(chance: &mut Chance, installation: &Installation) -> Wrong {
    let targets = [
        "/v1/sites",
        "/v1/sites/site-1",
        "/v1/edges",
        "/v1/feed",
        "/healthz",
        "/metrics",
        "/openapi.json",
    ];
    let target = *chance.one_of(&targets);
    let methods = ["PATCH", "OPTIONS", "TRACE", "BREW", "get", "PROPFIND", "POSTS", "M-SEARCH"];
    let method = *chance.one_of(&methods);
    Wrong::new(installation, method, target, 405, "does not answer this method")
}

pub(crate) fn query(chance: &mut Chance, installation: &Installation) -> Wrong {
    let word = chance.word(6);
    let large = 201 + chance.below(10_000);
    let (target, field) = match chance.below(9) {
        0 => (format!("/v1/sites?limit={large}"), "limit".to_owned()),
        1 => ("/v1/sites?limit=0".to_owned(), "limit".to_owned()),
        2 => (format!("/v1/sites?limit={word}x"), "limit".to_owned()),
        3 => ("/v1/sites?limit=5&limit=5".to_owned(), "limit".to_owned()),
        4 => (format!("/v1/sites?after={word}"), "after".to_owned()),
        5 => (format!("/v1/sites?x{word}=1"), format!("x{word}")),
        6 => (format!("/v1/edges?x{word}"), format!("x{word}")),
        7 => (format!("/v1/feed?after=-{large}"), "after".to_owned()),
        _ => (format!("/v1/feed?after=1&log={word}"), "log".to_owned()),
    };
    Wrong::new(installation, "GET", &target, 400, "").field(field)
}

pub(crate) fn precondition(chance: &mut Chance, installation: &Installation) -> Wrong {
    let target = format!("/v1/sites/{}", some_site(chance));
    let document = document::right(chance).to_string();
    let wrong = |status, names| Wrong::new(installation, "PUT", &target, status, names);
    let wrong = match chance.below(5) {
        0 => wrong(428, "If-Match"),
        1 => wrong(412, "revision 1").with("If-Match", &format!("\"{}\"", 2 + chance.below(1_000))),
        2 => wrong(412, "revision 1").with("If-Match", "W/\"1\""),
        3 => wrong(412, "revision 1").with("If-Match", &format!("\"{}\"", chance.word(5))),
        _ => wrong(400, "If-Match").with("If-Match", &chance.word(5)),
    };
    wrong.body(JSON, document)
}

pub(crate) fn key(chance: &mut Chance, installation: &Installation) -> Wrong {
    let key = match chance.below(3) {
        0 => String::new(),
        1 => chance.word(256 + chance.clone().below(500)),
        _ => format!("{}\t{}", chance.word(3), chance.word(3)),
    };
    let wrong = Wrong::new(installation, "POST", "/v1/sites", 400, "Idempotency-Key");
    let document = document::right(chance).to_string();
    wrong.with("Idempotency-Key", &key).body(JSON, document)
}
