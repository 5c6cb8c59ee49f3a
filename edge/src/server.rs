//! The bill of materials: makes everything an edge consists of, runs it, and stops it in order.

mod bind;
mod files;
mod handover;
mod notify;
mod order;
mod process;
mod signals;
mod sockets;
mod upgrade;

pub(crate) use order::upgrade;

use crate::admin::{self, Admin};
use crate::cache::{Cache, Head};
use crate::collapse::Collapse;
use crate::config::{self, Config, ConfigError, Directory, Shares};
use crate::feed::{Changes, Feed, Link, Nats, Owner, Secret, StateDirectory, Token};
use crate::listen::{Clients, Door, Front, Handshakes, Limits};
use crate::origin::{Addresses, Authorities};
use crate::plain::PlainHits;
use crate::proxy::{Edge, Purging, Shields};
use crate::purges;
use crate::quic::{self, AltSvc, Quic, Share};
use crate::slices::Slices;
use crate::snapshot::Current;
use crate::sweep::{Held, Sweeper};
use crate::telemetry::Telemetry;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::tls::Configs;
use crate::uncacheable::Uncacheable;
use crate::work::fetch::{self, Fetcher};
use crate::work::{self, Desks, Task, Work};
use anyhow::Context as _;
use api::id::EdgeId;
use handover::{Ending, Following, Own};
use pingora_core::apps::HttpServerApp as _;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use signals::Signals;
use sockets::Sockets;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use store::{DirectoryOptions, DiskOptions, Limits as StoreLimits, Store};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use upgrade::Predecessor;

/// How long clients wait at a start for what changed in control meanwhile.
const FIRST_FEED: Duration = Duration::from_secs(2);
const DRAIN_STEP: Duration = Duration::from_millis(20);
const ADMIN_DRAIN: Duration = Duration::from_secs(2);

/// What the socket of HTTP/3 is called where it is handed over.
const QUIC: &str = "quic.listen";

/// Purges that may wait to be counted.
const PURGES_WAITING_MAX: usize = 10_000;
/// Tasks that may wait for what fetches.
const FETCHES_WAITING_MAX: usize = 1_000;

/// Numbered entries of the feed that ask for something.
type Tasks = mpsc::Receiver<(u64, Task)>;

/// Where an edge can be reached.
pub(crate) struct Bound {
    pub(crate) http: SocketAddr,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
}

/// Runs an edge until it is told to stop, or another process has followed on it. `started` is told where it listens; `again`
/// reads the configuration as it is now.
///
/// # Errors
/// When something it needs can't be had: an address, a directory, a file.
pub(crate) fn run(
    config: &Config,
    token: Token,
    started: impl FnOnce(&Bound),
    again: &dyn Fn() -> Result<Config, ConfigError>,
) -> anyhow::Result<()> {
    let (mut predecessor, inherited) = match Predecessor::meet()? {
        Some((predecessor, inherited)) => (Some(predecessor), inherited),
        None => (None, sockets::from_manager()),
    };
    process::harden();
    let mut sockets = Sockets::new(inherited);
    let directory = || StateDirectory::open(&config.state.directory, new_edge_id);
    // of two things that are taken, it says more who has the directory
    let early = if predecessor.is_none() { Some(directory()?) } else { None };
    let doors = Doors::open(config, &mut sockets)?;
    let admin = sockets.tcp("admin.listen", &config.admin.listen)?;
    let bound = doors.bound(&admin)?;
    sockets.close_others();
    let telemetry = Arc::new(telemetry(config)?);
    files::allow(config);
    process::warn_of_rights();

    if let Some(predecessor) = &mut predecessor {
        predecessor.wait_for_go()?;
    }
    let directory = early.map_or_else(directory, Ok)?;
    let (shared, tasks) = Shared::new(config, telemetry)?;
    let purging = config.purge.method.then(|| Link::new(&config.control, Token::Absent));
    let purging = purging.transpose()?.map(Purging::new);
    let pseudonym = pseudonym(directory.edge_id());
    let edge = Edge { purging, ..shared.edge(config, pseudonym) };
    let stop = Stop::new();
    let admin_router = shared.admin();

    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let following = Following::begin(&shared, config, &token, &bound, directory)?;
        let admin = tokio::spawn(serve_admin(admin, admin_router, stop.watch()));
        let (fetches, to_fetch) = mpsc::channel(FETCHES_WAITING_MAX);
        let (sweeper, working) = shared.work(tasks, fetches);
        let sweeping = tokio::spawn(sweeper.run(shared.changes()));
        let working = tokio::spawn(working);
        if !config.disk.directories.is_empty() {
            // what was purged while this edge was away may be on disk; where control says nothing, what is known has to do
            let mut heard = following.heard.clone();
            timeout(FIRST_FEED, heard.wait_for(|heard| *heard)).await.ok();
        }
        let mut servers = Servers::start(config, edge, &shared.telemetry, &doors, &stop)?;
        servers.fetch(to_fetch, &shared, &stop)?;
        started(&bound);
        notify::ready();
        if let Some(predecessor) = predecessor {
            // where it is gone, there is nobody to be relieved
            predecessor.relieve().unwrap_or_else(|error| tracing::warn!("{error:#}"));
        }
        let owner = Owner { serves: true, ..Owner::this() };
        let (shared, stop) = (&shared, &stop);
        let mut own = Own { config, again, token, bound, shared, stop, sockets, following, owner };
        own.say();
        let ending = own.wait_for_end(&mut signals).await;
        // who connects from here on is refused, unless another process listens
        own.sockets.release();
        drop(doors);
        own.following.end().await;
        sweeping.abort();
        working.abort();
        servers.stop(stop, &shared.telemetry, ending, drain_timeout(config)).await;
        timeout(ADMIN_DRAIN, admin).await.ok();
        anyhow::Ok(())
    })?;
    shared.cache.store.close();
    if let Some(log) = &shared.telemetry.log {
        log.close();
    }
    Ok(())
}

