//! Requests that the store has nothing to do with.

use super::{check_cookie, check_field, check_names, check_parameter};
use crate::check::{Check, Problems};
use serde::{Deserialize, Serialize};

/// Requests that are forwarded, and whose responses are not stored: those that have any of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = CacheBypass))]
pub struct Bypass {
    /// Names of fields. At most 32. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<String>>,
    /// Names of cookies; one that ends in `*` stands for all that begin so. At most 32. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookies: Option<Vec<String>>,
    /// Names of parameters of the query, compared as they stand in the URL; one that ends in `*` stands for all that
    /// begin so. At most 32. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Vec<String>>,
}

impl Bypass {
    pub(super) fn or(self, fallback: Self) -> Self {
        Self {
            headers: self.headers.or(fallback.headers),
            cookies: self.cookies.or(fallback.cookies),
            query: self.query.or(fallback.query),
        }
    }
}

impl Check for Bypass {
    fn check(&self, problems: &mut Problems) {
        check_names("headers", self.headers.as_ref(), problems, check_field);
        check_names("cookies", self.cookies.as_ref(), problems, check_cookie);
        check_names("query", self.query.as_ref(), problems, check_parameter);
    }
}

/// A name, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// This name.
    Exact(Box<str>),
    /// Every name that begins so.
    Prefix(Box<str>),
}

impl NamePattern {
    /// Reads `name`, or `prefix*`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.into()),
            None => Self::Exact(text.into()),
        }
    }

    /// Whether it stands for `name`, compared byte by byte.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Exact(own) => own.as_bytes() == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_bytes()),
        }
    }
}
