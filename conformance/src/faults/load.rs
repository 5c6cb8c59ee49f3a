//! Clients that ask for anything, as fast as they can, until they are told to stop.

use super::ask::{Ask, Asker, Outcome};
use super::content::{FLAVOURS, Manner, Page};
use super::ledger::Ledger;
use super::tally::Tally;
use crate::differential::Random;
use anyhow::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tokio::task::JoinSet;

const CLIENTS: usize = 4;

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<Tally>,
}

struct Shared {
    ledger: Arc<Ledger>,
    /// Whether some requests change what they are for.
    is_unsafe: bool,
    /// Requests so far.
    done: watch::Sender<usize>,
    is_over: AtomicBool,
    /// The edge ends: what fails now doesn't count.
    is_ending: AtomicBool,
}

impl Load {
    pub(crate) fn start(
        ledger: &Arc<Ledger>,
        address: SocketAddr,
        is_unsafe: bool,
        random: &mut Random,
    ) -> Self {
        let shared = Arc::new(Shared {
            ledger: Arc::clone(ledger),
            is_unsafe,
            done: watch::Sender::new(0),
            is_over: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
        });
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let asker = Asker::new(Arc::clone(ledger), address);
            clients.spawn(work(Arc::clone(&shared), asker, random.split()));
        }
        Self { shared, clients }
    }

    /// Waits until so many more requests were answered, or have failed.
    pub(crate) async fn go_on(&self, requests: usize) -> Result<()> {
        let mut done = self.shared.done.subscribe();
        let until = *done.borrow() + requests;
        done.wait_for(|done| *done >= until).await?;
        Ok(())
    }

    /// Says that the edge is about to end.
    pub(crate) fn ending(&self) {
        self.shared.is_ending.store(true, Ordering::SeqCst);
    }

    /// Has each client end after its request.
    pub(crate) async fn stop(mut self) -> Result<Tally> {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let mut tally = Tally::default();
        while let Some(own) = self.clients.join_next().await {
            tally += own?;
        }
        Ok(tally)
    }
}

async fn work(shared: Arc<Shared>, mut asker: Asker, mut random: Random) -> Tally {
    let mut tally = Tally::default();
    while !shared.is_over.load(Ordering::SeqCst) {
        let outcome = act(&shared, &mut asker, &mut random).await;
        let is_excused = shared.is_ending.load(Ordering::SeqCst);
        if !(is_excused && matches!(outcome, Outcome::Failed(_))) {
            tally.count(outcome);
        }
        shared.done.send_modify(|done| *done += 1);
        // a connection that is refused makes nobody wait
        tokio::task::yield_now().await;
    }
    tally
}

async fn act(shared: &Shared, asker: &mut Asker, random: &mut Random) -> Outcome {
    let ledger = &shared.ledger;
    // some pages are asked for more often than others
    let index = random.below(ledger.pages()).min(random.below(ledger.pages()));
    let page = Ledger::page(index);
    match random.below(100) {
        0..6 if shared.is_unsafe => return asker.post(page).await,
        6..10 => {
            ledger.publish(page);
        }
        _ => {}
    }
    let ask = some_ask(ledger, page, random);
    asker.get(&ask).await
}

fn some_ask(ledger: &Ledger, page: Page, random: &mut Random) -> Ask {
    let mut ask = Ask::whole(page, random.below(FLAVOURS));
    let percent = if page.manner() == Manner::Large { 60 } else { 15 };
    if random.chance(percent) {
        let length = if page.manner() == Manner::Large { 3 << 20 } else { 8 << 10 };
        let first = random.below(length) as u64;
        ask.range = Some((first, first + random.below(length / 4) as u64));
    } else if random.chance(10) {
        ask.has = ledger.current(page);
    }
    ask
}
