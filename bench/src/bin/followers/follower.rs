//! One simulated edge: it decodes the feed, and acknowledges what came over a connection of its own.

use crate::stream::Stream;
use anyhow::{Result, ensure};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use testkit::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// When a follower had come how far.
type Times = Arc<Mutex<Vec<(u64, Instant)>>>;

/// A follower that runs.
#[derive(Clone)]
pub(crate) struct Follower {
    /// What it has heard up to.
    pub(crate) heard: watch::Receiver<u64>,
    /// What control has its acknowledgement of.
    pub(crate) acked: watch::Receiver<u64>,
    heard_at: Times,
    acked_at: Times,
    /// Bytes of the stream so far.
    pub(crate) bytes: watch::Receiver<u64>,
}

/// Who follows, and whom.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) control: SocketAddr,
    pub(crate) token: String,
    /// Where to begin; at the beginning where there is none.
    pub(crate) place: Option<(String, u64)>,
}

impl Follower {
    /// Starts the follower of this number.
    pub(crate) fn start(number: usize, setting: Setting, tasks: &mut JoinSet<Result<()>>) -> Self {
        let (heard, heard_up_to) = watch::channel(0);
        let (acked, acked_up_to) = watch::channel(0);
        let (bytes, bytes_so_far) = watch::channel(0);
        let (log, log_known) = watch::channel(String::new());
        let (heard_at, acked_at) = (Times::default(), Times::default());
        let follower = Self {
            heard: heard_up_to.clone(),
            acked: acked_up_to,
            heard_at: Arc::clone(&heard_at),
            acked_at: Arc::clone(&acked_at),
            bytes: bytes_so_far,
        };
        let reporter = Reporter { number, setting: setting.clone(), log: log_known };
        tasks.spawn(async move {
            let place = setting.place.as_ref().map(|(log, after)| (log.as_str(), *after));
            let mut stream = Stream::open(setting.control, &setting.token, place).await?;
            log.send_replace(stream.log.clone());
            loop {
                let news = stream.next().await?;
                note(&heard_at, news.place);
                bytes.send_replace(stream.bytes);
                if news.current {
                    heard.send_replace(news.place);
                }
            }
        });
        tasks.spawn(reporter.run(heard_up_to, acked, acked_at));
        follower
    }

    /// When it had heard the entry `seq`.
    pub(crate) fn heard_at(&self, seq: u64) -> Option<Instant> {
        at(&self.heard_at, seq)
    }

    /// When control had its acknowledgement of `seq`.
    pub(crate) fn acked_at(&self, seq: u64) -> Option<Instant> {
        at(&self.acked_at, seq)
    }
}

fn note(times: &Times, place: u64) {
    times.lock().unwrap_or_else(PoisonError::into_inner).push((place, Instant::now()));
}

fn at(times: &Times, seq: u64) -> Option<Instant> {
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    times.iter().find(|(place, _)| *place >= seq).map(|(_, at)| *at)
}

/// Acknowledges, each time for everything up to then.
struct Reporter {
    number: usize,
    setting: Setting,
    log: watch::Receiver<String>,
}

impl Reporter {
    async fn run(
        self,
        mut heard: watch::Receiver<u64>,
        acked: watch::Sender<u64>,
        times: Times,
    ) -> Result<()> {
        let mut client = None;
        while heard.changed().await.is_ok() {
            let adopted = *heard.borrow_and_update();
            client = Some(self.report(client.take(), adopted).await?);
            note(&times, adopted);
            acked.send_replace(adopted);
        }
        Ok(())
    }

    /// Reports on the connection that was kept, or on a new one where control has closed that.
    async fn report(&self, kept: Option<Client>, adopted: u64) -> Result<Client> {
        let request = self.request(adopted);
        if let Some(mut client) = kept
            && client.try_send(&request).await.is_ok()
            && let Ok(response) = client.response().await
        {
            ensure!(response.status == 204, "{}{}", response.head, response.text());
            return Ok(client);
        }
        let mut client = Client::try_connect(self.setting.control).await?;
        client.try_send(&request).await?;
        let response = client.response().await?;
        ensure!(response.status == 204, "{}{}", response.head, response.text());
        Ok(client)
    }

    fn request(&self, adopted: u64) -> String {
        let Setting { control, token, .. } = &self.setting;
        let body = json!({
            "http_address": "127.0.0.1:80",
            "admin_address": "127.0.0.1:9180",
            "software_version": "simulated",
            "log": self.log.borrow().as_str(),
            "adopted": adopted,
        });
        let body = body.to_string();
        format!(
            "PUT /v1/edges/edge_{:026} HTTP/1.1\r\nHost: {control}\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.number,
            body.len()
        )
    }
}
