//! An edge while it serves: what it does at signals, until it ends or another process has followed on it.

use super::signals::{Asked, Signals};
use super::sockets::Sockets;
use super::upgrade::{GO, PREPARE_TIMEOUT, PREPARED, SERVE_TIMEOUT, SERVING, Successor};
use super::{Bound, Shared, Stop, new_edge_id, notify};
use crate::config::{Config, ConfigError};
use crate::feed::{Link, Owner, StateDirectory, Token};
use anyhow::ensure;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long what is being written to the state directory may take to end.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is tried to take up a state directory again.
const RETRY: Duration = Duration::from_secs(5);
const LEAVE_STEP: Duration = Duration::from_millis(2);

/// How an edge ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was told to.
    Stopped,
    /// Another process serves.
    Relieved,
}

/// The feed being followed, which has the state directory.
pub(super) struct Following {
    /// None once it has ended.
    task: Option<JoinHandle<()>>,
    pub(super) heard: watch::Receiver<bool>,
}

impl Following {
    pub(super) fn begin(
        shared: &Shared,
        config: &Config,
        token: &Token,
        bound: &Bound,
        directory: StateDirectory,
    ) -> anyhow::Result<Self> {
        let link = Link::new(&config.control.url, token.clone())?;
        let feed = shared.feed(config, link, directory, bound).start()?;
        let heard = feed.heard();
        Ok(Self { task: Some(tokio::spawn(feed.run())), heard })
    }

    const fn goes_on(&self) -> bool {
        self.task.is_some()
    }

    /// Ends it. What it was writing may be under way a little longer.
    pub(super) async fn end(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            task.await.ok();
        }
    }
}

/// What an edge holds while it serves.
pub(super) struct Own<'e> {
    pub(super) config: &'e Config,
    pub(super) again: &'e dyn Fn() -> Result<Config, ConfigError>,
    pub(super) token: Token,
    pub(super) bound: Bound,
    pub(super) shared: &'e Shared,
    pub(super) stop: &'e Stop,
    pub(super) sockets: Sockets,
    pub(super) following: Following,
    pub(super) owner: Owner,
}

impl Own<'_> {
    /// Does what signals ask for, until one of them ends this process.
    pub(super) async fn wait_for_end(&mut self, signals: &mut Signals) -> Ending {
        loop {
            let asked = tokio::select! {
                asked = signals.next() => asked,
                () = sleep(RETRY), if !self.following.goes_on() => {
                    self.follow_again();
                    continue;
                }
            };
            match asked {
                Asked::Stop => {
                    tracing::info!("stopping");
                    notify::tell("STOPPING=1");
                    return Ending::Stopped;
                }
                Asked::Reload => self.reload(),
                Asked::Upgrade => match self.hand_over().await {
                    Ok(()) => return Ending::Relieved,
                    Err(error) => {
                        self.owner.failure = Some(format!("{error:#}"));
                        self.say();
                        tracing::error!(
                            "the upgrade has failed, and this process goes on: {error:#}"
                        );
                        notify::ready();
                    }
                },
            }
        }
    }

    /// Has others know of this process.
    pub(super) fn say(&self) {
        StateDirectory::say(&self.config.state.directory, &self.owner);
    }

    fn reload(&self) {
        notify::reloading();
        if let Some(log) = &self.shared.telemetry.log {
            log.reopen();
        }
        match (self.again)().map(|config| self.config.differs_from(&config)) {
            Ok(sections) if sections.is_empty() => {}
            Ok(sections) => tracing::warn!(
                sections = sections.join(", "),
                "the configuration has changed: it is used after an upgrade (SIGUSR2)"
            ),
            Err(error) => {
                tracing::error!("the configuration is wrong, and the one before goes on: {error}");
            }
        }
        notify::ready();
    }

    /// Has another process follow on this one. On an error, this one serves as before.
    async fn hand_over(&mut self) -> anyhow::Result<()> {
        notify::reloading();
        self.owner.upgrades += 1;
        let mut successor = Successor::start(&self.sockets)?;
        tracing::info!(process.id = successor.id(), "upgrading: a new process prepares");
        let relieved = match successor.hear(PREPARED, PREPARE_TIMEOUT).await {
            Ok(()) => self.leave_to(&mut successor).await,
            Err(error) => Err(error),
        };
        if let Err(error) = relieved {
            successor.end().await;
            self.take_up();
            return Err(error);
        }
        tracing::info!(
            "upgraded: the new process serves, and this one ends with what is under way"
        );
        Ok(())
    }

    /// Leaves all that only one process can have, and waits until the other serves.
    async fn leave_to(&mut self, successor: &mut Successor) -> anyhow::Result<()> {
        self.stop.accepting.send_replace(false);
        self.following.end().await;
        let until = Instant::now() + LEAVE_TIMEOUT;
        while !StateDirectory::is_free(&self.config.state.directory) {
            ensure!(Instant::now() < until, "the state directory is still being written");
            sleep(LEAVE_STEP).await;
        }
        ensure!(self.shared.cache.store.pause().await, "the disk tier is still being written");
        successor.say(GO).await?;
        successor.hear(SERVING, SERVE_TIMEOUT).await
    }

    /// Takes up again what was left.
    fn take_up(&mut self) {
        if self.following.goes_on() {
            return;
        }
        self.shared.cache.store.resume();
        self.stop.accepting.send_replace(true);
        self.follow_again();
    }

    fn follow_again(&mut self) {
        let directory = StateDirectory::open(&self.config.state.directory, new_edge_id);
        let following = directory.map_err(anyhow::Error::from).and_then(|directory| {
            Following::begin(self.shared, self.config, &self.token, &self.bound, directory)
        });
        match following {
            Ok(following) => self.following = following,
            Err(error) => tracing::error!("control is not followed; it is tried again: {error:#}"),
        }
    }
}