/// What the parts of an edge have in common.
struct Shared {
    telemetry: Arc<Telemetry>,
    current: Current,
    cache: &'static Cache,
    collapse: &'static Collapse,
    slices: &'static Slices,
    held: Arc<Held>,
    /// The newest number of the feed that is applied.
    changed: watch::Sender<u64>,
    work: Arc<Work>,
}

impl Shared {
    /// These, and the tasks that the feed will bring.
    fn new(config: &Config, telemetry: Arc<Telemetry>) -> anyhow::Result<(Self, Tasks)> {
        let shares = config.shares();
        let cache = Cache::new(store(config, shares), config.memory.abandoned_max_bytes);
        let cache: &'static Cache = Box::leak(Box::new(cache));
        let lifetime = Duration::from_secs(config.collapse.uncacheable_seconds);
        let uncacheable = Uncacheable::new(config.collapse.uncacheable_entries, lifetime);
        let slices = Slices::new(config.memory.slice_bytes, shares.slices_bytes);
        let (work, tasks) = Work::new();
        let shared = Self {
            telemetry,
            current: Current::default(),
            cache,
            collapse: Box::leak(Box::new(Collapse::new(uncacheable, cache))),
            slices: Box::leak(Box::new(slices)),
            held: Arc::default(),
            changed: watch::Sender::default(),
            work: Arc::new(work),
        };
        Ok((shared, tasks))
    }

    fn feed(&self, config: &Config, link: Link, directory: StateDirectory, bound: &Bound) -> Feed {
        Feed {
            held: Arc::clone(&self.held),
            bound: purges::Bound::new(config.shares().purges_bytes),
            changed: self.changed.clone(),
            work: Arc::clone(&self.work),
            link,
            nats: config.feed.nats.as_ref().map(nats),
            region: config.node.region.clone(),
            directory,
            current: Arc::clone(&self.current),
            telemetry: Arc::clone(&self.telemetry),
            http_address: bound.http.to_string(),
            https_address: bound.https.map(|address| address.to_string()),
            admin_address: bound.admin.to_string(),
        }
    }

    fn changes(&self) -> Changes {
        Changes::of(&self.changed)
    }

    /// Who passes over what is stored, and who does what the feed asks for.
    fn work(
        &self,
        tasks: Tasks,
        fetches: mpsc::Sender<(u64, Task)>,
    ) -> (Sweeper, impl Future<Output = ()> + Send + use<>) {
        let (purged, counted) = mpsc::channel(PURGES_WAITING_MAX);
        let sweeper = Sweeper {
            cache: self.cache,
            current: Arc::clone(&self.current),
            held: Arc::clone(&self.held),
            work: Arc::clone(&self.work),
            telemetry: Arc::clone(&self.telemetry),
            purged: counted,
        };
        let desks = Desks { purged, fetches };
        let about = (Arc::clone(&self.current), self.cache);
        (sweeper, work::run(tasks, desks, Arc::clone(&self.work), about))
    }

    fn admin(&self) -> axum::Router {
        let (telemetry, current) = (Arc::clone(&self.telemetry), Arc::clone(&self.current));
        let uncacheable = &self.collapse.uncacheable;
        let (cache, slices) = (self.cache, self.slices);
        let listing = Arc::default();
        admin::router(Admin { telemetry, current, cache, slices, uncacheable, listing })
    }

