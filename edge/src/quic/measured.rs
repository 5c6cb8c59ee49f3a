//! Sends nobody more than three times what came from there, as long as it is not known who is there: RFC 9000 §8.1.
//!
//! quinn heeds this limit only to the next whole datagram: it sends one as soon as there is room for a byte of it. So what
//! handshakes are made of, packets with long headers, is measured here once more, and what is too much isn't sent: it is
//! lost, and sent again when more has come. Packets with short headers go, most of them, to who has shown an address; quinn
//! sends one before, with connection ids. They are counted, and always sent.

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// How much may be sent for each byte that came.
const FACTOR: usize = 3;
/// Addresses that are remembered at least.
const ADDRESSES_MIN: usize = 16_384;
/// How long an address is remembered at least.
const PERIOD: Duration = Duration::from_secs(10);
const LONG_HEADER: u8 = 0x80;

/// A socket that measures.
#[derive(Debug)]
pub(super) struct Measured {
    inner: Arc<dyn AsyncUdpSocket>,
    measures: Mutex<Measures>,
    /// Nothing is read any more: what comes is for another process.
    is_left: AtomicBool,
}

/// Bytes that may still be sent, by address: of this period, and of the one before.
#[derive(Debug)]
struct Measures {
    now: HashMap<SocketAddr, usize>,
    before: HashMap<SocketAddr, usize>,
    since: Instant,
}

impl Measures {
    fn received(&mut self, from: SocketAddr, bytes: usize, now: Instant) {
        if self.now.len() >= ADDRESSES_MIN || now.duration_since(self.since) >= PERIOD {
            self.before = std::mem::take(&mut self.now);
            self.since = now;
        }
        let before = self.before.remove(&from).unwrap_or(0);
        *self.now.entry(from).or_insert(before) += bytes * FACTOR;
    }

    /// Counts what is sent in any case.
    fn sent(&mut self, to: SocketAddr, bytes: usize) {
        if let Some(left) = self.left(to) {
            *left = left.saturating_sub(bytes);
        }
    }

    fn left(&mut self, to: SocketAddr) -> Option<&mut usize> {
        self.now.get_mut(&to).or_else(|| self.before.get_mut(&to))
    }

    /// How many of `bytes`, in datagrams of `each`, may be sent; they are counted.
    fn send(&mut self, to: SocketAddr, bytes: usize, each: usize) -> usize {
        let Some(left) = self.left(to) else { return 0 };
        let sent = if bytes <= *left { bytes } else { *left / each.max(1) * each };
        *left -= sent;
        sent
    }
}

impl Measured {
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>) -> Self {
        let (now, before) = (HashMap::new(), HashMap::new());
        let measures = Mutex::new(Measures { now, before, since: Instant::now() });
        Self { inner, measures, is_left: AtomicBool::new(false) }
    }

    /// Reads nothing from here on. What is sent still goes.
    pub(super) fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }
}

impl AsyncUdpSocket for Measured {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let bytes = transmit.contents.len();
        let each = transmit.segment_size.unwrap_or(bytes);
        let mut measures = self.measures.lock().unwrap_or_else(PoisonError::into_inner);
        if transmit.contents.first().is_none_or(|first| first & LONG_HEADER == 0) {
            measures.sent(transmit.destination, bytes);
            drop(measures);
            return self.inner.try_send(transmit);
        }
        let allowed = measures.send(transmit.destination, bytes, each);
        drop(measures);
        match transmit.contents.get(..allowed) {
            None | Some([]) => Ok(()),
            Some(contents) => {
                let Transmit { destination, ecn, segment_size, src_ip, .. } = *transmit;
                let segment_size = segment_size.filter(|each| *each < allowed);
                let part = Transmit { destination, ecn, contents, segment_size, src_ip };
                self.inner.try_send(&part)
            }
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.is_left.load(Ordering::Relaxed) {
            // there is nothing to be woken for
            return Poll::Pending;
        }
        let count = ready!(self.inner.poll_recv(cx, buffers, metas))?;
        let mut received =
            buffers.iter().zip(metas.iter()).take(count).filter_map(|(buffer, meta)| {
                let is_long = buffer.first().is_some_and(|first| first & LONG_HEADER != 0);
                is_long.then_some((meta.addr, meta.len))
            });
        if let Some(first) = received.next() {
            let now = Instant::now();
            let mut measures = self.measures.lock().unwrap_or_else(PoisonError::into_inner);
            for (from, bytes) in std::iter::once(first).chain(received) {
                measures.received(from, bytes, now);
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_more_than_three_times_what_came() {
        let start = Instant::now();
        let mut measures = Measures { now: HashMap::new(), before: HashMap::new(), since: start };
        let client: SocketAddr = ([192, 0, 2, 1], 1).into();
        assert_eq!(measures.send(client, 100, 100), 0);
        measures.received(client, 1_200, start);
        assert_eq!(measures.send(client, 1_200, 1_200), 1_200);
        measures.sent(client, 222);
        assert_eq!(measures.send(client, 3_600, 1_200), 1_200);
        assert_eq!(measures.send(client, 1_200, 1_200), 0);
        measures.received(client, 1_200, start + PERIOD);
        assert_eq!(measures.send(client, 1_200, 1_200), 1_200);
        let later = start + PERIOD * 3;
        measures.received(([192, 0, 2, 2], 1).into(), 1, later);
        measures.received(([192, 0, 2, 2], 1).into(), 1, later + PERIOD);
        assert_eq!(measures.send(client, 1, 1), 0, "it is forgotten");
    }
}
