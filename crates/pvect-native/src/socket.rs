//! LXC's command sockets: one abstract Unix socket for each running container.

pub(crate) mod holder;

use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use pvect_core::Vmid;
use pvect_core::error::Finding;
use rustix::io::Errno;
use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, UCred, connect, sendmsg, socket_with,
};
use rustix::process::{getgid, getpid, getuid};

use holder::foreign_peer;

/// Names of this many bytes and more are hashed: 108 of `sun_path`, less the leading NUL and a final one.
const NAME_LIMIT: usize = 106;
/// A monitor answers at once, and a stopped one must not hold us up.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// `LXC_CMD_STOP` of LXC's commands.h.
const STOP: i32 = 2;
/// `LXC_CMD_GET_STATE` of LXC's commands.h.
const GET_STATE: i32 = 3;
/// `LXC_CMD_GET_INIT_PID` of LXC's commands.h.
const GET_INIT_PID: i32 = 4;
/// `RUNNING` of LXC's state.h.
const STATE_RUNNING: u64 = 2;

/// Returns the name of a container's command socket without the leading NUL: `<lxc_path>/<vmid>/command`, or
/// `lxc/<hash>/command` when that is too long for a socket.
///
/// Source: `lxc_make_abstract_socket_name` of LXC 5.0.2 (commands_utils.c).
pub fn socket_name(lxc_path: &Path, vmid: Vmid) -> Vec<u8> {
    let mut name = lxc_path.as_os_str().as_bytes().to_vec();
    name.extend_from_slice(format!("/{vmid}").as_bytes());
    if name.len() + "/command".len() >= NAME_LIMIT {
        return format!("lxc/{:016x}/command", fnv1a(&name)).into_bytes();
    }
    name.extend_from_slice(b"/command");
    name
}

/// The 64-bit FNV-1a hash.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Who holds the name of a container's command socket and is not root: any local user can take a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    /// The container.
    pub vmid: Vmid,
    /// The user and the process that listen, or did when they began to; `None` when no process can be seen to.
    pub holder: Option<(u32, i32)>,
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Finding::from(*self).fmt(f)
    }
}

impl From<Foreign> for Finding {
    fn from(Foreign { vmid, holder }: Foreign) -> Self {
        Self::ForeignSocket { vmid, holder }
    }
}

impl std::error::Error for Foreign {}

/// A connection to the monitor of a running container.
///
/// While it is open, end of file on it means that the monitor is gone.
#[derive(Debug)]
pub struct CommandSocket {
    stream: UnixStream,
}

impl CommandSocket {
    /// Connects to the monitor of a container.
    ///
    /// # Errors
    /// `ConnectionRefused` when the container does not run; `PermissionDenied` with a [`Foreign`] when somebody else
    /// holds the name; `WouldBlock` when the monitor takes no connection within two seconds.
    pub fn connect(lxc_path: &Path, vmid: Vmid) -> io::Result<Self> {
        let address = SocketAddrUnix::new_abstract_name(&socket_name(lxc_path, vmid))?;
        let made = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let stream = UnixStream::from(made);
        // This limits connect(2), too, because anyone can fill a monitor's queue.
        stream.set_write_timeout(Some(ANSWER_TIME))?;
        stream.set_read_timeout(Some(ANSWER_TIME))?;
        retry_on_intr(|| connect(&stream, &address))?;
        if let Some(holder) = foreign_peer(&stream)? {
            let foreign = Foreign { vmid, holder: Some(holder) };
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, foreign));
        }
        Ok(Self { stream })
    }

    /// Asks for the process id of the container's init, as the host numbers it.
    ///
    /// # Errors
    /// When the monitor does not answer, or the container has no init (yet, or any more).
    pub fn init_pid(self) -> io::Result<u32> {
        let pid = self.ask(GET_INIT_PID)?;
        match u32::try_from(pid) {
            Ok(pid) if pid > 0 => Ok(pid),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "the container has no init process")),
        }
    }

    /// Asks whether the container runs (it may be starting or stopping).
    ///
    /// # Errors
    /// When the monitor does not answer.
    pub fn is_running(self) -> io::Result<bool> {
        Ok(self.ask(GET_STATE)? == STATE_RUNNING)
    }

    /// Has the monitor kill the container's init, thawed if it is frozen.
    ///
    /// There is no answer: the monitor closes the connection when the container is gone, see
    /// [`CommandSocket::wait_closed`]. Source: `lxc_cmd_stop_callback` of LXC 5.0.2 (commands.c).
    ///
    /// # Errors
    /// When the monitor is gone or does not take the command.
    pub fn kill(&mut self) -> io::Result<()> {
        self.send(STOP)
    }

    /// Returns whether the monitor has closed the connection, without waiting.
    pub fn is_closed(&self) -> bool {
        let mut byte = [0_u8];
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.stream, &mut byte[..], flags) {
            Ok((count, _)) => count == 0,
            Err(error) => error != Errno::AGAIN && error != Errno::INTR,
        }
    }

    /// Waits until the monitor closes the connection, which is when it ends.
    ///
    /// # Errors
    /// `TimedOut` when it does not within the time; `None` waits as long as it takes.
    pub fn wait_closed(&mut self, time: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(time.map(|time| time.max(Duration::from_millis(1))))?;
        let mut byte = [0];
        loop {
            match self.stream.read(&mut byte) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => return Ok(()),
                    io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
                    _ => return Err(error),
                },
            }
        }
    }

    /// Sends a command, and with it who we are.
    ///
    /// The kernel adds that by itself only once the monitor has asked for it, which it does after it has taken the
    /// connection: on a busy machine too late for one command in some thousands, which it then refuses.
    fn send(&self, command: i32) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let us = UCred { pid: getpid(), uid: getuid(), gid: getgid() };
        if !control.push(SendAncillaryMessage::ScmCredentials(us)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let request = request(command);
        let sent = retry_on_intr(|| {
            sendmsg(&self.stream, &[IoSlice::new(&request)], &mut control, SendFlags::NOSIGNAL)
        })?;
        if sent == request.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Sends a command without data; returns the value that stands in place of the answer's pointer.
    ///
    /// Answer: `int ret; int datalen; void *data`. Source: commands.h and commands.c of LXC 5.0.2.
    fn ask(mut self, command: i32) -> io::Result<u64> {
        self.send(command)?;
        let mut answer = [0; 16];
        self.stream.read_exact(&mut answer)?;
        let [a, b, c, d, _, _, _, _, data @ ..] = answer;
        let result = i32::from_ne_bytes([a, b, c, d]);
        if result < 0 {
            return Err(io::Error::from_raw_os_error(result.saturating_neg()));
        }
        Ok(u64::from_ne_bytes(data))
    }
}

