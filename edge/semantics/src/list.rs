//! How is a field value cut into list members, and a member into name and argument?
//!
//! The `#rule` of RFC 9110 §5.6.1 with quoted strings (§5.6.4), and `delta-seconds` (RFC 9111 §1.2.2).
//! Works on bytes and borrows; never fails: what is malformed is said to be invalid.

use http::header::{GetAll, HeaderValue};

/// The value `delta-seconds` stop at (RFC 9111 §1.2.2).
pub(crate) const MAX_DELTA: u32 = 1 << 31;

/// The non-empty members of one field line. A comma inside a quoted string does not separate.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    rest: Option<&'a [u8]>,
}

/// A cache directive. The name is as written: compare without case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) argument: Argument<'a>,
}

/// What follows a directive's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    Absent,
    Token(&'a [u8]),
    /// What is between the quotes, escapes as written.
    Quoted(&'a [u8]),
    /// Present, but neither a token nor a quoted string, or with a space beside the `=`.
    Invalid,
}

/// The members of one line.
pub(crate) fn members(line: &[u8]) -> Members<'_> {
    Members { rest: Some(line) }
}

/// The members of all lines of a field, as if they were one (RFC 9110 §5.3).
pub(crate) fn all_members<'a>(
    lines: GetAll<'a, HeaderValue>,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    lines.into_iter().flat_map(|line| members(line.as_bytes()))
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some(rest) = self.rest {
            let (member, after) = split_outside_quotes(rest, b',');
            self.rest = after;
            let member = trim(member);
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

impl<'a> Directive<'a> {
    /// Reads one list member.
    pub(crate) fn read(member: &'a [u8]) -> Self {
        let Some(equals) = member.iter().position(|&byte| byte == b'=') else {
            return Self { name: member, argument: Argument::Absent };
        };
        let (written, value) = (&member[..equals], &member[equals + 1..]);
        let name = trim(written);
        let spaced = name.len() != written.len();
        Self { name, argument: if spaced { Argument::Invalid } else { Argument::read(value) } }
    }

    /// The directive's name in lower case, in `buffer`; `None` when it is longer than any we know.
    pub(crate) fn lowered<'b>(&self, buffer: &'b mut [u8; 24]) -> Option<&'b [u8]> {
        let lowered = buffer.get_mut(..self.name.len())?;
        lowered.copy_from_slice(self.name);
        lowered.make_ascii_lowercase();
        Some(lowered)
    }
}

impl<'a> Argument<'a> {
    fn read(value: &'a [u8]) -> Self {
        match value {
            [b'"', inner @ .., b'"'] => Self::Quoted(inner),
            _ if is_token(value) => Self::Token(value),
            _ => Self::Invalid,
        }
    }

    /// The argument as `delta-seconds`, also when quoted (RFC 9111 §5.2: accept both forms).
    pub(crate) fn delta_seconds(self) -> Option<u32> {
        match self {
            Self::Token(digits) | Self::Quoted(digits) => delta_seconds(digits),
            Self::Absent | Self::Invalid => None,
        }
    }
}

/// Parses decimal digits, stopping at [`MAX_DELTA`]. `None` for anything else.
pub(crate) fn delta_seconds(digits: &[u8]) -> Option<u32> {
    integer(digits)
        .map(|value| u32::try_from(value).map_or(MAX_DELTA, |value| value.min(MAX_DELTA)))
}

/// Parses decimal digits, stopping at `u64::MAX`. `None` for anything else.
pub(crate) fn integer(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |value, digit| {
        value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

/// Parses decimal digits; `None` also for more than a `u64` holds, where nothing may be taken for less.
pub(crate) fn exact_integer(digits: &[u8]) -> Option<u64> {
    let valid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let mut digits = digits.iter().filter(|_| valid).map(|digit| u64::from(digit - b'0'));
    let value = digits.try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(digit));
    value.filter(|_| valid)
}

/// Cuts at the first `separator` outside a quoted string. An unfinished string runs to the end.
pub(crate) fn split_outside_quotes(value: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let separates = |byte: &u8| *byte == separator || *byte == b'"';
    match value.iter().position(separates) {
        None => return (value, None),
        Some(at) if value[at] == separator => return (&value[..at], Some(&value[at + 1..])),
        Some(_) => {}
    }
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => return (&value[..at], Some(&value[at + 1..])),
            _ => {}
        }
    }
    (value, None)
}

/// Without spaces and tabs at both ends.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether `value` is a `token` (RFC 9110 §5.6.2).
pub(crate) fn is_token(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| is_token_byte(byte))
}

/// Whether `byte` is a `tchar` (RFC 9110 §5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_comma_in_quotes_does_not_separate() {
        let check = |line: &str, expected: &[&str]| {
            let found: Vec<_> = members(line.as_bytes()).collect();
            assert_eq!(found, expected.iter().map(|member| member.as_bytes()).collect::<Vec<_>>());
        };
        check("", &[]);
        check(" , ,\t", &[]);
        check("a,b", &["a", "b"]);
        check(" a ,, b=1\t", &["a", "b=1"]);
        check(r#"a="x, y", b"#, &[r#"a="x, y""#, "b"]);
        check(r#"a="x\", y", b"#, &[r#"a="x\", y""#, "b"]);
        check(r#"a="x, y"#, &[r#"a="x, y"#]);
    }

    #[test]
    fn a_directive_is_a_name_and_an_argument() {
        let check = |member: &str, name: &str, argument: Argument<'_>| {
            let expected = Directive { name: name.as_bytes(), argument };
            assert_eq!(Directive::read(member.as_bytes()), expected, "{member}");
        };
        check("no-store", "no-store", Argument::Absent);
        check("max-age=1", "max-age", Argument::Token(b"1"));
        check(r#"max-age="1""#, "max-age", Argument::Quoted(b"1"));
        check(r#"no-cache="""#, "no-cache", Argument::Quoted(b""));
        check("max-age=", "max-age", Argument::Invalid);
        check("max-age =1", "max-age", Argument::Invalid);
        check("max-age= 1", "max-age", Argument::Invalid);
        check("a=b=c", "a", Argument::Invalid);
        check("a=\"", "a", Argument::Invalid);
    }

    #[test]
    fn delta_seconds_stop_at_two_to_the_31() {
        let check = |digits: &str, expected| assert_eq!(delta_seconds(digits.as_bytes()), expected);
        check("0", Some(0));
        check("003600", Some(3600));
        check("2147483647", Some(2_147_483_647));
        check("2147483649", Some(MAX_DELTA));
        check("99999999999999999999999", Some(MAX_DELTA));
        check("", None);
        check("-1", None);
        check("1.0", None);
        check("'1'", None);
        check("1a", None);
    }

    #[test]
    fn an_exact_integer_has_no_ceiling() {
        let check = |digits: &str, expected| assert_eq!(exact_integer(digits.as_bytes()), expected);
        check("007", Some(7));
        check("18446744073709551615", Some(u64::MAX));
        for invalid in ["", "-1", "+1", " 1", "1x", "18446744073709551616", "99999999999999999999"]
        {
            check(invalid, None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_cut(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            for member in members(&line) {
                prop_assert_eq!(trim(member), member);
                let directive = Directive::read(member);
                let _ = directive.argument.delta_seconds();
                let _ = directive.lowered(&mut [0; 24]);
            }
        }
    }
}
