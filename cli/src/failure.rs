//! Everything that can go wrong, and the exit code each has.

use api::id::EdgeId;
use api::problem::{FieldProblem, ProblemDetails};
use std::path::Path;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing was sent: an argument, a setting or the place of a file is wrong.
    #[error("{0}")]
    Usage(String),
    /// A file that can't be read or written.
    #[error("can't use `{path}`")]
    File { path: String, source: std::io::Error },
    /// A document that is no TOML or JSON, or a site that nothing could be done with.
    #[error("`{file}` is refused")]
    Document { file: String, problems: Vec<FieldProblem> },
    /// Control did not answer, or stopped in the middle.
    #[error(
        "control can't be reached at {control}; start it with `longshore up`, or name another with LONGSHORE_CONTROL"
    )]
    Unreachable { control: String, source: reqwest::Error },
    /// Control said no.
    #[error("{}", refusal(problem))]
    Refused {
        problem: Box<ProblemDetails>,
        /// The file that was sent, where there was one.
        file: Option<String>,
    },
    /// Another program answered, or a control this one does not understand.
    #[error(
        "what answers at {control} is not control: {answer}; LONGSHORE_CONTROL names where control is"
    )]
    NotControl { control: String, answer: String },
    /// An edge can't use the site and serves on with what it had.
    #[error("edge {edge} refuses the site and serves its last good document")]
    Rejected { edge: EdgeId, problems: Vec<FieldProblem> },
    /// Time was up.
    #[error("{0}")]
    Late(String),
    /// `longshore up` needs an address that something else has.
    #[error("{address} is taken; set {variable} to another address, or stop what listens there")]
    Taken { address: String, variable: &'static str },
    /// A program that `longshore up` started is gone.
    #[error("{program} stopped ({status}); the end of its log, {log}:\n{tail}")]
    Died { program: &'static str, status: String, log: String, tail: String },
    /// Something else.
    #[error("{what}")]
    Failed { what: String, source: Option<Box<dyn std::error::Error + Send + Sync>> },
}

impl Failure {
    /// A wrong argument or setting.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    /// What failed, and its cause.
    pub(crate) fn failed(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { what: what.into(), source: Some(source.into()) }
    }

    /// A file that can't be used.
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), source }
    }

    /// The same failure, about a file that was sent.
    pub(crate) fn about(self, file: &str) -> Self {
        match self {
            Self::Refused { problem, .. } => Self::Refused { problem, file: Some(file.to_owned()) },
            other => other,
        }
    }

    /// The status of a refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { problem, .. } => Some(problem.status),
            _ => None,
        }
    }

    /// What the process exits with; `longshore --help` lists them.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::File { .. } => 2,
            Self::Unreachable { .. } | Self::NotControl { .. } => 3,
            Self::Refused { problem, .. } => match problem.status {
                401 | 403 => 4,
                404 => 5,
                409 | 412 => 6,
                _ => 1,
            },
            Self::Document { .. }
            | Self::Rejected { .. }
            | Self::Late(_)
            | Self::Taken { .. }
            | Self::Died { .. }
            | Self::Failed { .. } => 1,
        }
    }

    /// What a person reads: what happened and its first cause, then every field that was refused on a line of its own.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut first = self.to_string();
        // Of the causes the first one counts: what is between names the parts of our own program.
        let causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        if let Some(root) = causes.last() {
            first.push_str(&format!(": {root}"));
        }
        let (file, problems) = match self {
            Self::Document { file, problems } => (Some(file), problems.as_slice()),
            Self::Refused { problem, file } => (file.as_ref(), problem.errors.as_slice()),
            Self::Rejected { problems, .. } => (None, problems.as_slice()),
            _ => (None, &[][..]),
        };
        let line = |problem: &FieldProblem| match file {
            Some(file) => format!("{file}: {problem}"),
            None => problem.to_string(),
        };
        std::iter::once(first).chain(problems.iter().map(line)).collect()
    }
}

fn refusal(problem: &ProblemDetails) -> String {
    let mut text = format!("{} {}", problem.status, problem.title);
    if let Some(detail) = &problem.detail {
        text.push_str(&format!(": {detail}"));
    }
    if problem.status == 401 {
        text.push_str(" (the token is that of LONGSHORE_TOKEN, or the one `longshore up` wrote)");
    }
    if let Some(id) = &problem.request_id {
        text.push_str(&format!(" [request {id}]"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> Failure {
        let problem = Box::new(ProblemDetails::new(status, "No"));
        Failure::Refused { problem, file: None }
    }

    #[test]
    fn exit_codes_are_those_of_the_help() {
        for (status, expected) in [
            (400, 1),
            (422, 1),
            (500, 1),
            (401, 4),
            (403, 4),
            (404, 5),
            (409, 6),
            (412, 6),
            (428, 1),
        ] {
            assert_eq!(refused(status).exit_code(), expected, "{status}");
        }
        assert_eq!(Failure::usage("no").exit_code(), 2);
    }

    #[test]
    fn problems_stand_one_on_a_line_with_file_and_field() {
        let mut problem = ProblemDetails::new(422, "Invalid site").detail("two fields");
        let field = |field: &str, value: Option<&str>| FieldProblem {
            field: field.to_owned(),
            detail: "must be better".to_owned(),
            value: value.map(str::to_owned),
        };
        problem.errors = vec![field("hosts[0]", Some("\"a b\"")), field("", None)];
        let failure = Failure::Refused { problem: Box::new(problem), file: None };
        assert_eq!(
            failure.about("site.toml").lines(),
            [
                "422 Invalid site: two fields",
                "site.toml: hosts[0]: must be better (got \"a b\")",
                "site.toml: document: must be better",
            ]
        );
    }
}
