//! What does an authority's refusal mean for who runs a site, and may the order still end well? (RFC 8555 §6.7)

use super::domain::Trouble;
use crate::clock::Moment;
use api::domains::DomainErrorKind as Kind;
use instant_acme::{Error, Problem};

const PREFIX: &str = "urn:ietf:params:acme:error:";
/// Characters of an authority's own words that are kept.
const DETAIL_MAX: usize = 600;

/// The trouble that `error` is. `said` is when the authority wants to be asked again.
pub(crate) fn trouble(host: &str, error: &Error, said: Option<Moment>) -> Trouble {
    let mut trouble = match error {
        Error::Api(problem) => refused(host, problem),
        Error::Timeout(_) => {
            Trouble::new(Kind::Authority, "the authority has not decided yet").passing()
        }
        Error::Json(_) => unusable("its answer is no JSON of ACME"),
        Error::Crypto | Error::KeyRejected => {
            Trouble::new(Kind::Internal, "the key of the account can't be used").passing()
        }
        other => unusable(&causes(other)),
    };
    trouble.not_before = said;
    trouble
}

fn unusable(why: &str) -> Trouble {
    Trouble::new(Kind::Authority, format!("the authority can't be used: {}", shown(why))).passing()
}

/// An error with what caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The trouble that a problem document is.
pub(crate) fn refused(host: &str, problem: &Problem) -> Trouble {
    let name = problem.r#type.as_deref().unwrap_or_default();
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    // several names in one order are told apart by subproblems; ours have one
    let sub = problem.subproblems.iter().find_map(|sub| sub.detail.as_deref());
    let detail = shown(sub.or(problem.detail.as_deref()).unwrap_or("it doesn't say why"));
    let (kind, words) = meaning(name, host);
    let text = format!("{words}: {detail}");
    let trouble = Trouble::new(kind, text);
    let fails = problem.status.is_some_and(|status| status >= 500);
    match name {
        "serverInternal" | "badNonce" | "rateLimited" => trouble.passing(),
        _ if fails => trouble.passing(),
        _ => trouble,
    }
}

/// What a type of problem means.
fn meaning(name: &str, host: &str) -> (Kind, String) {
    match name {
        "caa" => (Kind::Caa, format!("a CAA record of {host} does not let this authority issue")),
        "rateLimited" => (Kind::RateLimited, "the authority's limit is reached".to_owned()),
        "connection" => (
            Kind::Connection,
            format!(
                "the authority could not connect to {host}: is it reached from outside, on the ports 80 and 443?"
            ),
        ),
        "dns" => (Kind::Dns, format!("the authority could not look up {host} in DNS")),
        "tls" => (Kind::Challenge, format!("the authority's handshake with {host} failed")),
        "unauthorized" | "incorrectResponse" => (
            Kind::Challenge,
            format!("the authority asked {host} and got another answer than the edges have"),
        ),
        "rejectedIdentifier" | "unsupportedIdentifier" => {
            (Kind::Rejected, format!("the authority does not issue for {host}"))
        }
        "accountDoesNotExist"
        | "externalAccountRequired"
        | "unsupportedContact"
        | "invalidContact"
        | "userActionRequired"
        | "badPublicKey" => (Kind::Account, "the authority does not take the account".to_owned()),
        "malformed" | "badCSR" | "orderNotReady" | "alreadyReplaced" => {
            (Kind::Internal, "the authority does not take the request".to_owned())
        }
        _ => (Kind::Authority, "the authority failed".to_owned()),
    }
}

/// What others wrote, in one line that a terminal can show.
pub(crate) fn shown(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    if line.chars().count() <= DETAIL_MAX {
        return line.to_owned();
    }
    format!("{}…", line.chars().take(DETAIL_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(name: &str, status: u16) -> Problem {
        let document = serde_json::json!({
            "type": format!("{PREFIX}{name}"), "detail": "as it says", "status": status,
        });
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn refusals_are_said_in_words() {
        let check = |name: &str, status: u16, kind: Kind, order_lives: bool, words: &str| {
            let found = refused("a.example.com", &problem(name, status));
            assert_eq!((found.kind, found.order_lives), (kind, order_lives), "{name}");
            assert!(found.detail.starts_with(words), "{}", found.detail);
            assert!(found.detail.ends_with(": as it says"), "{}", found.detail);
        };
        check("caa", 403, Kind::Caa, false, "a CAA record of a.example.com");
        check("rateLimited", 429, Kind::RateLimited, true, "the authority's limit");
        check("connection", 400, Kind::Connection, false, "the authority could not connect");
        check("dns", 400, Kind::Dns, false, "the authority could not look up");
        check("unauthorized", 403, Kind::Challenge, false, "the authority asked a.example.com");
        check("rejectedIdentifier", 400, Kind::Rejected, false, "the authority does not issue");
        check("externalAccountRequired", 400, Kind::Account, false, "the authority does not take");
        check("serverInternal", 500, Kind::Authority, true, "the authority failed");
        check("somethingNew", 400, Kind::Authority, false, "the authority failed");
        check("somethingNew", 503, Kind::Authority, true, "the authority failed");
    }

    #[test]
    fn an_authority_cannot_steer_the_terminal() {
        assert_eq!(shown("a\x1b[2J\nb"), "a [2J b");
        assert_eq!(shown(&"x".repeat(700)).chars().count(), DETAIL_MAX + 1);
    }
}
