//! A connection to the server of pmxcfs.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::Unusable;
use super::message::{self, Malformed};
use super::ring::Ring;
use crate::socket::holder::foreign_peer;

/// How long a message may be, bytes: as long as those of Proxmox VE's own programs. The server makes three rings of this
/// length and fills them with zeros.
const LONGEST: u32 = 1 << 20;
/// A server that offers more than this is not believed.
const LONGEST_OFFERED: u32 = 8 << 20;
/// How long an abstract name is that fills its address, as libqb makes them.
const NAME_LENGTH: usize = 107;
/// How often answers are looked for before we sleep meanwhile.
const LOOKS: u32 = 20;
/// How long we sleep at a time.
const NAP: Duration = Duration::from_micros(20);

/// A connection on which requests are sent in batches: a batch is answered as a whole before the next one is sent.
#[derive(Debug)]
pub(super) struct Connection {
    socket: UnixStream,
    requests: Ring,
    answers: Ring,
    deadline: Instant,
}

impl Connection {
    /// Connects to a server by its name. Nothing that it says is read unless it is root's, or our own.
    pub(super) fn open(name: &[u8], deadline: Instant) -> Result<Self, Unusable> {
        let mut whole = name.to_vec();
        whole.resize(NAME_LENGTH.max(name.len()), 0);
        let address = SocketAddrUnix::new_abstract_name(&whole).map_err(io::Error::from)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let mut socket = UnixStream::from(socket.map_err(io::Error::from)?);
        connect(&socket, &address).map_err(|error| match error {
            Errno::CONNREFUSED | Errno::AGAIN => Unusable::Absent,
            other => Unusable::Io(other.into()),
        })?;
        if let Some((uid, pid)) = foreign_peer(&socket)? {
            return Err(Unusable::Foreign { uid, pid });
        }
        // The server looks at who the sender of this message is.
        set_socket_passcred(&socket, true).map_err(io::Error::from)?;
        socket.write_all(&message::hello(LONGEST))?;
        let mut bytes = vec![0; message::WELCOME];
        receive(&mut socket, &mut bytes, deadline)?;
        set_socket_passcred(&socket, false).map_err(io::Error::from)?;
        let welcome = message::welcome(&bytes)?.ok_or(Unusable::Refused)?;
        if !(LONGEST..=LONGEST_OFFERED).contains(&welcome.longest) {
            return Err(Malformed("the server offers messages of another length").into());
        }
        let requests = Ring::open(&welcome.requests, welcome.longest)?;
        let answers = Ring::open(&welcome.answers, welcome.longest)?;
        Ok(Self { socket, requests, answers, deadline })
    }

    /// Sends a batch of `count` requests and waits for the answers, which are added to `answers` as chunks.
    ///
    /// The server reads one byte from the socket for each request, and would wait for one that does not come: they are all
    /// sent at once, after the requests, so that there is no moment at which one is missing and the server looks.
    pub(super) fn ask(&mut self, batch: &[u8], count: u8, answers: &mut Vec<u8>) -> Result<(), Unusable> {
        self.requests.write(batch, count.into())?;
        let bytes = [0; u8::MAX as usize];
        self.socket.write_all(&bytes[..count.into()])?;
        self.wait_for(count.into())?;
        self.answers.read(answers)
    }

    fn wait_for(&self, count: u32) -> Result<(), Unusable> {
        let mut looks = 0_u32;
        let mut closed = false;
        loop {
            let waiting = self.answers.waiting()?;
            if waiting == count {
                return Ok(());
            }
            if waiting > count {
                return Err(Malformed("there are more answers than requests").into());
            }
            if closed {
                return Err(Unusable::Closed);
            }
            if Instant::now() >= self.deadline {
                return Err(Unusable::Late);
            }
            looks = looks.saturating_add(1);
            if looks < LOOKS {
                rustix::thread::sched_yield();
            } else {
                // Nothing comes through the socket but its end.
                closed = is_ready(&self.socket, NAP)?;
            }
        }
    }
}

fn receive(socket: &mut UnixStream, bytes: &mut [u8], deadline: Instant) -> Result<(), Unusable> {
    let mut filled = 0;
    while filled < bytes.len() {
        match socket.read(&mut bytes[filled..]) {
            Ok(0) => return Err(Unusable::Closed),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() || !is_ready(socket, left)? {
                    return Err(Unusable::Late);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits until there is something to read, or the end; returns whether there is.
fn is_ready(socket: &UnixStream, limit: Duration) -> Result<bool, Unusable> {
    let limit = Timespec::try_from(limit).unwrap_or_default();
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&limit)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(Unusable::Io(error.into())),
    }
}