    fn edge(&self, config: &Config, pseudonym: Box<str>) -> Edge {
        let lifetime = Duration::from_secs(config.origins.addresses_lifetime_seconds);
        Edge {
            current: Arc::clone(&self.current),
            cache: self.cache,
            collapse: self.collapse,
            slices: self.slices,
            collapse_timeout: Duration::from_secs(config.collapse.wait_timeout_seconds),
            stall_timeout: Duration::from_secs(config.http.stall_timeout_seconds),
            websocket_idle_timeout: Duration::from_secs(config.http.websocket_idle_timeout_seconds),
            addresses: Addresses::new(lifetime),
            authorities: Authorities::default(),
            telemetry: Arc::clone(&self.telemetry),
            work: Arc::clone(&self.work),
            purging: None,
            shields: Shields::new(config.origins.shields, self.changes()),
            pseudonym,
            https_port: config.https.public_port,
        }
    }
}

fn nats(config: &config::Nats) -> Nats {
    let secret = match (&config.token_file, &config.credentials_file) {
        (Some(path), _) => Secret::Token(path.clone()),
        (None, Some(path)) => Secret::Credentials(path.clone()),
        (None, None) => Secret::Absent,
    };
    Nats { url: config.url.clone(), secret }
}

/// The name of an edge in Via and CDN-Loop.
fn pseudonym(id: &EdgeId) -> Box<str> {
    let ulid = id.as_str().trim_start_matches(EdgeId::PREFIX);
    format!("longshore-{}", ulid.to_lowercase()).into()
}

fn new_edge_id() -> EdgeId {
    let ulid = ulid::Ulid::from_datetime(crate::clock::wall());
    #[expect(clippy::expect_used, reason = "a ULID is 26 letters and digits")]
    EdgeId::from_ulid(&ulid.to_string()).expect("a ULID is 26 letters and digits")
}

fn store(config: &Config, shares: Shares) -> Store<Head> {
    let limits = StoreLimits {
        memory_bytes: shares.memory_bytes,
        response_max_bytes: config.memory.response_max_bytes,
        filling_max_bytes: shares.filling_bytes,
        variants_max: config.memory.variants_max,
    };
    let disk = &config.disk;
    let witness = config.state.directory.join("store");
    if disk.directories.is_empty() {
        return Store::without_disk(limits, &witness);
    }
    let directories = disk.directories.iter().map(|Directory { path, capacity_bytes }| {
        DirectoryOptions { path: path.clone(), capacity_bytes: *capacity_bytes }
    });
    let options = DiskOptions {
        witness: Some(witness),
        directories: directories.collect(),
        index_max_bytes: shares.index_bytes,
        queue_max_bytes: shares.queue_bytes,
        reading_max_bytes: shares.reading_bytes,
        read_timeout: Duration::from_secs(disk.read_timeout_seconds),
        retry: Duration::from_secs(disk.retry_seconds),
        sweep_records_per_second: disk.sweep_records_per_second,
    };
    Store::with_disk(limits, &options)
}

fn telemetry(config: &Config) -> anyhow::Result<Telemetry> {
    let log = &config.access_log;
    let open = |path: &std::path::PathBuf| {
        AccessLog::open(path, log.buffer_max_bytes)
            .with_context(|| format!("access_log.path: can't open `{}`", path.display()))
    };
    let database = |path: &std::path::PathBuf| {
        geo::Database::open(path)
            .with_context(|| format!("geo.database: can't use `{}`", path.display()))
    };
    Ok(Telemetry {
        metrics: Metrics::new()?,
        log: log.path.as_ref().map(open).transpose()?,
        geo: config.geo.database.as_ref().map(database).transpose()?,
    })
}

fn drain_timeout(config: &Config) -> Duration {
    Duration::from_secs(config.http.drain_timeout_seconds)
}

/// Tells everything that runs to stop, in two steps: take nothing new, then end. Before that, it may have the listeners
/// wait.
struct Stop {
    accepting: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

impl Stop {
    fn new() -> Self {
        Self {
            accepting: watch::Sender::new(true),
            stopping: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        }
    }

