//! What serde says of a wrong shape, in words for people who know JSON or TOML and not Rust.

/// The detail of a problem, from the message of a serde error.
#[must_use]
pub fn plain(message: &str) -> String {
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("the member {field} is missing");
    }
    if message.starts_with("unknown field ") {
        return unknown_field(message);
    }
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if message.starts_with("invalid ") => {
            format!("must be {}", shape(expected))
        }
        _ => message.to_owned(),
    }
}

fn unknown_field(message: &str) -> String {
    let Some((_, known)) = message.rsplit_once(", expected ") else {
        return "is no known field; there are none".to_owned();
    };
    let known = known.strip_prefix("one of ").unwrap_or(known).replace(" or ", ", ");
    let verb = if known.contains(", ") { "are" } else { "is" };
    format!("is no known field; known {verb} {known}")
}

fn shape(expected: &str) -> String {
    let text = match expected {
        "a sequence" => "a list",
        "a map" => "an object",
        "a string" => "text",
        "a boolean" => "true or false",
        "path string" => "a path",
        "u8" => return whole_number(u8::MAX.into()),
        "u16" => return whole_number(u16::MAX.into()),
        "u32" => return whole_number(u32::MAX.into()),
        "u64" => return whole_number(u64::MAX),
        // serde reads a list as an object's members in order, and finds too many or too few
        "fewer elements in array" => "an object, not a list",
        _ if expected.starts_with("struct ") => "an object",
        other => other,
    };
    text.to_owned()
}

fn whole_number(most: u64) -> String {
    format!("a whole number from 0 to {most}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::parse;
    use crate::site::Site;
    use serde_json::{Value, json};

    #[test]
    fn wrong_shapes_are_told_without_words_of_the_implementation() {
        let check = |document: Value, field: &str, detail: &str| {
            let problems = parse::<Site>(document.clone()).unwrap_err();
            let found = problems.iter().find(|problem| problem.field == field);
            assert_eq!(found.map(|problem| problem.detail.as_str()), Some(detail), "{document}");
        };
        let origin = |member: &str, value: Value| json!({"origins": [{ member: value }]});
        let rule = |member: &str, value: Value| json!({"rules": [{ member: value }]});
        let whole = |most: u32| format!("must be a whole number from 0 to {most}");
        for document in [json!(null), json!(4), json!("x")] {
            check(document, "", "must be an object");
        }
        for document in [json!([]), json!([1, 2, 3, 4, 5, 6, 7])] {
            check(document, "", "must be an object, not a list");
        }
        check(json!({"name": 7}), "name", "must be text");
        check(json!({"name": null}), "name", "must be text");
        check(json!({"hosts": "a"}), "hosts", "must be a list");
        check(json!({"hosts": {"a": "b"}}), "hosts", "must be a list");
        check(json!({"hosts": [5]}), "hosts[0]", "must be text");
        for list in ["origins", "rules"] {
            let detail = format!("must be a list; in TOML `[[{list}]]`");
            check(json!({ list: {"name": "a"} }), list, &detail);
            check(json!({ list: {"name": "a"}, "hosts": 5 }), list, &detail);
            check(json!({ list: "a" }), list, "must be a list");
            check(json!({ list: ["a"] }), &format!("{list}[0]"), "must be an object");
        }
        check(json!({"cache": true}), "cache", "must be an object");
        check(json!({"cache": {"enabled": "yes"}}), "cache.enabled", "must be true or false");
        let seconds = "origins[0].read_timeout_seconds";
        for wrong in [json!("5"), json!(-1), json!(1.5), json!(1e30), json!(u64::MAX), json!({})] {
            check(origin("read_timeout_seconds", wrong), seconds, &whole(u32::MAX));
        }
        check(
            rule("redirect", json!({"status": "301"})),
            "rules[0].redirect.status",
            &whole(65_535),
        );
        check(rule("redirect", json!("/b")), "rules[0].redirect", "must be an object");
        check(
            rule("rewrite", json!({"from": 1})),
            "rules[0].rewrite.from",
            "is no known field; known is `to`",
        );
        let set = json!({"set": ["a"]});
        check(rule("request_headers", set), "rules[0].request_headers.set", "must be an object");
        let known = "is no known field; known are `set`, `remove`";
        check(rule("request_headers", json!({"sets": {}})), "rules[0].request_headers.sets", known);
        let known =
            "is no known field; known are `name`, `hosts`, `origins`, `rules`, `cache`, `tls`";
        check(json!({"colour, expected x": {}}), "colour, expected x", known);
    }

    #[test]
    fn messages_that_are_no_shape_are_kept() {
        for (message, expected) in [
            ("missing field `adopted`", "the member `adopted` is missing"),
            ("`x` is not an id", "`x` is not an id"),
            ("unknown field `x`, there are no fields", "is no known field; there are none"),
            ("invalid type: null, expected a good day", "must be a good day"),
        ] {
            assert_eq!(plain(message), expected);
        }
    }
}
