//! How much may one client's address take? Counts open connections, and paces TLS handshakes and requests, for each
//! address: each IPv4 address, and each /64 of IPv6, which is what one subscriber has at least.
//!
//! The table is bounded: addresses that have nothing open and nothing to wait for are forgotten, and while it is full of
//! others, further addresses are not limited.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Tables that are locked one at a time; a power of two.
const SHARDS: usize = 64;
/// How much of what is paced may come at once, after a pause.
const BURST: Duration = Duration::from_secs(1);
/// How often a full shard is passed over for addresses to forget.
const FORGET_EVERY: Duration = Duration::from_millis(100);

/// What an address may take at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) connections: u32,
    pub(crate) handshakes_per_second: u32,
    /// None for any number.
    pub(crate) requests_per_second: Option<u32>,
    /// Addresses that are remembered.
    pub(crate) addresses: usize,
}

/// What the addresses of clients take.
#[derive(Debug)]
pub(crate) struct Addresses {
    limits: Limits,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<u64, Taken, RandomState>,
    forgotten: Option<Instant>,
}

/// What an address takes. Times count from the table's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    connections: u32,
    handshakes: Bucket,
    requests: Bucket,
}

/// The time at which all that was let through would have come at an even pace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket(Duration);

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    addresses: Arc<Addresses>,
    key: u64,
}

impl Addresses {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { limits, hasher: RandomState::default(), shards, started: now }
    }

    /// Counts a connection; none where the address has too many. Where the table is full, it isn't counted.
    pub(crate) fn connect(
        self: &Arc<Self>,
        client: IpAddr,
        now: Instant,
    ) -> Result<Option<Counted>, Full> {
        let key = key(client);
        let mut shard = self.shard(key);
        let Some(taken) = self.taken(&mut shard, key, now) else { return Ok(None) };
        if taken.connections >= self.limits.connections {
            return Err(Full);
        }
        taken.connections += 1;
        Ok(Some(Counted { addresses: Arc::clone(self), key }))
    }

    /// Whether requests are limited at all.
    pub(crate) const fn paces_requests(&self) -> bool {
        self.limits.requests_per_second.is_some()
    }

    /// Whether a TLS handshake may begin; otherwise, after which time.
    pub(crate) fn handshake(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        self.pace(client, Some(self.limits.handshakes_per_second), now, |taken| {
            &mut taken.handshakes
        })
    }

    /// Whether a request may be processed; otherwise, after which time.
    pub(crate) fn request(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        self.pace(client, self.limits.requests_per_second, now, |taken| &mut taken.requests)
    }

    fn pace(
        &self,
        client: IpAddr,
        per_second: Option<u32>,
        now: Instant,
        bucket: impl FnOnce(&mut Taken) -> &mut Bucket,
    ) -> Result<(), Duration> {
        let Some(per_second) = per_second else { return Ok(()) };
        let key = key(client);
        let mut shard = self.shard(key);
        let Some(taken) = self.taken(&mut shard, key, now) else { return Ok(()) };
        bucket(taken).take(per_second, now.saturating_duration_since(self.started))
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        let place = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or_default() % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "there are as many shards")]
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an address takes; none where there is no room for another address.
    fn taken<'s>(&self, shard: &'s mut Shard, key: u64, now: Instant) -> Option<&'s mut Taken> {
        let max = (self.limits.addresses / SHARDS).max(1);
        if shard.known.len() >= max && !shard.known.contains_key(&key) {
            shard.forget(now, now.saturating_duration_since(self.started));
            if shard.known.len() >= max {
                return None;
            }
        }
        Some(shard.known.entry(key).or_default())
    }

    /// How many addresses are remembered.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().known.len()).sum()
    }
}

/// An address has as many connections open as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Shard {
    /// Forgets the addresses that take nothing. Not often, since all are looked at.
    fn forget(&mut self, now: Instant, age: Duration) {
        if self.forgotten.is_some_and(|last| now.saturating_duration_since(last) < FORGET_EVERY) {
            return;
        }
        self.forgotten = Some(now);
        self.known.retain(|_, taken| {
            taken.connections > 0 || taken.handshakes.0 > age || taken.requests.0 > age
        });
    }
}

