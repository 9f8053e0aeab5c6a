//! The addresses of a container's own interfaces, asked of the kernel from outside.
//!
//! The host's end of `net0` has a known name, and the kernel says which interface of which namespace its other end is. So
//! an address is known to belong to `net0` whatever the guest calls its interfaces, and bridges or tunnels inside the
//! container are not even asked about. Neither the container's namespaces are entered nor is one of its programs run.
//! That the namespace is the container's own is checked with its init.
//!
//! Which addresses an interface has is the guest's choice: it may take one that is not its own. And `/proc/PID/net` would
//! not do: its `fib_trie` says no interface.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fd::OwnedFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

use super::message::{self, Entry, Family, Link, Message};
use crate::init::Init;

/// More addresses of one interface and family are not read: a guest may give itself millions.
const MOST: usize = 32;
/// More answers to one question are not read: those addresses that are left out count, too.
const DATAGRAMS: usize = 16;
/// The kernel makes no datagrams of a dump that are larger. Source: `netlink_recvmsg` of the kernel's af_netlink.c.
const ROOM: usize = 32 << 10;

/// An address of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The interface: `n` of `net[n]` of the configuration.
    pub net: u16,
    /// The address; IPv4 goes before IPv6.
    pub ip: IpAddr,
    /// The length of its network's prefix, bits.
    pub prefix: u8,
}

/// The addresses of a container under which others can reach it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// By interface, IPv4 first, else in the kernel's order; 32 of each interface and family at most.
    pub list: Vec<Address>,
    /// Whether there are more, which were not read.
    pub more: bool,
}

/// Asks the kernel, through one socket for all questions.
#[derive(Debug)]
pub(crate) struct Asker {
    socket: OwnedFd,
    sequence: u32,
    room: Vec<u8>,
}

impl Asker {
    /// Opens the socket.
    ///
    /// # Errors
    /// `Unsupported` where the kernel is older than Linux 4.20.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { socket: opened()?, sequence: 0, room: vec![0; ROOM] })
    }

    /// Reads the addresses of a container with these interfaces; `device` names the host's end of each. One that is not
    /// there has none.
    ///
    /// # Errors
    /// `NotFound` when the container has ended; those of the kernel.
    pub(crate) fn addresses(
        &mut self,
        init: &Init,
        nets: &BTreeSet<u16>,
        device: impl Fn(u16) -> String,
    ) -> io::Result<Addresses> {
        let mut found = Addresses::default();
        // As long as it is open, its number stays its own.
        let namespace = init.namespace("net")?;
        for net in nets {
            // The kernel numbers the namespace at this question, if it was not yet.
            let Some(Link { peer, namespace: Some(number) }) = self.link(&device(*net))? else { continue };
            if self.number_of(&namespace)? != Some(number) {
                continue;
            }
            for family in [Family::V4, Family::V6] {
                let (entries, more) = self.entries(family, peer, number)?;
                found.more |= more;
                found.list.extend(entries.iter().map(|entry| Address {
                    net: *net,
                    ip: entry.ip,
                    prefix: entry.prefix,
                }));
            }
        }
        init.check()?;
        Ok(found)
    }

    /// The host's end of a pair; `None` when there is no such device.
    fn link(&mut self, name: &str) -> io::Result<Option<Link>> {
        let question = message::ask_link(self.next(), name);
        match self.answer(&question)? {
            Message::Link(link) => Ok(Some(link)),
            Message::Error(Errno::NODEV) | Message::Other => Ok(None),
            other => Err(odd(other)),
        }
    }

    /// The number of a namespace, if it has one.
    fn number_of(&mut self, namespace: impl AsFd) -> io::Result<Option<i32>> {
        let question = message::ask_namespace(self.next(), namespace.as_fd().as_raw_fd());
        match self.answer(&question)? {
            Message::Namespace(number) => Ok(number),
            other => Err(odd(other)),
        }
    }

    /// The addresses of an interface, and whether there are more.
    fn entries(&mut self, family: Family, interface: u32, namespace: i32) -> io::Result<(Vec<Entry>, bool)> {
        let question = message::ask_addresses(self.next(), family, interface, namespace);
        self.send(&question)?;
        let mut found = Vec::new();
        for _ in 0..DATAGRAMS {
            let datagram = receive(&self.socket, &mut self.room)?;
            for message in message::messages(datagram, self.sequence) {
                match message {
                    Message::Entry(entry) if entry.interface == interface && is_reachable(&entry) => {
                        if found.len() == MOST {
                            self.socket = opened()?;
                            return Ok((found, true));
                        }
                        found.push(entry);
                    }
                    Message::Done => return Ok((found, false)),
                    // The interface has gone meanwhile.
                    Message::Error(Errno::NODEV) => return Ok((found, false)),
                    Message::Error(_) => return Err(odd(message)),
                    _ => {}
                }
            }
        }
        // The rest of the answer goes with the socket.
        self.socket = opened()?;
        Ok((found, true))
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, question: &[u8]) -> io::Result<()> {
        retry_on_intr(|| send(&self.socket, question, SendFlags::empty()))?;
        Ok(())
    }

    fn answer(&mut self, question: &[u8]) -> io::Result<Message> {
        self.send(question)?;
        let datagram = receive(&self.socket, &mut self.room)?;
        Ok(message::messages(datagram, self.sequence).next().unwrap_or(Message::Other))
    }
}

