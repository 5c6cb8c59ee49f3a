//! Could an edge start with this configuration? Looks at what it names, and changes nothing.

use crate::config::Config;
use crate::feed::{Link, Token};
use api::problem::FieldProblem;
use rustix::fs::{Access, access};
use std::net::{TcpListener, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// How long control may take to answer.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// What is looked at beside files and directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub(crate) struct Extent {
    /// Listens at each address for a moment. Not while an edge runs there.
    #[arg(long)]
    bind: bool,
    /// Asks control for the feed, with the token.
    #[arg(long)]
    online: bool,
}

/// Finds all that would keep an edge from starting, or from following control. Empty where nothing would.
pub(crate) fn problems(config: &Config, token: &Token, extent: Extent) -> Vec<FieldProblem> {
    let mut found = Found::default();
    found.directory("state.directory", &config.state.directory);
    for (index, directory) in config.disk.directories.iter().enumerate() {
        found.directory(&format!("disk.directories[{index}].path"), &directory.path);
    }
    found.files(config, token);
    for (key, address) in addresses(config) {
        found.address(key, address, extent.bind);
    }
    if extent.online {
        found.control(config, token);
    }
    found.0
}

fn addresses(config: &Config) -> impl Iterator<Item = (&'static str, &str)> {
    let always = [("http.listen", &*config.http.listen), ("admin.listen", &*config.admin.listen)];
    let https = config.https.listen.as_deref().map(|address| ("https.listen", address));
    always.into_iter().chain(https)
}

/// Where relative paths begin.
fn here<'p>() -> &'p Path {
    Path::new(".")
}

#[derive(Default)]
struct Found(Vec<FieldProblem>);

impl Found {
    fn add(&mut self, field: &str, detail: impl std::fmt::Display, value: impl AsRef<Path>) {
        let value = Some(value.as_ref().display().to_string());
        self.0.push(FieldProblem { field: field.to_owned(), detail: detail.to_string(), value });
    }

    /// One that can be written, or made where the first that is there can be.
    fn directory(&mut self, field: &str, path: &Path) {
        let there = path.ancestors().find(|path| path.exists() || path.as_os_str().is_empty());
        let there = there.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(here);
        if !there.is_dir() {
            return self.add(field, format!("`{}` is no directory", there.display()), path);
        }
        if let Err(error) = access(there, Access::WRITE_OK | Access::EXEC_OK) {
            self.add(field, format!("`{}` can't be written: {error}", there.display()), path);
        }
    }

    fn files(&mut self, config: &Config, token: &Token) {
        let nats = config.feed.nats.as_ref();
        let own = match token {
            Token::File(path) => Some(path),
            Token::Given(_) | Token::Absent => None,
        };
        let read = [
            ("control.token_file", own),
            ("feed.nats.token_file", nats.and_then(|nats| nats.token_file.as_ref())),
            ("feed.nats.credentials_file", nats.and_then(|nats| nats.credentials_file.as_ref())),
        ];
        for (field, path) in read {
            let Some(path) = path else { continue };
            match std::fs::read(path) {
                Ok(text) if text.trim_ascii().is_empty() => self.add(field, "is empty", path),
                Ok(_) => {}
                Err(error) => self.add(field, format!("can't be read: {error}"), path),
            }
        }
        if let Some(path) = &config.geo.database
            && let Err(error) = geo::Database::open(path)
        {
            self.add("geo.database", format!("can't be used: {error}"), path);
        }
        if let Some(path) = config.access_log.path.as_ref().filter(|path| path.as_os_str() != "-") {
            self.log("access_log.path", path);
        }
    }

    fn log(&mut self, field: &str, path: &Path) {
        let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
        let (what, rights) = match path.exists() {
            true => (path, Access::WRITE_OK),
            false => (directory.unwrap_or_else(here), Access::WRITE_OK | Access::EXEC_OK),
        };
        if let Err(error) = access(what, rights) {
            self.add(field, format!("`{}` can't be written: {error}", what.display()), path);
        }
    }

    fn address(&mut self, field: &str, address: &str, binds: bool) {
        let found = match address.to_socket_addrs() {
            Ok(found) => found.collect::<Vec<_>>(),
            Err(error) => return self.add(field, format!("has no address: {error}"), address),
        };
        if binds && let Err(error) = TcpListener::bind(&*found) {
            self.add(field, format!("can't be listened on: {error}"), address);
        }
    }

    fn control(&mut self, config: &Config, token: &Token) {
        let url = &config.control.url;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let asked = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
            let link = Link::new(url, token.clone())?;
            runtime.block_on(async {
                let answered = timeout(CONTROL_TIMEOUT, link.is_open()).await;
                answered.map_err(|_| anyhow::anyhow!("it does not answer"))?.map_err(Into::into)
            })
        });
        if let Err(error) = asked {
            self.add("control.url", format!("can't be followed: {error:#}"), url);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: Extent = Extent { bind: false, online: false };

    #[test]
    fn what_would_keep_an_edge_from_starting_is_told_with_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let mut config = Config::default();
        config.state.directory = directory.path().join("a/b");
        assert_eq!(problems(&config, &Token::Absent, FILES), []);
        config.state.directory = file.join("below");
        config.geo.database = Some(file.clone());
        config.access_log.path = Some(directory.path().join("none/log"));
        "no-such-name.invalid:1".clone_into(&mut config.http.listen);
        let found = problems(&config, &Token::File(file), FILES);
        let fields: Vec<_> = found.iter().map(|problem| &*problem.field).collect();
        assert_eq!(
            fields,
            [
                "state.directory",
                "control.token_file",
                "geo.database",
                "access_log.path",
                "http.listen"
            ]
        );
    }

    #[test]
    fn addresses_are_taken_for_a_moment_where_that_is_asked_for() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::default();
        config.http.listen = taken.local_addr().unwrap().to_string();
        "127.0.0.1:0".clone_into(&mut config.admin.listen);
        assert_eq!(problems(&config, &Token::Absent, FILES), []);
        let found = problems(&config, &Token::Absent, Extent { bind: true, ..FILES });
        assert!(found.len() == 1 && found[0].field == "http.listen", "{found:?}");
    }
}
