//! The tokens of `longshore up`: one for the person, one for the edge, made the first time.

use super::children::Program;
use super::demo::Demo;
use super::files::{self, Layout};
use crate::client::{Ask, Client};
use crate::failure::Failure;
use crate::settings::Settings;
use api::token::{PREFIX, Scope};
use reqwest::{Method, Url};
use serde_json::Value;
use std::path::Path;

/// The admin token, which control accepts. Where it does not accept the one there is, its database is another than
/// last time: both tokens are made anew, and the demo site too.
pub(super) async fn ensure(
    control: &Program,
    layout: &Layout,
    url: &Url,
    demo: &mut Demo,
) -> Result<String, Failure> {
    let known = files::read(&layout.token())?.map(|token| token.trim().to_owned());
    let accepted = match &known {
        Some(token) => is_accepted(token, url).await?,
        None => false,
    };
    let token = if let Some(token) = known.filter(|_| accepted) {
        token
    } else {
        demo.forget();
        create(control, layout, &layout.token(), Scope::Admin).await?
    };
    if !accepted || files::read(&layout.edge_token())?.is_none() {
        create(control, layout, &layout.edge_token(), Scope::Edge).await?;
    }
    Ok(token)
}

async fn is_accepted(token: &str, control: &Url) -> Result<bool, Failure> {
    let settings =
        Settings { control: control.clone(), token: Some(token.to_owned()), ca_file: None };
    let ask = Ask { path: &["v1", "sites"], query: &[("limit", "1")], ..Ask::default() };
    match Client::new(&settings)?.send(Method::GET, ask).await {
        Ok(_) => Ok(true),
        Err(failure) if matches!(failure.status(), Some(401 | 403)) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Has control make a token, and keeps it at `path`.
async fn create(
    control: &Program,
    layout: &Layout,
    path: &Path,
    scope: Scope,
) -> Result<String, Failure> {
    let name = format!("longshore-up-{}", scope.as_str());
    let mut words = ["token", "create", "--json", "--name", &name, "--scope", scope.as_str()]
        .map(std::ffi::OsString::from)
        .to_vec();
    words.extend(["--data-dir".into(), layout.control().into_os_string()]);
    let printed = control.output(&words).await?;
    let token = secret(&printed)
        .ok_or_else(|| Failure::failed("no token was made", "longshore-control printed none"))?;
    files::write(path, token.as_bytes(), 0o600)?;
    Ok(token)
}

/// The member that is a secret.
fn secret(printed: &str) -> Option<String> {
    let value: Value = serde_json::from_str(printed.trim()).ok()?;
    let mut members = value.as_object()?.values().filter_map(Value::as_str);
    members.find(|text| text.starts_with(PREFIX)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_found_by_its_prefix() {
        let printed = "{\"id\":\"tok_1\",\"secret\":\"ls_abc\",\"scopes\":[\"admin\"]}\n";
        assert_eq!(secret(printed).as_deref(), Some("ls_abc"));
        assert_eq!((secret("{}"), secret("ls_abc")), (None, None));
    }
}
