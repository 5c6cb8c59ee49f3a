//! Is this field line a Dictionary, and what are its members? RFC 9651 §4.2 (Structured Fields).
//!
//! Only what RFC 9213 needs is told apart: booleans, integers, strings and the rest. The whole line is
//! checked, whatever its members are; parameters are checked and dropped.

/// A member's value, as far as a cache directive can have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Boolean(bool),
    /// Sign and digits, as written.
    Integer(&'a [u8]),
    /// Between the quotes, escapes as written.
    String(&'a [u8]),
    /// A decimal, token, byte sequence, date, display string or inner list.
    Other,
}

/// Calls `each` for every member of one line, in order; `None` when the line is not a Dictionary.
/// Members before the fault have been told by then.
pub(crate) fn dictionary<'a>(
    line: &'a [u8],
    mut each: impl FnMut(&'a [u8], Item<'a>),
) -> Option<()> {
    let mut cursor = Cursor { rest: line };
    cursor.skip(b" ");
    while !cursor.rest.is_empty() {
        let key = cursor.key()?;
        let item = if cursor.eat(b'=') { cursor.value()? } else { Item::Boolean(true) };
        cursor.parameters()?;
        each(key, item);
        cursor.skip(b" \t");
        if cursor.rest.is_empty() {
            return Some(());
        }
        cursor.expect(b',')?;
        cursor.skip(b" \t");
        if cursor.rest.is_empty() {
            return None;
        }
    }
    Some(())
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    fn skip(&mut self, bytes: &[u8]) {
        self.take(|byte| bytes.contains(&byte));
    }

    fn take(&mut self, accepted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !accepted(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let valid = matches!(self.rest.first()?, b'a'..=b'z' | b'*');
        valid.then(|| {
            self.take(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'))
        })
    }

    fn value(&mut self) -> Option<Item<'a>> {
        if self.eat(b'(') { self.inner_list() } else { self.bare_item() }
    }

    /// The rest of an inner list whose parenthesis has been read.
    fn inner_list(&mut self) -> Option<Item<'a>> {
        loop {
            self.skip(b" ");
            if self.eat(b')') {
                return Some(Item::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            matches!(self.rest.first()?, b' ' | b')').then_some(())?;
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(b" ");
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn bare_item(&mut self) -> Option<Item<'a>> {
        match self.rest.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'?' => self.boolean(),
            b':' => self.bytes(),
            b'@' => self.date(),
            b'%' => self.display_string(),
            b'a'..=b'z' | b'A'..=b'Z' | b'*' => {
                self.take(|byte| crate::list::is_token_byte(byte) || byte == b':' || byte == b'/');
                Some(Item::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Item<'a>> {
        let start = self.rest;
        self.eat(b'-');
        let whole = self.take(|byte| byte.is_ascii_digit()).len();
        if !self.eat(b'.') {
            let length = start.len() - self.rest.len();
            return (1..=15).contains(&whole).then(|| Item::Integer(&start[..length]));
        }
        let fraction = self.take(|byte| byte.is_ascii_digit()).len();
        ((1..=12).contains(&whole) && (1..=3).contains(&fraction)).then_some(Item::Other)
    }

    fn string(&mut self) -> Option<Item<'a>> {
        self.expect(b'"')?;
        let start = self.rest;
        loop {
            let inner = &start[..start.len() - self.rest.len()];
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => return Some(Item::String(inner)),
                b'\\' => (self.eat(b'"') || self.eat(b'\\')).then_some(())?,
                0x20..=0x7e => {}
                _ => return None,
            }
        }
    }

    fn boolean(&mut self) -> Option<Item<'a>> {
        self.expect(b'?')?;
        let truth = self.eat(b'1');
        (truth || self.eat(b'0')).then_some(Item::Boolean(truth))
    }

    /// Base64, with its padding or some or none of it (RFC 9651 §4.2.7).
    fn bytes(&mut self) -> Option<Item<'a>> {
        self.expect(b':')?;
        let digits = self.take(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
        let padding = self.take(|byte| byte == b'=').len();
        self.expect(b':')?;
        let missing = digits.len().wrapping_neg() % 4;
        (missing < 3 && padding <= missing).then_some(Item::Other)
    }

    fn date(&mut self) -> Option<Item<'a>> {
        self.expect(b'@')?;
        matches!(self.number()?, Item::Integer(_)).then_some(Item::Other)
    }

    /// UTF-8 whose other bytes than visible ASCII are `%` and two digits in lower case (§4.2.10).
    fn display_string(&mut self) -> Option<Item<'a>> {
        self.expect(b'%')?;
        self.expect(b'"')?;
        let mut text = Vec::new();
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => return std::str::from_utf8(&text).ok().map(|_| Item::Other),
                b'%' => text.push(self.hexadecimal()? << 4 | self.hexadecimal()?),
                0x20..=0x7e => text.push(byte),
                _ => return None,
            }
        }
    }

    fn hexadecimal(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_dictionary_tells_its_members() {
        let check = |line: &'static str, expected: &[(&str, Item<'static>)]| {
            let mut found = Vec::new();
            dictionary(line.as_bytes(), |key, item| found.push((key, item))).expect(line);
            let expected: Vec<_> = expected.iter().map(|(k, item)| (k.as_bytes(), *item)).collect();
            assert_eq!(found, expected, "{line}");
        };
        check("", &[]);
        check("max-age=3600", &[("max-age", Item::Integer(b"3600"))]);
        check("a, b=?0;x=1;y", &[("a", Item::Boolean(true)), ("b", Item::Boolean(false))]);
        check(r#"no-cache="a\", b""#, &[("no-cache", Item::String(br#"a\", b"#))]);
        check("a=-1 ,\tb=1.5", &[("a", Item::Integer(b"-1")), ("b", Item::Other)]);
        check("a=(1 \"x\";q=1 b), c=:aGk=:", &[("a", Item::Other), ("c", Item::Other)]);
        check(
            "a=@1, b=%\"x %c3%bc\", c=*tok/en",
            &[("a", Item::Other), ("b", Item::Other), ("c", Item::Other)],
        );
        for bytes in ["", "aG", "aG=", "aG==", "aGk", "aGk=", "aGka", "+/+/"] {
            let line: &'static str = format!("a=:{bytes}:").leak();
            check(line, &[("a", Item::Other)]);
        }
    }

    #[test]
    fn a_fault_anywhere_fails_the_line() {
        let check = |line: &str| assert_eq!(dictionary(line.as_bytes(), |_, _| {}), None, "{line}");
        check("max-age=10000, &&&&&");
        check("MaX-aGe=3600");
        check("max-age =1");
        check("max-age= 1");
        check("max-age=");
        check("a,");
        check("a,,b");
        check(", a");
        check("a b");
        check("a=\"x");
        check("a=1234567890123456");
        check("a=1.");
        check("a=(1 2");
        check("a=(1,2)");
        check("a=?2");
        check("a=:x");
        for bytes in ["aGk==", "aGk=a", "a", "a===", "aGkaa", "=", "a-b_"] {
            check(&format!("a=:{bytes}:"));
        }
        for text in ["%", "%f", "%C3%BC", "%c3", "%zz", "\t"] {
            check(&format!("a=%\"{text}\""));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = dictionary(&line, |_, _| {});
        }

        #[test]
        fn likely_bytes_can_be_read(line in "[a-z0-9=,; \"?:@%().\\\\-]{0,40}") {
            let _ = dictionary(line.as_bytes(), |_, _| {});
        }
    }
}
