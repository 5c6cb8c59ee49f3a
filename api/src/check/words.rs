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
