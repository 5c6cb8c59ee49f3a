//! Problem details for HTTP APIs (RFC 9457): what a refused request is answered with.

use serde::{Deserialize, Serialize};

/// The media type of [`ProblemDetails`] in JSON.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The body of an error answer (RFC 9457 §3.1), with one extension member, `errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProblemDetails {
    /// A URI that names the kind of problem; `about:blank` where the status says it all.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The kind of problem in a few words, the same for every occurrence.
    pub title: String,
    /// The HTTP status code of the answer.
    pub status: u16,
    /// What went wrong this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The id of the request, as found in the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Every field that was refused, all at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

impl ProblemDetails {
    /// A problem that its status describes.
    #[must_use]
    pub fn new(status: u16, title: impl Into<String>) -> Self {
        let (kind, title) = (about_blank(), title.into());
        Self { kind, title, status, detail: None, request_id: None, errors: Vec::new() }
    }

    /// The same problem, saying what went wrong this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// One field that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldProblem {
    /// Where it stands in the document: `rules[2].paths[0]`. Empty for the document as a whole.
    pub field: String,
    /// What is wrong with it, and the limit it breaks.
    pub detail: String,
    /// The value that was refused, in JSON, shortened to 100 characters. Absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl std::fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let field = if self.field.is_empty() { "document" } else { &self.field };
        match &self.value {
            Some(value) => write!(f, "{field}: {} (got {value})", self.detail),
            None => write!(f, "{field}: {}", self.detail),
        }
    }
}
