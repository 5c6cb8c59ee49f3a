//! Fields an operator sets or removes.

use crate::check::{Check, Problems};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const CHANGES_MAX: u64 = 50;
const VALUE_MAX_BYTES: usize = 4_096;

/// Fields that belong to the connection or to framing; setting them would break messages.
const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "cdn-loop",
];

/// Fields changed on a message: removed first, then set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeaderChanges {
    /// Fields that get this value instead of any they had. Together with `remove` at most 50.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Fields taken out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

impl Check for HeaderChanges {
    fn check(&self, problems: &mut Problems) {
        let changes = self.set.len() as u64 + self.remove.len() as u64;
        problems.within(changes, 0..=CHANGES_MAX, "fields set or removed");
        for (name, value) in &self.set {
            problems.at(&format!("set.{name}"), |problems| {
                check_header_name(name, problems);
                check_header_value(value, problems);
            });
        }
        problems.each("remove", &self.remove, |problems, name| check_header_name(name, problems));
    }
}

fn check_header_name(name: &str, problems: &mut Problems) {
    match http::HeaderName::try_from(name) {
        Err(_) => problems.add("must be a field name (RFC 9110 §5.1)", Some(&name)),
        Ok(name) if RESERVED.contains(&name.as_str()) => {
            problems.add(
                "belongs to the connection or the framing and can't be changed",
                Some(&name.as_str()),
            );
        }
        Ok(_) => {}
    }
}

pub(crate) fn check_header_value(value: &str, problems: &mut Problems) {
    if value.len() > VALUE_MAX_BYTES {
        problems.add(format!("must be at most {VALUE_MAX_BYTES} bytes long"), Some(&value));
    } else if http::HeaderValue::try_from(value).is_err() || !value.is_ascii() {
        problems.add("must be made of visible ASCII characters and spaces", Some(&value));
    }
}