/// A command without data: `int cmd; int datalen; void *data`. Source: commands.h of LXC 5.0.2.
fn request(command: i32) -> [u8; 16] {
    let [a, b, c, d] = command.to_ne_bytes();
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

impl AsFd for CommandSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSliceMut, Write};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::net::sockopt::set_socket_passcred;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::holder::{Knock, Knocker};
    use super::*;

    fn name(path: &str, vmid: &str) -> String {
        String::from_utf8(socket_name(Path::new(path), vmid.parse().unwrap())).unwrap()
    }

    #[test]
    fn short_names_are_plain_and_long_ones_hashed() {
        assert_eq!(name("/var/lib/lxc", "101"), "/var/lib/lxc/101/command");
        // path + "/101" + "/command": 105 bytes fit, 106 do not.
        let path = format!("/{}", "a".repeat(92));
        assert_eq!(name(&path, "101").len(), 105);
        let path = format!("/{}", "a".repeat(93));
        let expected = format!("lxc/{:016x}/command", fnv1a(format!("{path}/101").as_bytes()));
        assert_eq!(name(&path, "101"), expected);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_full_queue_does_not_hold_up_for_long() {
        let path = format!("/test/full/{}", std::process::id());
        let vmid = "101".parse().unwrap();
        let address = SocketAddr::from_abstract_name(name(&path, "101")).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let (mut knocker, name) = (Knocker::default(), name(&path, "101"));
        assert!((0..10_000).any(|_| knocker.knock(name.as_bytes()) == Knock::Busy));
        let error = CommandSocket::connect(Path::new(&path), vmid).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn nobody_listens_for_a_stopped_container() {
        let error = CommandSocket::connect(Path::new("/no/such/path"), "101".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_monitor_that_asks_late_is_told_who_we_are() {
        let (path, vmid) = (format!("/test/{}", std::process::id()), "101".parse().unwrap());
        let address = SocketAddr::from_abstract_name(name(&path, "101")).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let socket = CommandSocket::connect(Path::new(&path), vmid).unwrap();
        let (stream, _) = listener.accept().unwrap();
        // The command comes after the connection was taken, and before credentials are asked for.
        let asked = std::thread::spawn(move || socket.init_pid());
        poll(&mut [PollFd::new(&stream, PollFlags::IN)], None).unwrap();
        set_socket_passcred(&stream, true).unwrap();
        let (mut bytes, mut space) =
            ([0; 16], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))]);
        let mut control = RecvAncillaryBuffer::new(&mut space);
        recvmsg(&stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::empty()).unwrap();
        assert_eq!(bytes, request(GET_INIT_PID));
        let told = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(who) => Some((who.pid, who.uid, who.gid)),
            _ => None,
        });
        assert_eq!(told, Some((getpid(), getuid(), getgid())));
        (&stream).write_all(&[0, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(asked.join().unwrap().unwrap(), 77);
    }
}
