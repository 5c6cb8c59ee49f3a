//! When are two values of a request field the same to an origin? RFC 9111 §4.1: as far as the field's
//! syntax and semantics make them so.
//!
//! | fields | taken as the same | because |
//! |---|---|---|
//! | `Accept`, `Accept-Charset`, `Accept-Encoding`, `Accept-Language` | order, case, `q=1` and none, zeros after the weight, repetition, and the below | preferences are their weights (RFC 9110 §12.4.2, §12.5) |
//! | `Cookie` | lines, and one line joined by `; ` | RFC 9113 §8.2.3 |
//! | fields of one value, such as `User-Agent` | space at both ends | RFC 9110 §5.5 |
//! | any other | lines, and one line joined by commas; space beside commas, outside quoted strings | RFC 9110 §5.3, §5.6.1 |
//!
//! Codings, media types and languages are never dropped or mapped: an origin may serve each. So an `Accept`
//! with `image/avif` is apart from one without, and from one that weighs it otherwise. To have fewer
//! variants, send the origin fewer: rewrite the request before it is forwarded and asked here.

use http::header::{GetAll, HeaderValue};

use crate::list::{members, trim};

const PREFERENCES: [&[u8]; 4] =
    [b"accept", b"accept-charset", b"accept-encoding", b"accept-language"];
const SINGLE_VALUES: [&[u8]; 9] = [
    b"authorization",
    b"from",
    b"host",
    b"if-modified-since",
    b"origin",
    b"range",
    b"referer",
    b"user-agent",
    b"x-requested-with",
];
/// Preference lists with more members, or with quoted strings, are compared as other lists are.
const PREFERENCES_MAX: usize = 32;

/// Appends the normal form of a field's lines.
pub(super) fn append(name: &[u8], lines: &GetAll<'_, HeaderValue>, out: &mut Vec<u8>) {
    let is = |listed: &&[u8]| name.eq_ignore_ascii_case(listed);
    let start = out.len();
    if PREFERENCES.iter().any(is) {
        append_preferences(lines, out);
    } else if is(&&b"cookie"[..]) {
        append_joined(lines, b"; ", out);
    } else if SINGLE_VALUES.iter().any(is) {
        append_joined(lines, b", ", out);
    } else {
        append_list(lines, out);
    }
    // an empty last line leaves the space that joined it
    trim_end(start, out);
}

/// Takes space off the end of what was appended since `start`.
fn trim_end(start: usize, out: &mut Vec<u8>) {
    while out.len() > start && matches!(out.last(), Some(b' ' | b'\t')) {
        out.pop();
    }
}

fn append_joined(lines: &GetAll<'_, HeaderValue>, separator: &[u8], out: &mut Vec<u8>) {
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(trim(line.as_bytes()));
    }
}

fn append_list(lines: &GetAll<'_, HeaderValue>, out: &mut Vec<u8>) {
    let mut quoted = false;
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            // A string that runs over the line's end holds what joins the lines (RFC 9110 §5.3).
            out.extend_from_slice(if quoted { b", " } else { b"," });
        }
        quoted = append_line(trim(line.as_bytes()), quoted, out);
    }
}

/// Appends one line without space beside commas; returns whether it ends inside a quoted string.
fn append_line(line: &[u8], mut quoted: bool, out: &mut Vec<u8>) -> bool {
    let (mut escaped, mut after_comma) = (false, false);
    let start = out.len();
    for &byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b' ' | b'\t' if after_comma => continue,
            b',' if !quoted => trim_end(start, out),
            _ => {}
        }
        after_comma = byte == b',' && !quoted;
        out.push(byte);
    }
    quoted
}

