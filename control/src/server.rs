//! What is control made of? The database, the router, the tasks beside them, and the connections, from start to stop.

use crate::acme;
use crate::acme::authority::AuthorityError;
use crate::acme::engine::Engine;
use crate::channel::{self, ChannelError, Secure, Watch};
use crate::clock;
use crate::config::{Nats, Place, SecretsPlace, Serve};
use crate::db::purges::Keep;
use crate::db::{Db, OpenError, SharedDb};
use crate::feed::nats::{ConnectFailed, Options, Publisher};
use crate::feed::retention::{self, Retention};
use crate::feed::tail;
use crate::local;
use crate::reports;
use crate::router::{App, Limits, router};
use crate::secrets::{SecretsError, SecretsKey};
use crate::stall::Stall;
use crate::waiting;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
const HEAD_MAX_BYTES: usize = 65_536;
const STALL: Duration = Duration::from_secs(30);
/// How long requests in flight may take to end when control stops.
const GRACE: Duration = Duration::from_secs(10);
const HOUSEKEEPING: Duration = Duration::from_secs(60);
const ANSWERS_KEPT: Duration = Duration::from_secs(24 * 3600);
const PURGES_KEPT: Duration = Duration::from_secs(24 * 3600);
const EDGES_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why control could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory cannot be made or written.
    #[error("cannot write the data directory `{}`", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address is taken or not this machine's.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no database yet, and the command makes none.
    #[error(
        "there is no database in `{}`; `longshore-control serve` makes one, and --data-dir or LONGSHORE_CONTROL_DATA \
         names another directory",
        .0.display()
    )]
    NoDatabase(PathBuf),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// A key of secrets can't be read.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// It serves no TLS, and nothing else may be served there.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A metric cannot be registered.
    #[error("cannot register the metrics")]
    Metrics(#[source] prometheus::Error),
    /// No certificates can be got.
    #[error(transparent)]
    Acme(#[from] AuthorityError),
    /// The feed can't be published.
    #[error(transparent)]
    Nats(#[from] ConnectFailed),
}

/// A control service that listens, and serves once it is [`Server::run`].
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    /// None where plain HTTP is served.
    secure: Option<Arc<Secure>>,
    watch: Option<Watch>,
    app: Arc<App>,
    connections: Arc<Semaphore>,
    retention: Retention,
    publisher: Option<Publisher>,
    engine: Arc<Engine>,
}

/// Makes the data directory and the database where they are not there, and opens it.
async fn make(place: &Place, secrets: &SecretsPlace) -> Result<Db, StartError> {
    let data_dir = |source| StartError::DataDir { path: place.data_dir.clone(), source };
    make_private(place).map_err(data_dir)?;
    let _lock = lock(place).map_err(data_dir)?;
    let url = place.url().map_err(data_dir)?;
    let key = |is_new| SecretsKey::load(&secrets.file(place), is_new);
    Ok(Db::make(&url, key).await?)
}

/// Opens the database that `serve` made, without its key.
pub(crate) async fn open(place: &Place) -> Result<Db, StartError> {
    open_with(place, None).await
}

/// Opens the database that `serve` made, with its key.
pub(crate) async fn open_sealed(place: &Place, secrets: &SecretsPlace) -> Result<Db, StartError> {
    open_with(place, Some(secrets)).await
}

async fn open_with(place: &Place, secrets: Option<&SecretsPlace>) -> Result<Db, StartError> {
    let data_dir = |source| StartError::DataDir { path: place.data_dir.clone(), source };
    let file = place.file();
    if file.as_ref().is_some_and(|file| !file.exists()) {
        return Err(StartError::NoDatabase(place.data_dir.clone()));
    }
    // a database that is elsewhere needs no directory here
    let _lock = match place.data_dir.is_dir() {
        true => Some(lock(place).map_err(data_dir)?),
        false => None,
    };
    let url = place.url().map_err(data_dir)?;
    let opened = match secrets {
        None => Db::open(&url).await,
        Some(secrets) => {
            let key = |_| SecretsKey::load(&secrets.file(place), false);
            Db::open_sealed(&url, key).await
        }
    };
    match opened {
        Err(OpenError::Empty) if file.is_some() => {
            Err(StartError::NoDatabase(place.data_dir.clone()))
        }
        opened => Ok(opened?),
    }
}

/// Has two processes that bring the tables up to date wait for each other.
fn lock(place: &Place) -> io::Result<File> {
    let lock = File::create(place.data_dir.join("control.lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Makes the directory, and the database's file in it, for this user only.
fn make_private(place: &Place) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&place.data_dir)?;
    if let Some(file) = place.file() {
        OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    }
    Ok(())
}

impl Server {
    /// Opens the database and listens.
    ///
    /// # Errors
    /// [`StartError`], which says what is taken or missing.
    pub async fn start(config: &Serve) -> Result<Self, StartError> {
        let listen = |source| StartError::Listen { address: config.listen.clone(), source };
        let listener = TcpListener::bind(&config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let db = SharedDb::new(make(&config.place, &config.secrets).await?);
        let secure = channel::secure(&config.channel, &config.listen, address, &db).await?;
        let (secure, watch) = secure.unzip();
        let secure = secure.map(Arc::new);
        let limits = Limits {
            followers_max: config.followers_max,
            waiters_max: config.waiters_max,
            ack_limit: Duration::from_secs(config.ack_limit_seconds),
        };
        let app = Arc::new(
            App::new(db, limits, acme::Desk::new(&config.acme)).map_err(StartError::Metrics)?,
        );
        let engine = Arc::new(Engine::new(Arc::clone(&app), &config.acme)?);
        let connections = Arc::new(Semaphore::new(config.connections_max));
        let kept = Duration::from_secs(config.purges_kept_seconds);
        let retention = Retention { kept, max: config.purges_kept_max };
        let publisher = publisher(&config.nats).await?;
        Ok(Self {
            listener,
            address,
            secure,
            watch,
            app,
            connections,
            retention,
            publisher,
            engine,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, by address.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.secure.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `stop`, then lets the requests in flight end, for at most 10 seconds.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut tasks = self.tasks();
        tracing::info!(address = %self.address, tls = self.secure.is_some(), "listening");
        let open = GracefulShutdown::new();
        tokio::select! {
            () = stop => {}
            () = self.accept(&open) => {}
        }
        let Self { listener, app, .. } = self;
        drop(listener);
        app.stopping.send_replace(true);
        if timeout(GRACE, open.shutdown()).await.is_err() {
            tracing::warn!("requests were cut off after {} s", GRACE.as_secs());
        }
        tasks.shutdown().await;
        app.db.close().await;
        tracing::info!("stopped");
    }

    /// What goes on beside the connections.
    fn tasks(&mut self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let app = Arc::clone(&self.app);
        tasks.spawn(async move { tail::follow(&app.db, &app.feed, &app.metrics).await });
        let db = Arc::clone(&self.app.db);
        tasks.spawn(async move { db.listen().await });
        tasks.spawn(reports::write(Arc::clone(&self.app)));
        tasks.spawn(waiting::read_edges(Arc::clone(&self.app)));
        tasks.spawn(Arc::clone(&self.engine).run());
        let db = Arc::clone(&self.app.db);
        tasks.spawn(async move { local::keep(&db).await });
        tasks.spawn(keep_house(Arc::clone(&self.app.db)));
        let (db, retention) = (Arc::clone(&self.app.db), self.retention);
        tasks.spawn(async move { retention::keep(&db, retention, HOUSEKEEPING).await });
        if let Some((secure, watch)) = self.secure.clone().zip(self.watch.take()) {
            let db = Arc::clone(&self.app.db);
            tasks.spawn(async move { secure.keep(&db, watch).await });
        }
        if let Some(publisher) = self.publisher.take() {
            let app = Arc::clone(&self.app);
            tasks.spawn(async move { publisher.run(&app.db, &app.metrics).await });
        }
        tasks
    }

    /// Accepts connections for ever, as many at a time as may be open.
    async fn accept(&self, open: &GracefulShutdown) {
        let router = router(Arc::clone(&self.app));
        loop {
            let Ok(place) = Arc::clone(&self.connections).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let stopping = self.app.stopping.subscribe();
                    let secure = self.secure.as_deref();
                    serve(stream, secure, router.clone(), open.watcher(), stopping, place);
                }
                Err(error) => {
                    tracing::warn!("a connection cannot be accepted: {error}");
                    // file descriptors run out for longer than an instant
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// Who publishes the feed, where it is to be.
async fn publisher(config: &Nats) -> Result<Option<Publisher>, ConnectFailed> {
    if config.servers.is_empty() {
        return Ok(None);
    }
    let Nats { servers, credentials, max_bytes } = config.clone();
    Publisher::connect(Options { servers, credentials, max_bytes }).await.map(Some)
}

/// Serves one connection in a task of its own.
fn serve(
    stream: TcpStream,
    secure: Option<&Secure>,
    router: Router,
    open: Watcher,
    mut stopping: watch::Receiver<bool>,
    place: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("a connection has gone: {error}");
    }
    let stream = Stall::new(stream, STALL);
    let Some(secure) = secure else {
        tokio::spawn(answer(stream, router, open, place));
        return;
    };
    let accepting = secure.accept(stream);
    tokio::spawn(async move {
        // nothing was asked yet: a handshake holds up no end
        let accepted = tokio::select! {
            accepted = accepting => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok(stream) => answer(stream, router, open, place).await,
            Err(error) => tracing::debug!("a handshake failed: {error}"),
        }
    });
}

/// Answers the requests of a connection.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    open: Watcher,
    place: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = open.watch(connection).await {
        tracing::debug!("a connection broke: {error}");
    }
    drop(place);
}

/// Forgets what is too old, for ever.
async fn keep_house(db: SharedDb) {
    let mut ticks = interval(HOUSEKEEPING);
    loop {
        ticks.tick().await;
        let now = clock::now();
        let answers = db.forget_answers(now.before(ANSWERS_KEPT)).await;
        let edges = db.remove_edges_before(now.before(EDGES_KEPT)).await;
        let purges = db.forget_purges(&keep(now)).await;
        for error in [answers.err(), edges.err(), purges.err()].into_iter().flatten() {
            tracing::warn!("what is too old could not be removed: {error}");
        }
    }
}

/// What is kept of purges, and of what edges said of them.
fn keep(now: clock::Moment) -> Keep {
    Keep {
        since: now.before(PURGES_KEPT),
        purges_max: 1_000_000,
        acks_max: 2_000_000,
        progress_max: 2_000_000,
        batch: 5_000,
    }
}
