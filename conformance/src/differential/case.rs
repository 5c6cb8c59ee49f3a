//! A case: what is asked, what the origin answers.

use super::feature::{Feature, Place, Value};
use super::grammar::plainer;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::SystemTime;

/// The host of every request.
pub(crate) const HOST: &str = "differential.example";

/// A set of features. Two requests for one URL, and the origin's answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Case(BTreeSet<Feature>);

impl Case {
    /// Adds features. Of a field that can be there once only, the first one stays.
    pub(crate) fn add(&mut self, features: &[Feature]) {
        for feature in features {
            let repeats = feature.place == Place::Directive;
            let taken = |own: &Feature| {
                own.place == feature.place && (own.name == feature.name || feature.name.is_empty())
            };
            if repeats || !self.0.iter().any(taken) {
                self.0.insert(*feature);
            }
        }
    }

    /// Its features, in the order of the exchange.
    pub fn features(&self) -> impl Iterator<Item = &Feature> {
        self.0.iter()
    }

    /// The case in one step simpler: without a feature, or with the plainest one in the place of another.
    /// `None` when there are no `step` steps.
    pub(crate) fn smaller(&self, step: usize) -> Option<Self> {
        let without = self.0.iter().map(|&feature| (feature, None));
        let plainer = self.0.iter().filter_map(|&feature| Some((feature, Some(plainer(feature)?))));
        let (feature, instead) = without.chain(plainer).nth(step)?;
        let mut smaller = self.clone();
        smaller.0.remove(&feature);
        smaller.0.extend(instead);
        Some(smaller)
    }

    pub(crate) fn value(&self, place: Place) -> Option<&'static str> {
        self.at(place).find_map(|feature| match feature.value {
            Value::Text(text) => Some(text),
            Value::Date(_) | Value::Rfc850(_) | Value::Asctime(_) => None,
        })
    }

    /// The unsafe request in the middle: its method and the status of its answer.
    pub(crate) fn between(&self) -> Option<(&'static str, &'static str)> {
        let name = self.at(Place::Between).next()?.name;
        Some((name, self.value(Place::Between)?))
    }

    /// Whether the directive named so is there, in whatever form.
    pub(crate) fn has_directive(&self, name: &str) -> bool {
        self.at(Place::Directive).any(|feature| feature.value.to_string().starts_with(name))
    }

    /// Method and head of the first or second request for `path`.
    pub(crate) fn request(
        &self,
        place: Place,
        path: &str,
        beginning: SystemTime,
    ) -> (&'static str, String) {
        let method = match place {
            Place::Request1 => self.value(Place::Method1),
            _ => self.value(Place::Method2),
        };
        let method = method.unwrap_or("GET");
        let fields = self.lines(place, beginning);
        (method, format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n"))
    }

    /// The fields of the origin's answer that the case decides. `Date` is among them unless the case leaves it out.
    pub(crate) fn answer_fields(&self, beginning: SystemTime, now: SystemTime) -> String {
        let mut fields = String::new();
        let directives: Vec<_> =
            self.at(Place::Directive).map(|feature| feature.value.to_string()).collect();
        if !directives.is_empty() {
            line(&mut fields, "Cache-Control", &directives.join(", "));
        }
        fields += &self.lines(Place::Answer, beginning).replace("Date: none\r\n", "");
        if !self.at(Place::Answer).any(|feature| feature.name == "Date") {
            line(&mut fields, "Date", &httpdate::fmt_http_date(now));
        }
        fields
    }

    /// A field of the origin's answer.
    pub(crate) fn answer_field(&self, name: &str, beginning: SystemTime) -> Option<String> {
        let feature = self.at(Place::Answer).find(|feature| feature.name == name)?;
        Some(feature.value.render(beginning))
    }

    /// The features of a place as field lines.
    pub(crate) fn lines(&self, place: Place, beginning: SystemTime) -> String {
        let mut lines = String::new();
        for feature in self.at(place) {
            line(&mut lines, feature.name, &feature.value.render(beginning));
        }
        lines
    }

    fn at(&self, place: Place) -> impl Iterator<Item = &Feature> {
        self.0.iter().filter(move |feature| feature.place == place)
    }
}

fn line(lines: &mut String, name: &str, value: &str) {
    // writing to a string can't fail
    let _written = write!(lines, "{name}: {value}\r\n");
}
