//! A connection to the server of pmxcfs.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::Unusable;
use super::message::{self, Answer, Malformed};
use super::ring::Ring;
use crate::socket::holder::foreign_peer;

/// How long a message may be, bytes: the longest file that pmxcfs keeps has 1 MiB, and an answer has a header.
///
/// A server of libqb that has no room for an answer closes the connection while it still uses it: there must always be
/// room. For the same reason there is one request at a time. The server makes three rings of this length and fills them with
/// zeros, which takes as long as many requests.
pub(super) const LONGEST: u32 = (1 << 20) + (3 << 10);
/// A server that offers more than this is not believed.
const LONGEST_OFFERED: u32 = 8 << 20;
/// How long an abstract name is that fills its address, as libqb makes them.
const NAME_LENGTH: usize = 107;
/// How often an answer is looked for before we sleep meanwhile.
const LOOKS: u32 = 20;
/// How long we sleep at a time.
const NAP: Duration = Duration::from_micros(20);

/// A connection, on which each request is answered before the next one is sent.
#[derive(Debug)]
pub(super) struct Connection {
    socket: UnixStream,
    requests: Ring,
    answers: Ring,
    deadline: Instant,
    /// The request and the answer that are under way, as chunks of their rings.
    request: Vec<u8>,
    answer: Vec<u8>,
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
        Ok(Self { socket, requests, answers, deadline, request: Vec::new(), answer: Vec::new() })
    }

    /// Sends a request and waits for the answer.
    pub(super) fn ask(&mut self, kind: i32, body: &[u8]) -> Result<Answer<'_>, Unusable> {
        message::put_request(&mut self.request, kind, body);
        self.requests.write(&self.request)?;
        // The server looks at the ring when a byte comes.
        self.socket.write_all(&[0])?;
        self.wait()?;
        self.answers.read(&mut self.answer)?;
        Ok(message::answer(&self.answer, kind)?)
    }

    /// Waits until there is an answer.
    fn wait(&self) -> Result<(), Unusable> {
        let mut looks = 0_u32;
        let mut closed = false;
        loop {
            match self.answers.waiting()? {
                0 => {}
                1 => return Ok(()),
                _ => return Err(Malformed("there are more answers than requests").into()),
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
