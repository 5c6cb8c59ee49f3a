//! Names of things: opaque to people, ordered by creation, safe in a URL.
//!
//! An id is a prefix that names its kind and a ULID (26 characters of Crockford base 32), which control and edges
//! make; this crate only checks the form.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An id that does not have the form of its kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{value}` is not an id of the form `{prefix}` and 26 letters or digits")]
pub struct IdError {
    prefix: &'static str,
    value: String,
}

macro_rules! id {
    ($name:ident, $prefix:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The id made of the prefix and `ulid`, 26 characters.
            ///
            /// # Errors
            /// When `ulid` is not 26 letters or digits.
            pub fn from_ulid(ulid: &str) -> Result<Self, IdError> {
                Self::try_from(format!("{}{ulid}", $prefix))
            }

            /// The id as it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(value: String) -> Result<Self, IdError> {
                let ulid = value.strip_prefix($prefix).unwrap_or_default();
                if ulid.len() == 26 && ulid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return Ok(Self(value));
                }
                let value = value.chars().take(64).collect();
                Err(IdError { prefix: $prefix, value })
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(value: &str) -> Result<Self, IdError> {
                Self::try_from(value.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    SiteId,
    "site_",
    "A site, for as long as it exists. A site made again under the same name has a new id."
);
id!(EdgeId, "edge_", "An edge, from its first start on; kept in its state directory.");
id!(LogId, "log_", "One feed log. A control service with a new, empty database has a new one.");
id!(CertificateId, "crt_", "A certificate, through its renewals.");
id!(ChallengeId, "chl_", "A challenge of a certificate authority.");
id!(TokenId, "tok_", "An API token. Names it in lists and logs; it is not the secret.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_form() {
        let ulid = "01J9Z3K8Q4W5E6R7T8Y9V0B1N2";
        let id = SiteId::from_ulid(ulid).unwrap();
        assert_eq!(id.to_string(), format!("site_{ulid}"));
        for wrong in
            ["", "site_", "edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2", "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N/"]
        {
            assert!(SiteId::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
