//! Clients that ask both edges for pages all the while, and check what they get.

use super::world::{HOST, Known, World, lock};
use crate::differential::Random;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

const CLIENTS: usize = 4;
/// Pages that are asked for; purges of everything reach them too.
pub(crate) const PAGES: usize = 50;
/// Between two requests of one client: the rounds have to get on too.
const PAUSE: Duration = Duration::from_millis(2);

/// Starts them. They stop when it is dropped.
pub(crate) fn start(world: &World, random: &mut Random) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (known, addresses) = (Arc::clone(&world.known), Arc::clone(&world.addresses));
        clients.spawn(client(known, addresses, random.split()));
    }
    clients
}

/// The paths of the pages that are asked for.
pub(crate) fn pages() -> Vec<String> {
    (0..PAGES).map(|page| format!("/load/{page}")).collect()
}

async fn client(known: Arc<Known>, addresses: Arc<Mutex<[SocketAddr; 2]>>, mut random: Random) {
    let pages = pages();
    loop {
        let edge = lock(&addresses)[random.below(2)];
        // an edge that was killed answers nothing
        known.ask(edge, HOST, &pages[random.below(PAGES)], &[]).await;
        sleep(PAUSE).await;
    }
}
