//! A page of metrics in the Prometheus text format, read as far as tests need it.

/// The samples of one page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    samples: Vec<(String, f64)>,
    described: Vec<String>,
}

impl Metrics {
    /// Reads a page.
    ///
    /// # Panics
    /// When a sample has no number.
    #[must_use]
    pub fn parse(page: &str) -> Self {
        let mut metrics = Self::default();
        for line in page.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                let mut words = comment.split_whitespace();
                if words.next() == Some("HELP") {
                    metrics.described.extend(words.next().map(str::to_owned));
                }
                continue;
            }
            let sample = line
                .rsplit_once(' ')
                .and_then(|(series, value)| Some((series.to_owned(), value.parse().ok()?)));
            metrics.samples.push(sample.unwrap_or_else(|| panic!("sample `{line}`")));
        }
        metrics
    }

    /// The sum of every series of `name` whose labels contain each of `labels`, written `key="value"`.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let wanted = self.samples.iter().filter(|(series, _)| {
            let (own, rest) = series.split_once('{').unwrap_or((series, ""));
            own == name && labels.iter().all(|label| rest.contains(label))
        });
        wanted.map(|(_, value)| value).sum()
    }

    /// The names of all series, each once.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let names = self.samples.iter().map(|(series, _)| series.split('{').next());
        let mut names: Vec<&str> = names.flatten().collect();
        names.dedup();
        names
    }

    /// Whether a metric has a HELP line.
    #[must_use]
    pub fn is_described(&self, name: &str) -> bool {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        self.described.iter().any(|own| own == name || Some(own.as_str()) == base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_label() {
        let page = "# HELP a_total What.\n# TYPE a_total counter\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\"} 4\nb 5\n";
        let metrics = Metrics::parse(page);
        assert_eq!(metrics.sum("a_total", &["x=\"1\""]), 7.0);
        assert_eq!(metrics.sum("a_total", &["x=\"1\"", "y=\"2\""]), 3.0);
        assert_eq!(metrics.names(), ["a_total", "b"]);
        assert!(metrics.is_described("a_total") && !metrics.is_described("b"));
    }
}
