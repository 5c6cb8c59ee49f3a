//! Which parts of a request select a stored response, and in which form?
//!
//! The query is brought into the form that counts, which is what the origin is asked for as well: nothing that doesn't
//! select a response reaches the origin in the URL, so nothing unkeyed can change what is stored under a name. Fields,
//! cookies, country and device are parts of the variant, as the fields are that `Vary` names, so that a name is a URL
//! and whatever removes it removes all of them.

use super::{COUNTRY, DEVICE, cookies, names};
use api::site::cache::{Key as WrittenKey, NamePattern, Query};
use http::{HeaderMap, HeaderName};
use std::borrow::Cow;

/// What selects a stored response beside its URL and what `Vary` names.
#[derive(Debug, Default)]
pub struct Key {
    parameters: Parameters,
    sorted: bool,
    /// Country and device are the fields that tell the origin of them.
    headers: Box<[HeaderName]>,
    cookies: Box<[Box<str>]>,
    /// Whether the client's country selects, and is told to the origin.
    pub country: bool,
    /// Whether the client's class of device selects, and is told to the origin.
    pub device: bool,
}

/// Which parameters of the query count.
#[derive(Debug, Default, PartialEq, Eq)]
enum Parameters {
    /// All.
    #[default]
    All,
    /// Those with one of these names.
    Of(Box<[Box<str>]>),
    /// Those with none of these names.
    Except(Box<[NamePattern]>),
}

impl Key {
    /// Whether the same of a query counts as by `other`.
    pub(crate) fn counts_alike(&self, other: &Self) -> bool {
        self.parameters == other.parameters && self.sorted == other.sorted
    }

    pub(super) fn resolve(written: &WrittenKey) -> Option<Self> {
        let (country, device) = (written.country == Some(true), written.device == Some(true));
        let mut headers = names(written.headers.as_ref())?.into_vec();
        headers.extend(country.then_some(COUNTRY));
        headers.extend(device.then_some(DEVICE));
        // the order in which names are written doesn't count, nor how often
        headers.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        headers.dedup();
        let mut cookies: Vec<Box<str>> =
            written.cookies.iter().flatten().map(|name| name.as_str().into()).collect();
        cookies.sort();
        cookies.dedup();
        Some(Self {
            parameters: written.query.as_ref().map_or(Parameters::All, Parameters::resolve),
            sorted: written.sort_query.unwrap_or(false),
            headers: headers.into(),
            cookies: cookies.into(),
            country,
            device,
        })
    }

    /// The part of a query that counts. Parameters that stay are as they came, byte for byte. A query of which nothing
    /// stays is none.
    #[must_use]
    pub fn query<'q>(&self, query: Option<&'q str>) -> Option<Cow<'q, str>> {
        let query = query?;
        if matches!(self.parameters, Parameters::All) && !self.sorted {
            return Some(Cow::Borrowed(query));
        }
        let counting = |parameter: &&str| self.parameters.count(name_of(parameter));
        let mut counting: Vec<&str> = parameters(query).filter(counting).collect();
        if self.sorted {
            // stable: parameters of one name are a list, whose order an origin may read
            counting.sort_by_key(|parameter| name_of(parameter));
        }
        (!counting.is_empty()).then(|| Cow::Owned(counting.join("&")))
    }

    /// Whether anything but the URL selects.
    #[must_use]
    pub fn selects(&self) -> bool {
        !self.headers.is_empty() || !self.cookies.is_empty()
    }

    /// Appends what the fields of `request` select, to bytes that are the same for two requests exactly if they select
    /// the same. Nothing is appended where nothing selects.
    pub fn append_selected(&self, request: &HeaderMap, out: &mut Vec<u8>) {
        if !self.selects() {
            return;
        }
        append_length(self.headers.len(), out);
        for name in &self.headers {
            semantics::vary::append_field(name.as_str().as_bytes(), request, out);
        }
        append_length(self.cookies.len(), out);
        for name in &self.cookies {
            append_framed(name.as_bytes(), out);
            let given = || cookies(request).filter(|(given, _)| *given == name.as_bytes());
            append_length(given().count(), out);
            given().for_each(|(_, value)| append_framed(value, out));
        }
    }
}

impl Parameters {
    fn resolve(written: &Query) -> Self {
        match written {
            Query::All => Self::All,
            Query::None => Self::Of(Box::default()),
            Query::Allow(names) => {
                Self::Of(names.iter().map(|name| name.as_str().into()).collect())
            }
            Query::Deny(names) => {
                Self::Except(names.iter().map(|name| NamePattern::parse(name)).collect())
            }
        }
    }

    fn count(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Of(names) => names.iter().any(|own| own.as_bytes() == name),
            Self::Except(patterns) => !patterns.iter().any(|pattern| pattern.matches(name)),
        }
    }
}

/// The parameters of a query, as they came.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = &str> {
    query.split('&')
}

/// The name of a parameter, as it came.
pub(super) fn name_of(parameter: &str) -> &[u8] {
    parameter.split_once('=').map_or(parameter, |(name, _)| name).as_bytes()
}

fn append_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

fn append_framed(bytes: &[u8], out: &mut Vec<u8>) {
    append_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}