/// Appends the members in normal form, sorted, each once.
fn append_preferences(lines: &GetAll<'_, HeaderValue>, out: &mut Vec<u8>) {
    let start = out.len();
    let mut spans = [(0, 0); PREFERENCES_MAX];
    let mut count = 0;
    for member in lines.iter().flat_map(|line| members(line.as_bytes())) {
        let span = spans.get_mut(count).filter(|_| !member.contains(&b'"'));
        let Some(span) = span else {
            out.truncate(start);
            return append_list(lines, out);
        };
        span.0 = out.len();
        append_preference(member, out);
        span.1 = out.len();
        count += 1;
    }
    let (spans, end) = (&mut spans[..count], out.len());
    spans.sort_unstable_by(|one, other| out[one.0..one.1].cmp(&out[other.0..other.1]));
    let mut last = (start, start);
    for &span in spans.iter() {
        if out[span.0..span.1] != out[last.0..last.1] {
            if out.len() > end {
                out.push(b',');
            }
            out.extend_from_within(span.0..span.1);
            last = span;
        }
    }
    out.drain(start..end);
}

/// Appends one member; as written, where it isn't well-formed.
fn append_preference(member: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if !member.contains(&b';') {
        out.extend_from_slice(member);
        out[start..].make_ascii_lowercase();
    } else if append_with_parameters(member, out).is_none() {
        out.truncate(start);
        out.extend_from_slice(member);
    }
}

fn append_with_parameters(member: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut parts = member.split(|&byte| byte == b';').map(trim);
    let start = out.len();
    out.extend_from_slice(parts.next().filter(|value| !value.is_empty())?);
    out[start..].make_ascii_lowercase();
    let mut weight = None;
    for parameter in parts {
        if let [b'q' | b'Q', b'=', digits @ ..] = parameter {
            if weight.replace(qvalue(digits)?).is_some() {
                return None;
            }
        } else {
            out.push(b';');
            out.extend_from_slice(parameter);
        }
    }
    if let Some(weight) = weight.filter(|&weight| weight < 1000) {
        // A valid weight, so that no malformed member, kept as written, looks the same.
        out.extend_from_slice(b";q=0.");
        let digits = [weight / 100, weight / 10 % 10, weight % 10];
        out.extend(digits.map(|digit| b'0' + digit.to_le_bytes()[0]));
    }
    Some(())
}

/// A member of a preference list and its weight in thousandths; `None` where there is more, or no weight
/// after a semicolon.
pub(super) fn weighted(member: &[u8]) -> Option<(&[u8], u16)> {
    let Some(at) = member.iter().position(|&byte| byte == b';') else {
        return Some((member, 1000));
    };
    match trim(&member[at + 1..]) {
        [b'q' | b'Q', b'=', digits @ ..] => Some((trim(&member[..at]), qvalue(digits)?)),
        _ => None,
    }
}

