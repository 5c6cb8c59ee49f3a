//! What does a URL that is to be purged name? Control checks it and edges compare with it, both by this.

use api::site::host::HostPattern;
use std::borrow::Cow;

/// A URL, or the beginning of one, as it is compared with those of stored responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Lower case, with the port where one is named that isn't the scheme's; none for all hosts of the site.
    pub host: Option<String>,
    /// From the first `/`; ASCII.
    pub path: String,
    /// Behind the first `?`.
    pub query: Option<String>,
}

/// Why a URL can't be purged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is none.
    #[error("must be `https://HOST/PATH`, `HOST/PATH` or `/PATH`")]
    Form,
    /// Of another scheme.
    #[error("must be of the scheme http or https")]
    Scheme,
    /// The host isn't one.
    #[error("must name a host, and a port of digits where there is one")]
    Host,
    /// It has what no request carries.
    #[error("must have no fragment, white space or control character")]
    Character,
}

impl Target {
    /// Reads `https://HOST/PATH?QUERY`, the same without a scheme, or `/PATH?QUERY` for all hosts.
    ///
    /// # Errors
    /// [`TargetError`], which says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.contains(|c: char| c == '#' || c.is_whitespace() || c.is_control()) {
            return Err(TargetError::Character);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?']) => (Some(scheme), rest),
            _ => (None, text),
        };
        let default_port = match scheme.map(str::to_ascii_lowercase).as_deref() {
            None => None,
            Some("http") => Some("80"),
            Some("https") => Some("443"),
            Some(_) => return Err(TargetError::Scheme),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at_checked(end).ok_or(TargetError::Form)?;
        let host = match host {
            "" if scheme.is_none() && target.starts_with('/') => None,
            "" => return Err(TargetError::Form),
            host => Some(authority(host, default_port)?),
        };
        let target = encoded(target);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (&*target, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { host, path: path.to_owned(), query })
    }

    /// Reads a host, with or without a port.
    ///
    /// # Errors
    /// [`TargetError::Host`] where it is none.
    pub fn parse_host(text: &str) -> Result<String, TargetError> {
        authority(text, None)
    }
}

/// A host in the form that stored responses are named by.
fn authority(text: &str, default_port: Option<&str>) -> Result<String, TargetError> {
    let name = host_name(text);
    let port = text.get(name.len()..).unwrap_or_default().strip_prefix(':').unwrap_or_default();
    let is_port = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    let name = name.strip_suffix('.').unwrap_or(name);
    match HostPattern::parse(name) {
        Ok(HostPattern::Exact(host)) if is_port => {
            let is_default = default_port.map_or(port == "80" || port == "443", |own| own == port);
            let port = port.trim_start_matches('0');
            Ok(if port.is_empty() || is_default { host } else { format!("{host}:{port}") })
        }
        _ => Err(TargetError::Host),
    }
}

/// The host of an authority, without a port.
pub(crate) fn host_name(authority: &str) -> &str {
    let end = match authority.rfind(']') {
        Some(end) => end + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    authority.get(..end).unwrap_or(authority)
}

/// Characters beyond ASCII as requests carry them.
fn encoded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii() { out.push(byte.into()) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out.into()
}

/// A path in one of the several forms that mean the same (RFC 3986 §6.2.2): unreserved characters aren't
/// percent-encoded, the digits of what is are upper case, and there are no dot segments.
#[must_use]
pub fn canonical(path: &str) -> Cow<'_, str> {
    let path = canonical_text(path);
    if !path.contains("/.") {
        return path;
    }
    without_dot_segments(&path).into()
}

/// RFC 3986 §5.2.4, for a path that begins with `/`.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Percent-encoding as RFC 3986 §6.2.2.1 and §6.2.2.2 have it.
pub(crate) fn canonical_text(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        rest = after;
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, after.get(2..)) {
            (Some(byte), Some(behind)) => {
                if is_unreserved(byte) {
                    out.push(byte.into());
                } else {
                    out.push_str(&format!("%{byte:02X}"));
                }
                rest = behind;
            }
            _ => out.push('%'),
        }
    }
    out.push_str(rest);
    out.into()
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
