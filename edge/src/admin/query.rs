//! The query of a request to the admin address. Every problem is told at once.

use api::problem::FieldProblem;
use reqwest::Url;

/// Characters of a refused value that are told.
const VALUE_MAX: usize = 100;

/// The parameters of a query, decoded.
pub(crate) struct Query {
    parameters: Vec<(String, String)>,
    problems: Vec<FieldProblem>,
}

impl Query {
    /// Reads a query that may have `known` parameters and no others.
    pub(crate) fn read(query: Option<&str>, known: &[&str]) -> Self {
        let mut read = Self { parameters: Vec::new(), problems: Vec::new() };
        // a URL without a query is one; with any query it stays one
        let Ok(mut url) = Url::parse("http://admin/") else { return read };
        url.set_query(query);
        for (name, value) in url.query_pairs() {
            if known.contains(&name.as_ref()) {
                read.parameters.push((name.into_owned(), value.into_owned()));
            } else {
                let name = name.chars().take(VALUE_MAX).collect::<String>();
                let detail = format!("is no known parameter; known are {}", known.join(", "));
                read.refuse(&name, detail, None);
            }
        }
        read
    }

    /// What stands under `name`, where it stands, and at most once.
    pub(crate) fn one(&mut self, name: &str) -> Option<String> {
        let mut values = self.all(name).into_iter();
        let value = values.next();
        if values.next().is_some() {
            self.refuse(name, "must stand once".to_owned(), None);
        }
        value
    }

    /// Everything that stands under `name`, in order.
    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        let (own, others) = std::mem::take(&mut self.parameters)
            .into_iter()
            .partition(|(parameter, _)| parameter == name);
        self.parameters = others;
        let own: Vec<(String, String)> = own;
        own.into_iter().map(|(_, value)| value).collect()
    }

    /// Notes that the `value` of a parameter can't be used.
    pub(crate) fn refuse(&mut self, name: &str, detail: String, value: Option<&str>) {
        let value = value.map(|value| value.chars().take(VALUE_MAX).collect());
        self.problems.push(FieldProblem { field: name.to_owned(), detail, value });
    }

    /// `value`, where nothing was wrong.
    ///
    /// # Errors
    /// Every problem.
    pub(crate) fn end<T>(self, value: T) -> Result<T, Vec<FieldProblem>> {
        if self.problems.is_empty() { Ok(value) } else { Err(self.problems) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_wrong_ones_told() {
        let mut query = Query::read(Some("a=1%26+2&b=x&a=3&c=4&b"), &["a", "b"]);
        assert_eq!(query.all("a"), ["1& 2", "3"]);
        assert_eq!(query.one("b"), Some("x".to_owned()));
        let problems = query.end(()).unwrap_err();
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["c: is no known parameter; known are a, b", "b: must stand once"]);
        let mut none = Query::read(None, &["a"]);
        assert!(none.one("a").is_none() && none.end(()).is_ok());
    }
}
