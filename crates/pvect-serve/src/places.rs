//! How many connections are served at a time, of all clients and of each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The network part of an IPv6 address: one client may have all addresses in its network.
const NETWORK: u128 = !0 << 64;

/// Returns the address that identifies a client.
pub(crate) fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// A share of something for each client.
#[derive(Debug)]
pub(crate) struct Shares {
    one: usize,
    taken: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

impl Shares {
    /// Gives each client this much.
    pub(crate) fn new(one: usize) -> Self {
        Self { one, taken: Mutex::default() }
    }

    /// Returns the share of a client.
    pub(crate) fn of(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Clients that have taken nothing, and wait for nothing, are forgotten.
        taken.retain(|_, share| share.available_permits() < self.one || Arc::strong_count(share) > 1);
        let share = taken.entry(client(address)).or_insert_with(|| Arc::new(Semaphore::new(self.one)));
        Arc::clone(share)
    }
}

/// The places of a server.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    shares: Shares,
    waiting: Arc<Semaphore>,
}

/// A connection's place, or its place in the queue for one.
#[derive(Debug)]
pub(crate) struct Claim {
    all: Arc<Semaphore>,
    share: Arc<Semaphore>,
    state: State,
}

#[derive(Debug)]
enum State {
    Ready(Place),
    Waiting(OwnedSemaphorePermit),
}

/// A place; it is free again on drop.
#[derive(Debug)]
pub(crate) struct Place {
    _all: OwnedSemaphorePermit,
    _share: OwnedSemaphorePermit,
}

impl Places {
    /// Makes places: for all, for each client, and how many connections wait at most.
    pub(crate) fn new(all: usize, one: usize, waiting: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            shares: Shares::new(one),
            waiting: Arc::new(Semaphore::new(waiting)),
        }
    }

    /// Returns what a new connection of a client gets; `None` when too many wait already. A client without connections
    /// never waits for one that has used up its own places.
    pub(crate) fn claim(&self, address: IpAddr) -> Option<Claim> {
        let (all, share) = (Arc::clone(&self.all), self.shares.of(address));
        let place = Arc::clone(&share).try_acquire_owned().ok().and_then(|of_one| {
            let of_all = Arc::clone(&all).try_acquire_owned().ok()?;
            Some(Place { _all: of_all, _share: of_one })
        });
        let state = match place {
            Some(place) => State::Ready(place),
            None => State::Waiting(Arc::clone(&self.waiting).try_acquire_owned().ok()?),
        };
        Some(Claim { all, share, state })
    }
}

impl Claim {
    /// Waits for the place, at most for `patience`.
    pub(crate) async fn place(self, patience: Duration) -> Option<Place> {
        let _waiting = match self.state {
            State::Ready(place) => return Some(place),
            State::Waiting(waiting) => waiting,
        };
        let both = async {
            let share = self.share.acquire_owned().await.ok()?;
            Some(Place { _share: share, _all: self.all.acquire_owned().await.ok()? })
        };
        timeout(patience, both).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(client(address(one)) == client(address(other)), same, "{one} {other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_leaves_room_for_others() {
        let places = Places::new(8, 3, 2);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let patience = Duration::from_secs(15);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(places.claim(one).unwrap().place(patience).await.unwrap());
        }
        let waiting = [places.claim(one).unwrap(), places.claim(one).unwrap()];
        assert!(places.claim(one).is_none());
        assert!(places.claim(other).unwrap().place(Duration::ZERO).await.is_some());
        let [first, second] = waiting;
        assert!(first.place(patience).await.is_none());
        held.pop();
        assert!(second.place(patience).await.is_some());
        drop(held);
        assert!(places.claim(one).unwrap().place(Duration::ZERO).await.is_some());
    }
}
