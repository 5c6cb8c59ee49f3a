//! Why isn't a response stored? One word for logs, metrics and `Cache-Status`.

use std::fmt;

/// Why a response isn't stored; displayed as its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The method's response is no representation of the target.
    Method,
    /// Not final, not understood, bound to this request (206, 304, 412, 416), or neither cacheable by
    /// default nor given a lifetime.
    Status,
    /// The request's `no-store`.
    RequestNoStore,
    /// The response's `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// The request carried `Authorization` and the response doesn't open it to others (§3.5).
    Authorization,
    /// `Set-Cookie`, and the policy doesn't store it.
    SetCookie,
    /// `Vary: *`, or a member that is no field name.
    VaryStar,
    /// `Vary` with more than [`crate::vary::MEMBERS_MAX`] fields.
    VaryLimit,
    /// `no-cache` without a validator: it could never be used.
    NoCache,
    /// No lifetime and no validator.
    NoFreshness,
    /// Stale on arrival, without validator or stale windows of its own.
    Stale,
}

impl Reason {
    /// A short token for logs, metrics and `Cache-Status`.
    pub fn token(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::VaryStar => "vary-star",
            Self::VaryLimit => "vary-limit",
            Self::NoCache => "no-cache",
            Self::NoFreshness => "no-freshness",
            Self::Stale => "stale",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.token())
    }
}
