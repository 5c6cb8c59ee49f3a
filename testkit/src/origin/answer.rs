//! An answer: the steps the origin takes, one after the other.

use super::Live;
use crate::message::Fields;
use crate::wait::Barrier;
use bytes::Bytes;

/// What to do for one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) steps: Vec<Step>,
    pub(super) framing: Framed,
    pub(super) ending: Ending,
    /// Answers before the body of the request has come.
    pub(super) early: bool,
    /// Answers by the request's `Range` and `If-None-Match`.
    pub(super) ranged: bool,
    /// Doesn't say that the body of the request may be sent.
    pub(super) unwelcoming: bool,
    /// What follows one another without waiting goes out in one write.
    pub(super) at_once: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A status line and fields; what frames the body is added.
    Head {
        status: u16,
        fields: Fields,
    },
    /// A piece of the body.
    Body(Bytes),
    /// Bytes as they are.
    Raw(Bytes),
    Wait(Barrier),
    /// Sends pieces of the body as the test makes them.
    Live(Live),
    /// Sends back whatever comes.
    Echo,
}

impl Step {
    /// The bytes of a body that are known beforehand.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Body(bytes) => bytes,
            Self::Head { .. } | Self::Raw(_) | Self::Wait(_) | Self::Live(_) | Self::Echo => &[],
        }
    }
}

/// How the body of the answer is framed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Framed {
    /// By the length of all the pieces the script has.
    #[default]
    Whole,
    /// By a length the script names, true or not.
    Length(usize),
    Chunked,
    UntilClose,
}

/// What follows the last step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Ending {
    /// The body ends as its framing says; the connection is kept where that is possible.
    #[default]
    Complete,
    /// The connection is closed, whatever is missing.
    Close,
    /// The connection is reset, whatever is missing.
    Reset,
    /// Nothing, until the other side leaves.
    Hang,
}

impl Answer {
    pub(super) fn not_scripted(target: &str) -> Self {
        let body = format!("the test has no script for {target}");
        let head = Step::Head { status: 404, fields: Fields::default() };
        Self { steps: vec![head, Step::Body(body.into())], ..Self::default() }
    }

    /// The head to write, with the field that frames the body.
    pub(super) fn head(&self, status: u16, fields: &Fields) -> String {
        let framing = match self.framing {
            _ if matches!(status, 100..=199 | 204 | 304) => String::new(),
            Framed::Whole => format!("Content-Length: {}\r\n", self.scripted_length()),
            Framed::Length(length) => format!("Content-Length: {length}\r\n"),
            Framed::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            Framed::UntilClose => "Connection: close\r\n".to_owned(),
        };
        format!("HTTP/1.1 {status} Scripted\r\n{fields}{framing}\r\n")
    }

    /// A piece of the body as it goes over the wire.
    pub(super) fn piece(&self, bytes: &[u8]) -> Vec<u8> {
        if self.framing != Framed::Chunked {
            return bytes.to_vec();
        }
        let size = format!("{:x}\r\n", bytes.len());
        [size.as_bytes(), bytes, b"\r\n"].concat()
    }

    fn scripted_length(&self) -> usize {
        self.steps.iter().map(|step| step.bytes().len()).sum()
    }
}
