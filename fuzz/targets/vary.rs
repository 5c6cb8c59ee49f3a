//! Selecting a variant: normalising is idempotent, no order of preferences counts, and keys can be taken apart again.
#![no_main]

use fuzz::{field, reversed, values};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use semantics::vary::{Selection, is_preferred_language, selection, variant_key};

const NAMES: [&str; 8] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cookie",
    "user-agent",
    "foo",
    "x-list",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, lines)) = data.split_first() else { return };
    let choice = usize::from(*choice) % NAMES.len();
    let (name, request) = (NAMES[choice], field(NAMES[choice], lines));
    let stored = vary(&HeaderValue::from_static(name));
    let key = key(&stored, &request);
    if let Some(normal) = only_value(name, &key) {
        let mut again = HeaderMap::new();
        again
            .insert(name, HeaderValue::from_bytes(normal).expect("a normal form is a field value"));
        assert_eq!(self::key(&stored, &again), key);
    }
    if choice < 4 && request.iter().all(|(_, value)| !value.as_bytes().contains(&b'"')) {
        let members = |byte: &u8| *byte == b',' || *byte == b'\n';
        if lines.split(members).count() <= 32 {
            assert_eq!(self::key(&stored, &reversed(&request)), key);
        }
    }
    for line in values(lines) {
        let stored = vary(&line);
        let taken = variant_key(&stored, &request, &mut Vec::new());
        assert_eq!(taken, selection(&stored));
        languages(&line, &request);
    }
});

fn vary(names: &HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("vary"), names.clone())])
}

fn key(stored: &HeaderMap, request: &HeaderMap) -> Vec<u8> {
    let mut key = Vec::new();
    assert_eq!(variant_key(stored, request, &mut key), Selection::Fields);
    key
}

/// The value in a key of one field; `None` where it is absent.
fn only_value<'k>(name: &str, key: &'k [u8]) -> Option<&'k [u8]> {
    let (found, rest) = framed(key);
    assert_eq!(found, name.as_bytes());
    match rest {
        [0] => None,
        [1, rest @ ..] => {
            let (value, rest) = framed(rest);
            assert!(rest.is_empty());
            Some(value)
        }
        _ => panic!("a key says whether the field is there"),
    }
}

fn framed(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_first_chunk().expect("a length comes first");
    rest.split_at(u32::from_be_bytes(*length) as usize)
}

/// No request prefers two languages.
fn languages(language: &HeaderValue, request: &HeaderMap) {
    let prefers = |language: HeaderValue| {
        let mut stored = vary(&HeaderValue::from_static("Accept-Language"));
        stored.insert("content-language", language);
        is_preferred_language(&stored, request)
    };
    let german = HeaderValue::from_static("de");
    if prefers(german.clone()) && prefers(language.clone()) {
        let both = [language, &german].map(|tag| tag.as_bytes().to_ascii_lowercase());
        assert!(both[0].windows(2).any(|pair| pair == b"de"));
    }
}
