//! A control service under test, in this process, on a port of the kernel's choice.

use crate::client::Client;
use crate::postgres;
use control::config::{Acme, Channel, Nats, Place, SecretsPlace, Serve, TokenCommand};
use control::server::Server;
use control::token;
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A database of its own, empty at first.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    directory: Arc<TempDir>,
    url: Option<String>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        Self { directory: Arc::new(TempDir::new().unwrap()), url: None }
    }

    pub(crate) fn postgresql() -> Self {
        Self { url: Some(postgres::new_database()), ..Self::sqlite() }
    }

    /// One on a server of its own.
    pub(crate) fn on(server: &postgres::Server) -> Self {
        Self { url: Some(server.new_database()), ..Self::sqlite() }
    }

    /// Whether it tells replicas of changes.
    pub(crate) fn tells(&self) -> bool {
        self.url.is_some()
    }

    pub(crate) fn place(&self) -> Place {
        Place { data_dir: self.directory.path().join("control"), database_url: self.url.clone() }
    }

    /// A new token.
    pub(crate) async fn token(&self, scopes: &[&str]) -> (String, String) {
        let create = TokenCommand::Create {
            place: self.place(),
            name: "test".to_owned(),
            scopes: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
            json: true,
        };
        let printed: Value = serde_json::from_str(&token::run(create).await.unwrap()).unwrap();
        let text = |member: &str| printed[member].as_str().unwrap().to_owned();
        (text("id"), text("token"))
    }

    pub(crate) async fn start(&self) -> Service {
        self.start_with(|_| {}).await
    }

    /// Starts a service, configured otherwise.
    pub(crate) async fn start_with(&self, configure: impl FnOnce(&mut Serve)) -> Service {
        self.try_start_with(configure).await.unwrap()
    }

    /// Starts a service, which may refuse; what it says then.
    pub(crate) async fn try_start_with(
        &self,
        configure: impl FnOnce(&mut Serve),
    ) -> Result<Service, String> {
        let mut config = Serve {
            place: self.place(),
            secrets: SecretsPlace { key_file: None },
            listen: "127.0.0.1:0".to_owned(),
            channel: Channel::default(),
            json: false,
            followers_max: 100,
            connections_max: 1_000,
            purges_kept_seconds: 604_800,
            purges_kept_max: 1_000_000,
            nats: Nats { servers: Vec::new(), credentials: None, max_bytes: 1 << 30 },
            waiters_max: 100,
            ack_limit_seconds: 30,
            acme: Acme::default(),
        };
        configure(&mut config);
        let server = Server::start(&config).await.map_err(|error| error.to_string())?;
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async { stopped.await.unwrap_or_default() }));
        let (_, token) = self.token(&["admin"]).await;
        Ok(Service {
            database: self.clone(),
            admin: Client { address, token: Some(token) },
            stop,
            task,
        })
    }
}

/// A service that runs.
pub(crate) struct Service {
    pub(crate) database: Database,
    pub(crate) admin: Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Service {
    /// A client whose token has these scopes.
    pub(crate) async fn client(&self, scopes: &[&str]) -> Client {
        let (_, token) = self.database.token(scopes).await;
        self.admin.with(Some(token))
    }

    /// Stops it, as SIGTERM does.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

/// A small site of this name, with one host.
pub(crate) fn site(name: &str) -> Value {
    json!({
        "name": name,
        "hosts": [format!("{name}.example")],
        "origins": [{ "name": "main", "url": "http://127.0.0.1:9000" }],
    })
}

/// The same site with another path that is cached.
pub(crate) fn changed(name: &str, host: &str) -> Value {
    let mut site = site(name);
    site["hosts"] = json!([host]);
    site
}