    fn watch(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }
}

/// The serving threads.
struct Servers {
    proxy: Arc<HttpProxy<Edge>>,
    threads: Vec<JoinHandle<()>>,
}

impl Servers {
    fn start(
        config: &Config,
        edge: Edge,
        telemetry: &Arc<Telemetry>,
        doors: &Doors,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let conf = ServerConf {
            upstream_keepalive_pool_size: config.origins.idle_connections_max,
            ..ServerConf::default()
        };
        let handshakes = doors.https.as_ref().map(|_| handshakes(&config.https, &edge.current));
        let handshakes = handshakes.transpose()?;
        let plain_hits = PlainHits {
            current: Arc::clone(&edge.current),
            cache: edge.cache,
            telemetry: Arc::clone(telemetry),
            stall_timeout: edge.stall_timeout,
        };
        let proxy = Arc::new(http_proxy(&Arc::new(conf), edge));
        let quic = doors.quic(config, handshakes.as_ref())?;
        let front = Arc::new(Front {
            app: Arc::clone(&proxy),
            plain_hits,
            limits: Limits::new(&config.http, &config.http2),
            clients: Arc::new(Clients::new(
                &config.clients,
                config.http.connections_max,
                telemetry,
            )),
            // there is one for as long as the process lives
            alt_svc: doors.alt_svc(config).map(|field| &*Box::leak(Box::new(field))),
            handshakes,
            telemetry: Arc::clone(telemetry),
            accepting: stop.accepting.subscribe(),
            stopping: stop.watch(),
            places: Arc::new(Semaphore::new(config.http.connections_max)),
        });
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = config.http.threads.unwrap_or(cores);
        let mut shares = quic.map(|quic| Share::of(quic, count)).unwrap_or_default();
        let mut threads = Vec::new();
        // the first thread's share is the last
        shares.reverse();
        for number in 0..count {
            let share = shares.pop();
            let (front, doors, ended) =
                (Arc::clone(&front), doors.try_clone()?, stop.ended.subscribe());
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let thread = std::thread::Builder::new().name(format!("serve-{number}"));
            threads.push(thread.spawn(move || serve(&runtime, front, doors, share, ended))?);
        }
        Ok(Self { proxy, threads })
    }

    /// Has what the feed asks for fetched, on a thread of its own, until the edge is stopped.
    fn fetch(&mut self, tasks: Tasks, shared: &Shared, stop: &Stop) -> anyhow::Result<()> {
        let fetcher = Arc::new(Fetcher {
            app: Arc::clone(&self.proxy),
            current: Arc::clone(&shared.current),
            cache: shared.cache,
            work: Arc::clone(&shared.work),
        });
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (mut stopping, mut ended) = (stop.watch(), stop.ended.subscribe());
        let thread = std::thread::Builder::new().name("fetch".to_owned());
        self.threads.push(thread.spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = fetch::run(fetcher, tasks) => {}
                    _ = stopping.wait_for(|stopping| *stopping) => {}
                }
                // connections that were made here may be in use elsewhere
                ended.wait_for(|ended| *ended).await.ok();
            });
        })?);
        Ok(())
    }

    /// Takes nothing new, waits for what is under way at most as long as `drain`, and ends the threads. Where another process
    /// has followed on this one, connections that wait for a next request are under way too: they get an answer, and are
    /// told that it is the last. A client that was about to send one would not know whether it was carried out.
    async fn stop(self, stop: &Stop, telemetry: &Telemetry, ending: Ending, drain: Duration) {
        stop.stopping.send_replace(true);
        self.proxy.http_cleanup().await;
        let deadline = Instant::now() + drain;
        let metrics = &telemetry.metrics;
        let under_way = || match ending {
            Ending::Stopped => metrics.open_requests(),
            Ending::Relieved => metrics.open_connections(),
        };
        while under_way() > 0 && Instant::now() < deadline {
            sleep(DRAIN_STEP).await;
        }
        let cut_off = metrics.open_requests();
        if cut_off > 0 {
            tracing::warn!(
                requests = cut_off,
                "requests are cut off: they took longer than http.drain_timeout_seconds"
            );
        }
        stop.ended.send_replace(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a serving thread panicked");
            }
        }
    }
}

/// Where clients come in.
struct Doors {
    http: TcpListener,
    https: Option<TcpListener>,
    quic: Option<UdpSocket>,
}

impl Doors {
    fn open(config: &Config, sockets: &mut Sockets) -> anyhow::Result<Self> {
        let (https, quic) = match &config.https.listen {
            Some(https) => secure_doors(config, https, sockets)?,
            None => (None, None),
        };
        Ok(Self { http: sockets.tcp("http.listen", &config.http.listen)?, https, quic })
    }

    fn bound(&self, admin: &TcpListener) -> std::io::Result<Bound> {
        Ok(Bound {
            http: self.http.local_addr()?,
            https: self.https.as_ref().map(TcpListener::local_addr).transpose()?,
            admin: admin.local_addr()?,
        })
    }

