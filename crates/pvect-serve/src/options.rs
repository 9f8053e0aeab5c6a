//! How the server listens, and its limits.

use std::net::SocketAddr;
use std::time::Duration;

/// How the server listens, and its limits.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The address.
    pub listen: SocketAddr,
    /// How many connections are served at most.
    pub connections: usize,
    /// How many of these one client may have. A client is an address, or a /64 network of IPv6.
    pub connections_of_one: usize,
    /// How many more connections may wait for a place, for as long as `head`; further ones are closed at once.
    pub waiting: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub head: Duration,
    /// How long a body may take (for an upload: how long it may stall).
    pub body: Duration,
    /// How long a client may read nothing of an answer.
    pub write: Duration,
    /// How long running requests may take when the server stops.
    pub grace: Duration,
    /// How long an answer to a wrong ticket, token or password is delayed.
    pub refusal_delay: Duration,
    /// The longest body of requests other than uploads, in bytes.
    pub body_limit: usize,
    /// The longest upload, bytes.
    pub upload_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8006)),
            connections: 512,
            connections_of_one: 64,
            waiting: 256,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(15),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            refusal_delay: Duration::from_secs(3),
            body_limit: 64 * 1024,
            upload_limit: 16 * 1024 * 1024 * 1024,
        }
    }
}