impl Bucket {
    /// Takes one of so many a second, at a time since the start; otherwise, how long to wait.
    fn take(&mut self, per_second: u32, age: Duration) -> Result<(), Duration> {
        let each = Duration::from_secs(1) / per_second.max(1);
        let next = self.0.max(age) + each;
        let limit = age + BURST.max(each);
        if next > limit {
            return Err(next - limit);
        }
        self.0 = next;
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut shard = self.addresses.shard(self.key);
        if let Some(taken) = shard.known.get_mut(&self.key) {
            taken.connections = taken.connections.saturating_sub(1);
        }
    }
}

/// What an address is counted under.
fn key(client: IpAddr) -> u64 {
    match client.to_canonical() {
        // below ::/32, where no client's address is
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        connections: 2,
        handshakes_per_second: 10,
        requests_per_second: Some(100),
        addresses: 6_400,
    };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn connections_are_counted_while_they_are_open() {
        let now = Instant::now();
        let addresses = Arc::new(Addresses::new(LIMITS, now));
        let connect = |text: &str| addresses.connect(address(text), now).map(Option::unwrap);
        let first = connect("192.0.2.1").unwrap();
        let second = connect("::ffff:192.0.2.1").unwrap();
        assert_eq!(connect("192.0.2.1").err(), Some(Full));
        let other = connect("192.0.2.2").unwrap();
        drop((first, second, other));
        assert!(connect("192.0.2.1").is_ok());
    }

    #[test]
    fn a_subnet_is_one_client() {
        assert_eq!(key(address("2001:db8::1")), key(address("2001:db8::ffff:0:0:2")));
        assert_ne!(key(address("2001:db8::1")), key(address("2001:db8:0:1::1")));
    }

    #[test]
    fn what_is_paced_comes_in_bursts_of_a_second() {
        let mut now = Instant::now();
        let addresses = Addresses::new(LIMITS, now);
        let client = address("192.0.2.1");
        for _ in 0..10 {
            assert_eq!(addresses.handshake(client, now), Ok(()));
        }
        assert_eq!(addresses.handshake(client, now), Err(Duration::from_millis(100)));
        assert_eq!(addresses.request(client, now), Ok(()), "each has its own pace");
        now += Duration::from_millis(250);
        let allowed = (0..9).filter(|_| addresses.handshake(client, now).is_ok()).count();
        assert_eq!(allowed, 2);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_takes_nothing() {
        let mut now = Instant::now();
        let addresses = Arc::new(Addresses::new(LIMITS, now));
        let mut open = Vec::new();
        for number in 0..20_000_u32 {
            let client = IpAddr::V4(number.into());
            open.extend(addresses.connect(client, now).unwrap());
        }
        assert!(addresses.count() <= LIMITS.addresses);
        // no room: nobody is turned away for it
        assert!(addresses.connect(address("198.51.100.1"), now).unwrap().is_none());
        drop(open);
        now += FORGET_EVERY;
        assert!(addresses.connect(address("198.51.100.1"), now).unwrap().is_some());
        assert!(addresses.count() < LIMITS.addresses);
    }

    /// Run it alone: `cargo test -p edge --release a_request_costs -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn a_request_costs() {
        let addresses = Addresses::new(LIMITS, Instant::now());
        let clients: Vec<IpAddr> = (0..4_096_u32).map(|number| IpAddr::V4(number.into())).collect();
        let begun = Instant::now();
        for number in 0..4_000_000 {
            addresses.request(clients[number % clients.len()], begun).ok();
        }
        println!("{} ns", begun.elapsed().as_nanos() / 4_000_000);
    }

    proptest! {
        #[test]
        fn no_more_than_the_rate_and_a_burst_pass(gaps in prop::collection::vec(0_u64..40, 1..400), per_second in 1_u32..500) {
            let (mut bucket, mut age, mut passed) = (Bucket::default(), Duration::from_secs(5), 0_u32);
            let begun = age;
            for gap in gaps {
                age += Duration::from_millis(gap);
                passed += u32::from(bucket.take(per_second, age).is_ok());
            }
            let allowed = f64::from(per_second) * ((age - begun).as_secs_f64() + 1.0) + 1.0;
            prop_assert!(f64::from(passed) <= allowed, "{passed} of {allowed}");
        }
    }
}
