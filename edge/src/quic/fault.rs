//! What goes wrong on a stream or a connection, and the codes that say so: RFC 9114 §8.1, RFC 9204 §6.

use quinn::{ReadError, VarInt, WriteError};
use std::io;

/// An error code of HTTP/3 or QPACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Code {
    NoError = 0x100,
    InternalError = 0x102,
    StreamCreationError = 0x103,
    ClosedCriticalStream = 0x104,
    FrameUnexpected = 0x105,
    FrameError = 0x106,
    ExcessiveLoad = 0x107,
    IdError = 0x108,
    SettingsError = 0x109,
    MissingSettings = 0x10a,
    RequestRejected = 0x10b,
    RequestCancelled = 0x10c,
    RequestIncomplete = 0x10d,
    MessageError = 0x10e,
    DecompressionFailed = 0x200,
    EncoderStreamError = 0x201,
    DecoderStreamError = 0x202,
}

impl From<Code> for VarInt {
    fn from(code: Code) -> Self {
        Self::from_u32(code as u32)
    }
}

/// Why a stream is not read or written any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The client breaks a rule for connections, which ends the connection.
    #[error("{1}")]
    Connection(Code, &'static str),
    /// The client breaks a rule for messages, which ends the stream.
    #[error("{1}")]
    Stream(Code, &'static str),
    /// The client has broken the stream off.
    #[error("the client broke the stream off")]
    Cancelled,
    /// The connection has ended.
    #[error("the connection has ended")]
    Lost,
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        if matches!(error, ReadError::Reset(_)) { Self::Cancelled } else { Self::Lost }
    }
}

impl From<WriteError> for Fault {
    fn from(error: WriteError) -> Self {
        if matches!(error, WriteError::Stopped(_)) { Self::Cancelled } else { Self::Lost }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        let kind = match fault {
            Fault::Connection(..) | Fault::Stream(..) => io::ErrorKind::InvalidData,
            Fault::Cancelled | Fault::Lost => io::ErrorKind::ConnectionReset,
        };
        Self::new(kind, fault)
    }
}
