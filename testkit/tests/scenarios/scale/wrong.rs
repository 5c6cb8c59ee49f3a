//! Requests that control must refuse: each with one thing wrong, the status for it, and what the answer must name.

use super::chance::Chance;
use super::{bodies, heads};
use std::fmt;

/// What there is to be wrong about.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    pub(crate) admin: String,
    pub(crate) reader: String,
    pub(crate) origin: String,
}

impl Installation {
    /// Tokens of scope `admin` and `sites:read`, and an origin's URL.
    pub(crate) fn new(admin: &str, reader: &str, origin: &str) -> Self {
        Self { admin: admin.to_owned(), reader: reader.to_owned(), origin: origin.to_owned() }
    }
}

/// What an answer must name.
#[derive(Debug)]
pub(crate) enum Names {
    /// Words of the detail.
    Detail(String),
    /// A field among the errors.
    Field(String),
}

/// A wrong request.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    pub(crate) status: u16,
    pub(crate) names: Names,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body.as_deref().unwrap_or_default();
        let start = String::from_utf8_lossy(body.get(..2_000).unwrap_or(body));
        write!(f, "{} {} {:?} {start}", self.method, self.target, self.fields)
    }
}

impl Wrong {
    /// One of all kinds.
    pub(crate) fn any(chance: &mut Chance, installation: &Installation) -> Self {
        let kinds = [
            bodies::syntax,
            bodies::syntax,
            bodies::types,
            bodies::types,
            bodies::unknown,
            bodies::unknown,
            bodies::values,
            bodies::values,
            bodies::huge,
            bodies::media_type,
            heads::path,
            heads::token,
            heads::scope,
            heads::method,
            heads::query,
            heads::precondition,
            heads::key,
            bodies::conflict,
            bodies::purge,
            bodies::report,
        ];
        chance.one_of(&kinds)(chance, installation)
    }

    /// A request that an administrator sends.
    pub(crate) fn new(
        installation: &Installation,
        method: &str,
        target: &str,
        status: u16,
        detail: &str,
    ) -> Self {
        let authorization = format!("Bearer {}", installation.admin);
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: vec![("Authorization".to_owned(), authorization)],
            body: None,
            status,
            names: Names::Detail(detail.to_owned()),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(self, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.with("Content-Type", media_type).unlabelled(body)
    }

    /// A body whose media type is not told.
    pub(crate) fn unlabelled(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into()), ..self }
    }

    /// The answer must name this field instead of words.
    pub(crate) fn field(self, name: impl Into<String>) -> Self {
        Self { names: Names::Field(name.into()), ..self }
    }

    pub(crate) fn authorization(mut self, values: &[String]) -> Self {
        self.fields.retain(|(name, _)| name != "Authorization");
        values.iter().fold(self, |wrong, value| wrong.with("Authorization", value))
    }

    /// As it goes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: control\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        [head.as_bytes(), b"\r\n", self.body.as_deref().unwrap_or_default()].concat()
    }
}
