//! Alerting rules of Prometheus: <https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/>

use saphyr::{LoadableYamlNode as _, Yaml};

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    expression: String,
}

/// The rules of a file, each of which must have what Prometheus and a reader need.
pub(super) fn rules(text: &str) -> Vec<Rule> {
    let documents = Yaml::load_from_str(text).unwrap();
    let groups = documents[0]["groups"].as_vec().unwrap();
    let rules = groups.iter().flat_map(|group| {
        assert!(group["name"].as_str().is_some());
        group["rules"].as_vec().unwrap()
    });
    rules.map(rule).collect()
}

fn rule(rule: &Yaml<'_>) -> Rule {
    let text = |value: &Yaml<'_>| {
        let text = value.as_str().filter(|text| !text.is_empty());
        text.unwrap_or_else(|| panic!("a text is missing in {rule:?}")).to_owned()
    };
    let known = ["alert", "expr", "for", "labels", "annotations"];
    let fields = rule.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap());
    assert!(fields.into_iter().all(|field| known.contains(&field)), "{rule:?}");
    let lasting = text(&rule["for"]);
    assert!(lasting.trim_end_matches(['s', 'm', 'h']).parse::<u32>().is_ok(), "{lasting}");
    assert!(["warning", "critical"].contains(&text(&rule["labels"]["severity"]).as_str()));
    text(&rule["annotations"]["summary"]);
    Rule { name: text(&rule["alert"]), expression: text(&rule["expr"]) }
}

impl Rule {
    /// The metrics of ours that it names.
    pub(super) fn metrics(&self) -> Vec<&str> {
        let words = self.expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words.filter(|word| word.starts_with("longshore_")).collect()
    }
}
