//! The request to be explained, as the stages want it.

use crate::proxy::begin::{client_fields, end_hop};
use crate::proxy::interim;
use crate::stage::entrance::Entrance;
use crate::stage::fail::Failure;
use crate::stage::identify::{Identity, Scheme};
use crate::telemetry::Telemetry;
use ::route::{Host, Key};
use api::explain::{ExplainRequest, FIELDS_MAX};
use api::problem::FieldProblem;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use pingora_http::RequestHeader;
use std::net::{IpAddr, Ipv4Addr};

/// A request that nobody made.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) fields: HeaderMap,
    pub(super) identity: Identity,
}

impl Asked {
    /// A client without TLS, or one whose handshake went by the site's rules.
    pub(super) fn entrance(&self) -> Entrance<'static> {
        match self.identity.scheme {
            Scheme::Http => Entrance::Open,
            Scheme::Https => Entrance::Inside,
        }
    }

    /// Reads what was asked; every problem at once.
    pub(super) fn read(request: &ExplainRequest) -> Result<Self, Vec<FieldProblem>> {
        let mut problems = Vec::new();
        let method = method(request, &mut problems);
        let target = target(request, &mut problems);
        let fields = fields(request, &mut problems);
        match (method, target) {
            (Some(method), Some((uri, host, scheme))) if problems.is_empty() => {
                let client = request.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                let identity = Identity { host, client, scheme };
                let fields = end_to_end(&method, &fields).unwrap_or(fields);
                Ok(Self { method, uri, fields, identity })
            }
            _ => Err(problems),
        }
    }

    /// Takes out what the client expects.
    ///
    /// # Errors
    /// Where that is something else than a 100.
    pub(super) fn take_expectation(&mut self) -> Result<(), Failure> {
        let understood = interim::is_understood(&self.fields);
        self.fields.remove(header::EXPECT);
        if understood { Ok(()) } else { Err(Failure::Expectation) }
    }

    /// Adds what the rule's key wants to know of the client.
    pub(super) fn describe_client(
        &mut self,
        client: Option<IpAddr>,
        key: &Key,
        telemetry: &Telemetry,
    ) {
        for (name, value) in client_fields(&self.fields, client, key, telemetry) {
            self.fields.remove(&name);
            if let Some(value) = value {
                self.fields.insert(name, value);
            }
        }
    }
}

fn problem(problems: &mut Vec<FieldProblem>, field: &str, detail: &str, value: &str) {
    let value = Some(value.chars().take(100).collect());
    problems.push(FieldProblem { field: field.to_owned(), detail: detail.to_owned(), value });
}

fn method(request: &ExplainRequest, problems: &mut Vec<FieldProblem>) -> Option<Method> {
    let detail = match Method::from_bytes(request.method.as_bytes()) {
        Ok(Method::CONNECT) => "must not be CONNECT: a tunnel has no URL",
        Ok(method) => return Some(method),
        Err(_) => "must be a method, such as GET",
    };
    problem(problems, "method", detail, &request.method);
    None
}

/// Path and query, the host, and how it is reached.
fn target(
    request: &ExplainRequest,
    problems: &mut Vec<FieldProblem>,
) -> Option<(Uri, Host, Scheme)> {
    let read = || {
        let url: Uri = request.url.parse().ok()?;
        let scheme = Scheme::named(url.scheme_str()?)?;
        let host = Host::parse(url.authority()?.as_str(), scheme.default_port()).ok()?;
        let path = url.path_and_query()?.clone();
        Some((Uri::from(path), host, scheme))
    };
    let target = read();
    if target.is_none() {
        let detail = "must be an http or https URL with a host: http://host/path?query";
        problem(problems, "url", detail, &request.url);
    }
    target
}

fn fields(request: &ExplainRequest, problems: &mut Vec<FieldProblem>) -> HeaderMap {
    if request.fields.len() > FIELDS_MAX {
        let detail = format!("must be at most {FIELDS_MAX} field lines");
        problem(problems, "fields", &detail, &request.fields.len().to_string());
        return HeaderMap::new();
    }
    let mut fields = HeaderMap::new();
    for (index, line) in request.fields.iter().enumerate() {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        match (name, HeaderValue::from_str(&line.value)) {
            (Ok(header::HOST), _) => {
                let detail = "must not be Host: the URL tells the host";
                problem(problems, &format!("fields[{index}].name"), detail, &line.name);
            }
            (Ok(name), Ok(value)) => drop(fields.append(name, value)),
            (Err(_), _) => {
                problem(problems, &format!("fields[{index}].name"), "must be a token", &line.name);
            }
            (_, Err(_)) => {
                let detail = "must be visible characters, spaces and tabs";
                problem(problems, &format!("fields[{index}].value"), detail, &line.value);
            }
        }
    }
    fields
}

/// What the stages see of `fields`.
fn end_to_end(method: &Method, fields: &HeaderMap) -> Option<HeaderMap> {
    let mut head = RequestHeader::build(method.clone(), b"/", None).ok()?;
    for (name, value) in fields {
        head.append_header(name, value).ok()?;
    }
    end_hop(&mut head);
    Some(head.headers.clone())
}
