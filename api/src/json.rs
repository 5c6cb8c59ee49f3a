//! Reads JSON in which no object has two members of one name.
//!
//! What two such members mean is left to each reader (RFC 8259 §4): one takes the first, one the last. A document
//! that people write is refused instead, as TOML with a key that stands twice is.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Reads a JSON text.
///
/// # Errors
/// What is no JSON, and a member that stands twice, each with line and column.
pub fn parse(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text).map(|Unambiguous(value)| value)
}

struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                let name = crate::check::shorten(&name);
                return Err(A::Error::custom(format!("the member `{name}` stands there twice")));
            }
            let Unambiguous(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_member_that_stands_twice_is_named_with_its_place() {
        let check = |text: &str, expected: &str| {
            let message = parse(text.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(message.unwrap_err(), expected, "{text}");
        };
        let twice = "the member `a` stands there twice at line 1 column";
        check(r#"{"a":1,"a":1}"#, &format!("{twice} 10"));
        check(r#"{"a":1,"\u0061":2}"#, &format!("{twice} 15"));
        check(r#"{"b":[{"a":1},{"a":1,"c":2,"a":3}]}"#, &format!("{twice} 30"));
        let long = "x".repeat(1_000);
        let message = parse(format!("{{\"{long}\":1,\"{long}\":1}}").as_bytes()).unwrap_err();
        assert!(message.to_string().len() < 200, "{message}");
    }

    #[test]
    fn other_objects_may_have_a_member_of_the_same_name() {
        let text = r#"{"a":{"a":[{"a":1},{"a":-1.5}]},"b":null}"#;
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
    }

    proptest! {
        #[test]
        fn all_else_is_read_as_ever(text in r#"[\[\]{}",:0-9ea. \\-]{0,24}|\{("[a-d]":[0-9]{1,25},){0,2}"e":-?[0-9.e]{1,5}\}"#) {
            let (ours, theirs) = (parse(text.as_bytes()), serde_json::from_str::<Value>(&text));
            match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
                (Err(ours), Ok(_)) => prop_assert!(ours.to_string().contains("twice"), "{}", ours),
                (Err(_), Err(_)) => {}
                (Ok(ours), Err(error)) => prop_assert!(false, "{} {}", ours, error),
            }
        }
    }
}
