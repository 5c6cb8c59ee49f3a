//! Short words for features, for the grammar.

use super::{Feature, Place, Value};

pub(crate) const fn status(value: &'static str) -> Feature {
    Feature::new(Place::Status, "", Value::Text(value))
}

pub(crate) const fn cc(value: &'static str) -> Feature {
    Feature::new(Place::Directive, "", Value::Text(value))
}

pub(crate) const fn answer(name: &'static str, value: &'static str) -> Feature {
    Feature::new(Place::Answer, name, Value::Text(value))
}

pub(crate) const fn answer_date(name: &'static str, offset: i64) -> Feature {
    Feature::new(Place::Answer, name, Value::Date(offset))
}

pub(crate) const fn first(name: &'static str, value: &'static str) -> Feature {
    Feature::new(Place::Request1, name, Value::Text(value))
}

pub(crate) const fn second(name: &'static str, value: &'static str) -> Feature {
    Feature::new(Place::Request2, name, Value::Text(value))
}

pub(crate) const fn second_date(name: &'static str, offset: i64) -> Feature {
    Feature::new(Place::Request2, name, Value::Date(offset))
}

pub(crate) const fn between(method: &'static str, status: &'static str) -> Feature {
    Feature::new(Place::Between, method, Value::Text(status))
}
