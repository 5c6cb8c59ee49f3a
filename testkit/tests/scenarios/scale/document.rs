//! Site documents with one thing wrong, and the field it is wrong in.

use super::chance::Chance;
use serde_json::{Value, json};

/// A site with nearly every field. Its name and host are nobody's.
pub(crate) fn right(chance: &mut Chance) -> Value {
    let name = format!("new-{}", chance.word(8));
    json!({
        "name": name,
        "hosts": [format!("{name}.example"), format!("*.{name}.example")],
        "origins": [{
            "name": "main", "url": "http://127.0.0.1:9", "host_header": "b.example",
            "tls": { "verify": true, "server_name": "c.example" },
            "connect_timeout_seconds": 5, "read_timeout_seconds": 60,
        }],
        "rules": [{
            "paths": ["/a/*"], "origin": "main", "rewrite": { "to": "/b/$1" },
            "cache": { "enabled": true, "lifetime_seconds": 1 },
            "request_headers": { "set": { "X-A": "b" }, "remove": ["X-C"] },
            "response_headers": { "set": { "X-A": "b" }, "remove": ["X-C"] },
        }, {
            "paths": ["/old"], "redirect": { "to": "/new", "status": 301 },
        }],
        "cache": { "default_lifetime_seconds": 1, "stale_if_error_seconds": 1, "store_set_cookie": false },
    })
}

/// A document with a value of a type that its field does not have.
pub(crate) fn wrong_type(chance: &mut Chance) -> (Value, String) {
    let mut document = right(chance);
    let mut pointers = pointers(&document, |_| true);
    pointers.push(String::new());
    let pointer = chance.one_of(&pointers).clone();
    let place = place(&mut document, &pointer);
    let others = [json!(-7.5), json!("seven"), json!(true), json!({ "seven": 7 }), json!([[7]])];
    let others: Vec<&Value> = others.iter().filter(|other| kind(other) != kind(place)).collect();
    // a list stands for an object where its items are the fields in order: that is refused by another check
    *place = (*chance.one_of(&others)).clone();
    (document, field(&pointer))
}

/// A document with a field that there is none of.
pub(crate) fn unknown_field(chance: &mut Chance) -> (Value, String) {
    let mut document = right(chance);
    let mut pointers = pointers(&document, |value| value.is_object());
    pointers.retain(|pointer| !pointer.ends_with("/set"));
    pointers.push(String::new());
    let pointer = chance.one_of(&pointers).clone();
    let name = format!("x_{}", chance.word(6));
    place(&mut document, &pointer)[&name] = json!(chance.below(9));
    (document, field(&format!("{pointer}/{name}")))
}

/// A document with a value of the right type that is not allowed.
pub(crate) fn wrong_value(chance: &mut Chance) -> (Value, String) {
    let long = "x".repeat(300 + chance.below(300));
    let cases: &[(&str, Value)] = &[
        ("/name", json!("A b")),
        ("/name", json!("")),
        ("/name", json!(long)),
        ("/name", json!("-a")),
        ("/hosts", json!([])),
        ("/hosts", json!(vec!["h"; 101])),
        ("/hosts/0", json!("http://a.example")),
        ("/hosts/0", json!("a.example:80")),
        ("/hosts/0", json!("a..example/../..")),
        ("/hosts/1", json!("*.*.example")),
        ("/hosts/1", json!(long)),
        ("/origins", json!([])),
        ("/origins/0/name", json!("Main Street")),
        ("/origins/0/url", json!("ftp://127.0.0.1")),
        ("/origins/0/url", json!("http://127.0.0.1:99999")),
        ("/origins/0/url", json!("http://user:password@127.0.0.1")),
        ("/origins/0/url", json!("http://127.0.0.1/path")),
        ("/origins/0/host_header", json!("a.example/b")),
        ("/origins/0/host_header", json!("a\r\nX-B: c")),
        ("/origins/0/tls/server_name", json!("*.example")),
        ("/origins/0/connect_timeout_seconds", json!(0)),
        ("/origins/0/connect_timeout_seconds", json!(3_601)),
        ("/origins/0/connect_timeout_seconds", json!(-1)),
        ("/origins/0/read_timeout_seconds", json!(u64::MAX)),
        ("/rules/0/paths", json!([])),
        ("/rules/0/paths/0", json!("a/*")),
        ("/rules/0/paths/0", json!(format!("/{}", "*".repeat(10)))),
        ("/rules/0/origin", json!("nobody")),
        ("/rules/0/rewrite/to", json!("b?c")),
        ("/rules/0/rewrite/to", json!("/b/$2")),
        ("/rules/0/request_headers/set/X-A", json!("b\r\nX-B: c")),
        ("/rules/0/request_headers/remove/0", json!("X C")),
        ("/rules/0/response_headers/remove/0", json!("Content-Length")),
        ("/rules/0/cache/lifetime_seconds", json!(31_536_001)),
        ("/rules/1/redirect/to", json!("//evil.example")),
        ("/rules/1/redirect/to", json!("javascript:alert(1)")),
        ("/rules/1/redirect/status", json!(200)),
        ("/cache/stale_if_error_seconds", json!(u32::MAX)),
    ];
    let (pointer, value) = chance.one_of(cases).clone();
    let mut document = right(chance);
    *place(&mut document, pointer) = value;
    (document, field(pointer))
}

fn place<'d>(document: &'d mut Value, pointer: &str) -> &'d mut Value {
    document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is in the document"))
}

/// Where the values are that `is_wanted`, below the document itself.
fn pointers(document: &Value, is_wanted: impl Fn(&Value) -> bool + Copy) -> Vec<String> {
    let members: Vec<(String, &Value)> = match document {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), value)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (member, value) in members {
        if is_wanted(value) {
            found.push(format!("/{member}"));
        }
        found.extend(pointers(value, is_wanted).iter().map(|below| format!("/{member}{below}")));
    }
    found
}

/// A place as control names it: `rules[0].paths[1]`.
fn field(pointer: &str) -> String {
    let mut text = String::new();
    for member in pointer.split('/').skip(1) {
        match member.parse::<usize>() {
            Ok(index) => text.push_str(&format!("[{index}]")),
            Err(_) if text.is_empty() => text.push_str(member),
            Err(_) => text.push_str(&format!(".{member}")),
        }
    }
    text
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}
