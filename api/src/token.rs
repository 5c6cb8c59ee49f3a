//! API tokens: `Authorization: Bearer ls_…` (RFC 6750 §2.1).

use serde::{Deserialize, Serialize};

/// What every token begins with, so that one can be found in a leak.
pub const PREFIX: &str = "ls_";

/// What a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Scope {
    /// Everything.
    #[serde(rename = "admin")]
    Admin,
    /// Reading sites and edges.
    #[serde(rename = "sites:read")]
    SitesRead,
    /// Changing sites.
    #[serde(rename = "sites:write")]
    SitesWrite,
    /// Purging.
    #[serde(rename = "purge")]
    Purge,
    /// Following the feed and reporting as an edge.
    #[serde(rename = "edge")]
    Edge,
}

/// A scope that does not exist.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no scope: admin, sites:read, sites:write, purge, edge")]
pub struct ScopeError(String);

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] =
        [Self::Admin, Self::SitesRead, Self::SitesWrite, Self::Purge, Self::Edge];

    /// The scope as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::SitesRead => "sites:read",
            Self::SitesWrite => "sites:write",
            Self::Purge => "purge",
            Self::Edge => "edge",
        }
    }

    /// Whether a token with this scope may do what needs `needed`.
    #[must_use]
    pub fn allows(self, needed: Self) -> bool {
        self == Self::Admin
            || self == needed
            || (self == Self::SitesWrite && needed == Self::SitesRead)
    }
}

impl std::str::FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| ScopeError(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admin_and_the_scope_itself_allow() {
        assert!(Scope::Admin.allows(Scope::Edge) && Scope::SitesWrite.allows(Scope::SitesRead));
        assert!(
            !Scope::Edge.allows(Scope::SitesRead) && !Scope::SitesRead.allows(Scope::SitesWrite)
        );
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
    }
}