fn receive<'a>(socket: &OwnedFd, room: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let (length, _) = retry_on_intr(|| recv(socket, &mut *room, RecvFlags::empty()))?;
    Ok(room.get(..length).unwrap_or_default())
}

fn opened() -> io::Result<OwnedFd> {
    // No protocol is `NETLINK_ROUTE`, which is 0.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    // Only the kernel may answer.
    connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    pvect_sys::netlink::check_strictly(&socket).map_err(|error| {
        let what = "the kernel does not give addresses of other network namespaces (Linux 4.20 does)";
        if error.raw_os_error() == Some(Errno::NOPROTOOPT.raw_os_error()) {
            io::Error::new(io::ErrorKind::Unsupported, what)
        } else {
            error
        }
    })?;
    Ok(socket)
}

fn odd(message: Message) -> io::Error {
    match message {
        Message::Error(errno) => errno.into(),
        _ => io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer was not understood"),
    }
}

/// Whether others can reach the container under it: those of the machine itself and of the link alone are none.
fn is_reachable(entry: &Entry) -> bool {
    let is_special = match entry.ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            let is_link_local = ip.segments()[0] & 0xffc0 == 0xfe80;
            is_link_local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast()
        }
    };
    entry.is_ready && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_others_reach_count() {
        let entry =
            |ip: &str, is_ready| Entry { interface: 2, ip: ip.parse().unwrap(), prefix: 24, is_ready };
        for ip in ["10.0.0.1", "192.0.2.7", "fd00::1", "2001:db8::1"] {
            assert!(is_reachable(&entry(ip, true)) && !is_reachable(&entry(ip, false)), "{ip}");
        }
        for ip in [
            "127.0.0.2",
            "169.254.3.4",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
        ] {
            assert!(!is_reachable(&entry(ip, true)), "{ip}");
        }
    }

    #[test]
    fn the_kernel_answers() {
        let mut asker = Asker::new().unwrap();
        assert_eq!(asker.link("nosuchdevice").unwrap(), None);
        assert_eq!(asker.link("lo").unwrap(), None, "it has no other end");
        let error = asker.entries(Family::V4, 1, i32::MAX).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
        // What was left of an answer is not taken for the next one.
        assert_eq!(asker.link("nosuchdevice").unwrap(), None);
        let own = std::fs::File::open("/proc/self/ns/net").unwrap();
        asker.number_of(&own).unwrap();
    }
}
