//! Requests with mistakes that parsers make different things of: in their lines, fields, lengths, chunks and bytes.

use super::Case;
use crate::differential::Random;

const LINE_ENDS: [&[u8]; 9] =
    [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\r\n", b" \r\n", b"\t\r\n", b"\x0b\r\n", b"\r\n\r\n"];
/// What is put before, after or inside of names and values.
const ODD: [&[u8]; 22] = [
    b" ",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\0",
    b"\x7f",
    b"\xa0",
    b"\xc2\xa0",
    b"\r",
    b"\n",
    b":",
    b",",
    b";",
    b"\"",
    b"\\",
    b"+",
    b"-",
    b"_",
    b"0x",
    b"\r\n ",
    b"\r\n\t",
    b"\x85",
];
const CODINGS: [&[u8]; 20] = [
    b"chunked",
    b"Chunked",
    b"CHUNKED",
    b"chunked, chunked",
    b"chunked, identity",
    b"identity",
    b"identity, chunked",
    b"gzip, chunked",
    b"chunked, gzip",
    b"xchunked",
    b"chunkedx",
    b"chunk",
    b"\"chunked\"",
    b"chunked;q=1",
    b"chunked,",
    b",chunked",
    b"'chunked'",
    b"",
    b"chun ked",
    b"deflate\r\nTransfer-Encoding: chunked",
];
const LENGTHS: [&[u8]; 20] = [
    b"0",
    b"1",
    b"3",
    b"5",
    b"+3",
    b"-3",
    b"3, 3",
    b"3,3",
    b"3, 5",
    b"0x3",
    b"3 3",
    b"03",
    b"3.0",
    b"3e0",
    b"",
    b"99999999999999999999",
    b"18446744073709551619",
    b"4294967299",
    b"\xef\xbc\x93",
    b"3\r\nContent-Length: 5",
];
const SIZES: [&[u8]; 26] = [
    b"3",
    b"03",
    b"0000000003",
    b"00000000000000000000003",
    b"3 ",
    b" 3",
    b"\t3",
    b"+3",
    b"-3",
    b"0x3",
    b"3;",
    b"3;a",
    b"3;a=b",
    b"3;a=\"b\"",
    b"3;a=\"\r\n\"",
    b"3 ;a",
    b"3;\n",
    b"3\n",
    b"3;\r",
    b"3_",
    b"3g",
    b"10000000000000003",
    b"fffffffffffffffd",
    b"100000003",
    b"",
    b"3,3",
];
const VERSIONS: [&[u8]; 10] = [
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"http/1.1",
    b"HTTP/1.10",
    b"HTTP/01.1",
    b"HTTP/1.1 x",
    b"HTTP/1,1",
    b"",
];
const TARGETS: [&[u8]; 14] = [
    b"http://localhost/g",
    b"http://other/g",
    b"https://localhost/g",
    b"//localhost/g",
    b"*",
    b"g",
    b"/g h",
    b"/g#h",
    b"/\xc3\xa9",
    b"localhost:80",
    b"http://u@localhost/g",
    b"/g\0",
    b"/g\thttp",
    b"",
];
const METHODS: [&[u8]; 10] = [
    b"GET", b"HEAD", b"PUT", b"DELETE", b"CONNECT", b"TRACE", b"get", b"G T", b"POST\t", b"\r\nGET",
];
const FIELDS: [&[u8]; 14] = [
    b"Host: localhost",
    b"Host: other",
    b"Host : localhost",
    b"host:localhost",
    b" X: y",
    b"\tX: y",
    b": y",
    b"X y",
    b"Expect: 100-continue",
    b"Connection: Upgrade\r\nUpgrade: websocket",
    b"Connection: close, Content-Length",
    b"Connection: keep-alive, Transfer-Encoding, Host",
    b"Transfer_Encoding: chunked",
    b"X-HTTP-Method-Override: GET",
];

/// A request, in the parts that mistakes are made in.
#[derive(Debug, Clone)]
struct Draft {
    method: Vec<u8>,
    target: Vec<u8>,
    version: Vec<u8>,
    /// Without line ends.
    fields: Vec<Vec<u8>>,
    line_end: Vec<u8>,
    /// The line that ends differently, if one does.
    odd_line: Option<usize>,
    body: Vec<u8>,
}

/// Cases that follow from a seed.
#[must_use]
pub fn generate(random: &mut Random, count: usize) -> Vec<Case> {
    let case = |number: usize, random: &mut Random| {
        let mut bytes = Vec::new();
        for _ in 0..=random.below(2) {
            bytes.extend(request(number, random));
        }
        if random.chance(15) {
            scratch(&mut bytes, random);
        }
        bytes.extend_from_slice(get(&format!("/after-{number}")).as_bytes());
        let name = format!("generated/{number}");
        Case { name, group: "generated".to_owned(), bytes, bodies: None }
    };
    (0..count).map(|number| case(number, random)).collect()
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn request(number: usize, random: &mut Random) -> Vec<u8> {
    let mut draft = draft(number, random);
    for _ in 0..=random.below(3) {
        spoil(&mut draft, random);
    }
    draft.bytes()
}

/// A request without a mistake, whose body looks like another.
fn draft(number: usize, random: &mut Random) -> Draft {
    let inner = get(&format!("/smuggled-{number}")).into_bytes();
    let (field, body) = match random.below(4) {
        0 => (None, Vec::new()),
        1 => (Some(format!("Content-Length: {}", inner.len())), inner),
        2 => (Some("Content-Length: 3".to_owned()), [b"abc", &inner[..]].concat()),
        _ => (Some("Transfer-Encoding: chunked".to_owned()), chunks(&inner, random)),
    };
    let mut fields = vec![b"Host: localhost".to_vec(), b"User-Agent: generated".to_vec()];
    fields.extend(field.map(String::into_bytes));
    let method = if body.is_empty() { "GET" } else { "POST" };
    Draft {
        method: method.into(),
        target: format!("/first-{number}").into_bytes(),
        version: b"HTTP/1.1".to_vec(),
        fields,
        line_end: b"\r\n".to_vec(),
        odd_line: None,
        body,
    }
}

/// Chunks, with a mistake or without.
fn chunks(inner: &[u8], random: &mut Random) -> Vec<u8> {
    let size = if random.chance(50) { b"3" } else { random.choose(&SIZES) };
    let end: &[u8] = if random.chance(80) { b"\r\n" } else { random.choose(&LINE_ENDS) };
    let mut body = [size, end, b"abc"].concat();
    let end: &[u8] = if random.chance(80) { b"\r\n" } else { random.choose(&LINE_ENDS) };
    body.extend_from_slice(end);
    if random.chance(60) {
        body.extend_from_slice(format!("{:x}\r\n", inner.len()).as_bytes());
        body.extend_from_slice(inner);
        body.extend_from_slice(b"\r\n");
    }
    let last: &[u8] = if random.chance(80) { b"0" } else { b"000;x" };
    body.extend_from_slice(last);
    body.extend_from_slice(if random.chance(85) { b"\r\n" } else { random.choose(&LINE_ENDS) });
    if random.chance(30) {
        body.extend_from_slice(random.choose(&FIELDS));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(if random.chance(85) { b"\r\n" } else { random.choose(&LINE_ENDS) });
    body
}

fn spoil(draft: &mut Draft, random: &mut Random) {
    match random.below(12) {
        0 => draft.method = random.choose(&METHODS).to_vec(),
        1 => draft.target = random.choose(&TARGETS).to_vec(),
        2 => draft.version = random.choose(&VERSIONS).to_vec(),
        3 => draft.fields.push(random.choose(&FIELDS).to_vec()),
        4 => draft.fields.push([&b"Transfer-Encoding: "[..], random.choose(&CODINGS)].concat()),
        5 => draft.fields.push([&b"Content-Length: "[..], random.choose(&LENGTHS)].concat()),
        6 => draft.odd_line = Some(random.below(draft.fields.len() + 2)),
        7 => draft.fields.rotate_left(1),
        8 => draft.fields.remove(random.below(draft.fields.len().saturating_sub(1))).clear(),
        9 => draft.line_end = random.choose(&LINE_ENDS).to_vec(),
        _ => {
            let place = random.below(draft.fields.len());
            if let Some(field) = draft.fields.get_mut(place) {
                let at = odd_place(field, random);
                field.splice(at..at, random.choose(&ODD).iter().copied());
            }
        }
    }
    if draft.fields.is_empty() {
        draft.fields.push(b"Host: localhost".to_vec());
    }
}

/// Where in a field something odd is put: at its ends, around its colon, or anywhere.
fn odd_place(field: &[u8], random: &mut Random) -> usize {
    let colon = field.iter().position(|byte| *byte == b':').unwrap_or(0);
    match random.below(6) {
        0 => 0,
        1 => colon,
        2 => colon + usize::from(colon < field.len()),
        3 => field.len(),
        _ => random.below(field.len() + 1),
    }
}

/// Replaces, inserts or takes out a byte anywhere.
fn scratch(bytes: &mut Vec<u8>, random: &mut Random) {
    let place = random.below(bytes.len());
    let odd = random.choose(&ODD).to_vec();
    match random.below(3) {
        0 => drop(bytes.remove(place)),
        1 => drop(bytes.splice(place..=place, odd)),
        _ => drop(bytes.splice(place..place, odd)),
    }
}

impl Draft {
    fn bytes(self) -> Vec<u8> {
        let request_line = [&self.method[..], b" ", &self.target, b" ", &self.version].concat();
        let mut bytes = Vec::new();
        let lines = std::iter::once(request_line).chain(self.fields).chain([Vec::new()]);
        for (number, line) in lines.enumerate() {
            bytes.extend_from_slice(&line);
            let is_odd = self.odd_line == Some(number);
            let odd: &[u8] = if self.line_end == b"\r\n" { b"\n" } else { &self.line_end };
            bytes.extend_from_slice(if is_odd { odd } else { b"\r\n" });
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_follow_from_the_seed() {
        let cases = |seed| generate(&mut Random::new(seed), 50);
        assert_eq!(cases(1), cases(1));
        assert_ne!(cases(1), cases(2));
    }
}
