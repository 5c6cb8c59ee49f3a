//! Reads a document that an operator wrote, in TOML or JSON.

use crate::failure::Failure;
use api::problem::FieldProblem;
use api::site::DOCUMENT_MAX_BYTES;
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// A document, and what to call it in messages.
#[derive(Debug)]
pub(crate) struct Document {
    /// What was read.
    pub(crate) value: Value,
    /// The file, as it was named.
    pub(crate) file: String,
}

/// Reads `file`, or standard input for `-`. What ends in `.json` is JSON, in `.toml` TOML; else it is JSON when it
/// begins with `{`.
pub(crate) fn read(file: &Path) -> Result<Document, Failure> {
    let bytes = read_bounded(file).map_err(|error| Failure::file(file, error))?;
    let name = if is_stdin(file) { "stdin".to_owned() } else { file.display().to_string() };
    let extension = file.extension().and_then(|extension| extension.to_str());
    match parse(&bytes, extension) {
        Ok(value) => Ok(Document { value, file: name }),
        Err(detail) => {
            let problem = FieldProblem { field: String::new(), detail, value: None };
            Err(Failure::Document { file: name, problems: vec![problem] })
        }
    }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn read_bounded(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let one_too_many = DOCUMENT_MAX_BYTES as u64 + 1;
    if is_stdin(file) {
        std::io::stdin().take(one_too_many).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)?.take(one_too_many).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn parse(bytes: &[u8], extension: Option<&str>) -> Result<Value, String> {
    if bytes.len() > DOCUMENT_MAX_BYTES {
        return Err(format!("must be at most {DOCUMENT_MAX_BYTES} bytes long"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| format!("must be UTF-8: {error}"))?;
    let json = match extension {
        Some("json") => true,
        Some("toml") => false,
        _ => text.trim_start().starts_with('{'),
    };
    if json {
        api::json::parse(bytes).map_err(|error| format!("is no JSON: {error}"))
    } else {
        toml::from_str(text)
            .map_err(|error| format!("is no TOML: {}", error.to_string().trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_extension_decides_and_else_the_first_character() {
        let toml = b"name = 'a'\n".as_slice();
        let json = b"\n {\"name\": \"a\"}".as_slice();
        for (bytes, extension) in [
            (toml, Some("toml")),
            (toml, None),
            (toml, Some("conf")),
            (json, Some("json")),
            (json, None),
        ] {
            assert_eq!(parse(bytes, extension), Ok(json!({"name": "a"})));
        }
        assert!(parse(json, Some("toml")).unwrap_err().starts_with("is no TOML"));
        assert!(parse(toml, Some("json")).unwrap_err().starts_with("is no JSON"));
    }

    #[test]
    fn what_stands_twice_is_refused() {
        let json = br#"{"name": "a", "name": "b"}"#;
        assert!(parse(json, None).unwrap_err().contains("the member `name` stands there twice"));
        assert!(parse(b"name = 'a'\nname = 'b'", None).unwrap_err().contains("duplicate key"));
    }

    #[test]
    fn documents_are_bounded_text() {
        assert!(parse(&vec![b' '; DOCUMENT_MAX_BYTES + 1], None).unwrap_err().contains("at most"));
        assert!(parse(b"\xff", None).unwrap_err().contains("UTF-8"));
    }
}