    fn try_clone(&self) -> std::io::Result<Self> {
        let https = self.https.as_ref().map(TcpListener::try_clone);
        Ok(Self { http: self.http.try_clone()?, https: https.transpose()?, quic: None })
    }

    /// HTTP/3, where it is served.
    fn quic(
        &self,
        config: &Config,
        handshakes: Option<&Handshakes>,
    ) -> anyhow::Result<Option<Quic>> {
        let (Some(socket), Some(handshakes)) = (&self.quic, handshakes) else { return Ok(None) };
        Ok(Some(Quic {
            socket: socket.try_clone()?,
            tls: handshakes.configs.quic()?,
            secret: quic::Secret::open(&config.state.directory)?,
            options: config.http3.clone(),
            idle_timeout: Duration::from_secs(config.http.idle_timeout_seconds),
        }))
    }

    /// What clients are told of HTTP/3.
    fn alt_svc(&self, config: &Config) -> Option<AltSvc> {
        let address = self.quic.as_ref()?.local_addr().ok()?;
        AltSvc::new(&config.http3, address.port())
    }
}

/// The sockets for HTTPS and for HTTP/3, whose ports have the same number.
fn secure_doors(
    config: &Config,
    address: &str,
    sockets: &mut Sockets,
) -> anyhow::Result<(Option<TcpListener>, Option<UdpSocket>)> {
    let context = || format!("http3: can't have the UDP port of https.listen, {address}");
    let own = sockets.take(QUIC, address).filter(|_| config.http3.enabled).map(UdpSocket::from);
    let (https, quic) = match (sockets.take("https.listen", address).map(TcpListener::from), own) {
        (Some(https), Some(quic)) => (https, Some(quic)),
        (Some(https), None) => {
            let quic = Quic::bind(config, &https).with_context(context)?;
            (https, quic)
        }
        (None, Some(quic)) => (bind::listen("https.listen", address)?, Some(quic)),
        (None, None) => bind_both(config, address).with_context(context)?,
    };
    https.set_nonblocking(true)?;
    sockets.keep("https.listen", address, https.as_fd())?;
    if let Some(quic) = &quic {
        quic.set_nonblocking(true)?;
        sockets.keep(QUIC, address, quic.as_fd())?;
    }
    Ok((Some(https), quic))
}

fn bind_both(config: &Config, address: &str) -> anyhow::Result<(TcpListener, Option<UdpSocket>)> {
    /// Ports the system chooses may be taken where it isn't asked.
    const TRIES: usize = 16;
    let mut tries = 0;
    loop {
        let https = bind::listen("https.listen", address)?;
        tries += 1;
        match Quic::bind(config, &https) {
            Ok(quic) => return Ok((https, quic)),
            Err(_) if address.ends_with(":0") && tries < TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn handshakes(config: &config::Https, current: &Current) -> anyhow::Result<Handshakes> {
    Ok(Handshakes {
        configs: Configs::new(current, config.default_certificate.as_deref())?,
        timeout: Duration::from_secs(config.handshake_timeout_seconds),
        under_way: Semaphore::new(config.handshakes_max),
    })
}

fn serve(
    runtime: &Runtime,
    front: Arc<Front<HttpProxy<Edge>>>,
    doors: Doors,
    share: Option<Share>,
    mut ended: watch::Receiver<bool>,
) {
    runtime.block_on(async move {
        if let Some(share) = share {
            tokio::spawn(share.run(Arc::clone(&front)));
        }
        let doors_open = [(Some(doors.http), Door::Http), (doors.https, Door::Https)].into_iter();
        let doors_open = doors_open.filter_map(|(listener, door)| Some((listener?, door)));
        let running = doors_open.map(|(listener, door)| {
            let front = Arc::clone(&front);
            async move {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => front.run(listener, door).await,
                    Err(error) => tracing::error!(%error, "a serving thread can't listen"),
                }
            }
        });
        futures_util::future::join_all(running).await;
        // what is under way runs on this thread until it is over, or it is time to end
        ended.wait_for(|ended| *ended).await.ok();
    });
}

async fn serve_admin(
    listener: TcpListener,
    router: axum::Router,
    mut stopping: watch::Receiver<bool>,
) {
    let serving = async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, router)
            .with_graceful_shutdown(async move {
                stopping.wait_for(|stopping| *stopping).await.ok();
            })
            .await
    };
    if let Err(error) = serving.await {
        tracing::error!(%error, "the admin address is not served");
    }
}