/// A weight in thousandths (RFC 9110 §12.4.2).
fn qvalue(digits: &[u8]) -> Option<u16> {
    let (whole, fraction) = match digits {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut value = u16::from(whole - b'0');
    for place in 0..3 {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u16::from(digit - b'0');
    }
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::head;

    fn normal(name: &str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|value| format!("{name}: {value}")).collect();
        let head = head(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let mut out = b"before".to_vec();
        append(name.as_bytes(), &head.get_all(name), &mut out);
        String::from_utf8(out.split_off(6)).unwrap()
    }

    fn check(name: &str, lines: &[&str], expected: &str) {
        assert_eq!(normal(name, lines), expected, "{name} {lines:?}");
    }

    #[test]
    fn a_list_is_its_lines_joined_without_space_beside_commas() {
        check("foo", &["1, 2"], "1,2");
        check("foo", &["1", "2"], "1,2");
        check("foo", &[" 1 \t,  2 "], "1,2");
        check("foo", &["2, 1"], "2,1");
        check("foo", &["a  b, C"], "a  b,C");
        check("foo", &["1,,2"], "1,,2");
        check("foo", &["\"a , b\" , c"], "\"a , b\",c");
        check("foo", &["\"a\\\" , b\""], "\"a\\\" , b\"");
        check("foo", &["\"a", "b\""], "\"a, b\"");
        check("foo", &["\"a,b\""], "\"a,b\"");
        check("foo", &["\"a", ""], "\"a,");
    }

    #[test]
    fn single_values_and_cookies_keep_their_inside() {
        check("user-agent", &["Mozilla (KHTML,  like Gecko)"], "Mozilla (KHTML,  like Gecko)");
        check("cookie", &["a=1", "b=2"], "a=1; b=2");
        check("cookie", &["a=1; b=2"], "a=1; b=2");
        check("cookie", &["a=1", ""], "a=1;");
        check("cookie", &["b=2; a=1"], "b=2; a=1");
    }

    #[test]
    fn preferences_are_a_set_with_weights() {
        check("accept-language", &["en, de"], "de,en");
        check("accept-language", &["De", " eN "], "de,en");
        check("accept-language", &["fr;q=0.5, de;q=1.0"], "de,fr;q=0.500");
        check("accept-language", &["fr ; Q=0.50"], "fr;q=0.500");
        check("accept-encoding", &["gzip, br, gzip;q=1.000"], "br,gzip");
        check("accept-encoding", &["gzip;q=0, identity"], "gzip;q=0.000,identity");
        check("accept-encoding", &[""], "");
        check("accept", &["text/HTML;level=1;q=.5"], "text/HTML;level=1;q=.5");
        check("accept", &["a/b;q=500, a/b;q=0.5"], "a/b;q=0.500,a/b;q=500");
        check("accept", &["a/b;q=1;q=0.5"], "a/b;q=1;q=0.5");
        check("accept", &["c/D;x=Y, A/b;y"], "a/b;y,c/d;x=Y");
        check("accept", &["c/D, A/b;x=\"1,2\""], "c/D,A/b;x=\"1,2\"");
        check("accept", &["b, ;q=1"], ";q=1,b");
    }

    /// What browsers send for images is one variant however it is written, and apart from what means more or less.
    #[test]
    fn accepted_images_are_a_set_with_weights() {
        let chrome = "*/*;q=0.800,image/*,image/apng,image/avif,image/svg+xml,image/webp";
        check(
            "accept",
            &["image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"],
            chrome,
        );
        check(
            "accept",
            &["image/WebP, image/avif;q=1.0, image/apng", "image/svg+xml, image/*, */*; q=0.80"],
            chrome,
        );
        check("accept", &["image/avif,image/webp,*/*"], "*/*,image/avif,image/webp");
        check("accept", &["image/webp,*/*;q=0.8"], "*/*;q=0.800,image/webp");
        check("accept", &["image/webp;q=0.9,*/*;q=0.8"], "*/*;q=0.800,image/webp;q=0.900");
        check("accept", &["image/png;q=0,*/*"], "*/*,image/png;q=0.000");
        check("accept", &["*/*"], "*/*");
    }

    #[test]
    fn long_preference_lists_are_ordinary_lists() {
        let many = (0..40).map(|n| format!("c{n}")).collect::<Vec<_>>();
        check("accept-encoding", &[&many.join(", ")], &many.join(","));
    }

    proptest! {
        #[test]
        fn normalising_is_idempotent(
            name in "foo|cookie|user-agent|accept|accept-language",
            lines in proptest::collection::vec("[abqQ01. ,;=\"\\\\]{0,24}", 1..4),
        ) {
            let once = normal(&name, &lines.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(normal(&name, &[&once]), once);
        }

        #[test]
        fn no_order_counts_among_preferences(members in proptest::collection::vec("[a-c]{1,2}(;q=0\\.[0-9])?", 1..6)) {
            let mut reversed = members.clone();
            reversed.reverse();
            prop_assert_eq!(
                normal("accept-language", &[&members.join(", ")]),
                normal("accept-language", &[&reversed.join(",")])
            );
        }
    }
}
