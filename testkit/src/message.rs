//! HTTP/1.1 messages as they were on the wire (RFC 9112): heads, field lines in order, why a message is incomplete.

use std::fmt;

/// Why no complete message could be read.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The other side ended the connection before the first byte of a message.
    #[error("connection closed before a message began")]
    Closed,
    /// The other side ended the connection inside a message.
    #[error("connection closed in {part} after {received} bytes of it")]
    Truncated {
        /// `the head`, `a body of 9 bytes`, `a chunk`, …
        part: String,
        /// Bytes of that part that came.
        received: usize,
    },
    /// The other side reset the connection.
    #[error("connection reset")]
    Reset,
    /// Not HTTP/1.1.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// Nothing came for [`crate::PATIENCE`].
    #[error("nothing came for {} s", crate::PATIENCE.as_secs())]
    Silent,
    /// Anything else the socket says.
    #[error("socket failed")]
    Socket(#[source] std::io::Error),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => Self::Reset,
            _ => Self::Socket(error),
        }
    }
}

/// Field lines, in order, with names as they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The value of the first line with this name, in any letter case.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        self.named(name).next()
    }

    /// The values of all lines with this name, in order.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.named(name).collect()
    }

    /// Whether there is a line with this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn named<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        self.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|(name, value)| write!(f, "{name}: {value}\r\n"))
    }
}

/// The start line and the fields of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// As it came, with the empty line.
    pub(crate) raw: String,
    pub(crate) start_line: String,
    pub(crate) fields: Fields,
}

impl Head {
    pub(crate) fn parse(raw: &[u8]) -> Result<Self, Broken> {
        let raw = String::from_utf8_lossy(raw).into_owned();
        let mut lines = raw.split("\r\n");
        let start_line = lines.next().unwrap_or_default().to_owned();
        let mut fields = Fields::default();
        for line in lines.filter(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(':') else {
                return Err(Broken::Malformed(format!("field line `{line}`")));
            };
            fields.push(name, value.trim_matches([' ', '\t']));
        }
        Ok(Self { raw, start_line, fields })
    }

    /// The status code of a response.
    pub(crate) fn status(&self) -> Result<u16, Broken> {
        let code = self.start_line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        let code = code.and_then(|code| code.parse().ok());
        code.ok_or_else(|| Broken::Malformed(format!("status line `{}`", self.start_line)))
    }
}

/// How a body ends (RFC 9112 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    pub(crate) fn of_request(fields: &Fields) -> Result<Self, Broken> {
        Ok(Self::named(fields)?.unwrap_or(Self::Length(0)))
    }

    /// `bodiless`: the response to HEAD.
    pub(crate) fn of_response(head: &Head, bodiless: bool) -> Result<Self, Broken> {
        if bodiless || matches!(head.status()?, 100..=199 | 204 | 304) {
            return Ok(Self::Length(0));
        }
        Ok(Self::named(&head.fields)?.unwrap_or(Self::UntilClose))
    }

    fn named(fields: &Fields) -> Result<Option<Self>, Broken> {
        if fields.all("transfer-encoding").iter().any(|coding| coding.ends_with("chunked")) {
            return Ok(Some(Self::Chunked));
        }
        let Some(length) = fields.first("content-length") else { return Ok(None) };
        let length = length.parse().map_err(|_| Broken::Malformed(format!("length `{length}`")))?;
        Ok(Some(Self::Length(length)))
    }
}
